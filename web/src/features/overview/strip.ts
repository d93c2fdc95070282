import type { Backup, Job } from '../../api/types.ts'
import { dayOf, lastDays } from '../../format/time.ts'

/** What a day was, best first. */
export type Day = 'proven' | 'stored' | 'failed' | 'overdue' | 'nothing'

export interface DayOfApp {
  day: string
  state: Day
  backups: number
  failed: number
}

interface History {
  backups: Pick<Backup, 'time' | 'state'>[]
  /** Backup jobs that are over. */
  jobs: Pick<Job, 'state' | 'createdAt'>[]
  /** When the run was due that has not come; absent where none is overdue. */
  overdueSince?: string
}

/**
 * One entry for each of the last days. A day with a good backup is good even if a run failed on it; an overdue run marks the
 * days from its due time on that have no backup.
 */
export function strip({ backups, jobs, overdueSince }: History, days: number, now: Date): DayOfApp[] {
  const overdueFrom = overdueSince === undefined ? undefined : dayOf(overdueSince)
  return lastDays(days, now).map((day) => {
    const made = backups.filter((backup) => dayOf(backup.time) === day)
    const good = made.filter((backup) => backup.state !== 'damaged' && backup.state !== 'drill_failed')
    const failed = jobs.filter((job) => job.state === 'failed' && dayOf(job.createdAt) === day).length
    const overdue = overdueFrom !== undefined && day >= overdueFrom
    return { day, backups: made.length, failed, state: stateOf(good, made.length, failed, overdue) }
  })
}

function stateOf(good: Pick<Backup, 'state'>[], made: number, failed: number, overdue: boolean): Day {
  if (good.some((backup) => backup.state === 'proven')) return 'proven'
  if (good.length > 0) return 'stored'
  if (failed > 0 || made > 0) return 'failed'
  return overdue ? 'overdue' : 'nothing'
}
