import { Button, List, Stack, Text } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { api, call } from '../../api/client.ts'
import { queries } from '../../api/queries.ts'
import { shortId } from '../../format/amounts.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Moment, Section } from '../../ui/bits.tsx'
import { Confirm } from '../../ui/confirm.tsx'
import { DataTable } from '../../ui/data-table.tsx'
import { TextLink } from '../../ui/links.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Callout, Mark } from '../../ui/mark.tsx'
import { Prose } from '../../ui/prose.tsx'
import { useMay } from '../session/session.ts'

/** What the policy's retention would keep and remove now, each with its reason. */
export function CleanupPreview({ policy }: { policy: string }) {
  const t = useTexts()
  const may = useMay()
  const navigate = useNavigate()
  const [opened, dialog] = useDisclosure()
  const query = useQuery({ ...queries.cleanupPlan(policy), refetchInterval: false })
  const apply = useAction(
    () =>
      call(
        api.POST('/api/v1/policies/{name}/cleanup', {
          params: { path: { name: policy } },
          body: { dryRun: false },
        }),
      ),
    ['job'],
    (accepted) => {
      dialog.close()
      void navigate({ to: paths.job, params: { id: accepted.jobId } })
    },
  )
  const removed = (query.data ?? []).flatMap((plan) => plan.remove)
  return (
    <Section
      title={t.policies.retentionNow}
      actions={
        may('delete') &&
        removed.length > 0 && (
          <Button variant="default" size="xs" onClick={dialog.open}>
            {t.policies.cleanUp}
          </Button>
        )
      }
    >
      <Loaded query={query}>
        {(plans) => (
          <Stack gap="md">
            {plans.map((plan) => {
              const rows = [
                ...plan.remove.map((each) => ({ ...each, keep: false, reasons: [each.why] })),
                ...plan.keep.map((each) => ({ ...each, keep: true })),
              ].sort((a, b) => b.time.localeCompare(a.time))
              return (
                <Stack key={plan.repository} gap="xs">
                  <Text size="sm" fw={600}>
                    {t.policies.keptIn(plan.repository, plan.keep.length, plan.remove.length)}
                  </Text>
                  {plan.held && (
                    <Callout tone="warn">
                      <Text size="sm">
                        <Prose text={plan.held} />
                      </Text>
                    </Callout>
                  )}
                  {rows.length > 0 && (
                    <DataTable
                      label={t.policies.retentionNow}
                      rows={rows}
                      rowKey={(row) => row.id}
                      columns={[
                        {
                          key: 'time',
                          title: t.backups.taken,
                          cell: (row) => <Moment at={row.time} absolute />,
                        },
                        {
                          key: 'id',
                          title: t.backups.backup,
                          cell: (row) => (
                            <TextLink
                              to={paths.backup}
                              params={{ id: row.id }}
                              search={{ repository: plan.repository }}
                              size="sm"
                            >
                              {shortId(row.id)}
                            </TextLink>
                          ),
                        },
                        {
                          key: 'fate',
                          title: t.policies.fate,
                          cell: (row) => (
                            <Mark
                              pill
                              state={
                                row.keep
                                  ? { tone: 'good', icon: 'check', words: t.policies.stays }
                                  : { tone: 'warn', icon: 'cross', words: t.policies.goes }
                              }
                            />
                          ),
                        },
                        { key: 'why', title: t.policies.why, cell: (row) => row.reasons.join(', ') },
                      ]}
                    />
                  )}
                </Stack>
              )
            })}
          </Stack>
        )}
      </Loaded>
      <Confirm
        opened={opened}
        title={t.policies.cleanUp}
        consequence={
          <Stack gap="xs">
            <Text size="sm">{t.policies.cleanUpConsequence(removed.length)}</Text>
            <List size="sm">
              {removed.slice(0, 20).map((backup) => (
                <List.Item key={backup.id}>
                  {shortId(backup.id)} (<Moment at={backup.time} absolute />)
                </List.Item>
              ))}
            </List>
          </Stack>
        }
        phrase={t.backups.deletePhrase(removed.length)}
        action={t.backups.deleteAction(removed.length)}
        pending={apply.isPending}
        error={apply.error}
        onConfirm={() => apply.mutate(undefined)}
        onClose={dialog.close}
      />
    </Section>
  )
}
