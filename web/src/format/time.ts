/** `1.4 s`, `4 m 12 s`, `2 h 5 m`, `3 d 4 h`: two units at most. */
export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return '–'
  if (seconds > 0 && seconds < 0.0005) return '< 1 ms'
  if (seconds < 1) return `${Math.max(0, Math.round(seconds * 1000))} ms`
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  const pair = (large: number, largeUnit: string, small: number, smallUnit: string) =>
    small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`
  if (whole < 3600) return pair(Math.floor(whole / 60), 'm', whole % 60, 's')
  if (whole < 86_400) return pair(Math.floor(whole / 3600), 'h', Math.floor((whole % 3600) / 60), 'm')
  return pair(Math.floor(whole / 86_400), 'd', Math.floor((whole % 86_400) / 3600), 'h')
}

/** A distance in time without its direction: `2 h`, `37 min`. Only the largest unit: nobody reads `2 h 14 m ago` with profit. */
export function distance(seconds: number): { amount: number; unit: Intl.RelativeTimeFormatUnit } {
  const size = Math.abs(seconds)
  if (size < 60) return { amount: Math.round(size), unit: 'second' }
  if (size < 3600) return { amount: Math.floor(size / 60), unit: 'minute' }
  if (size < 2 * 86_400) return { amount: Math.floor(size / 3600), unit: 'hour' }
  return { amount: Math.floor(size / 86_400), unit: 'day' }
}

/** `2 hours ago`, `in 5 minutes`, in the language. */
export function relative(at: string | Date, now: Date, language: string): string {
  const seconds = (new Date(at).getTime() - now.getTime()) / 1000
  const { amount, unit } = distance(seconds)
  const format = new Intl.RelativeTimeFormat(language, { numeric: 'auto' })
  if (unit === 'second' && amount < 10) return format.format(0, 'second')
  return format.format(seconds < 0 ? -amount : amount, unit)
}

/** Date and time in the viewer's zone, or in `timeZone`. */
export function dateTime(at: string | Date, language: string, timeZone?: string): string {
  return new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short', timeZone }).format(
    new Date(at),
  )
}

/** Hours and minutes in the viewer's zone. */
export function timeOfDay(at: string | Date, language: string): string {
  return new Intl.DateTimeFormat(language, { timeStyle: 'short' }).format(new Date(at))
}

export function clock(at: string | Date, language: string, timeZone?: string): string {
  return new Intl.DateTimeFormat(language, { timeStyle: 'medium', timeZone }).format(new Date(at))
}

/** `2026-11-21 15:14:29 UTC`, which is what logs and the command line say. */
export function utc(at: string | Date): string {
  return `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

/** Seconds between two moments, absent where one is. */
export function between(from: string | null | undefined, to: string | null | undefined): number | undefined {
  if (!from || !to) return undefined
  return (new Date(to).getTime() - new Date(from).getTime()) / 1000
}

/** The day of a moment in the viewer's zone, as a key that sorts: `2026-11-21`. */
export function dayOf(at: string | Date): string {
  const day = new Date(at)
  const two = (number: number) => String(number).padStart(2, '0')
  return `${day.getFullYear()}-${two(day.getMonth() + 1)}-${two(day.getDate())}`
}

/** The keys of the last `days` days, oldest first, today last. */
export function lastDays(days: number, now: Date): string[] {
  return Array.from({ length: days }, (_, index) => {
    const day = new Date(now)
    day.setHours(12, 0, 0, 0)
    day.setDate(day.getDate() - (days - 1 - index))
    return dayOf(day)
  })
}
