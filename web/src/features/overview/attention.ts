import type { AppStatus, Permission, Status } from '../../api/types.ts'

/** What one click does about it. */
export type Remedy =
  | { act: 'back-up'; app: string }
  | { act: 'drill'; app: string }
  | { act: 'show-job'; job: string }
  | { act: 'show-backups'; app: string; state: string }
  | { act: 'make-policy'; app: string }
  | { act: 'resume-queue' }
  | { act: 'none' }

export interface Attention {
  key: string
  app?: string
  state: string
  sentence: string
  remedy: Remedy
}

/** What needs somebody, worst first, each with one thing to do about it. */
export function attention(status: Status): Attention[] {
  const list: Attention[] = []
  if (status.workers === 0) {
    list.push({ key: 'workers', state: 'no_worker', sentence: '', remedy: { act: 'none' } })
  }
  if (status.queuePaused) {
    list.push({ key: 'paused', state: 'queue_paused', sentence: '', remedy: { act: 'resume-queue' } })
  }
  for (const app of status.apps) {
    for (const finding of app.findings) {
      list.push({
        key: `${app.app} ${finding.state} ${finding.sentence}`,
        app: app.app,
        state: finding.state,
        sentence: finding.sentence,
        remedy: remedyFor(app, finding.state, finding.policy),
      })
    }
  }
  return list
}

function remedyFor(app: AppStatus, state: string, policy: string | null | undefined): Remedy {
  switch (state) {
    case 'failing':
    case 'overdue': {
      const job = app.policies.find((each) => each.name === policy)?.lastJob
      return state === 'failing' && job ? { act: 'show-job', job } : { act: 'back-up', app: app.app }
    }
    case 'no_backup':
      return { act: 'back-up', app: app.app }
    case 'unproven':
    case 'proof_stale':
      return { act: 'drill', app: app.app }
    case 'unscheduled':
      return { act: 'make-policy', app: app.app }
    case 'damaged':
    case 'drill_failed':
      return { act: 'show-backups', app: app.app, state }
    default:
      return { act: 'none' }
  }
}

export const REMEDY_NEEDS: Partial<Record<Remedy['act'], Permission>> = {
  'back-up': 'operate',
  drill: 'operate',
  'make-policy': 'edit_policies',
  'resume-queue': 'manage_jobs',
}
