import type { AppStatus, Permission, Status } from '../../api/types.ts'

/** What one click does about it. */
export type Remedy =
  | { act: 'back-up'; app: string }
  | { act: 'drill'; app: string }
  | { act: 'show-job'; job: string }
  | { act: 'show-backups'; app: string; state?: string }
  | { act: 'accept-loss'; app: string }
  | { act: 'make-policy'; app: string }
  | { act: 'show-repository'; repository: string }
  | { act: 'make-room'; repository: string }
  | { act: 'keep-kit'; repository: string }
  | { act: 'show-targets' }
  | { act: 'resume-queue' }
  | { act: 'none' }

export interface Attention {
  key: string
  repository?: string
  days?: number
  policy?: string
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
  const told = new Set<string>()
  const found: (Attention & { rank: number })[] = []
  for (const app of status.apps) {
    for (const finding of app.findings) {
      // A repository is looked after once, however many apps keep their backups there.
      const shared = SHARED.includes(finding.state) && `${finding.state} ${finding.repository}`
      if (shared && told.has(shared)) continue
      if (shared) told.add(shared)
      found.push({
        rank: rankOf(finding),
        key: `${app.app} ${finding.state} ${finding.sentence}`,
        app: shared ? undefined : app.app,
        repository: finding.repository ?? undefined,
        days: finding.days ?? undefined,
        policy: finding.policy ?? undefined,
        state: finding.state,
        sentence: finding.sentence,
        remedy: remedyFor(app, finding),
      })
    }
  }
  // Apps come with the worst first; what must be done now comes before all of them, and hints come after.
  found.sort((a, b) => a.rank - b.rank)
  return [...list, ...found.map(({ rank: _, ...each }) => each)]
}

function rankOf(finding: AppStatus['findings'][number]): number {
  if (finding.alarm) return 0
  return finding.state === 'no_recovery_kit' ? 2 : 1
}

/** What is about a repository, not about one of its apps. */
const SHARED = ['storage_filling', 'no_recovery_kit']

function remedyFor(app: AppStatus, { state, policy, repository }: AppStatus['findings'][number]): Remedy {
  switch (state) {
    case 'shrunk':
      return { act: 'accept-loss', app: app.app }
    case 'clock_wrong':
      return { act: 'show-backups', app: app.app }
    case 'unheard':
      return { act: 'show-targets' }
    case 'vanished':
    case 'offsite_behind':
      return repository ? { act: 'show-repository', repository } : { act: 'none' }
    case 'storage_filling':
      return repository ? { act: 'make-room', repository } : { act: 'none' }
    case 'no_recovery_kit':
      return repository ? { act: 'keep-kit', repository } : { act: 'none' }
    case 'failing':
    case 'overdue': {
      const job = app.policies.find((each) => each.name === policy)?.lastJob
      if (state === 'failing' && job) return { act: 'show-job', job }
      // An app that no policy looks after any more.
      return state === 'overdue' && !policy
        ? { act: 'make-policy', app: app.app }
        : { act: 'back-up', app: app.app }
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
  'keep-kit': 'configure',
  'make-policy': 'edit_policies',
  'show-targets': 'configure',
  'resume-queue': 'manage_jobs',
}
