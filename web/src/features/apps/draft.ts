import type { AppDefinition } from '../../api/types.ts'
import { entries, lines } from '../saving.ts'
import { lineOf, wordsOf } from './words.ts'

type Of<Key extends keyof AppDefinition> = NonNullable<AppDefinition[Key]>
type Tree = Of<'files'>[number]
type Hook = Of<'hooks'>[number]
export type Moment = Hook['on']
export type Framework = NonNullable<NonNullable<Of<'migrations'>>['framework']>

/** A folder of files; `key` only tells rows of the form apart. */
export interface TreeDraft {
  key: string
  name: string
  path: string
  exclude: string
  oneFileSystem: boolean
  sql: string
  sqlDatabase: string
  ignoreOrphans: boolean
}

export interface HookDraft {
  key: string
  on: Moment
  does: 'command' | 'url'
  command: string
  url: string
  timeout: string
  mayFail: boolean
}

export interface VariableDraft {
  key: string
  name: string
  value: string
}

/** An app as the form holds it: everything is text as it is typed. */
export interface AppDraft {
  name: string
  databases: string
  environment: string
  repository: string | null
  adminUrl: string
  excluded: string
  trees: TreeDraft[]
  framework: Framework | ''
  migrationsDatabase: string
  migrationsQuery: string
  migrationsTable: string
  code: string
  migrationsCommand: string
  harmless: string
  directory: string
  migrate: string
  migrateCheck: string
  checks: string
  version: string
  versionFile: string
  versionEnv: string
  runtime: string
  urlVariable: string
  variables: VariableDraft[]
  commandTimeout: string
  lockDir: string
  readOnly: boolean
  grace: string
  pgbouncer: string
  hooks: HookDraft[]
  drillUrl: string
  assertions: string
  drillCommands: boolean
  amcheck: boolean
  every: string
  objective: string
  leaveFree: string
  maxLoad: string
}

export const FRAMEWORKS: Framework[] = [
  'alembic',
  'dbmate',
  'diesel',
  'django',
  'ecto',
  'ef_core',
  'flyway',
  'golang_migrate',
  'goose',
  'knex',
  'laravel',
  'liquibase',
  'prisma',
  'rails',
  'refinery',
  'sea_orm',
  'sequelize',
  'sqlx',
  'type_orm',
  'query',
]

export const MOMENTS: Moment[] = [
  'before_backup',
  'after_backup',
  'before_restore',
  'before_swap',
  'after_swap',
  'after_restore',
  'on_failure',
]

let last = 0
const newKey = () => {
  last += 1
  return String(last)
}

export const newTree = (): TreeDraft => ({
  key: newKey(),
  name: '',
  path: '',
  exclude: '',
  oneFileSystem: false,
  sql: '',
  sqlDatabase: '',
  ignoreOrphans: false,
})

export const newHook = (): HookDraft => ({
  key: newKey(),
  on: 'before_backup',
  does: 'command',
  command: '',
  url: '',
  timeout: '',
  mayFail: false,
})

export const newVariable = (): VariableDraft => ({ key: newKey(), name: '', value: '' })

export function draftOf(name: string, definition: AppDefinition): AppDraft {
  const { migrations, commands, fence, drill } = definition
  return {
    name,
    databases: (definition.databases ?? []).join('\n'),
    environment: definition.environment ?? '',
    repository: definition.repository ?? null,
    adminUrl: definition.adminUrl ?? '',
    excluded: (definition.excludeTableData ?? []).join('\n'),
    trees: (definition.files ?? []).map((tree) => ({
      key: newKey(),
      name: tree.name ?? '',
      path: tree.path ?? '',
      exclude: (tree.exclude ?? []).join('\n'),
      oneFileSystem: tree.oneFileSystem ?? false,
      sql: tree.references?.sql ?? '',
      sqlDatabase: tree.references?.database ?? '',
      ignoreOrphans: tree.references?.ignoreOrphans ?? false,
    })),
    framework: migrations?.framework ?? '',
    migrationsDatabase: migrations?.database ?? '',
    migrationsQuery: migrations?.query ?? '',
    migrationsTable: migrations?.table ?? '',
    code: migrations?.code ?? '',
    migrationsCommand: lineOf(migrations?.command),
    harmless: (migrations?.harmless ?? []).join('\n'),
    directory: commands?.directory ?? '',
    migrate: lineOf(commands?.migrate),
    migrateCheck: lineOf(commands?.migrateCheck),
    checks: (commands?.check ?? []).map(lineOf).join('\n'),
    version: lineOf(commands?.version),
    versionFile: commands?.versionFile ?? '',
    versionEnv: commands?.versionEnv ?? '',
    runtime: lineOf(commands?.runtime),
    urlVariable: commands?.urlVariable ?? '',
    variables: Object.entries(commands?.environment ?? {}).map(([variable, value]) => ({
      key: newKey(),
      name: variable,
      value,
    })),
    commandTimeout: commands?.timeout ?? '',
    lockDir: fence?.lockDir ?? '',
    readOnly: fence?.readOnly ?? false,
    grace: fence?.grace ?? '',
    pgbouncer: fence?.pgbouncer ?? '',
    hooks: (definition.hooks ?? []).map((hook) => ({
      key: newKey(),
      on: hook.on,
      does: hook.url ? 'url' : 'command',
      command: lineOf(hook.command),
      url: hook.url ?? '',
      timeout: hook.timeout ?? '',
      mayFail: hook.mayFail ?? false,
    })),
    drillUrl: drill?.adminUrl ?? '',
    assertions: (drill?.assertions ?? []).join('\n'),
    drillCommands: drill?.commands ?? false,
    amcheck: drill?.amcheck ?? false,
    every: drill?.every ?? '',
    objective: drill?.objective ?? '',
    leaveFree: drill?.leaveFree ?? '',
    maxLoad: drill?.maxLoadPercent ? String(drill.maxLoadPercent) : '',
  }
}

