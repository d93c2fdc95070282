import type { PolicyDefinition, Weekday } from '../../api/types.ts'
import { entries } from '../saving.ts'

/** A policy as the form holds it: everything filled in, numbers as they are typed. */
export interface Draft {
  name: string
  app: string
  kind: NonNullable<PolicyDefinition['kind']>
  description: string
  enabled: boolean
  frequency: 'hourly' | 'daily' | 'weekly' | 'monthly' | 'cron' | 'on_demand'
  at: string
  weekday: Weekday
  day: number
  cron: string
  timeZone: string
  keepDays: string
  keepMost: string
  keepHourly: string
  keepDaily: string
  keepWeekly: string
  keepMonthly: string
  keepYearly: string
  repositories: string[]
  notify: string[]
  skipIfUnchanged: boolean
  loadPercent: string
  drill: string
  exportTo: string
  exportRecipients: string
  exportZstd: boolean
}

export const WEEKDAYS: Weekday[] = [
  'monday',
  'tuesday',
  'wednesday',
  'thursday',
  'friday',
  'saturday',
  'sunday',
]

export function emptyDraft(app: string, timeZone: string): Draft {
  return {
    name: '',
    app,
    kind: 'full',
    description: '',
    enabled: true,
    frequency: 'daily',
    at: '02:00',
    weekday: 'sunday',
    day: 1,
    cron: '0 2 * * *',
    timeZone,
    keepDays: '30',
    keepMost: '',
    keepHourly: '',
    keepDaily: '',
    keepWeekly: '',
    keepMonthly: '',
    keepYearly: '',
    repositories: [],
    notify: [],
    skipIfUnchanged: false,
    loadPercent: '',
    drill: '',
    exportTo: '',
    exportRecipients: '',
    exportZstd: false,
  }
}

const shown = (amount: number | null | undefined) => (amount ? String(amount) : '')
const typed = (text: string): number | undefined => {
  const amount = Number.parseInt(text, 10)
  return Number.isFinite(amount) && amount > 0 ? amount : undefined
}

export function draftOf(name: string, definition: PolicyDefinition): Draft {
  const { schedule, retention } = definition
  const empty = emptyDraft(definition.app, schedule?.timeZone ?? '')
  return {
    ...empty,
    name,
    kind: definition.kind ?? 'full',
    description: definition.description ?? '',
    enabled: definition.enabled ?? true,
    frequency: schedule?.frequency ?? 'daily',
    at: schedule?.at ?? empty.at,
    weekday: schedule?.weekday ?? empty.weekday,
    day: schedule?.day ?? empty.day,
    cron: schedule?.cron ?? empty.cron,
    keepDays: shown(retention?.days),
    keepMost: shown(retention?.maxBackups),
    keepHourly: shown(retention?.keep?.hourly),
    keepDaily: shown(retention?.keep?.daily),
    keepWeekly: shown(retention?.keep?.weekly),
    keepMonthly: shown(retention?.keep?.monthly),
    keepYearly: shown(retention?.keep?.yearly),
    repositories: definition.repositories ?? [],
    notify: definition.notify ?? [],
    skipIfUnchanged: definition.skipIfUnchanged ?? false,
    loadPercent: shown(definition.loadLimit?.loadPercent),
    drill: definition.drill ?? '',
    exportTo: definition.exportTo ?? '',
    exportRecipients: (definition.exportRecipients ?? []).join('\n'),
    exportZstd: definition.exportZstd ?? false,
  }
}

/** The definition to send. What the form does not show stays as `base` has it. */
export function definitionOf(draft: Draft, base?: PolicyDefinition): PolicyDefinition {
  const timed = draft.frequency !== 'cron' && draft.frequency !== 'on_demand'
  return {
    ...base,
    app: draft.app,
    kind: draft.kind,
    description: draft.description.trim(),
    enabled: draft.enabled,
    schedule: {
      ...base?.schedule,
      frequency: draft.frequency,
      at: timed ? draft.at : null,
      weekday: draft.frequency === 'weekly' ? draft.weekday : null,
      day: draft.frequency === 'monthly' ? draft.day : null,
      cron: draft.frequency === 'cron' ? draft.cron.trim() : null,
      timeZone: draft.timeZone.trim() || null,
    },
    retention: {
      ...base?.retention,
      days: typed(draft.keepDays) ?? null,
      maxBackups: typed(draft.keepMost) ?? null,
      keep: {
        ...base?.retention?.keep,
        hourly: typed(draft.keepHourly) ?? 0,
        daily: typed(draft.keepDaily) ?? 0,
        weekly: typed(draft.keepWeekly) ?? 0,
        monthly: typed(draft.keepMonthly) ?? 0,
        yearly: typed(draft.keepYearly) ?? 0,
      },
    },
    repositories: draft.repositories,
    notify: draft.notify,
    skipIfUnchanged: draft.skipIfUnchanged,
    ...(draft.drill.trim() !== (base?.drill ?? '') && { drill: draft.drill.trim() || null }),
    ...packageOf(draft, base),
    loadLimit: typed(draft.loadPercent)
      ? { deadlineSecs: 3600, ...base?.loadLimit, loadPercent: typed(draft.loadPercent) }
      : (base?.loadLimit?.activeSessions ?? null) === null
        ? null
        : { ...base?.loadLimit, deadlineSecs: base?.loadLimit?.deadlineSecs ?? 3600, loadPercent: null },
  }
}

/** What is said of packages; of a policy that makes none any more, nothing may be left. */
function packageOf(draft: Draft, base: PolicyDefinition | undefined): Partial<PolicyDefinition> {
  if (draft.kind === 'export') {
    return {
      exportTo: draft.exportTo.trim() || null,
      exportRecipients: entries(draft.exportRecipients),
      exportZstd: draft.exportZstd,
    }
  }
  return base?.kind === 'export' ? { exportTo: null, exportRecipients: [], exportZstd: false } : {}
}
