import { Button, Code, Select, Stack, Text, TextInput } from '@mantine/core'
import { useDebouncedCallback } from '@mantine/hooks'
import { useInfiniteQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { useState } from 'react'
import { api, call } from '../../api/client.ts'
import { type AuditFilter, queries } from '../../api/queries.ts'
import type { AuditEntry } from '../../api/types.ts'
import { count } from '../../format/amounts.ts'
import { useLocale, useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Empty, Moment, More } from '../../ui/bits.tsx'
import { type Column, DataTable } from '../../ui/data-table.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Mark, type State } from '../../ui/mark.tsx'
import { Page } from '../../ui/page.tsx'
import { ProblemPanel } from '../../ui/problem-panel.tsx'
import classes from '../../ui/ui.module.css'

const route = getRouteApi('/inside/audit')
const RESULTS = ['done', 'refused', 'failed'] as const

export function AuditPage() {
  const t = useTexts()
  const search = route.useSearch()
  const query = useInfiniteQuery(queries.audit(search as AuditFilter))
  const rows = (query.data?.pages ?? []).flatMap((page) => page.items)
  return (
    <Page title={t.nav.audit} about={t.audit.about} actions={<Verify />}>
      <Filters />
      <Loaded query={query}>
        {() =>
          rows.length === 0 ? (
            <Empty title={t.audit.none} />
          ) : (
            <DataTable
              label={t.nav.audit}
              columns={columns(t)}
              rows={rows}
              rowKey={(row) => String(row.seq)}
            />
          )
        }
      </Loaded>
      <More query={query} />
    </Page>
  )
}

function outcome(result: AuditEntry['result'], t: ReturnType<typeof useTexts>): State {
  const words = t.audit.results[result]
  if (result === 'done') return { tone: 'good', icon: 'check', words }
  return result === 'refused'
    ? { tone: 'warn', icon: 'warning', words }
    : { tone: 'bad', icon: 'cross', words }
}

function columns(t: ReturnType<typeof useTexts>): Column<AuditEntry>[] {
  return [
    { key: 'at', title: t.audit.at, cell: (row) => <Moment at={row.at} absolute /> },
    {
      key: 'actor',
      title: t.audit.actor,
      cell: (row) => (
        <Stack gap={0}>
          <span>{row.actor}</span>
          {row.from && (
            <Text size="xs" c="dimmed">
              {row.from}
            </Text>
          )}
        </Stack>
      ),
    },
    { key: 'action', title: t.audit.action, cell: (row) => row.action },
    {
      key: 'object',
      title: t.audit.object,
      cell: (row) => (
        <Text size="sm" maw={260} style={{ overflowWrap: 'anywhere' }}>
          {row.object}
        </Text>
      ),
    },
    { key: 'result', title: t.audit.result, cell: (row) => <Mark state={outcome(row.result, t)} pill /> },
    {
      key: 'reason',
      title: t.audit.reason,
      cell: (row) => (
        <Stack gap={2}>
          {row.reason && <Text size="sm">{row.reason}</Text>}
          {(row.before !== undefined || row.after !== undefined) && (
            <details>
              <summary>{t.audit.details}</summary>
              <Code block tabIndex={0} style={{ maxWidth: '24rem' }}>
                {JSON.stringify({ before: row.before, after: row.after }, null, 2)}
              </Code>
            </details>
          )}
        </Stack>
      ),
    },
  ]
}

function Filters() {
  const t = useTexts()
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const [actor, setActor] = useState(search.actor ?? '')
  const [action, setAction] = useState(search.action ?? '')
  const set = (change: Partial<typeof search>) =>
    void navigate({ search: (before) => ({ ...before, ...change }), replace: true })
  const later = useDebouncedCallback(set, 300)
  return (
    <div className={classes.filters} role="search" aria-label={t.common.filters}>
      <TextInput
        label={t.audit.actor}
        type="search"
        value={actor}
        onChange={(event) => {
          setActor(event.currentTarget.value)
          later({ actor: event.currentTarget.value || undefined })
        }}
      />
      <TextInput
        label={t.audit.action}
        type="search"
        value={action}
        onChange={(event) => {
          setAction(event.currentTarget.value)
          later({ action: event.currentTarget.value || undefined })
        }}
      />
      <Select
        label={t.audit.result}
        placeholder={t.common.all}
        data={RESULTS.map((value) => ({ value, label: t.audit.results[value] }))}
        value={search.result ?? null}
        onChange={(result) => set({ result: result ?? undefined })}
        clearable
        clearButtonProps={{ 'aria-label': t.common.clear }}
      />
    </div>
  )
}

/** Reads the whole chain. */
function Verify() {
  const t = useTexts()
  const locale = useLocale()
  const verify = useAction(() => call(api.GET('/api/v1/audit/verify')), [])
  return (
    <Stack gap="xs" align="flex-end">
      <Button variant="default" loading={verify.isPending} onClick={() => verify.mutate(undefined)}>
        {t.audit.verify}
      </Button>
      <div role="status">
        {verify.data &&
          (verify.data.intact ? (
            <Mark
              state={{
                tone: 'good',
                icon: 'shield',
                words: t.audit.intact(count(verify.data.entries, locale)),
              }}
            />
          ) : (
            <Mark
              state={{
                tone: 'bad',
                icon: 'cross',
                words: t.audit.broken(String(verify.data.brokenAt ?? '?'), verify.data.reason ?? ''),
              }}
            />
          ))}
      </div>
      <ProblemPanel error={verify.error} />
    </Stack>
  )
}
