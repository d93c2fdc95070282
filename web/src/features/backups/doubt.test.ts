import { expect, test } from 'vitest'
import { standingDoubts } from './doubt.ts'

let clock = 0
/** Each is older than the one before. */
const backup = (id: string, change: object = {}) => {
  clock += 1
  const time = new Date(Date.UTC(2026, 0, 1) - clock * 3_600_000).toISOString()
  return {
    id,
    repository: 'main',
    time,
    databases: ['shop'],
    files: [] as string[],
    shrunk: undefined,
    ...change,
  }
}
const lost = { shrunk: 'table reviews is not there' }
const ids = (backups: ReturnType<typeof backup>[]) => standingDoubts(backups).map((each) => each.id)

test('the newest doubt is the one that is asked about', () => {
  expect(ids([backup('c', lost), backup('b', lost), backup('a')])).toEqual(['c'])
  expect(ids([backup('c'), backup('b')])).toEqual([])
})

test('a newer backup that nobody doubts settles what it holds', () => {
  expect(ids([backup('c'), backup('b', lost), backup('a')])).toEqual([])
  const files = { ...lost, files: ['media'] }
  expect(ids([backup('c'), backup('b', files), backup('a')])).toEqual(['b'])
  expect(ids([backup('d', lost), backup('c'), backup('b', files)])).toEqual(['d', 'b'])
})

test('each repository is a matter of its own, in whatever order its backups come', () => {
  const far = { ...lost, repository: 'far' }
  const list = [
    backup('main-new', lost),
    backup('far-new', far),
    backup('main-old', lost),
    backup('far-old', far),
  ]
  expect(ids(list)).toEqual(['main-new', 'far-new'])
  expect(ids([...list].reverse())).toEqual(['main-new', 'far-new'])
})
