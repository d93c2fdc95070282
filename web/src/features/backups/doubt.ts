/** Backups that hold far less than the one before: which of them wait for somebody's word. */
import type { Backup } from '../../api/types.ts'

/** The word on a backup by which a person says that it may be as small as it is. */
export const ACCEPTED = 'accepted'

type Row = Pick<Backup, 'repository' | 'time' | 'databases' | 'files' | 'shrunk'>

/**
 * The doubts about an app that nothing has settled, newest first. Those that end when a newer one of the same repository is
 * accepted, because it is about the same databases and folders, are not among them.
 */
export function standingDoubts<T extends Row>(backups: T[]): T[] {
  const newestFirst = [...backups].sort((a, b) => b.time.localeCompare(a.time))
  const settled = new Map<string, Set<string>>()
  return newestFirst.filter((backup) => {
    const held = settled.get(backup.repository) ?? new Set()
    settled.set(backup.repository, held)
    const about = [
      ...backup.databases.map((name) => `db ${name}`),
      ...backup.files.map((name) => `files ${name}`),
    ]
    const stands = Boolean(backup.shrunk) && about.some((name) => !held.has(name))
    for (const name of about) held.add(name)
    return stands
  })
}
