import { expect, test } from 'vitest'
import { besideName, bodyOf, type Choice, lacking } from './choice.ts'

const choice = (change: Partial<Choice>): Choice => ({
  database: 'shop',
  parts: 'all',
  tables: [],
  schemas: [],
  mode: 'into',
  beside: 'shop_restored',
  prove: 'full',
  skipSafetyBackup: false,
  keepOldHours: 24,
  noOwner: false,
  reason: '',
  ...change,
})

test('a name beside the live database always fits into PostgreSQL', () => {
  const now = new Date(2026, 10, 21, 15, 4)
  expect(besideName('shop', now)).toBe('shop_restored_1121_1504')
  const long = besideName('ü'.repeat(60), now)
  expect(new TextEncoder().encode(long).length).toBeLessThanOrEqual(63)
  expect(long).toMatch(/_restored_1121_1504$/)
})

test('nothing is planned before it is clear what and where', () => {
  expect(lacking(choice({}))).toBeUndefined()
  expect(lacking(choice({ parts: 'tables' }))).toBe('tables')
  expect(lacking(choice({ parts: 'schemas' }))).toBe('schemas')
  expect(lacking(choice({ beside: ' ' }))).toBe('beside')
  expect(lacking(choice({ beside: 'shop' }))).toBe('beside')
  expect(lacking(choice({ beside: '', mode: 'replace' }))).toBeUndefined()
})

test('the request says what was chosen and nothing that was chosen before', () => {
  const leftovers = { tables: ['public.orders'], schemas: ['audit'], skipSafetyBackup: true }
  expect(bodyOf(choice(leftovers))).toMatchObject({
    mode: 'into',
    name: 'shop_restored',
    tables: [],
    schemas: [],
    skipSafetyBackup: false,
    keepOldSecs: undefined,
  })
  expect(bodyOf(choice({ mode: 'replace', keepOldHours: 2 }))).toMatchObject({
    name: 'shop',
    keepOldSecs: 7200,
  })
  expect(bodyOf(choice({ mode: 'in_place', parts: 'tables', tables: ['public.orders'] }))).toMatchObject({
    name: 'shop',
    tables: ['public.orders'],
  })
})
