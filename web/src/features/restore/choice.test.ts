import { expect, test } from 'vitest'
import {
  besideFolder,
  besideName,
  bodyOf,
  type Choice,
  filesTo,
  firstChoice,
  lacking,
  overwrites,
  targetOf,
} from './choice.ts'

const choice = (change: Partial<Choice>): Choice => ({
  ...firstChoice({ contents: [], databases: ['shop'], files: [] }, undefined, new Date()),
  beside: 'shop_restored',
  ...change,
})

test('a name beside the live database always fits into PostgreSQL', () => {
  const now = new Date(2026, 10, 21, 15, 4)
  expect(besideName('shop', now)).toBe('shop_restored_1121_1504')
  const long = besideName('ü'.repeat(60), now)
  expect(new TextEncoder().encode(long).length).toBeLessThanOrEqual(63)
  expect(long).toMatch(/_restored_1121_1504$/)
})

test('a folder is proposed beside the live one', () => {
  const now = new Date(2026, 10, 21, 15, 4)
  const tree = (name: string, source: string) => ({ name, source, files: 1, bytes: 1 })
  const trees = [tree('media', '/srv/shop/media/'), tree('docs', '/srv/docs')]
  expect(besideFolder(trees, ['media'], now)).toBe('/srv/shop/media_restored_1121_1504')
  expect(besideFolder(trees, ['media', 'docs'], now)).toBe('/srv/shop/files_restored_1121_1504')
  expect(besideFolder([tree('root', '/')], ['root'], now)).toBe('/files_restored_1121_1504')
  expect(besideFolder([], ['media'], now)).toBe('')
})

test('nothing is planned before it is clear what and where', () => {
  const cases: [Partial<Choice>, ReturnType<typeof lacking>][] = [
    [{}, undefined],
    [{ parts: 'tables' }, 'tables'],
    [{ parts: 'schemas' }, 'schemas'],
    [{ beside: ' ' }, 'beside'],
    [{ beside: 'shop' }, 'beside'],
    [{ beside: '', mode: 'replace' }, undefined],
    [{ files: 'with', trees: [] }, 'trees'],
    [{ files: 'with', trees: ['media'] }, 'folder'],
    [{ files: 'with', trees: ['media'], folder: 'relative' }, 'folder'],
    [{ files: 'with', trees: ['media'], filesTo: 'place' }, 'folder'],
    [{ files: 'with', trees: ['media'], filesTo: 'place', mode: 'replace' }, undefined],
    [{ files: 'only', trees: ['media'], filesTo: 'place', beside: '', parts: 'tables' }, undefined],
    [{ files: 'only', trees: ['media'], filesTo: 'place', globs: ['*.jpg'] }, 'folder'],
    [{ files: 'only', trees: ['media'], globs: ['*.jpg'], folder: '/tmp/found' }, undefined],
  ]
  for (const [change, lacks] of cases) expect(lacking(choice(change)), JSON.stringify(change)).toBe(lacks)
})

test('what is live is only called overwritten where it is', () => {
  expect(overwrites(choice({}))).toBe(false)
  expect(overwrites(choice({ mode: 'in_place' }))).toBe(true)
  expect(overwrites(choice({ mode: 'replace', files: 'only', trees: ['media'] }))).toBe(false)
  expect(overwrites(choice({ files: 'only', trees: ['media'], filesTo: 'place' }))).toBe(true)
  // Choices that were made before stay where they are, and count only where they apply.
  expect(filesTo(choice({ files: 'with', filesTo: 'place', mode: 'into' }))).toBe('folder')
})

test('the request says what was chosen and nothing that was chosen before', () => {
  const leftovers = {
    tables: ['public.orders'],
    schemas: ['audit'],
    skipSafetyBackup: true,
    readOnly: true,
    trees: ['media'],
    globs: ['*.jpg'],
    folder: '/tmp/x',
  }
  const plain = bodyOf(choice(leftovers))
  expect(plain).toMatchObject({
    mode: 'into',
    name: 'shop_restored',
    tables: [],
    schemas: [],
    skipSafetyBackup: false,
    keepOldSecs: undefined,
  })
  for (const absent of ['files', 'trees', 'fileGlobs', 'filesInto', 'readOnly'])
    expect(plain).not.toHaveProperty(absent)
  expect(bodyOf(choice({ mode: 'replace', keepOldHours: 2 }))).toMatchObject({
    name: 'shop',
    keepOldSecs: 7200,
  })
  expect(bodyOf(choice({ mode: 'in_place', parts: 'tables', tables: ['public.orders'] }))).toMatchObject({
    name: 'shop',
    tables: ['public.orders'],
  })
})

test('the commands of the app are asked for only where they can run', () => {
  const run = { migrate: true, check: true }
  expect(bodyOf(choice({ ...run, mode: 'replace' }))).toMatchObject(run)
  expect(bodyOf(choice({ ...run, mode: 'in_place' }))).toMatchObject({ migrate: false, check: false })
  expect(bodyOf(choice({ ...run, parts: 'tables', tables: ['a.b'] }))).toMatchObject({ migrate: false })
})

test('files alone ask for no database, and keep what they replace', () => {
  const trees = [{ name: 'media', source: '/srv/media', files: 3, bytes: 9 }]
  const alone = choice({
    files: 'only',
    trees: ['media'],
    filesTo: 'place',
    mode: 'replace',
    keepOldHours: 1,
  })
  expect(bodyOf(alone)).toEqual({
    files: 'only',
    trees: ['media'],
    fileGlobs: [],
    filesInto: undefined,
    keepOldSecs: 3600,
  })
  expect(targetOf(alone, trees)).toBe('/srv/media')
  expect(targetOf({ ...alone, globs: ['*.jpg'], folder: ' /tmp/found ' }, trees)).toBe('/tmp/found')
  expect(targetOf(choice({ mode: 'replace' }), trees)).toBe('shop')
})
