import { expect, test } from 'vitest'
import { byDay, byPolicy, weeks } from './month.ts'

test('weeks are whole, begin on Monday and cover everything', () => {
  const list = weeks(new Date(2026, 9, 22), new Date(2026, 10, 20))
  expect(list.every((week) => week.length === 7)).toBe(true)
  expect(list[0]?.[0]).toBe('2026-10-19')
  expect(list.flat()).toContain('2026-11-20')
  expect(new Set(list.flat()).size).toBe(list.flat().length)
})

test('things lie on their day in the zone of the viewer', () => {
  const morning = new Date(2026, 10, 21, 0, 30).toISOString()
  const night = new Date(2026, 10, 21, 23, 30).toISOString()
  const days = byDay([morning, night], (at) => at)
  expect(days.get('2026-11-21')).toEqual([morning, night])
})

test('a policy that runs often is one entry a day', () => {
  const runs = [
    { policy: 'hourly', start: '2026-11-21T03:15:00Z' },
    { policy: 'hourly', start: '2026-11-21T02:15:00Z' },
    { policy: 'nightly', start: '2026-11-21T02:30:00Z' },
  ]
  expect(byPolicy(runs)).toEqual([
    { policy: 'hourly', start: '2026-11-21T02:15:00Z', times: 2 },
    { policy: 'nightly', start: '2026-11-21T02:30:00Z', times: 1 },
  ])
})
