import { expect, test } from 'vitest'
import type { AppDefinition } from '../../api/types.ts'
import { type AppDraft, definitionOf, draftOf, newHook, newTree, newVariable } from './draft.ts'
import { faultsOf } from './faults.ts'
import { faultyParts, saidOf } from './fields.ts'
import { hidesSecrets, tomlOf } from './toml.ts'

const whole: AppDefinition = {
  databases: ['postgres://pgkeep:***@db/shop'],
  adminUrl: null,
  environment: 'production',
  repository: 'main',
  jobs: 4,
  compression: 3,
  excludeTableData: ['public.sessions'],
  schemas: ['public'],
  binDirs: [],
  files: [
    {
      name: 'media',
      path: '/srv/shop/media',
      exclude: ['cache/', '*.tmp'],
      oneFileSystem: true,
      references: { sql: 'SELECT "file" FROM documents', database: null, ignoreOrphans: true },
    },
  ],
  migrations: {
    framework: 'query',
    database: null,
    query: 'SELECT 1',
    table: null,
    code: '/srv/shop',
    command: ['list', 'them all'],
    harmless: ['sessions', '*_index'],
  },
  commands: {
    directory: '/srv/shop',
    migrate: ['manage.py', 'migrate'],
    migrateCheck: [],
    check: [
      ['manage.py', 'check'],
      ['sh', '-c', 'echo "a b"'],
    ],
    version: [],
    versionFile: null,
    versionEnv: 'APP_VERSION',
    runtime: [],
    urlVariable: null,
    environment: { SECRET_KEY: 'env:SECRET_KEY', 'ODD.NAME': '' },
    timeout: '10m',
  },
  hooks: [
    { on: 'before_backup', command: ['flush'], url: null, timeout: '30s', mayFail: false },
    { on: 'on_failure', command: [], url: 'https://***', timeout: null, mayFail: true },
  ],
  fence: { lockDir: '/srv/shop/run', readOnly: true, grace: '10s', pgbouncer: 'env:PGBOUNCER_URL' },
  drill: {
    adminUrl: null,
    assertions: ['SELECT true'],
    commands: true,
    amcheck: false,
    every: '7d',
    objective: null,
    leaveFree: '10GiB',
    maxLoadPercent: 200,
  },
  upgrade: { from: null, to: 'file:/etc/new.url' },
}

test('what is shown and not touched is sent back as it was, masks and what has no field included', () => {
  expect(definitionOf(draftOf('shop', whole), whole)).toEqual(whole)
})

test('an empty form says nothing of what belongs to an app', () => {
  const definition = definitionOf(draftOf('shop', {}), undefined)
  expect(definition).toMatchObject({ databases: [], files: [], hooks: [], migrations: null })
  expect(faultsOf(draftOf('shop', {})).size).toBe(0)
  expect(Object.values(saidOf(draftOf('shop', {})))).toEqual([0, 0, 0, 0, 0, 0])
})

const draft = (change: Partial<AppDraft>): AppDraft => ({ ...draftOf('shop', {}), ...change })

test('what a later run would stumble over is said at its field', () => {
  const cases: [Partial<AppDraft>, [string, string][]][] = [
    [{ trees: [{ ...newTree(), path: 'media' }] }, [['trees.0.path', 'notAbsolute']]],
    [{ trees: [newTree()] }, [['trees.0.path', 'missing']]],
    [
      {
        trees: [
          { ...newTree(), path: '/a/media/' },
          { ...newTree(), path: '/b', name: 'media' },
        ],
      },
      [['trees.1.name', 'taken']],
    ],
    [{ framework: 'query' }, [['migrationsQuery', 'missing']]],
    [{ migrate: `sh -c 'open` }, [['migrate', 'openQuote']]],
    [{ checks: 'fine\nnot "fine' }, [['checks', 'openQuote']]],
    [
      { commandTimeout: '10 minutes', grace: '1d12h', every: '7' },
      [
        ['commandTimeout', 'duration'],
        ['every', 'duration'],
      ],
    ],
    [
      { leaveFree: '10 apples', maxLoad: '0' },
      [
        ['leaveFree', 'size'],
        ['maxLoad', 'percent'],
      ],
    ],
    [
      {
        variables: [
          { ...newVariable(), name: '1A' },
          { ...newVariable(), name: 'B' },
          { ...newVariable(), name: 'B' },
        ],
      },
      [
        ['variables.0', 'variable'],
        ['variables.2', 'taken'],
      ],
    ],
    [
      { hooks: [newHook(), { ...newHook(), does: 'url', url: 'example.org' }] },
      [
        ['hooks.0.command', 'missing'],
        ['hooks.1.url', 'address'],
      ],
    ],
    [{ hooks: [{ ...newHook(), does: 'url', url: 'env:HOOK' }] }, []],
  ]
  for (const [change, faults] of cases) expect([...faultsOf(draft(change))]).toEqual(faults)
})

test('the parts with faults are opened', () => {
  const faults = faultsOf(draft({ grace: 'soon', trees: [newTree()], versionFile: 'VERSION', every: 'x' }))
  expect(faultyParts(faults)).toEqual(['files', 'commands', 'fence', 'drill'])
})

test('the file says the same, and no more than was said', () => {
  const toml = tomlOf('shop', whole)
  expect(toml).toMatchInlineSnapshot(`
    "[app.shop]
    databases = ["postgres://pgkeep:***@db/shop"]
    environment = "production"
    repository = "main"
    jobs = 4
    compression = 3
    exclude_table_data = ["public.sessions"]
    schemas = ["public"]

    [[app.shop.files]]
    name = "media"
    path = "/srv/shop/media"
    exclude = ["cache/", "*.tmp"]
    one_file_system = true
    references = { sql = "SELECT \\"file\\" FROM documents", ignore_orphans = true }

    [app.shop.migrations]
    framework = "query"
    query = "SELECT 1"
    code = "/srv/shop"
    command = ["list", "them all"]
    harmless = ["sessions", "*_index"]

    [app.shop.commands]
    directory = "/srv/shop"
    migrate = ["manage.py", "migrate"]
    check = [["manage.py", "check"], ["sh", "-c", "echo \\"a b\\""]]
    version_env = "APP_VERSION"
    environment = { SECRET_KEY = "env:SECRET_KEY", "ODD.NAME" = "" }
    timeout = "10m"

    [[app.shop.hooks]]
    on = "before_backup"
    command = ["flush"]
    timeout = "30s"

    [[app.shop.hooks]]
    on = "on_failure"
    url = "https://***"
    may_fail = true

    [app.shop.fence]
    lock_dir = "/srv/shop/run"
    read_only = true
    grace = "10s"
    pgbouncer = "env:PGBOUNCER_URL"

    [app.shop.drill]
    assertions = ["SELECT true"]
    commands = true
    every = "7d"
    leave_free = "10GiB"
    max_load_percent = 200

    [app.shop.upgrade]
    to = "file:/etc/new.url""
  `)
  expect(hidesSecrets(toml)).toBe(true)
  expect(tomlOf('my shop', { databases: ['shop'] })).toBe('[app."my shop"]\ndatabases = ["shop"]')
})
