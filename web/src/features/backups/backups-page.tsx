import { Button, Checkbox, Group, Select, Stack, Text, TextInput, Tooltip } from '@mantine/core'
import { useDebouncedCallback } from '@mantine/hooks'
import { IconDownload, IconPinned, IconUpload } from '@tabler/icons-react'
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { useState } from 'react'
import { type BackupFilter, queries } from '../../api/queries.ts'
import type { Backup } from '../../api/types.ts'
import { bytes, shortId } from '../../format/amounts.ts'
import { duration } from '../../format/time.ts'
import { paths } from '../../paths.ts'
import type { BackupsSearch } from '../../search.ts'
import { useTexts } from '../../texts/index.ts'
import { Empty, Moment, More } from '../../ui/bits.tsx'
import { type Column, DataTable } from '../../ui/data-table.tsx'
import { LinkButton, TextLink } from '../../ui/links.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Mark } from '../../ui/mark.tsx'
import { Page } from '../../ui/page.tsx'
import classes from '../../ui/ui.module.css'
import { useMay } from '../session/session.ts'
import { backupKind, backupState } from '../states.ts'
import { Bulk } from './bulk.tsx'
import { CreateBackupButton } from './create-backup.tsx'

const route = getRouteApi('/inside/backups')
export const BACKUP_STATES = ['proven', 'checked', 'stored', 'drill_failed', 'damaged'] as const

export function BackupsPage() {
  const t = useTexts()
  const may = useMay()
  const search = route.useSearch()
  const filter = search as BackupFilter
  const query = useInfiniteQuery(queries.backups(filter))
  const rows = (query.data?.pages ?? []).flatMap((page) => (typeof page === 'string' ? [] : page.items))
  const filtered = Object.entries(search).some(
    ([key, value]) => value && key !== 'sort' && key !== 'ascending',
  )
  return (
    <Page
      title={t.backups.title}
      about={t.backups.about}
      actions={
        <>
          {may('upload') && (
            <LinkButton
              to={paths.upload}
              variant="default"
              leftSection={<IconUpload size={16} aria-hidden />}
            >
              {t.upload.title}
            </LinkButton>
          )}
          {may('operate') && <CreateBackupButton app={search.app} />}
        </>
      }
    >
      <Filters search={search} csv={csvAddress(search)} />
      <Loaded query={query}>
        {() =>
          rows.length === 0 ? (
            <Empty
              title={filtered ? t.backups.noMatch : t.backups.none}
              hint={filtered ? undefined : t.backups.noneHint}
              action={!filtered && may('operate') ? <CreateBackupButton /> : undefined}
            />
          ) : (
            <List rows={rows} search={search} />
          )
        }
      </Loaded>
      <More query={query} />
    </Page>
  )
}

function List({ rows, search }: { rows: Backup[]; search: BackupsSearch }) {
  const t = useTexts()
  const navigate = route.useNavigate()
  const [selected, setSelected] = useState<Set<string>>(new Set())
  const toggle = (key: string) =>
    setSelected((before) => {
      const after = new Set(before)
      if (!after.delete(key)) after.add(key)
      return after
    })
  const sort = {
    by: search.sort ?? 'time',
    ascending: search.ascending ?? false,
    choose(by: string) {
      const same = (search.sort ?? 'time') === by
      const ascending: true | undefined = same && !search.ascending ? true : undefined
      void navigate({ search: (before) => ({ ...before, sort: by, ascending }), replace: true })
    },
  }
  return (
    <Stack gap="sm">
      <Bulk backups={rows.filter((row) => selected.has(keyOf(row)))} clear={() => setSelected(new Set())} />
      <DataTable
        label={t.backups.title}
        columns={columns(t)}
        rows={rows}
        rowKey={keyOf}
        sort={sort}
        selection={{ selected, toggle, name: (row) => t.backups.selectOne(shortId(row.id)) }}
      />
    </Stack>
  )
}

const keyOf = (row: Backup) => `${row.repository} ${row.id}`

