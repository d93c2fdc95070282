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
  acceptLoss: (id: string, repository: string) =>
    line('tag', shortId(id), '--add', 'accepted', '--repo', word(repository)),
  show: (id: string) => line('show', shortId(id)),
  diff: (from: string, to: string) => line('diff', shortId(from), shortId(to)),
  schemaDiff: (from: string, to: string) => line('schema', 'diff', shortId(from), shortId(to)),
  download: (id: string) => line('export', shortId(id)),
  drill: (app: string) => line('drill', '--app', word(app)),
  runPolicy: (name: string) => line('policy', 'run', word(name)),
  nextRuns: (name: string) => line('policy', 'next', word(name)),
  undo: (database: string) => line('undo', word(database)),
  dropExpired: (app: string) => line('undo', '--app', word(app), '--drop-expired'),
  undoFiles: (folder: string) => line('undo', '--files', word(folder)),
  apply: () => line('apply', 'pgkeep.toml'),
  recoveryKit: (name: string) => line('key', 'kit', '--repo', word(name), '--output', 'kit.txt'),
  doctor: (app: string) => line('doctor', '--app', word(app)),
  restore: (id: string, body: RestoreBody, several = false) =>
    line(
      'restore',
      shortId(id),
      body.files !== 'only' && body.mode === 'into' && `--into ${word(body.name ?? '')}`,
      body.files !== 'only' && body.mode === 'replace' && '--replace',
      body.files !== 'only' && body.mode === 'in_place' && '--in-place',
      several && body.database && `--database ${word(body.database)}`,
      ...(body.tables ?? []).map((table) => `--table ${word(table)}`),
      ...(body.schemas ?? []).map((schema) => `--schema ${word(schema)}`),
      body.files === 'only' && '--files-only',
      body.files === 'with' && '--with-files',
      ...(body.trees ?? []).map((tree) => `--files ${word(tree)}`),
      ...(body.fileGlobs ?? []).map((glob) => `--file ${word(glob)}`),
      body.filesInto && `--files-into ${word(body.filesInto)}`,
      body.migrate && '--migrate',
      body.check && '--check',
      body.readOnly && '--read-only',
      body.prove !== undefined && body.prove !== 'full' && `--prove ${body.prove}`,
      body.skipSafetyBackup && '--no-safety-backup',
      body.noOwner && '--no-owner',
      body.keepOldSecs != null && body.keepOldSecs !== 86_400 && `--keep-old ${body.keepOldSecs / 3600}h`,
    ),
}
