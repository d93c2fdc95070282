import { expect, test } from 'vitest'
import { bytes } from '../../format/amounts.ts'
import { byteTicks } from './ticks.ts'

test('an axis of sizes is marked at round numbers and holds the largest', () => {
  const cases: [number, string[]][] = [
    [196_300_000, ['0 B', '50.0 MiB', '100.0 MiB', '150.0 MiB', '200.0 MiB']],
    [30_000, ['0 B', '10.0 KiB', '20.0 KiB', '30.0 KiB']],
    [1_100_000_000, ['0 B', '512.0 MiB', '1.0 GiB', '1.5 GiB']],
    [700, ['0 B', '200 B', '400 B', '600 B', '800 B']],
  ]
  for (const [most, said] of cases) {
    expect(byteTicks(most).map(bytes)).toEqual(said)
    expect(byteTicks(most).at(-1)).toBeGreaterThanOrEqual(most)
  }
})

test('where there is nothing, an axis still has a length', () => {
  for (const most of [0, Number.NaN]) expect(byteTicks(most)).toEqual([0, 1])
})
