/** Steps that are read at a glance, of any power of ten. */
const ROUND = [1, 2, 5, 10]
const STEPS = 4

/** Where an axis of sizes has its marks: at round numbers of the unit in which the largest is said, from nought up to beyond it. */
export function byteTicks(most: number): number[] {
  if (!(most > 0)) return [0, 1]
  const unit = 1024 ** Math.floor(Math.log(most) / Math.log(1024))
  const rough = most / unit / STEPS
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = (ROUND.find((round) => round * power >= rough) ?? 10) * power * unit
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, at) => at * step)
}
