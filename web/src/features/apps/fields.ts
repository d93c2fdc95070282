import type { AppDraft } from './draft.ts'
import type { Faults } from './faults.ts'

/** What a part of the form needs: what is typed, how it is changed, and what is wrong with a field, in words. */
export interface Part {
  draft: AppDraft
  change: (part: Partial<AppDraft>) => void
  wrong: (field: string) => string | undefined
}

/** The folded parts, in their order on the page. */
export const PARTS = ['files', 'migrations', 'commands', 'hooks', 'fence', 'drill'] as const
export type PartName = (typeof PARTS)[number]

const OWNERS: [PartName, RegExp][] = [
  ['files', /^trees\./],
  ['migrations', /^(migrations|code)/],
  ['hooks', /^hooks\./],
  ['fence', /^(lockDir|grace|pgbouncer)/],
  ['drill', /^(every|objective|leaveFree|maxLoad)/],
]

/** The part that a field stands in. */
export function partOf(field: string): PartName {
  return OWNERS.find(([, owns]) => owns.test(field))?.[0] ?? 'commands'
}

/** Parts that hold faults: they are opened, as nobody mends what is folded away. */
export function faultyParts(faults: Faults): PartName[] {
  const faulty = new Set([...faults.keys()].map(partOf))
  return PARTS.filter((part) => faulty.has(part))
}

/** How much of a part is said, for the line that stays when it is folded. */
export function saidOf(draft: AppDraft): Record<PartName, number> {
  const filled = (...texts: string[]) => texts.filter((text) => text.trim() !== '').length
  const on = (...flags: boolean[]) => flags.filter(Boolean).length
  return {
    files: draft.trees.length,
    migrations: filled(
      draft.framework,
      draft.code,
      draft.migrationsDatabase,
      draft.migrationsTable,
      draft.migrationsQuery,
      draft.migrationsCommand,
      draft.harmless,
    ),
    commands:
      filled(
        draft.directory,
        draft.migrate,
        draft.migrateCheck,
        draft.checks,
        draft.version,
        draft.versionFile,
        draft.versionEnv,
        draft.runtime,
        draft.urlVariable,
        draft.commandTimeout,
      ) + draft.variables.length,
    hooks: draft.hooks.length,
    fence: filled(draft.lockDir, draft.grace, draft.pgbouncer) + on(draft.readOnly),
    drill:
      filled(draft.drillUrl, draft.assertions, draft.every, draft.objective, draft.leaveFree, draft.maxLoad) +
      on(draft.drillCommands, draft.amcheck),
  }
}
