import { Button, Select, Stack, Text } from '@mantine/core'
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { api, call } from '../../api/client.ts'
import { queries } from '../../api/queries.ts'
import type { Job } from '../../api/types.ts'
import { between, duration } from '../../format/time.ts'
import { paths } from '../../paths.ts'
import type { JobsSearch } from '../../search.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Empty, Moment, More } from '../../ui/bits.tsx'
import { type Column, DataTable } from '../../ui/data-table.tsx'
import { TextLink } from '../../ui/links.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Callout, Mark } from '../../ui/mark.tsx'
import { Page } from '../../ui/page.tsx'
import { ProblemPanel } from '../../ui/problem-panel.tsx'
import classes from '../../ui/ui.module.css'
import { useMay } from '../session/session.ts'
import { jobKind, jobState, phaseName } from '../states.ts'
import { percentOf } from './progress.ts'

const route = getRouteApi('/inside/jobs')
const STATES = ['queued', 'running', 'succeeded', 'failed', 'cancelled', 'skipped'] as const

export function JobsPage() {
  const t = useTexts()
  const search = route.useSearch()
  const query = useInfiniteQuery(queries.jobs(search))
  const rows = (query.data?.pages ?? []).flatMap((page) => page.items)
  return (
    <Page title={t.jobs.title} about={t.jobs.about} actions={<QueueSwitch />}>
      <QueueState />
      <Filters search={search} />
      <Loaded query={query}>
        {() =>
          rows.length === 0 ? (
            <Empty title={t.jobs.none} hint={t.jobs.noneHint} />
          ) : (
            <DataTable label={t.jobs.title} columns={jobColumns(t)} rows={rows} rowKey={(row) => row.id} />
          )
        }
      </Loaded>
      <More query={query} />
    </Page>
  )
}

export function jobColumns(t: ReturnType<typeof useTexts>): Column<Job>[] {
  return [
    {
      key: 'created',
      title: t.jobs.queuedAt,
      cell: (row) => (
        <TextLink to={paths.job} params={{ id: row.id }} size="sm">
          <Moment at={row.createdAt} absolute />
        </TextLink>
      ),
    },
    {
      key: 'state',
      title: t.common.state,
      cell: (row) => (
        <Stack gap={0} align="flex-start">
          <Mark state={jobState(row, t)} pill />
          {row.state === 'running' && row.phase && (
            <Text size="xs" c="dimmed">
              {phaseName(row.phase, t)} {percentOf(row) === undefined ? '' : `${percentOf(row)} %`}
            </Text>
          )}
        </Stack>
      ),
    },
    { key: 'kind', title: t.jobs.kind, cell: (row) => jobKind(row.kind, t) },
    { key: 'app', title: t.common.app, cell: (row) => row.app || '–' },
    {
      key: 'trigger',
      title: t.jobs.startedBy,
      cell: (row) => (row.policy ? t.backups.byPolicy(row.policy) : `${row.createdBy}`),
    },
    {
      key: 'took',
      title: t.jobs.took,
      number: true,
      cell: (row) => duration(between(row.startedAt, row.finishedAt)),
    },
    {
      key: 'why',
      title: t.jobs.outcome,
      cell: (row) => (
        <Text size="sm" lineClamp={2} maw={320}>
          {row.error?.message ?? ''}
        </Text>
      ),
    },
  ]
}

function Filters({ search }: { search: JobsSearch }) {
  const t = useTexts()
  const navigate = route.useNavigate()
  const apps = useQuery(queries.apps())
  const set = (change: JobsSearch) =>
    void navigate({ search: (before) => ({ ...before, ...change }), replace: true })
  const clear = { clearable: true, clearButtonProps: { 'aria-label': t.common.clear } }
  return (
    <div className={classes.filters} role="search" aria-label={t.common.filters}>
      <Select
        label={t.common.state}
        placeholder={t.common.all}
        data={STATES.map((value) => ({ value, label: t.jobStates[value] }))}
        value={search.state ?? null}
        onChange={(state) => set({ state: state ?? undefined })}
        w={170}
        {...clear}
      />
      <Select
        label={t.jobs.kind}
        placeholder={t.common.all}
        data={Object.entries(t.jobKinds).map(([value, label]) => ({ value, label }))}
        value={search.kind ?? null}
        onChange={(kind) => set({ kind: kind ?? undefined })}
        w={190}
        {...clear}
      />
      <Select
        label={t.common.app}
        placeholder={t.common.all}
        data={(apps.data ?? []).map((app) => app.name)}
        value={search.app ?? null}
        onChange={(app) => set({ app: app ?? undefined })}
        w={170}
        {...clear}
      />
    </div>
  )
}

function QueueState() {
  const t = useTexts()
  const { data } = useQuery(queries.queue())
  if (!data) return null
  return (
    <Stack gap="sm">
      <Text size="sm" c="dimmed">
        {t.queue.sentence(data.running, data.ready, data.later, data.held, data.workers)}
      </Text>
      {data.workers === 0 && (
        <Callout tone="bad" role="alert">
          <Text size="sm">{t.overview.noWorkerHint}</Text>
        </Callout>
      )}
      {data.waitingForApproval > 0 && (
        <Callout tone="warn">
          <Text size="sm">{t.queue.waiting(data.waitingForApproval)}</Text>
        </Callout>
      )}
      {data.paused && (
        <Callout tone="warn">
          <Text size="sm">
            {t.queue.pausedHint} {data.pausedBy && t.queue.pausedBy(data.pausedBy)}
          </Text>
        </Callout>
      )}
    </Stack>
  )
}

function QueueSwitch() {
  const t = useTexts()
  const may = useMay()
  const { data } = useQuery(queries.queue())
  const pause = useAction(() => call(api.POST('/api/v1/queue/pause')), ['queue', 'status'])
  const resume = useAction(() => call(api.POST('/api/v1/queue/resume')), ['queue', 'status'])
  if (!data || !may('manage_jobs')) return null
  const action = data.paused ? resume : pause
  return (
    <>
      <Button variant="default" loading={action.isPending} onClick={() => action.mutate(undefined)}>
        {data.paused ? t.queue.resume : t.queue.pause}
      </Button>
      <ProblemPanel error={action.error} />
    </>
  )
}
