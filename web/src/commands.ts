/** What the command line says for what a page does. */

import type { RestoreBody } from './api/types.ts'
import { shortId } from './format/amounts.ts'

/** Quotes a word for a shell where it needs that. */
export function word(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

function line(...words: (string | false | undefined | null)[]): string {
  return ['pgkeep', ...words.filter((each) => typeof each === 'string' && each !== '')].join(' ')
}

export const commands = {
  backUp: (app: string, description?: string) =>
    line('backup', '--app', word(app), description ? `--description ${word(description)}` : undefined),
  verify: (id: string) => line('verify', shortId(id)),
  forget: (id: string) => line('forget', shortId(id)),
  show: (id: string) => line('show', shortId(id)),
  diff: (from: string, to: string) => line('diff', shortId(from), shortId(to)),
  schemaDiff: (from: string, to: string) => line('schema', 'diff', shortId(from), shortId(to)),
  download: (id: string) => line('export', shortId(id)),
  drill: (app: string) => line('drill', '--app', word(app)),
  runPolicy: (name: string) => line('policy', 'run', word(name)),
  nextRuns: (name: string) => line('policy', 'next', word(name)),
  undo: (database: string) => line('undo', word(database)),
  apply: () => line('apply', 'pgkeep.toml'),
  doctor: (app: string) => line('doctor', '--app', word(app)),
  restore: (id: string, body: Pick<RestoreBody, 'mode' | 'name' | 'tables' | 'schemas'>) =>
    line(
      'restore',
      shortId(id),
      body.mode === 'into' && `--into ${word(body.name)}`,
      body.mode === 'replace' && '--replace',
      body.mode === 'in_place' && '--in-place',
      ...(body.tables ?? []).map((table) => `--table ${word(table)}`),
      ...(body.schemas ?? []).map((schema) => `--schema ${word(schema)}`),
    ),
}
