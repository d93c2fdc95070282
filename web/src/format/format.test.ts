import { expect, test } from 'vitest'
import { bytes, count, share, shortId } from './amounts.ts'
import { dateTime, dayOf, duration, lastDays, relative, timeOfDay, utc } from './time.ts'

test('sizes have the units of the command line', () => {
  const cases: [number | null, string][] = [
    [null, '–'],
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [196_260_652, '187.2 MiB'],
    [5 * 1024 ** 4, '5.0 TiB'],
  ]
  for (const [amount, text] of cases) expect(bytes(amount)).toBe(text)
})

test('counts and shares are written as the language does', () => {
  expect(count(1_556_967, 'en')).toBe('1,556,967')
  expect(count(1_556_967, 'de')).toBe('1.556.967')
  expect(share(1, 10_000)).toBe('< 0.1 %')
  expect(share(146, 1000)).toBe('15 %')
  expect(share(0, 1000)).toBe('0.0 %')
  expect(share(5, 0)).toBe('–')
  expect(shortId('6e160c22f2b46be0')).toBe('6e160c22')
})

test('durations name two units at most', () => {
  const cases: [number | undefined, string][] = [
    [undefined, '–'],
    [0.0001, '< 1 ms'],
    [0.0456, '46 ms'],
    [5.1, '5.1 s'],
    [59.6, '1 m'],
    [252, '4 m 12 s'],
    [7500, '2 h 5 m'],
    [273_600, '3 d 4 h'],
  ]
  for (const [seconds, text] of cases) expect(duration(seconds)).toBe(text)
})

test('distances in time are told by their largest unit, before and after', () => {
  const now = new Date('2026-11-21T12:00:00Z')
  const cases: [string, string, string][] = [
    ['2026-11-21T11:59:57Z', 'en', 'now'],
    ['2026-11-21T11:23:00Z', 'en', '37 minutes ago'],
    ['2026-11-20T12:00:00Z', 'en', '24 hours ago'],
    ['2026-11-18T11:00:00Z', 'en', '3 days ago'],
    ['2026-11-21T14:10:00Z', 'en', 'in 2 hours'],
    ['2026-11-21T10:00:00Z', 'de', 'vor 2 Stunden'],
  ]
  for (const [at, language, text] of cases) expect(relative(at, now, language)).toBe(text)
})

test('moments are shown in the zone that is asked for and in UTC', () => {
  expect(dateTime('2026-11-21T15:14:29Z', 'en-GB', 'Europe/Berlin')).toContain('16:14')
  expect(utc('2026-11-21T15:14:29.995Z')).toBe('2026-11-21 15:14:29 UTC')
})

test('the last days end today and have no gap at a change of clocks', () => {
  const days = lastDays(30, new Date(2026, 10, 5, 0, 30))
  expect(days).toHaveLength(30)
  expect(new Set(days).size).toBe(30)
  expect(days.at(-1)).toBe(dayOf(new Date(2026, 10, 5)))
  expect(days[0]).toBe('2026-10-07')
})

test('a time of day is whole in every language', () => {
  const at = new Date(2026, 0, 2, 14, 5)
  expect(timeOfDay(at, 'en-GB')).toBe('14:05')
  expect(timeOfDay(at, 'de')).toBe('14:05')
  expect(timeOfDay(at, 'en-US')).toMatch(/^2:05\sPM$/)
})
