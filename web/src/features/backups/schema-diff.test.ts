import { expect, test } from 'vitest'
import { amounts, type DiffLine, readSchemaDiff, rowsOf, sideBySide } from './schema-diff.ts'

const drawn = (lines: DiffLine[]) =>
  lines.map((line) => [line.change, line.left?.text ?? null, line.right?.text ?? null])

test('what takes the place of a line stands beside it', () => {
  const cases: [string, string, string, unknown[]][] = [
    [
      ' a\n-b\n+c\n d\n',
      'a\nb\nd',
      'a\nc\nd',
      [
        ['same', 'a', 'a'],
        ['changed', 'b', 'c'],
        ['same', 'd', 'd'],
      ],
    ],
    [
      '-a\n-b\n+c\n',
      'a\nb',
      'c',
      [
        ['changed', 'a', 'c'],
        ['removed', 'b', null],
      ],
    ],
    ['+a\n', '', 'a', [['added', null, 'a']]],
    [
      '-a\n--- owner\n',
      'a\n-- owner',
      '',
      [
        ['removed', 'a', null],
        ['removed', '-- owner', null],
      ],
    ],
    [
      ' a\n+b\n',
      'a',
      'a,\nb',
      [
        ['same', 'a', 'a,'],
        ['added', null, 'b'],
      ],
    ],
    ['', '', '', []],
  ]
  for (const [marked, from, to, lines] of cases)
    expect(drawn(sideBySide(marked, from, to)), marked).toEqual(lines)
})

test('lines are counted on their own side', () => {
  const lines = sideBySide(' a\n-b\n-c\n+d\n e\n', 'a\nb\nc\ne', 'a\nd\ne')
  expect(lines.map((line) => [line.left?.number, line.right?.number])).toEqual([
    [1, 1],
    [2, 2],
    [3, undefined],
    [4, 3],
  ])
})

const object = (marked: string) => ({
  change: 'changed' as const,
  title: 'table t',
  lines: sideBySide(marked, '', ''),
})

test('long stretches without a change are folded, and open when asked', () => {
  const same = ' x\n'.repeat(10)
  const objects = [object(`${same}-a\n${same}+b\n${same}`)]
  const shown = (unfolded: string[]) =>
    rowsOf(objects, new Set(unfolded)).map((row) => (row.kind === 'fold' ? row.amount : row.kind))
  const line = (amount: number) => Array.from({ length: amount }, () => 'line')
  expect(shown([])).toEqual(['object', 7, ...line(3 + 1 + 3), 4, ...line(3 + 1 + 3), 7])
  expect(shown(['0 fold 0', '0 fold 11', '0 fold 22'])).toEqual(['object', ...line(32)])
  const keys = rowsOf(objects, new Set()).map((row) => row.key)
  expect(new Set(keys).size).toBe(keys.length)
})

test('few unchanged lines are not worth a fold', () => {
  const objects = [object(' x\n x\n x\n-a\n x\n x\n+b\n')]
  expect(rowsOf(objects, new Set()).some((row) => row.kind === 'fold')).toBe(false)
})

test('the document of the server is read, and what is not as expected is absent', () => {
  const read = readSchemaDiff({
    databases: [
      {
        name: 'shop',
        objects: [
          {
            change: 'added',
            kind: 'index',
            schema: 'public',
            name: 'i',
            table: 'orders',
            to: 'CREATE',
            sql: '+CREATE\n',
          },
          { change: 'removed', kind: 'extension', schema: '', name: 'citext', from: 'DROP', sql: '-DROP\n' },
        ],
      },
    ],
    not_compared: ['other: not in backup'],
  })
  expect(read.databases[0]?.objects.map((each) => each.title)).toEqual([
    'index public.i (orders)',
    'extension citext',
  ])
  expect(amounts(read.databases[0]?.objects ?? [])).toEqual({ added: 1, removed: 1, changed: 0 })
  expect(read.notCompared).toEqual(['other: not in backup'])
  expect(readSchemaDiff(null)).toEqual({ databases: [], notCompared: [] })
})
