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

export function sidesOf(plan: Pick<Plan, 'summary'>): Sides {
  const summary = plan.summary as Document
  const read = (
    typeof summary.database === 'object' && summary.database !== null ? summary.database : {}
  ) as Document
  const text = (key: string) => (typeof read[key] === 'string' ? (read[key] as string) : undefined)
  const number = (key: string) => (typeof read[key] === 'number' ? (read[key] as number) : undefined)
  const words = (key: string) =>
    Array.isArray(read[key])
      ? (read[key] as unknown[]).map((each) => (typeof each === 'string' ? each : JSON.stringify(each)))
      : []
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