function columns(t: ReturnType<typeof useTexts>): Column<Backup>[] {
  return [
    {
      key: 'time',
      title: t.backups.taken,
      sort: 'time',
      cell: (row) => (
        <Stack gap={0}>
          <TextLink
            to={paths.backup}
            params={{ id: row.id }}
            search={{ repository: row.repository }}
            size="sm"
          >
            <Moment at={row.time} absolute />
          </TextLink>
          <Text size="xs" c="dimmed" ff="monospace">
            {shortId(row.id)}{' '}
            <Text span size="xs" ff="text">
              {t.backups.inRepository(row.repository)}
            </Text>
          </Text>
        </Stack>
      ),
    },
    { key: 'state', title: t.common.state, cell: (row) => <Mark state={backupState(row, t)} pill /> },
    {
      key: 'app',
      title: t.common.app,
      cell: (row) => (
        <Group gap={4} wrap="nowrap">
          {row.app}
          {row.pinned && (
            <Tooltip label={t.backups.pinned}>
              <IconPinned size={15} aria-label={t.backups.pinned} role="img" />
            </Tooltip>
          )}
        </Group>
      ),
    },
    { key: 'kind', title: t.backups.kind, cell: (row) => backupKind(row.kind, t) },
    { key: 'bytes', title: t.backups.size, number: true, sort: 'bytes', cell: (row) => bytes(row.bytes) },
    { key: 'added', title: t.backups.added, number: true, cell: (row) => bytes(row.bytesAdded) },
    {
      key: 'seconds',
      title: t.backups.took,
      number: true,
      sort: 'seconds',
      cell: (row) => duration(row.seconds),
    },
    {
      key: 'why',
      title: t.backups.origin,
      cell: (row) => (
        <Text size="sm" lineClamp={2} maw={260}>
          {row.description || (row.policy ? t.backups.byPolicy(row.policy) : '–')}
        </Text>
      ),
    },
  ]
}

function csvAddress(search: BackupsSearch): string {
  const query = new URLSearchParams({ format: 'csv' })
  for (const [key, value] of Object.entries(search)) if (value !== undefined) query.set(key, String(value))
  return `/api/v1/backups?${query}`
}

function Filters({ search, csv }: { search: BackupsSearch; csv: string }) {
  const t = useTexts()
  const navigate = route.useNavigate()
  const apps = useQuery(queries.apps())
  const policies = useQuery(queries.policies())
  const [text, setText] = useState(search.text ?? '')
  const set = (change: Partial<BackupsSearch>) =>
    void navigate({ search: (before) => ({ ...before, ...change }), replace: true })
  const setTextLater = useDebouncedCallback((value: string) => set({ text: value || undefined }), 300)
  return (
    <div className={classes.filters} role="search" aria-label={t.common.filters}>
      <TextInput
        label={t.common.search}
        placeholder={t.backups.searchHint}
        type="search"
        value={text}
        onChange={(event) => {
          setText(event.currentTarget.value)
          setTextLater(event.currentTarget.value)
        }}
        w={200}
      />
      <Select
        label={t.common.app}
        placeholder={t.common.all}
        data={(apps.data ?? []).map((app) => app.name)}
        value={search.app ?? null}
        onChange={(app) => set({ app: app ?? undefined })}
        clearable
        clearButtonProps={{ 'aria-label': t.common.clear }}
        w={140}
      />
      <Select
        label={t.common.state}
        placeholder={t.common.all}
        data={BACKUP_STATES.map((value) => ({ value, label: t.backupStates[value] }))}
        value={search.state ?? null}
        onChange={(state) => set({ state: state ?? undefined })}
        clearable
        clearButtonProps={{ 'aria-label': t.common.clear }}
        w={155}
      />
      <Select
        label={t.common.policy}
        placeholder={t.common.all}
        data={(policies.data ?? []).map((policy) => policy.name)}
        value={search.policy ?? null}
        onChange={(policy) => set({ policy: policy ?? undefined })}
        clearable
        clearButtonProps={{ 'aria-label': t.common.clear }}
        w={140}
      />
      <Checkbox
        label={t.backups.onlyPinned}
        checked={search.pinned ?? false}
        onChange={(event) => set({ pinned: event.currentTarget.checked || undefined })}
        mb={8}
      />
      <Button
        component="a"
        href={csv}
        download="backups.csv"
        variant="default"
        leftSection={<IconDownload size={16} aria-hidden />}
      >
        CSV
      </Button>
    </div>
  )
}
