import type { AppDefinition, BackupDetail, RestoreBody } from '../../api/types.ts'

/** What a person chooses in the wizard, as the form holds it. */
export interface Choice {
  /** Whether files come back: not at all, with the database, or alone. */
  files: 'none' | 'with' | 'only'
  /** Names of the folders that come back. */
  trees: string[]
  /** Only files that match; everything where empty. */
  globs: string[]
  filesTo: 'folder' | 'place'
  /** The new folder on the server's machine. */
  folder: string
  database: string
  parts: 'all' | 'tables' | 'schemas'
  tables: string[]
  schemas: string[]
  mode: 'into' | 'replace' | 'in_place'
  /** The new database beside the live one. */
  beside: string
  prove: 'full' | 'counts' | 'none'
  skipSafetyBackup: boolean
  readOnly: boolean
  migrate: boolean
  check: boolean
  keepOldHours: number
  noOwner: boolean
  reason: string
}

/** A folder of files of a backup, and where it was read from. */
export interface Tree {
  name: string
  source: string
  files: number
  bytes: number
}

/** The safe way is where everybody begins: a new database, everything proven. */
export function firstChoice(
  backup: Pick<BackupDetail, 'contents' | 'databases' | 'files'>,
  table: string | undefined,
  now: Date,
): Choice {
  const database = backup.contents[0]?.name ?? backup.databases[0] ?? ''
  return {
    files: database === '' && backup.files.length > 0 ? 'only' : 'none',
    trees: backup.files,
    globs: [],
    filesTo: 'folder',
    folder: '',
    database,
    parts: table ? 'tables' : 'all',
    tables: table ? [table] : [],
    schemas: [],
    mode: 'into',
    beside: besideName(database, now),
    prove: 'full',
    skipSafetyBackup: false,
    readOnly: false,
    migrate: false,
    check: false,
    keepOldHours: 24,
    noOwner: false,
    reason: '',
  }
}

/** `_restored_1121_1514`. */
function suffix(now: Date): string {
  const two = (number: number) => String(number).padStart(2, '0')
  return `_restored_${two(now.getMonth() + 1)}${two(now.getDate())}_${two(now.getHours())}${two(now.getMinutes())}`
}

/** `shop_restored_1121_1514`, within PostgreSQL's 63 bytes. */
export function besideName(database: string, now: Date): string {
  const end = suffix(now)
  const encoder = new TextEncoder()
  let stem = database
  while (encoder.encode(stem + end).length > 63) stem = stem.slice(0, -1)
  return stem + end
}

/** A folder beside the live one, where there is as much room; for several, one that holds them all. */
export function besideFolder(trees: Tree[], chosen: string[], now: Date): string {
  const first = trees.find((tree) => chosen.includes(tree.name))
  if (!first?.source.startsWith('/')) return ''
  const above = first.source.replace(/\/+$/, '').replace(/\/[^/]*$/, '')
  const name = chosen.length > 1 ? 'files' : (first.source.split('/').filter(Boolean).at(-1) ?? 'files')
  return `${above}/${name}${suffix(now)}`
}

/** Only whole folders are swapped for others, and beside a database only when that is swapped, too. */
export function mayGoInPlace(choice: Choice): boolean {
  return choice.globs.length === 0 && (choice.files === 'only' || choice.mode === 'replace')
}

/** Where the files go, as far as the other choices allow it. */
export function filesTo(choice: Choice): 'nowhere' | 'folder' | 'place' {
  if (choice.files === 'none') return 'nowhere'
  return choice.filesTo === 'place' && mayGoInPlace(choice) ? 'place' : 'folder'
}

export const takesDatabase = (choice: Choice): boolean => choice.files !== 'only'

export function overwritesDatabase(choice: Choice): boolean {
  return takesDatabase(choice) && choice.mode !== 'into'
}

/** Whether something that is live is written over or swapped out. */
export function overwrites(choice: Choice): boolean {
  return overwritesDatabase(choice) || filesTo(choice) === 'place'
}

/** The app's commands expect a whole database that is not used yet. */
export function mayRunCommands(choice: Choice): boolean {
  return takesDatabase(choice) && choice.parts === 'all' && choice.mode !== 'in_place'
}

/** What the app itself brings along for a restore. */
export function commandsOf(app: AppDefinition | undefined): { migrate: boolean; check: boolean } {
  return {
    migrate: (app?.commands?.migrate ?? []).length > 0,
    check: (app?.commands?.check ?? []).length > 0,
  }
}

/** What still keeps the choice from being planned: a field and why. */
export function lacking(choice: Choice): 'trees' | 'tables' | 'schemas' | 'beside' | 'folder' | undefined {
  if (choice.files !== 'none' && choice.trees.length === 0) return 'trees'
  if (takesDatabase(choice)) {
    if (choice.parts === 'tables' && choice.tables.length === 0) return 'tables'
    if (choice.parts === 'schemas' && choice.schemas.length === 0) return 'schemas'
    if (choice.mode === 'into' && (choice.beside.trim() === '' || choice.beside === choice.database))
      return 'beside'
  }
  if (filesTo(choice) === 'folder' && !choice.folder.trim().startsWith('/')) return 'folder'
  return undefined
}

/** What is written to: the name of the database, or the folders. */
export function targetOf(choice: Choice, trees: Tree[]): string {
  if (takesDatabase(choice)) return choice.mode === 'into' ? choice.beside.trim() : choice.database
  if (filesTo(choice) === 'folder') return choice.folder.trim()
  return trees
    .filter((tree) => choice.trees.includes(tree.name))
    .map((tree) => tree.source)
    .join(', ')
}

export function bodyOf(choice: Choice): RestoreBody {
  const database = takesDatabase(choice)
  const replaces = database && choice.mode === 'replace'
  const commands = mayRunCommands(choice)
  return {
    ...(database && {
      mode: choice.mode,
      name: choice.mode === 'into' ? choice.beside.trim() : choice.database,
      database: choice.database,
      tables: choice.parts === 'tables' ? choice.tables : [],
      schemas: choice.parts === 'schemas' ? choice.schemas : [],
      prove: choice.prove,
      noOwner: choice.noOwner,
      skipSafetyBackup: overwritesDatabase(choice) && choice.skipSafetyBackup,
      ...(replaces && choice.readOnly && { readOnly: true }),
      migrate: commands && choice.migrate,
      check: commands && choice.check,
    }),
    ...(choice.files !== 'none' && {
      files: choice.files,
      trees: choice.trees,
      fileGlobs: choice.globs,
      filesInto: filesTo(choice) === 'folder' ? choice.folder.trim() : undefined,
    }),
    keepOldSecs: replaces || filesTo(choice) === 'place' ? choice.keepOldHours * 3600 : undefined,
  }
}
