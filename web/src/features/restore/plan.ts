import { queryOptions } from '@tanstack/react-query'
import { api, call } from '../../api/client.ts'
import type { BackupDetail, Plan } from '../../api/types.ts'
import { bodyOf, type Choice } from './choice.ts'

/** Asks the server what the chosen restore would do. It changes nothing. */
export function planQuery(backup: Pick<BackupDetail, 'id' | 'repository'>, choice: Choice) {
  const body = bodyOf(choice)
  return queryOptions({
    queryKey: ['plan', backup.id, backup.repository, body],
    queryFn: () =>
      call(
        api.POST('/api/v1/backups/{id}/restore/plan', {
          params: { path: { id: backup.id }, query: { repository: backup.repository } },
          body,
        }),
      ),
    retry: false,
    staleTime: 30_000,
    refetchInterval: false as const,
  })
}

/** What a plan knows of both sides. */
export interface Sides {
  sourceVersion?: string
  targetVersion?: string
  targetServer?: string
  tables?: number
  rows?: number
  bytes?: number
  existingBytes?: number
  sessions: string[]
  missingExtensions: string[]
  missingRoles: string[]
  missingTablespaces: string[]
}

type Document = Record<string, unknown>

const document = (value: unknown): Document =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Document) : {}
const sentences = (value: unknown): string[] =>
  Array.isArray(value) ? value.map((each) => (typeof each === 'string' ? each : JSON.stringify(each))) : []

/** How the backup's schema version stands to the database and to the code. */
export interface Versions {
  words: string[]
  /** Migrations that the code would run on the restored database. */
  forward: string[]
}

export function versionsOf(plan: Pick<Plan, 'summary'>): Versions | undefined {
  const read = document(plan.summary).migrations
  if (typeof read !== 'object' || read === null) return undefined
  return { words: sentences(document(read).words), forward: sentences(document(read).forward) }
}

/** What would happen to a folder of files. */
export interface PlannedTree {
  name: string
  to: string
  replaces: boolean
  files: number
  bytes: number
  freeBytes: number
}

export function treesOf(plan: Plan): PlannedTree[] {
  return plan.files?.trees ?? []
}

export function sidesOf(plan: Pick<Plan, 'summary'>): Sides {
  const read = document(document(plan.summary).database)
  const text = (key: string) => (typeof read[key] === 'string' ? (read[key] as string) : undefined)
  const number = (key: string) => (typeof read[key] === 'number' ? (read[key] as number) : undefined)
  const words = (key: string) => sentences(read[key])
  return {
    sourceVersion: text('source_version'),
    targetVersion: text('target_version'),
    targetServer: text('target_server'),
    tables: number('tables'),
    rows: number('rows'),
    bytes: number('bytes'),
    existingBytes: number('existing_bytes'),
    sessions: words('sessions'),
    missingExtensions: words('missing_extensions'),
    missingRoles: words('missing_roles'),
    missingTablespaces: words('missing_tablespaces'),
  }
}
