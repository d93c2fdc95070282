import type { BackupDetail, RestoreBody } from '../../api/types.ts'

/** What a person chooses in the wizard, as the form holds it. */
export interface Choice {
  database: string
  parts: 'all' | 'tables' | 'schemas'
  tables: string[]
  schemas: string[]
  mode: RestoreBody['mode']
  /** The new database beside the live one. */
  beside: string
  prove: 'full' | 'counts' | 'none'
  skipSafetyBackup: boolean
  keepOldHours: number
  noOwner: boolean
  reason: string
}

/** The safe way is where everybody begins: a new database, everything proven. */
export function firstChoice(backup: BackupDetail, table: string | undefined, now: Date): Choice {
  const database = backup.contents[0]?.name ?? backup.databases[0] ?? ''
  return {
    database,
    parts: table ? 'tables' : 'all',
    tables: table ? [table] : [],
    schemas: [],
    mode: 'into',
    beside: besideName(database, now),
    prove: 'full',
    skipSafetyBackup: false,
    keepOldHours: 24,
    noOwner: false,
    reason: '',
  }
}

/** `shop_restored_1121_1514`, within PostgreSQL's 63 bytes. */
export function besideName(database: string, now: Date): string {
  const two = (number: number) => String(number).padStart(2, '0')
  const suffix = `_restored_${two(now.getMonth() + 1)}${two(now.getDate())}_${two(now.getHours())}${two(now.getMinutes())}`
  const encoder = new TextEncoder()
  let stem = database
  while (encoder.encode(stem + suffix).length > 63) stem = stem.slice(0, -1)
  return stem + suffix
}

/** What still keeps the choice from being planned: a field and why. */
export function lacking(choice: Choice): 'tables' | 'schemas' | 'beside' | undefined {
  if (choice.parts === 'tables' && choice.tables.length === 0) return 'tables'
  if (choice.parts === 'schemas' && choice.schemas.length === 0) return 'schemas'
  if (choice.mode === 'into' && (choice.beside.trim() === '' || choice.beside === choice.database))
    return 'beside'
  return undefined
}

export function bodyOf(choice: Choice): RestoreBody {
  const overwrites = choice.mode !== 'into'
  return {
    mode: choice.mode,
    name: choice.mode === 'into' ? choice.beside.trim() : choice.database,
    database: choice.database,
    tables: choice.parts === 'tables' ? choice.tables : [],
    schemas: choice.parts === 'schemas' ? choice.schemas : [],
    prove: choice.prove,
    noOwner: choice.noOwner,
    skipSafetyBackup: overwrites && choice.skipSafetyBackup,
    keepOldSecs: choice.mode === 'replace' ? choice.keepOldHours * 3600 : undefined,
  }
}
