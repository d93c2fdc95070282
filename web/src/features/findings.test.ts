import { expect, test } from 'vitest'
import type { AppStatus } from '../api/types.ts'
import { de } from '../texts/de.ts'
import { en } from '../texts/en.ts'
import { findingWords, worstWords } from './findings.ts'

const failing = {
  state: 'failing',
  sentence: 'policy nightly of shop failed 2 times in a row, last 3 hours ago: connection refused',
  app: 'shop',
  policy: 'nightly',
}

test('in English the server’s own sentence stands alone', () => {
  expect(findingWords(failing, en)).toEqual({
    sentence: 'Policy nightly of shop failed 2 times in a row, last 3 hours ago: connection refused',
  })
})

test('another language says it itself and keeps what the server said', () => {
  expect(findingWords(failing, de)).toEqual({
    sentence: 'Der letzte Lauf des Plans nightly von shop ist fehlgeschlagen.',
    original: failing.sentence,
  })
  expect(findingWords({ ...failing, policy: null }, de).sentence).toBe(
    'Das letzte Backup von shop ist fehlgeschlagen.',
  )
})

test('what is said whole is said once', () => {
  const unscheduled = { state: 'unscheduled', sentence: 'no policy makes backups of shop', app: 'shop' }
  expect(findingWords(unscheduled, de)).toEqual({ sentence: 'Kein Plan sichert shop von selbst.' })
})

test('a state that a newer server knows is said in its own words', () => {
  expect(findingWords({ state: 'haunted', sentence: 'shop is haunted', app: 'shop' }, de)).toEqual({
    sentence: 'shop is haunted',
  })
})

test('the worst finding is the sentence about an app', () => {
  const app = { app: 'shop', state: 'overdue', sentence: 'late', findings: [{ policy: 'hourly' }] }
  expect(worstWords(app as unknown as AppStatus, de)).toBe('Der Plan hourly von shop ist überfällig.')
  expect(worstWords(app as unknown as AppStatus, en)).toBe('late')
  const failed = { ...app, state: 'failing', sentence: failing.sentence } as unknown as AppStatus
  expect(worstWords(failed, en)).toBe('Policy nightly of shop failed 2 times in a row, last 3 hours ago')
})

test('every state that has words has a sentence', () => {
  const states = Object.keys(de.health).filter((state) => state !== 'ok')
  expect(states.filter((state) => de.said.findings[state] === undefined)).toEqual([])
})
