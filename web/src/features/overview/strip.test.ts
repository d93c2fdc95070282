import { expect, test } from 'vitest'
import { strip } from './strip.ts'

const now = new Date(2026, 10, 21, 12)
const on = (day: number) => new Date(2026, 10, day, 3).toISOString()

test('a day says the best that happened on it, and overdue days stand out', () => {
  const days = strip(
    {
      backups: [
        { time: on(17), state: 'stored' },
        { time: on(18), state: 'stored' },
        { time: on(18), state: 'proven' },
        { time: on(19), state: 'damaged' },
      ],
      jobs: [
        { state: 'failed', createdAt: on(18) },
        { state: 'failed', createdAt: on(16) },
        { state: 'succeeded', createdAt: on(17) },
      ],
      overdueSince: on(20),
    },
    7,
    now,
  )
  expect(days.map((day) => day.state)).toEqual([
    'nothing',
    'failed',
    'stored',
    'proven',
    'failed',
    'overdue',
    'overdue',
  ])
  expect(days[3]).toMatchObject({ backups: 2, failed: 1 })
})

test('a backup ends the overdue mark of its day', () => {
  const days = strip({ backups: [{ time: on(21), state: 'stored' }], jobs: [], overdueSince: on(20) }, 2, now)
  expect(days.map((day) => day.state)).toEqual(['overdue', 'stored'])
})
