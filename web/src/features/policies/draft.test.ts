import { expect, test } from 'vitest'
import type { PolicyDefinition } from '../../api/types.ts'
import { definitionOf, draftOf, emptyDraft } from './draft.ts'

test('what the form does not show survives an edit', () => {
  const definition: PolicyDefinition = {
    app: 'shop',
    kind: 'incremental',
    enabled: false,
    schedule: {
      frequency: 'weekly',
      at: '03:30',
      weekday: 'sunday',
      jitterSecs: 90,
      catchUp: true,
      blackout: [],
    },
    retention: { days: 14, keep: { weekly: 8, last: 3, protectNewest: 5, keepTags: ['gold'] } },
    repositories: ['main'],
    tags: ['nightly'],
  }
  const back = definitionOf(draftOf('weekly', definition), definition)
  expect(back).toMatchObject({
    ...definition,
    schedule: { ...definition.schedule, jitterSecs: 90 },
    retention: { days: 14, keep: { weekly: 8, last: 3, protectNewest: 5, keepTags: ['gold'] } },
  })
})

test('only what belongs to the frequency is sent', () => {
  const draft = { ...emptyDraft('shop', 'Europe/Berlin'), name: 'x' }
  expect(definitionOf(draft).schedule).toMatchObject({ at: '02:00', cron: null, weekday: null, day: null })
  expect(definitionOf({ ...draft, frequency: 'cron' }).schedule).toMatchObject({
    at: null,
    cron: '0 2 * * *',
  })
  expect(definitionOf({ ...draft, frequency: 'monthly', day: 15 }).schedule).toMatchObject({
    day: 15,
    weekday: null,
  })
  expect(definitionOf({ ...draft, frequency: 'on_demand' }).schedule).toMatchObject({ at: null, cron: null })
})

test('what belongs to packages is sent of policies that make them, and drills of all', () => {
  const draft = {
    ...emptyDraft('shop', ''),
    drill: ' 7d ',
    exportTo: 's3://far/shop',
    exportRecipients: 'age1one\nage1two, age1three\n',
    exportZstd: true,
  }
  expect(definitionOf(draft)).toMatchObject({ drill: '7d' })
  expect(definitionOf(draft)).not.toHaveProperty('exportTo')
  const made = definitionOf({ ...draft, kind: 'export' })
  expect(made).toMatchObject({
    exportTo: 's3://far/shop',
    exportRecipients: ['age1one', 'age1two', 'age1three'],
    exportZstd: true,
  })
  expect(definitionOf(draftOf('archive', made), made)).toEqual(made)
  // A policy that makes no packages any more may say nothing of them.
  const full = { ...draftOf('archive', made), kind: 'full' as const }
  expect(definitionOf(full, made)).toMatchObject({ exportTo: null, exportRecipients: [], exportZstd: false })
})

test('an empty number is no limit', () => {
  const draft = { ...emptyDraft('shop', ''), keepDays: '', keepMost: '12', keepDaily: '7' }
  const { retention, schedule } = definitionOf(draft)
  expect(retention).toMatchObject({ days: null, maxBackups: 12, keep: { daily: 7, weekly: 0 } })
  expect(schedule?.timeZone).toBeNull()
})
