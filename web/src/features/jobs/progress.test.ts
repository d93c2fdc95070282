import { expect, test } from 'vitest'
import { percentOf, phases, rate, secondsLeft } from './progress.ts'

const job = (phase: string | null, doneBytes = 0, totalBytes: number | null = null) => ({
  kind: 'restore' as const,
  state: 'running' as const,
  phase,
  progress: { doneBytes, totalBytes, item: null },
  startedAt: '2026-11-21T12:00:00Z',
})

test('a share is only told where the whole is known', () => {
  expect(percentOf(job('data', 50, 200))).toBe(25)
  expect(percentOf(job('data', 300, 200))).toBe(100)
  expect(percentOf(job('data', 50, null))).toBeUndefined()
  expect(percentOf(job('data', 0, 0))).toBeUndefined()
})

test('phases before the present one are done, those behind it are ahead', () => {
  const states = Object.fromEntries(phases(job('data')).map((phase) => [phase.name, phase.state]))
  expect(states).toMatchObject({
    checking: 'done',
    schema: 'done',
    data: 'now',
    proving: 'ahead',
    swapping: 'ahead',
  })
  expect(phases({ ...job('swapping'), state: 'succeeded' }).every((phase) => phase.state === 'done')).toBe(
    true,
  )
  expect(phases({ ...job(null), state: 'queued' }).every((phase) => phase.state === 'ahead')).toBe(true)
})

test('a restore shows the phases that it was asked for', () => {
  const names = (spec: object) => phases({ ...job('data'), spec }).map((phase) => phase.name)
  expect(names({ target: { mode: 'into', name: 'x' } })).not.toContain('safety backup')
  expect(names({ target: { mode: 'into', name: 'x' } })).not.toContain('swapping')
  expect(names({ target: { mode: 'replace', name: 'x' }, migrate: true }).slice(-3)).toEqual([
    'proving',
    "the app's own programs",
    'swapping',
  ])
  expect(names({ target: { mode: 'replace' }, skip_safety_backup: true })).not.toContain('safety backup')
  expect(names({ target: { mode: 'files_only' } })).toEqual(['checking', 'data', 'proving', 'swapping'])
})

test('the rate counts one phase alone', () => {
  const samples = [
    { at: 0, phase: 'schema', doneBytes: 900 },
    { at: 1000, phase: 'data', doneBytes: 0 },
    { at: 3000, phase: 'data', doneBytes: 4000 },
  ]
  expect(rate(samples)).toBe(2000)
  expect(rate(samples.slice(0, 2))).toBeUndefined()
  expect(rate([])).toBeUndefined()
  expect(secondsLeft(job('data', 4000, 10_000), 2000)).toBe(3)
  expect(secondsLeft(job('data', 4000, null), 2000)).toBeUndefined()
})
