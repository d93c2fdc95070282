import { Button, Group, Select, Stack, Text } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { api, call } from '../../api/client.ts'
import { queries } from '../../api/queries.ts'
import type { PolicyDefinition } from '../../api/types.ts'
import { paths } from '../../paths.ts'
import { type Texts, useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Empty, Moment } from '../../ui/bits.tsx'
import { Confirm } from '../../ui/confirm.tsx'
import { DataTable } from '../../ui/data-table.tsx'
import { LinkButton, TextLink } from '../../ui/links.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Mark } from '../../ui/mark.tsx'
import { useTell } from '../../ui/notices.tsx'
import { Page } from '../../ui/page.tsx'
import { useMay } from '../session/session.ts'
import { backupKind } from '../states.ts'
import { RunNow } from './run-now.tsx'
import { retentionWords, scheduleWords } from './schedule-words.ts'

export function PoliciesPage() {
  const t = useTexts()
  const may = useMay()
  const query = useQuery(queries.policies())
  const create = (
    <Group gap="sm">
      <ReadyMade />
      <LinkButton to={paths.newPolicy}>{t.policies.create}</LinkButton>
    </Group>
  )
  return (
    <Page title={t.policies.title} about={t.policies.about} actions={may('edit_policies') && create}>
      <Loaded query={query}>
        {(policies) =>
          policies.length === 0 ? (
            <Empty
              title={t.policies.none}
              hint={t.policies.noneHint}
              action={may('edit_policies') ? create : undefined}
            />
          ) : (
            <DataTable
              label={t.policies.title}
              rows={policies}
              rowKey={(row) => row.name}
              columns={[
                {
                  key: 'name',
                  title: t.common.name,
                  cell: (row) => (
                    <TextLink to={paths.policy} params={{ name: row.name }} size="sm">
                      {row.name}
                    </TextLink>
                  ),
                },
                { key: 'app', title: t.common.app, cell: (row) => row.definition.app },
                {
                  key: 'state',
                  title: t.common.state,
                  cell: (row) => (
                    <Mark
                      pill
                      state={
                        row.definition.enabled === false
                          ? { tone: 'idle', icon: 'none', words: t.policies.off }
                          : { tone: 'good', icon: 'check', words: t.policies.on }
                      }
                    />
                  ),
                },
                {
                  key: 'kind',
                  title: t.backups.kind,
                  cell: (row) => backupKind(row.definition.kind ?? 'full', t),
                },
                {
                  key: 'schedule',
                  title: t.policies.schedule,
                  cell: (row) => scheduleWords(row.definition.schedule, row.scheduleWords, t),
                },
                { key: 'next', title: t.overview.nextRun, cell: (row) => <Moment at={row.nextRun} /> },
                {
                  key: 'keeps',
                  title: t.policies.keeps,
                  cell: (row) => retentionWords(row.definition.retention, row.retentionWords, t),
                },
                ...(may('operate')
                  ? [
                      {
                        key: 'run',
                        title: t.common.actions,
                        cell: (row: (typeof policies)[0]) => (
                          <RunNow policy={row.name} app={row.definition.app} size="compact-sm" />
                        ),
                      },
                    ]
                  : []),
              ]}
            />
          )
        }
      </Loaded>
    </Page>
  )
}

/** What a policy that nobody has made yet would back up, and when. */
function readyWords({ kind, schedule }: PolicyDefinition, t: Texts): string {
  const often = t.frequencies[schedule?.frequency ?? 'daily']
  const timed = schedule?.at && schedule.frequency !== 'hourly'
  const when = scheduleWords(schedule, timed ? `${often}, ${schedule.at}` : often, t)
  return `${backupKind(kind ?? 'full', t)}: ${when.charAt(0).toLowerCase()}${when.slice(1)}`
}

/** Makes the policies that most apps need. */
function ReadyMade() {
  const t = useTexts()
  const tell = useTell()
  const apps = useQuery(queries.apps())
  const policies = useQuery(queries.policies())
  const there = new Set(policies.data?.map((policy) => policy.name))
  const [opened, dialog] = useDisclosure()
  const [chosen, choose] = useState<string | null>(null)
  const app = chosen ?? apps.data?.[0]?.name ?? ''
  const plan = useQuery({
    queryKey: ['policy', 'defaults', app],
    queryFn: async () =>
      (await call(api.POST('/api/v1/policies/defaults', { body: { app, dryRun: true } }))).items,
    enabled: opened && app !== '',
    retry: false,
    refetchInterval: false,
  })
  const make = useAction(
    () => call(api.POST('/api/v1/policies/defaults', { body: { app } })),
    ['policy', 'status'],
    (page) => {
      dialog.close()
      tell(t.policies.made(page.items.filter((each) => each.made).length))
    },
  )
  return (
    <>
      <Button variant="default" onClick={dialog.open}>
        {t.policies.ready}
      </Button>
      <Confirm
        opened={opened}
        title={t.policies.ready}
        consequence={
          <Stack gap="sm">
            <Select
              label={t.common.app}
              data={(apps.data ?? []).map((each) => each.name)}
              value={app}
              onChange={choose}
              allowDeselect={false}
            />
            <Loaded query={plan}>
              {(items) => (
                <Stack gap="xs">
                  {items.map((item) => (
                    <div key={item.name}>
                      <Text size="sm" fw={600}>
                        {item.name}
                      </Text>
                      <Text size="sm" c="dimmed">
                        {there.has(item.name) ? t.policies.thereAlready : readyWords(item.definition, t)}
                      </Text>
                    </div>
                  ))}
                </Stack>
              )}
            </Loaded>
          </Stack>
        }
        action={t.policies.makeReady(app)}
        destroys={false}
        disabled={app === ''}
        pending={make.isPending}
        error={make.error}
        onConfirm={() => make.mutate(undefined)}
        onClose={dialog.close}
      />
    </>
  )
}
