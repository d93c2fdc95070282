import { dayOf } from '../../format/time.ts'

/** The days of whole weeks, Monday first, around what is shown. */
export function weeks(from: Date, to: Date): string[][] {
  const day = new Date(from)
  day.setHours(12, 0, 0, 0)
  day.setDate(day.getDate() - ((day.getDay() + 6) % 7))
  const last = dayOf(to)
  const result: string[][] = []
  while (dayOf(day) <= last) {
    const week: string[] = []
    for (let each = 0; each < 7; each += 1) {
      week.push(dayOf(day))
      day.setDate(day.getDate() + 1)
    }
    result.push(week)
  }
  return result
}

/** What lies on each day. */
export function byDay<T>(things: T[], at: (thing: T) => string): Map<string, T[]> {
  const days = new Map<string, T[]>()
  for (const thing of things) {
    const day = dayOf(at(thing))
    days.set(day, [...(days.get(day) ?? []), thing])
  }
  return days
}

export interface Coming {
  policy: string
  /** When the first of them starts. */
  start: string
  times: number
}

/** The runs of one day, one entry a policy, by their first time. */
export function byPolicy(runs: { policy: string; start: string }[]): Coming[] {
  const list = new Map<string, Coming>()
  for (const { policy, start } of [...runs].sort((a, b) => a.start.localeCompare(b.start))) {
    const known = list.get(policy)
    if (known) known.times += 1
    else list.set(policy, { policy, start, times: 1 })
  }
  return [...list.values()]
}
