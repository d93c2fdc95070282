import { expect, test } from 'vitest'
import { isKeyItself, makeKey, recoveryKit } from './recovery-kit.ts'

test('a made key is long, random and needs no quoting', () => {
  const keys = new Set(Array.from({ length: 50 }, makeKey))
  expect(keys.size).toBe(50)
  for (const key of keys) expect(key).toMatch(/^[A-Za-z0-9_-]{43}$/)
})

test('only a key that is written out belongs into a recovery kit', () => {
  const cases: [string, boolean][] = [
    ['', false],
    ['***', false],
    ['file:/etc/pgkeep/main.key', false],
    ['env:PGKEEP_KEY', false],
    ['correct horse', true],
  ]
  for (const [key, itself] of cases) expect(isKeyItself(key), key).toBe(itself)
  expect(recoveryKit('main', 's3://bucket/x', 'secret')).toContain('key         secret')
})
