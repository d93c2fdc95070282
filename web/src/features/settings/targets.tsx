import { Button, Group, Stack, Text } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { api, call } from '../../api/client.ts'
import { queries } from '../../api/queries.ts'
import type { Target } from '../../api/types.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Empty, Section } from '../../ui/bits.tsx'
import { Confirm } from '../../ui/confirm.tsx'
import { DataTable } from '../../ui/data-table.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Callout, Mark } from '../../ui/mark.tsx'
import { ProblemPanel } from '../../ui/problem-panel.tsx'
import { TargetForm } from './target-form.tsx'

/** Who hears of what. */
export function Targets() {
  const t = useTexts()
  const query = useQuery(queries.targets())
  const [making, dialog] = useDisclosure()
  const [editing, setEditing] = useState<Target>()
  const [removing, setRemoving] = useState<Target>()
  const test = useAction(
    (name: string) =>
      call(api.POST('/api/v1/notifications/targets/{name}/test', { params: { path: { name } } })),
    [],
  )
  const remove = useAction(
    (target: Target) =>
      call(
        api.DELETE('/api/v1/notifications/targets/{name}', {
          params: { path: { name: target.name }, header: { 'If-Match': `"${target.revision}"` } },
        }),
      ),
    ['notification_target'],
    () => setRemoving(undefined),
  )
  return (
    <Section
      title={t.targets.title}
      actions={
        <Button size="xs" variant="default" onClick={dialog.open}>
          {t.targets.create}
        </Button>
      }
    >
      <Loaded query={query}>
        {(targets) =>
          targets.length === 0 ? (
            <Empty title={t.targets.none} hint={t.targets.noneHint} />
          ) : (
            <DataTable
              label={t.targets.title}
              rows={targets}
              rowKey={(row) => row.name}
              columns={[
                { key: 'name', title: t.common.name, cell: (row) => row.name },
                {
                  key: 'type',
                  title: t.targets.channel,
                  cell: (row) => t.channels[row.definition.channel.type],
                },
                {
                  key: 'on',
                  title: t.targets.on,
                  cell: (row) =>
                    (row.definition.on ?? []).map((kind) => t.notices[kind]).join(', ') ||
                    t.targets.everything,
                },
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
                  key: 'actions',
                  title: t.common.actions,
                  cell: (row) => (
                    <Group gap="xs" wrap="nowrap">
                      <Button
                        size="compact-sm"
                        variant="default"
                        loading={test.isPending && test.variables === row.name}
                        aria-label={t.targets.testOne(row.name)}
                        onClick={() => test.mutate(row.name)}
                      >
                        {t.targets.test}
                      </Button>
                      {row.managedBy === 'api' && (
                        <>
                          <Button
                            size="compact-sm"
                            variant="default"
                            aria-label={t.people.change(row.name)}
                            onClick={() => setEditing(row)}
                          >
                            {t.common.change}
                          </Button>
                          <Button
                            size="compact-sm"
                            variant="default"
                            c="var(--tone-bad)"
                            aria-label={t.targets.removeOne(row.name)}
                            onClick={() => setRemoving(row)}
                          >
                            {t.common.delete}
                          </Button>
                        </>
                      )}
                    </Group>
                  ),
                },
              ]}
            />
          )
        }
      </Loaded>
      <div role="status" className={test.data ? undefined : 'visually-hidden'}>
        {test.data && (
          <Callout tone={test.data.delivered ? 'good' : 'bad'}>
            <Text size="sm">
              {test.data.delivered ? t.targets.delivered(test.variables ?? '') : test.data.message}
            </Text>
            {test.data.hint && <Text size="sm">{test.data.hint}</Text>}
          </Callout>
        )}
      </div>
      <ProblemPanel error={test.error} />
      {(making || editing) && (
        <TargetForm
          target={editing}
          onClose={() => {
            dialog.close()
            setEditing(undefined)
          }}
        />
      )}
      <Confirm
        opened={removing !== undefined}
        title={t.targets.removeOne(removing?.name ?? '')}
        consequence={
          <Stack gap="sm">
            <Text size="sm">{t.targets.removeConsequence}</Text>
          </Stack>
        }
        action={t.targets.removeOne(removing?.name ?? '')}
        pending={remove.isPending}
        error={remove.error}
        onConfirm={() => removing && remove.mutate(removing)}
        onClose={() => setRemoving(undefined)}
      />
    </Section>
  )
}
