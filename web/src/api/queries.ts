import { infiniteQueryOptions, keepPreviousData, queryOptions } from '@tanstack/react-query'
import { api, call } from './client.ts'
import type { operations } from './schema.d.ts'

type QueryOf<Operation extends keyof operations> = NonNullable<operations[Operation]['parameters']['query']>

export type BackupFilter = Omit<QueryOf<'backups_list'>, 'cursor' | 'limit' | 'format'>
export type JobFilter = Omit<QueryOf<'jobs_list'>, 'cursor' | 'limit'>
export type AuditFilter = Omit<QueryOf<'audit_list'>, 'cursor' | 'limit'>

const PAGE = 50
const cursorOf = (page: { nextCursor?: string }) => page.nextCursor
const none = undefined as string | undefined

/** The server state that pages show. The first word of a key is the topic whose changes make it old. */
export const queries = {
  session: () =>
    queryOptions({
      queryKey: ['session'],
      queryFn: () => call(api.GET('/api/v1/session')),
      staleTime: Number.POSITIVE_INFINITY,
      retry: false,
    }),
  loginOptions: () =>
    queryOptions({
      queryKey: ['login-options'],
      queryFn: () => call(api.GET('/api/v1/session/options')),
      staleTime: 60_000,
    }),
  sessions: () => queryOptions({ queryKey: ['sessions'], queryFn: () => call(api.GET('/api/v1/sessions')) }),
  status: () => queryOptions({ queryKey: ['status'], queryFn: () => call(api.GET('/api/v1/status')) }),

  backups: (filter: BackupFilter) =>
    infiniteQueryOptions({
      queryKey: ['backup', 'list', filter],
      queryFn: ({ pageParam }) =>
        call(
          api.GET('/api/v1/backups', { params: { query: { ...filter, limit: PAGE, cursor: pageParam } } }),
        ),
      initialPageParam: none,
      getNextPageParam: (page) => (typeof page === 'string' ? undefined : cursorOf(page)),
      placeholderData: keepPreviousData,
    }),
  recentBackups: (app: string | undefined, since: string) =>
    queryOptions({
      queryKey: ['backup', 'recent', app, since],
      queryFn: async () => {
        const page = await call(api.GET('/api/v1/backups', { params: { query: { app, since, limit: 500 } } }))
        return typeof page === 'string' ? [] : page.items
      },
    }),
  newestBackups: (app: string) =>
    queryOptions({
      queryKey: ['backup', 'newest', app],
      queryFn: async () => {
        const page = await call(api.GET('/api/v1/backups', { params: { query: { app, limit: 500 } } }))
        return typeof page === 'string' ? [] : page.items
      },
    }),
  backup: (id: string, repository?: string) =>
    queryOptions({
      queryKey: ['backup', 'one', id, repository],
      queryFn: () =>
        call(api.GET('/api/v1/backups/{id}', { params: { path: { id }, query: { repository } } })),
    }),
  backupTables: (id: string, repository: string | undefined, text: string) =>
    infiniteQueryOptions({
      queryKey: ['backup', 'tables', id, repository, text],
      queryFn: ({ pageParam }) =>
        call(
          api.GET('/api/v1/backups/{id}/tables', {
            params: {
              path: { id },
              query: {
                repository,
                text: text || undefined,
                limit: 200,
                cursor: pageParam === undefined ? undefined : Number(pageParam),
              },
            },
          }),
        ),
      initialPageParam: none,
      getNextPageParam: cursorOf,
      placeholderData: keepPreviousData,
    }),
  backupManifest: (id: string, repository?: string) =>
    queryOptions({
      queryKey: ['backup', 'manifest', id, repository],
      queryFn: () =>
        call(api.GET('/api/v1/backups/{id}/manifest', { params: { path: { id }, query: { repository } } })),
      staleTime: Number.POSITIVE_INFINITY,
    }),
  deletePlan: (id: string, repository?: string) =>
    queryOptions({
      queryKey: ['backup', 'delete-plan', id, repository],
      queryFn: () =>
        call(
          api.DELETE('/api/v1/backups/{id}', {
            params: { path: { id }, query: { repository, dryRun: true } },
          }),
        ),
    }),
  compare: (from: string, to: string) =>
    queryOptions({
      queryKey: ['backup', 'compare', from, to],
      queryFn: () => call(api.GET('/api/v1/backups/compare', { params: { query: { from, to } } })),
      staleTime: Number.POSITIVE_INFINITY,
    }),
  schemaDiff: (from: string, to: string) =>
    queryOptions({
      queryKey: ['backup', 'schema-diff', from, to],
      queryFn: () =>
        call(
          api.GET('/api/v1/backups/{id}/schema-diff/{other}', { params: { path: { id: from, other: to } } }),
        ),
      staleTime: Number.POSITIVE_INFINITY,
      retry: false,
    }),

  jobs: (filter: JobFilter) =>
    infiniteQueryOptions({
      queryKey: ['job', 'list', filter],
      queryFn: ({ pageParam }) =>
        call(api.GET('/api/v1/jobs', { params: { query: { ...filter, limit: PAGE, cursor: pageParam } } })),
      initialPageParam: none,
      getNextPageParam: cursorOf,
      placeholderData: keepPreviousData,
    }),
  recentJobs: (filter: JobFilter, limit = 100) =>
    queryOptions({
      queryKey: ['job', 'recent', filter, limit],
      queryFn: async () =>
        (await call(api.GET('/api/v1/jobs', { params: { query: { ...filter, limit } } }))).items,
    }),
  job: (id: string) =>
    queryOptions({
      queryKey: ['job', 'one', id],
      queryFn: () => call(api.GET('/api/v1/jobs/{id}', { params: { path: { id } } })),
    }),
  restores: () =>
    infiniteQueryOptions({
      queryKey: ['job', 'restores'],
      queryFn: ({ pageParam }) =>
        call(api.GET('/api/v1/restores', { params: { query: { limit: PAGE, cursor: pageParam } } })),
      initialPageParam: none,
      getNextPageParam: cursorOf,
    }),
  drills: (app?: string) =>
    infiniteQueryOptions({
      queryKey: ['job', 'drills', app],
      queryFn: ({ pageParam }) =>
        call(api.GET('/api/v1/drills', { params: { query: { app, limit: PAGE, cursor: pageParam } } })),
      initialPageParam: none,
      getNextPageParam: cursorOf,
    }),
  kept: (app: string) =>
    queryOptions({
      queryKey: ['job', 'kept', app],
      queryFn: async () =>
        (await call(api.GET('/api/v1/restores/kept', { params: { query: { app } } }))).items,
      retry: false,
    }),
  undoFilesPlan: (app: string, tree: string) =>
    queryOptions({
      queryKey: ['job', 'undo-files', app, tree],
      queryFn: async () => {
        const plan = await call(
          api.POST('/api/v1/restores/files/undo', { body: { app, tree, dryRun: true } }),
        )
        if ('jobId' in plan) throw new Error('a plan was asked for, and a job was made')
        return plan
      },
      retry: false,
    }),
  queue: () => queryOptions({ queryKey: ['queue'], queryFn: () => call(api.GET('/api/v1/queue')) }),
  workers: () =>
    queryOptions({
      queryKey: ['node'],
      queryFn: async () => (await call(api.GET('/api/v1/workers'))).items,
    }),

  policies: () =>
    queryOptions({
      queryKey: ['policy', 'list'],
      queryFn: async () => (await call(api.GET('/api/v1/policies'))).items,
    }),
  policy: (name: string) =>
    queryOptions({
      queryKey: ['policy', 'one', name],
      queryFn: () => call(api.GET('/api/v1/policies/{name}', { params: { path: { name } } })),
    }),
  cleanupPlan: (name: string) =>
    queryOptions({
      queryKey: ['policy', 'cleanup', name],
      queryFn: async () =>
        (await call(api.GET('/api/v1/policies/{name}/cleanup', { params: { path: { name } } }))).items,
      retry: false,
    }),
  calendar: (days: number) =>
    queryOptions({
      queryKey: ['policy', 'calendar', days],
      queryFn: async () => (await call(api.GET('/api/v1/calendar', { params: { query: { days } } }))).items,
    }),

  apps: () =>
    queryOptions({
      queryKey: ['app', 'list'],
      queryFn: async () => (await call(api.GET('/api/v1/apps'))).items,
    }),
  app: (name: string) =>
    queryOptions({
      queryKey: ['app', 'one', name],
      queryFn: () => call(api.GET('/api/v1/apps/{name}', { params: { path: { name } } })),
    }),
  repositories: () =>
    queryOptions({
      queryKey: ['repository', 'list'],
      queryFn: async () => (await call(api.GET('/api/v1/repositories'))).items,
    }),
  repository: (name: string) =>
    queryOptions({
      queryKey: ['repository', 'one', name],
      queryFn: () => call(api.GET('/api/v1/repositories/{name}', { params: { path: { name } } })),
    }),
  targets: () =>
    queryOptions({
      queryKey: ['notification_target', 'list'],
      queryFn: async () => (await call(api.GET('/api/v1/notifications/targets'))).items,
    }),

  users: () =>
    queryOptions({ queryKey: ['user'], queryFn: async () => (await call(api.GET('/api/v1/users'))).items }),
  tokens: () =>
    queryOptions({
      queryKey: ['token'],
      queryFn: async () =>
        (await call(api.GET('/api/v1/tokens', { params: { query: { all: true } } }))).items,
    }),
  audit: (filter: AuditFilter) =>
    infiniteQueryOptions({
      queryKey: ['audit', filter],
      queryFn: ({ pageParam }) =>
        call(api.GET('/api/v1/audit', { params: { query: { ...filter, limit: 100, cursor: pageParam } } })),
      initialPageParam: none,
      getNextPageParam: cursorOf,
      placeholderData: keepPreviousData,
    }),
  settings: () => queryOptions({ queryKey: ['setting'], queryFn: () => call(api.GET('/api/v1/settings')) }),
}
