import { Button, Group, Stack } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { getRouteApi, useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { api, call } from '../../api/client.ts'
import { queries } from '../../api/queries.ts'
import type { Policy, PolicyDefinition } from '../../api/types.ts'
import { commands } from '../../commands.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Command, Facts, Moment, Section } from '../../ui/bits.tsx'
import { TextLink } from '../../ui/links.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { ManagedByFile } from '../../ui/managed.tsx'
import { Mark } from '../../ui/mark.tsx'
import { useTell } from '../../ui/notices.tsx'
import { Page } from '../../ui/page.tsx'
import { ProblemPanel } from '../../ui/problem-panel.tsx'
import { Removal } from '../removal.tsx'
import { expecting } from '../saving.ts'
import { useMay } from '../session/session.ts'
import { CleanupPreview } from './cleanup-preview.tsx'
import { type Draft, definitionOf, draftOf, emptyDraft } from './draft.ts'
import { PolicyForm } from './policy-form.tsx'
import { RunNow } from './run-now.tsx'
import { retentionWords, scheduleWords } from './schedule-words.ts'

const route = getRouteApi('/inside/policies/$name')
const newRoute = getRouteApi('/inside/policies/new')

export function NewPolicyPage() {
  const t = useTexts()
  const { app } = newRoute.useSearch()
  const apps = useQuery(queries.apps())
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone
  return (
    <Page title={t.policies.create} up={{ label: t.policies.title, to: paths.policies }}>
      <Loaded query={apps}>
        {(list) => <Editor initial={emptyDraft(app ?? list[0]?.name ?? '', zone)} />}
      </Loaded>
    </Page>
  )
}

export function PolicyPage() {
  const t = useTexts()
  const { name } = route.useParams()
  const query = useQuery(queries.policy(name))
  return (
    <Page
      title={name}
      up={{ label: t.policies.title, to: paths.policies }}
      actions={query.data && <PolicyActions policy={query.data} />}
    >
      <Loaded query={query}>{(policy) => <Detail policy={policy} />}</Loaded>
    </Page>
  )
}

function Detail({ policy }: { policy: Policy }) {
  const t = useTexts()
  const may = useMay()
  const { definition } = policy
  const editable = may('edit_policies') && policy.managedBy === 'api'
  return (
    <Stack gap="lg">
      <Section title={t.policies.what}>
        <Facts
          facts={[
            [
              t.common.state,
              <Mark
                key="state"
                state={
                  definition.enabled === false
                    ? { tone: 'idle', icon: 'none', words: t.policies.off }
                    : { tone: 'good', icon: 'check', words: t.policies.on }
                }
              />,
            ],
            [
              t.common.app,
              <TextLink key="app" to={paths.app} params={{ name: definition.app }} size="sm">
                {definition.app}
              </TextLink>,
            ],
            [t.backups.kind, t.backupKinds[definition.kind ?? 'full']],
            [t.policies.schedule, scheduleWords(policy.definition.schedule, policy.scheduleWords, t)],
            [t.overview.nextRun, policy.nextRun ? <Moment at={policy.nextRun} /> : t.overview.noneScheduled],
            [t.policies.keeps, retentionWords(definition.retention, policy.retentionWords, t)],
          ]}
        />
        <Command line={commands.nextRuns(policy.name)} />
      </Section>
      <CleanupPreview policy={policy.name} />
      {policy.managedBy === 'file' && <ManagedByFile />}
      {editable && (
        <Editor
          key={policy.revision}
          initial={draftOf(policy.name, definition)}
          base={definition}
          revision={policy.revision}
        />
      )}
    </Stack>
  )
}

function Editor({ initial, base, revision }: { initial: Draft; base?: PolicyDefinition; revision?: number }) {
  const t = useTexts()
  const tell = useTell()
  const navigate = useNavigate()
  const [draft, setDraft] = useState(initial)
  const save = useAction(
    () =>
      call(
        api.PUT('/api/v1/policies/{name}', {
          params: { path: { name: draft.name.trim() }, header: expecting(revision) },
          body: definitionOf(draft, base),
        }),
      ),
    ['policy', 'status'],
    (policy) => {
      tell(t.policies.saved(policy.name))
      void navigate({ to: paths.policy, params: { name: policy.name } })
    },
  )
  return (
    <PolicyForm
      draft={draft}
      change={(part) => setDraft((before) => ({ ...before, ...part }))}
      isNew={revision === undefined}
      error={save.error}
      saving={save.isPending}
      save={() => save.mutate(undefined)}
    />
  )
}

function PolicyActions({ policy }: { policy: Policy }) {
  const t = useTexts()
  const may = useMay()
  const navigate = useNavigate()
  const enabled = policy.definition.enabled !== false
  const params = { path: { name: policy.name }, header: { 'If-Match': `"${policy.revision}"` } }
  const toggle = useAction(
    () =>
      enabled
        ? call(api.POST('/api/v1/policies/{name}/disable', { params }))
        : call(api.POST('/api/v1/policies/{name}/enable', { params })),
    ['policy', 'status'],
  )
  return (
    <Stack gap="xs" align="flex-end">
      <Group gap="sm">
        {may('operate') && <RunNow policy={policy.name} app={policy.definition.app} />}
        {may('edit_policies') && (
          <Button variant="default" loading={toggle.isPending} onClick={() => toggle.mutate(undefined)}>
            {enabled ? t.policies.turnOff : t.policies.turnOn}
          </Button>
        )}
        {may('edit_policies') && policy.managedBy === 'api' && (
          <Removal
            name={policy.name}
            words={{
              label: t.common.delete,
              title: t.policies.deleteTitle,
              consequence: t.policies.deleteConsequence,
              action: t.policies.deleteAction(policy.name),
            }}
            remove={() => call(api.DELETE('/api/v1/policies/{name}', { params }))}
            topics={['policy', 'status']}
            gone={() => void navigate({ to: paths.policies })}
          />
        )}
      </Group>
      <ProblemPanel error={toggle.error} />
    </Stack>
  )
}
