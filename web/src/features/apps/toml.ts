/** The definition of an app as it would stand in `pgkeep.toml`. */

import type { AppDefinition } from '../../api/types.ts'

type Value = string | number | boolean | Value[] | { [key: string]: Value }
type Raw = Value | null | undefined | { [key: string]: Raw } | Raw[]

/** A text of TOML. JSON writes strings in the same way, but for one sign. */
const quoted = (text: string) => JSON.stringify(text).replaceAll('\u007f', '\\u007f')
const key = (name: string) => (/^[\w-]+$/.test(name) ? name : quoted(name))
const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

function written(value: Value): string {
  if (typeof value === 'string') return quoted(value)
  if (Array.isArray(value)) return `[${value.map(written).join(', ')}]`
  if (typeof value !== 'object') return String(value)
  const pairs = Object.entries(value).map(([name, each]) => `${key(name)} = ${written(each)}`)
  return `{ ${pairs.join(', ')} }`
}

/** Leaves out what says nothing: what is absent, empty or not switched on. */
function telling(raw: Raw): Value | undefined {
  if (raw === null || raw === undefined || raw === false) return undefined
  if (Array.isArray(raw)) {
    const all = raw.map(telling).filter((each) => each !== undefined)
    return all.length === 0 ? undefined : all
  }
  if (typeof raw !== 'object') return raw
  const pairs = Object.entries(raw)
    .map(([name, each]) => [name, telling(each)] as const)
    .filter((pair): pair is [string, Value] => pair[1] !== undefined)
  return pairs.length === 0 ? undefined : Object.fromEntries(pairs)
}

/** Names of our own are written with underscores; those of the app's variables stay as they are. */
function renamed(raw: Raw): { [key: string]: Raw } {
  return Object.fromEntries(
    Object.entries((raw ?? {}) as { [key: string]: Raw }).map(([name, value]) => [
      snake(name),
      name === 'references' ? renamed(value) : value,
    ]),
  )
}

function table(head: string, raw: Raw): string[] {
  const values = telling(renamed(raw))
  if (values === undefined) return []
  const lines = Object.entries(values).map(([name, value]) => `${name} = ${written(value)}`)
  return [`${head}\n${lines.join('\n')}`]
}

export function tomlOf(name: string, definition: AppDefinition): string {
  const { files, migrations, commands, hooks, fence, drill, upgrade, ...basics } = definition
  const app = `app.${key(name || 'NAME')}`
  return [
    ...table(`[${app}]`, basics),
    ...(files ?? []).flatMap((tree) => table(`[[${app}.files]]`, tree)),
    ...table(`[${app}.migrations]`, migrations),
    ...table(`[${app}.commands]`, commands),
    ...(hooks ?? []).flatMap((hook) => table(`[[${app}.hooks]]`, hook)),
    ...table(`[${app}.fence]`, fence),
    ...table(`[${app}.drill]`, drill),
    ...table(`[${app}.upgrade]`, upgrade),
  ].join('\n\n')
}

/** Whether a secret is hidden in it, which a file must not hold as it is shown. */
export function hidesSecrets(toml: string): boolean {
  return toml.includes('***')
}