const said = (text: string): string | null => text.trim() || null
const command = (line: string): string[] => wordsOf(line) ?? []

/** What the form says, over what it has no field for. A draft with faults is not sent. */
export function definitionOf(draft: AppDraft, before: AppDefinition | undefined): AppDefinition {
  return {
    ...before,
    databases: lines(draft.databases),
    environment: said(draft.environment),
    repository: draft.repository,
    adminUrl: said(draft.adminUrl),
    excludeTableData: entries(draft.excluded),
    files: draft.trees.map((tree) => treeOf(tree, before?.files)),
    migrations: migrationsOf(draft, before?.migrations),
    commands: {
      ...before?.commands,
      directory: said(draft.directory),
      migrate: command(draft.migrate),
      migrateCheck: command(draft.migrateCheck),
      check: lines(draft.checks).map(command),
      version: command(draft.version),
      versionFile: said(draft.versionFile),
      versionEnv: said(draft.versionEnv),
      runtime: command(draft.runtime),
      urlVariable: said(draft.urlVariable),
      environment: Object.fromEntries(draft.variables.map((each) => [each.name.trim(), each.value])),
      timeout: said(draft.commandTimeout),
    },
    fence: {
      ...before?.fence,
      lockDir: said(draft.lockDir),
      readOnly: draft.readOnly,
      grace: said(draft.grace),
      pgbouncer: said(draft.pgbouncer),
    },
    hooks: draft.hooks.map((hook) => ({
      on: hook.on,
      command: hook.does === 'command' ? command(hook.command) : [],
      url: hook.does === 'url' ? said(hook.url) : null,
      timeout: said(hook.timeout),
      mayFail: hook.mayFail,
    })),
    drill: {
      ...before?.drill,
      adminUrl: said(draft.drillUrl),
      assertions: lines(draft.assertions),
      commands: draft.drillCommands,
      amcheck: draft.amcheck,
      every: said(draft.every),
      objective: said(draft.objective),
      leaveFree: said(draft.leaveFree),
      maxLoadPercent: draft.maxLoad.trim() === '' ? null : Number(draft.maxLoad),
    },
  }
}

/** Nothing where nothing is said: then the framework is looked for. */
function migrationsOf(draft: AppDraft, before: AppDefinition['migrations']): AppDefinition['migrations'] {
  const migrations = {
    ...before,
    framework: draft.framework || null,
    database: said(draft.migrationsDatabase),
    query: draft.framework === 'query' ? said(draft.migrationsQuery) : null,
    table: said(draft.migrationsTable),
    code: said(draft.code),
    command: command(draft.migrationsCommand),
    harmless: lines(draft.harmless),
  }
  const empty = (value: unknown) => value === null || (Array.isArray(value) && value.length === 0)
  return Object.values(migrations).every(empty) ? null : migrations
}

function treeOf(tree: TreeDraft, before: Tree[] | undefined): Tree {
  const known = before?.find((each) => each.name === tree.name.trim())
  return {
    ...known,
    name: treeName(tree),
    path: tree.path.trim(),
    exclude: lines(tree.exclude),
    oneFileSystem: tree.oneFileSystem,
    references:
      tree.sql.trim() === ''
        ? null
        : {
            ...known?.references,
            sql: tree.sql.trim(),
            database: said(tree.sqlDatabase),
            ignoreOrphans: tree.ignoreOrphans,
          },
  }
}

/** A folder without a name is called as its last part. */
export function treeName(tree: Pick<TreeDraft, 'name' | 'path'>): string {
  return tree.name.trim() || (tree.path.split('/').filter(Boolean).at(-1) ?? '')
}
