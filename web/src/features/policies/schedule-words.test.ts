import { expect, test } from 'vitest'
import type { PolicyDefinition } from '../../api/types.ts'
import { de } from '../../texts/de.ts'
import { en } from '../../texts/en.ts'
import { retentionWords, scheduleWords } from './schedule-words.ts'

test('a schedule is said in the reader’s language', () => {
  const cases: [PolicyDefinition['schedule'], string][] = [
    [{}, 'täglich um 02:00 (UTC)'],
    [{ frequency: 'hourly', at: '00:15' }, 'stündlich zur Minute 15 (UTC)'],
    [
      { frequency: 'weekly', weekday: 'monday', at: '03:00', timeZone: 'Europe/Berlin', jitterSecs: 300 },
      'jede Woche am Montag um 03:00 (Europe/Berlin), bis zu 300 s später',
    ],
    [{ frequency: 'monthly', day: 31, at: '04:00' }, 'am letzten Tag des Monats um 04:00 (UTC)'],
    [
      {
        frequency: 'cron',
        cron: '*/15 * * * *',
        blackout: [{ from: '08:00', to: '18:00', days: ['friday'] }],
      },
      'cron */15 * * * * (UTC), nie zwischen 08:00 und 18:00 (Freitag)',
    ],
    [{ frequency: 'on_demand' }, 'nur von Hand'],
  ]
  for (const [schedule, said] of cases) {
    expect(scheduleWords(schedule, 'as the server says', de)).toBe(said)
    expect(scheduleWords(schedule, 'as the server says', en)).toBe('as the server says')
  }
})

test('what is kept is said in the reader’s language', () => {
  const cases: [PolicyDefinition['retention'], string][] = [
    [{}, 'alles bleibt'],
    [{ days: 30, maxBackups: 1 }, '30 Tage, höchstens 1 Backup'],
    [{ keep: { daily: 7, weekly: 4, monthly: 12 } }, '7 tägliche, 4 wöchentliche, 12 monatliche'],
    [
      { days: 1, keep: { last: 1, yearly: 4_294_967_295, within: '1y6m', keepTags: ['gold'] } },
      '1 Tag, das letzte, alle jährlichen, alle aus 1y6m, mit Tag gold',
    ],
  ]
  for (const [retention, said] of cases) {
    expect(retentionWords(retention, 'as the server says', de)).toBe(said)
    expect(retentionWords(retention, 'as the server says', en)).toBe('as the server says')
  }
})
