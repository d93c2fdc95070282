import { Button, Group, List, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { getRouteApi, useNavigate } from '@tanstack/react-router'
import { api, call } from '../../api/client.ts'
import { queries } from '../../api/queries.ts'
import type { App } from '../../api/types.ts'
import { commands } from '../../commands.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Command, Section } from '../../ui/bits.tsx'
import { TextLink } from '../../ui/links.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { ManagedByFile } from '../../ui/managed.tsx'
import { Mark } from '../../ui/mark.tsx'
import { Page } from '../../ui/page.tsx'
import { ProblemPanel } from '../../ui/problem-panel.tsx'
import { Prose } from '../../ui/prose.tsx'
import { Snippet } from '../../ui/snippet.tsx'
import classes from '../../ui/ui.module.css'
import { AcceptButton } from '../backups/accept-button.tsx'
import { CreateBackupButton } from '../backups/create-backup.tsx'
import { DrillButton } from '../drills/drill-button.tsx'
import { findingWords } from '../findings.ts'
import { AppCard } from '../overview/app-card.tsx'
import { retentionWords, scheduleWords } from '../policies/schedule-words.ts'
import { Removal } from '../removal.tsx'
import { useMay } from '../session/session.ts'
import { healthState } from '../states.ts'
import { AppForm } from './app-form.tsx'
import { tomlOf } from './toml.ts'

const route = getRouteApi('/inside/apps/$name')

export function NewAppPage() {
  const t = useTexts()
  return (
    <Page title={t.apps.create} about={t.apps.createAbout} up={{ label: t.nav.apps, to: paths.apps }}>
      <RoleSql />
      <AppForm />
    </Page>
  )
}

export function AppPage() {
  const t = useTexts()
  const { name } = route.useParams()
  const query = useQuery(queries.app(name))
  return (
    <Page
      title={name}
      up={{ label: t.nav.apps, to: paths.apps }}
      actions={query.data && <AppActions app={query.data} />}
    >
      <Loaded query={query}>{(app) => <Detail app={app} />}</Loaded>
    </Page>
  )
}

function Detail({ app }: { app: App }) {
  const t = useTexts()
  const may = useMay()
  const status = useQuery(queries.status())
  const policies = useQuery(queries.policies())
  const health = status.data?.apps.find((each) => each.app === app.name)
  const own = (policies.data ?? []).filter((policy) => policy.definition.app === app.name)
  const { definition } = app
  return (
    <Stack gap="lg">
      {health && <AppCard app={health} order={2} />}
      {health && health.findings.length > 0 && (
        <Section title={t.apps.why(health.score)}>
          <ul className={classes.rows}>
            {health.findings.map((finding) => (
              <Stack component="li" gap={4} align="flex-start" key={finding.sentence}>
                <Mark state={healthState(finding.state, t)} />
                <Text size="sm">
                  <Prose text={findingWords({ ...finding, app: app.name }, t).sentence} name={app.name} />
                  {finding.cost > 0 && ` (${t.apps.costs(finding.cost)})`}
                </Text>
                {finding.state === 'shrunk' && may('operate') && <AcceptButton app={app.name} />}
              </Stack>
            ))}
          </ul>
        </Section>
      )}
      <Section title={t.nav.policies}>
        {own.length === 0 ? (
          <Group>
            <Text size="sm">{t.apps.noPolicy}</Text>
            {may('edit_policies') && (
              <TextLink to={paths.newPolicy} search={{ app: app.name }} size="sm">
                {t.policies.create}
              </TextLink>
            )}
          </Group>
        ) : (
          <List size="sm">
            {own.map((policy) => (
              <List.Item key={policy.name}>
                <TextLink to={paths.policy} params={{ name: policy.name }} size="sm">
                  {policy.name}
                </TextLink>
                <Text size="sm" c="dimmed">
                  {scheduleWords(policy.definition.schedule, policy.scheduleWords, t)};{' '}
                  {retentionWords(policy.definition.retention, policy.retentionWords, t)}
                </Text>
              </List.Item>
            ))}
          </List>
        )}
      </Section>
      {app.managedBy === 'file' || !may('configure') ? (
        <Section title={t.apps.definition}>
          {app.managedBy === 'file' && <ManagedByFile />}
          <Snippet label={t.apps.definition} text={tomlOf(app.name, definition)} />
        </Section>
      ) : (
        <AppForm key={app.revision} app={app} />
      )}
    </Stack>
  )
}

function AppActions({ app }: { app: App }) {
  const t = useTexts()
  const may = useMay()
  const navigate = useNavigate()
  const params = { path: { name: app.name } }
  const check = useAction(
    () => call(api.POST('/api/v1/apps/{name}/doctor', { params })),
    ['job'],
    (accepted) => void navigate({ to: paths.job, params: { id: accepted.jobId } }),
  )
  return (
    <Stack gap="xs" align="flex-end">
      <Group gap="sm">
        {may('operate') && (
          <>
            <CreateBackupButton app={app.name} />
            <DrillButton app={app.name} variant="default" />
            <Button variant="default" loading={check.isPending} onClick={() => check.mutate(undefined)}>
              {t.apps.check}
            </Button>
          </>
        )}
        {may('configure') && app.managedBy === 'api' && (
          <Removal
            name={app.name}
            words={{
              label: t.common.delete,
              title: t.apps.deleteTitle,
              consequence: t.apps.deleteConsequence,
              action: t.apps.deleteAction(app.name),
            }}
            remove={() =>
              call(
                api.DELETE('/api/v1/apps/{name}', {
                  params: { ...params, header: { 'If-Match': `"${app.revision}"` } },
                }),
              )
            }
            topics={['app', 'status']}
            gone={() => void navigate({ to: paths.apps })}
          />
        )}
      </Group>
      <ProblemPanel error={check.error} />
    </Stack>
  )
}

const ROLE_SQL = `CREATE ROLE pgkeep LOGIN PASSWORD 'choose a long one';
GRANT pg_read_all_data TO pgkeep;`

/** The exact SQL for a role that may read everything and change nothing. */
function RoleSql() {
  const t = useTexts()
  return (
    <Section title={t.apps.role}>
      <Text size="sm">{t.apps.roleHint}</Text>
      <Snippet label={t.apps.role} text={ROLE_SQL} />
      <Command line={commands.doctor('NAME')} />
    </Section>
  )
}
