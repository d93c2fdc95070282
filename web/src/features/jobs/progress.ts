import type { Job } from '../../api/types.ts'

type Running = Pick<Job, 'kind' | 'state' | 'phase' | 'progress' | 'startedAt'> & { spec?: unknown }

/** How far the phase is, in whole percent; absent where nobody can tell. */
export function percentOf(job: Running): number | undefined {
  const total = job.progress?.totalBytes
  const done = job.progress?.doneBytes ?? 0
  if (!total || total <= 0) return undefined
  return Math.min(100, Math.floor((done / total) * 100))
}

/** The phases that each kind of work goes through, as the server names them, in their order. */
const PHASES: Partial<Record<Job['kind'], string[]>> = {
  backup: ['checking', 'taking the snapshot', 'schema', 'data', 'publishing', 'reading back'],
  restore: [
    'checking',
    'safety backup',
    'creating database',
    'schema',
    'data',
    'indexes and constraints',
    'statistics',
    'proving',
    'swapping',
  ],
  drill: [
    'checking',
    'creating database',
    'schema',
    'data',
    'indexes and constraints',
    'statistics',
    'proving',
    'cleaning up',
  ],
}

/** What of a restore's request decides which phases there are. */
interface Asked {
  target?: { mode?: string }
  skip_safety_backup?: boolean
  migrate?: boolean
  check?: boolean
}

function phaseNames(job: Running): string[] {
  const names = PHASES[job.kind] ?? []
  if (job.kind !== 'restore') return names
  const asked = (job.spec ?? {}) as Asked
  const mode = asked.target?.mode
  if (mode === 'files_only') return ['checking', 'data', 'proving', 'swapping']
  const absent = new Set<string>()
  if (mode === 'into') absent.add('swapping')
  if (mode === 'into' || asked.skip_safety_backup) absent.add('safety backup')
  return names
    .filter((name) => !absent.has(name))
    .flatMap((name) =>
      name === 'proving' && (asked.migrate || asked.check) ? [name, "the app's own programs"] : [name],
    )
}

export type PhaseState = 'done' | 'now' | 'ahead'

/** Each phase of a job, and whether it is over. Empty where the kind has none that are worth a picture. */
export function phases(job: Running): { name: string; state: PhaseState }[] {
  const names = phaseNames(job)
  const at = names.indexOf(job.phase ?? '')
  return names.map((name, index) => {
    if (job.state === 'succeeded') return { name, state: 'done' }
    if (job.state === 'queued') return { name, state: 'ahead' }
    return { name, state: index < at ? 'done' : index === at ? 'now' : 'ahead' }
  })
}

export interface Sample {
  at: number
  phase: string | null | undefined
  doneBytes: number
}

/** Bytes a second between the first and the last sample of one phase; absent before there is anything to go by. */
export function rate(samples: Sample[]): number | undefined {
  const last = samples.at(-1)
  const first = samples.find((sample) => sample.phase === last?.phase)
  if (!last || !first || last.at - first.at < 1000 || last.doneBytes <= first.doneBytes) return undefined
  return ((last.doneBytes - first.doneBytes) / (last.at - first.at)) * 1000
}

/** Seconds that the phase has left at that rate. */
export function secondsLeft(job: Running, bytesPerSecond: number | undefined): number | undefined {
  const total = job.progress?.totalBytes
  if (!total || !bytesPerSecond) return undefined
  const left = total - (job.progress?.doneBytes ?? 0)
  return left <= 0 ? undefined : left / bytesPerSecond
}
