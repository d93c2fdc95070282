/** Choices of what to keep that fit most apps, as the form holds them. */
import type { Draft } from './draft.ts'

/** Whichever is hit first removes a backup. */
export const LIMITS = ['keepDays', 'keepMost'] as const
/** Each keeps so many, whatever the limits say. */
export const COUNTS = ['keepHourly', 'keepDaily', 'keepWeekly', 'keepMonthly', 'keepYearly'] as const

export type Keeping = Pick<Draft, (typeof LIMITS)[number] | (typeof COUNTS)[number]>

const nothing: Keeping = {
  keepDays: '',
  keepMost: '',
  keepHourly: '',
  keepDaily: '',
  keepWeekly: '',
  keepMonthly: '',
  keepYearly: '',
}

/** The same that the command line offers. */
export const READY: { name: 'month' | 'sevenFourTwelve' | 'everything'; keeping: Keeping }[] = [
  { name: 'month', keeping: { ...nothing, keepDays: '30' } },
  { name: 'sevenFourTwelve', keeping: { ...nothing, keepDaily: '7', keepWeekly: '4', keepMonthly: '12' } },
  { name: 'everything', keeping: nothing },
]

/** Whether the draft keeps just that. Nought says as much as nothing. */
export function keeps(draft: Keeping, keeping: Keeping): boolean {
  const said = (text: string) => (Number(text) > 0 ? Number(text) : 0)
  return [...LIMITS, ...COUNTS].every((key) => said(draft[key]) === said(keeping[key]))
}
