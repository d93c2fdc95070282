import { Group, Progress, Stack, Text } from '@mantine/core'
import { useEffect, useRef, useState } from 'react'
import type { Job } from '../../api/types.ts'
import { bytes } from '../../format/amounts.ts'
import { between, duration } from '../../format/time.ts'
import { useTexts } from '../../texts/index.ts'
import { Mark } from '../../ui/mark.tsx'
import { phaseName } from '../states.ts'
import { percentOf, phases, rate, type Sample, secondsLeft } from './progress.ts'

const KEPT_SAMPLES = 20

/** Where a job stands: its phases, a bar, rate and time left. */
export function JobProgress({ job }: { job: Job }) {
  const t = useTexts()
  const speed = useRate(job)
  const elapsed = useElapsed(job)
  const percent = percentOf(job)
  const left = secondsLeft(job, speed)
  const list = phases(job)
  const running = job.state === 'running'
  return (
    <Stack gap="sm">
      {list.length > 0 && (
        <Group gap="md" component="ol" style={{ listStyle: 'none', margin: 0, padding: 0 }}>
          {list.map((phase) => (
            <li key={phase.name} aria-current={phase.state === 'now' ? 'step' : undefined}>
              <Mark
                state={{
                  tone: phase.state === 'done' ? 'good' : phase.state === 'now' ? 'note' : 'idle',
                  icon: phase.state === 'done' ? 'check' : phase.state === 'now' ? 'running' : 'none',
                  words: phaseName(phase.name, t),
                }}
              />
            </li>
          ))}
        </Group>
      )}
      {running && (
        <>
          <Progress
            size="lg"
            value={percent ?? 100}
            animated={percent === undefined}
            aria-label={job.phase ?? t.jobStates.running}
          />
          <Group justify="space-between">
            <Text size="sm">
              {phaseName(job.phase ?? '', t)}
              {job.progress?.item ? `: ${job.progress.item}` : ''}
            </Text>
            <Text size="sm" c="dimmed">
              {[
                job.progress?.totalBytes
                  ? t.jobs.bytesOf(bytes(job.progress.doneBytes), bytes(job.progress.totalBytes))
                  : undefined,
                speed === undefined ? undefined : t.jobs.perSecond(bytes(Math.round(speed))),
                left === undefined ? undefined : t.jobs.left(duration(left)),
                elapsed === undefined ? undefined : t.jobs.elapsed(duration(elapsed)),
              ]
                .filter(Boolean)
                .join(' · ')}
            </Text>
          </Group>
        </>
      )}
    </Stack>
  )
}

function useRate(job: Job): number | undefined {
  const samples = useRef<Sample[]>([])
  const { phase } = job
  const doneBytes = job.progress?.doneBytes ?? 0
  const [value, setValue] = useState<number>()
  useEffect(() => {
    samples.current = [...samples.current, { at: Date.now(), phase, doneBytes }].slice(-KEPT_SAMPLES)
    setValue(rate(samples.current))
  }, [phase, doneBytes])
  return value
}

function useElapsed(job: Job): number | undefined {
  const [now, setNow] = useState(() => Date.now())
  const running = job.state === 'running'
  useEffect(() => {
    if (!running) return
    const timer = setInterval(() => setNow(Date.now()), 1000)
    return () => clearInterval(timer)
  }, [running])
  return between(job.startedAt, new Date(now).toISOString())
}
