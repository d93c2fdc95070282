import type { AppDefinition } from '../../api/types.ts'
import type { Texts } from '../../texts/index.ts'
import { lineOf } from '../apps/words.ts'
import type { Choice } from './choice.ts'

export interface Around {
  key: string
  words: string
  detail?: string
  /** The detail is a command. */
  code?: boolean
}

/** What of an app's fence and hooks takes part in a restore that overwrites, in the order in which it does. */
export function fenceAndHooks(definition: AppDefinition, choice: Pick<Choice, 'mode'>, t: Texts): Around[] {
  const { fence, hooks } = definition
  const replaces = choice.mode === 'replace'
  const hooksOn = (...moments: string[]): Around[] =>
    (hooks ?? [])
      .map((hook, index) => ({ hook, index }))
      .filter(({ hook }) => moments.includes(hook.on))
      .map(({ hook, index }) => ({
        key: `hook ${index}`,
        words: hook.url ? t.restore.hookTells(t.moments[hook.on]) : t.restore.hookRuns(t.moments[hook.on]),
        detail: hook.url ?? lineOf(hook.command),
        code: !hook.url,
      }))
  return [
    ...hooksOn('before_restore'),
    ...(fence?.lockDir
      ? [{ key: 'lock', words: t.restore.lockFile, detail: `${fence.lockDir}/.restore.lock` }]
      : []),
    ...(replaces && fence?.readOnly ? [{ key: 'read only', words: t.restore.refusesWrites }] : []),
    ...(replaces ? hooksOn('before_swap') : []),
    ...(replaces && fence?.grace ? [{ key: 'grace', words: t.restore.graceOf(fence.grace) }] : []),
    ...(replaces && fence?.pgbouncer ? [{ key: 'pgbouncer', words: t.restore.pgbouncer }] : []),
    ...(replaces ? hooksOn('after_swap') : []),
    ...hooksOn('after_restore', 'on_failure'),
  ]
}
