/** How states of the domain are said: words, icon, tone. One place, so that they read the same everywhere. */
import type { Backup, Job } from '../api/types.ts'
import type { Texts } from '../texts/index.ts'
import type { State } from '../ui/mark.tsx'

/** Stored, checked and proven are three things; only the last is calm green with a shield. What is in doubt is none of them. */
export function backupState(backup: Pick<Backup, 'state' | 'shrunk'>, t: Texts): State {
  const bad = backup.state === 'damaged' || backup.state === 'drill_failed'
  if (backup.shrunk && !bad) return { tone: 'bad', icon: 'warning', words: t.health.shrunk }
  const words = t.backupStates[backup.state]
  switch (backup.state) {
    case 'proven':
      return { tone: 'good', icon: 'shield', words }
    case 'checked':
      return { tone: 'good', icon: 'check', words }
    case 'stored':
      return { tone: 'note', icon: 'info', words }
    case 'drill_failed':
    case 'damaged':
      return { tone: 'bad', icon: 'cross', words }
  }
}

export function jobState(job: Pick<Job, 'state' | 'held' | 'approval' | 'cancelRequested'>, t: Texts): State {
  switch (job.state) {
    case 'queued':
      if (job.approval.state === 'needed')
        return { tone: 'warn', icon: 'clock', words: t.jobStates.waitsForApproval }
      if (job.held) return { tone: 'warn', icon: 'clock', words: t.jobStates.held }
      return { tone: 'idle', icon: 'clock', words: t.jobStates.queued }
    case 'running':
      return {
        tone: 'note',
        icon: 'running',
        words: job.cancelRequested ? t.jobStates.stopping : t.jobStates.running,
      }
    case 'succeeded':
      return { tone: 'good', icon: 'check', words: t.jobStates.succeeded }
    case 'failed':
      return { tone: 'bad', icon: 'cross', words: t.jobStates.failed }
    case 'cancelled':
      return { tone: 'idle', icon: 'none', words: t.jobStates.cancelled }
    case 'skipped':
      return { tone: 'idle', icon: 'none', words: t.jobStates.skipped }
  }
}

const WORSE = ['nobody_works', 'failing', 'drill_failed', 'damaged', 'shrunk', 'vanished', 'no_backup']

/** The state of an app or of everything, as the server calls it. */
export function healthState(state: string, t: Texts): State {
  const words = (t.health as Record<string, string>)[state] ?? state
  if (state === 'ok') return { tone: 'good', icon: 'shield', words }
  if (state === 'no_recovery_kit') return { tone: 'note', icon: 'info', words }
  if (state === 'overdue' || state === 'offsite_behind') return { tone: 'warn', icon: 'clock', words }
  return WORSE.includes(state)
    ? { tone: 'bad', icon: 'cross', words }
    : { tone: 'warn', icon: 'warning', words }
}

export function jobKind(kind: string, t: Texts): string {
  return (t.jobKinds as Record<string, string>)[kind] ?? kind
}

export function backupKind(kind: string, t: Texts): string {
  return (t.backupKinds as Record<string, string>)[kind] ?? kind
}

/** A step of a job, as the server names it. */
export function phaseName(phase: string, t: Texts): string {
  return (t.phases as Record<string, string>)[phase] ?? phase
}

/** Whether nothing will happen to the job any more. */
export function isOver(job: Pick<Job, 'state'>): boolean {
  return job.state !== 'queued' && job.state !== 'running'
}
