import { expect, test } from 'vitest'
import type { Plan } from '../../api/types.ts'
import { sidesOf, versionsOf } from './plan.ts'

const plan = (summary: unknown) => ({ summary }) as Pick<Plan, 'summary'>

test('a plan of files alone knows nothing of databases', () => {
  for (const summary of [null, undefined, {}]) {
    expect(sidesOf(plan(summary))).toMatchObject({ sessions: [], missingRoles: [], tables: undefined })
    expect(versionsOf(plan(summary))).toBeUndefined()
  }
})

test('what is known of schema versions is told, with what the code would run', () => {
  const migrations = { words: ['the backup is 2 migrations behind'], forward: ['0007_index', '0008_drop'] }
  expect(versionsOf(plan({ migrations }))).toEqual(migrations)
  expect(versionsOf(plan({ migrations: { words: [] } }))).toEqual({ words: [], forward: [] })
})
