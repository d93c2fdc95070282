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
