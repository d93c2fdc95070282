import { Group, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useMemo } from 'react'
import { queries } from '../../api/queries.ts'
import type { AppStatus } from '../../api/types.ts'
import { useTexts } from '../../texts/index.ts'
import { useNow } from '../../ui/now.ts'
import classes from '../../ui/ui.module.css'
import { strip } from './strip.ts'

const DAYS = 30

/** Thirty days at a glance. */
export function HistoryStrip({ app }: { app: AppStatus }) {
  const t = useTexts()
  const now = useNow()
  const today = now.toDateString()
  // biome-ignore lint/correctness/useExhaustiveDependencies: it begins anew each day, not each minute
  const since = useMemo(() => startOf(now), [today])
  const backups = useQuery(queries.recentBackups(app.app, since))
  const jobs = useQuery(queries.recentJobs({ kind: 'backup', state: 'failed', since }, 500))
  const overdueSince = app.policies
    .flatMap((policy) => (policy.overdue ? [policy.overdue.due] : []))
    .sort()[0]
  if (backups.data === undefined || jobs.data === undefined) return <div style={{ height: '3.1rem' }} />
  const days = strip(
    { backups: backups.data, jobs: jobs.data.filter((job) => job.app === app.app), overdueSince },
    DAYS,
    now,
  )
  const counts = (state: string) => days.filter((day) => day.state === state).length
  return (
    <div>
      <div
        className={classes.strip}
        role="img"
        aria-label={t.overview.stripLabel(
          counts('proven') + counts('stored'),
          counts('failed'),
          counts('overdue'),
        )}
      >
        {days.map((day) => (
          <div
            key={day.day}
            className={classes.day}
            data-day={day.state}
            title={`${day.day}: ${t.days[day.state]}${day.failed ? `, ${t.overview.failedRuns(day.failed)}` : ''}`}
          />
        ))}
      </div>
      <Group justify="space-between" mt={4}>
        <Text size="xs" c="dimmed">
          {t.overview.daysAgo(DAYS)}
        </Text>
        <Text size="xs" c="dimmed">
          {t.overview.today}
        </Text>
      </Group>
    </div>
  )
}

function startOf(now: Date): string {
  const start = new Date(now)
  start.setHours(0, 0, 0, 0)
  start.setDate(start.getDate() - (DAYS - 1))
  return start.toISOString()
}
