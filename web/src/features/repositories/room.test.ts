import { expect, test } from 'vitest'
import { en } from '../../texts/en.ts'
import { fullIn, growthOf, isRemote, urgency } from './room.ts'

const grows = (bytesPerDay: number, fullInDays: number | null) => ({
  growth: { bytesPerDay, freeBytes: 1 << 30, fullInDays },
  definition: { address: '/srv/backups' },
})
const unknown = { growth: null, definition: { address: '/srv/backups' } }

test('when a disk is full is said in whole days, and how soon one must act hangs on it', () => {
  const cases: [Parameters<typeof fullIn>[0], string, ReturnType<typeof urgency>][] = [
    [unknown, '–', 'none'],
    [grows(-5, null), 'it does not grow', 'none'],
    [grows(5, 0.4), 'less than a day', 'now'],
    [grows(5, 1.9), '1 day', 'now'],
    [grows(5, 2), '2 days', 'soon'],
    [grows(5, 14), '14 days', 'soon'],
    [grows(5, 14.1), '14 days', 'none'],
    [grows(5, 4000), 'more than a year', 'none'],
  ]
  for (const [repository, words, soon] of cases) {
    expect(fullIn(repository, en)).toBe(words)
    expect(urgency(repository)).toBe(soon)
  }
})

test('what is not measured is not called nothing', () => {
  expect(growthOf(unknown, en)).toBe('not measured yet')
  expect(growthOf({ growth: null, definition: { address: 's3://bucket/x' } }, en)).toBe(
    'not measured of object storage',
  )
  expect(growthOf(grows(-2048, null), en)).toMatch(/^shrinks by 2/)
  expect(growthOf(grows(2048, 3), en)).toMatch(/^2.* a day/)
  expect(isRemote('file:///srv')).toBe(false)
})
