import { Accordion, Button, Group, Select, SimpleGrid, Stack, Text, Textarea, TextInput } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { type ComponentType, useRef, useState } from 'react'
import { api, call } from '../../api/client.ts'
import { type ApiProblem, asProblem } from '../../api/problem.ts'
import { queries } from '../../api/queries.ts'
import type { App } from '../../api/types.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Section } from '../../ui/bits.tsx'
import { LinkButton } from '../../ui/links.tsx'
import { Callout } from '../../ui/mark.tsx'
import { useTell } from '../../ui/notices.tsx'
import { ProblemPanel } from '../../ui/problem-panel.tsx'
import { expecting } from '../saving.ts'
import { CommandFields, lineField, MigrationFields } from './command-fields.tsx'
import { definitionOf, draftOf } from './draft.ts'
import { faultsOf } from './faults.ts'
import { faultyParts, PARTS, type Part, type PartName, saidOf } from './fields.ts'
import { DrillFields, FenceFields, HookFields } from './guard-fields.tsx'
import { TomlTwin } from './toml-twin.tsx'
import { TreeFields } from './tree-fields.tsx'

const FIELDS: Record<PartName, ComponentType<Part>> = {
  files: TreeFields,
  migrations: MigrationFields,
  commands: CommandFields,
  hooks: HookFields,
  fence: FenceFields,
  drill: DrillFields,
}

/** Makes or changes an app. Secrets that the server masks are kept as they are unless they are typed anew. */
export function AppForm({ app }: { app?: App }) {
  const t = useTexts()
  const tell = useTell()
  const navigate = useNavigate()
  const form = useRef<HTMLFormElement>(null)
  const [typed, setDraft] = useState(() => draftOf(app?.name ?? '', app?.definition ?? {}))
  const [opened, setOpened] = useState<string[]>([])
  const [tried, setTried] = useState(false)
  const repositories = useQuery(queries.repositories())
  const draft = { ...typed, repository: typed.repository ?? repositories.data?.[0]?.name ?? null }
  const faults = faultsOf(draft)
  const definition = definitionOf(draft, app?.definition)
  const name = draft.name.trim()
  const save = useAction(
    () =>
      call(
        api.PUT('/api/v1/apps/{name}', {
          params: { path: { name }, header: expecting(app?.revision) },
          body: definition,
        }),
      ),
    ['app', 'status'],
    (saved) => {
      tell(t.apps.saved(saved.name))
      void navigate({ to: paths.app, params: { name: saved.name } })
    },
  )
  const problem = save.isError ? asProblem(save.error) : undefined
  const part: Part = {
    draft,
    change: (changes) => setDraft((before) => ({ ...before, ...changes })),
    wrong: (field) => {
      const fault = faults.get(field)
      // Who has only just added a row has not forgotten anything yet.
      return fault === undefined || (fault === 'missing' && !tried) ? undefined : t.faults[fault]
    },
  }
  const submit = () => {
    setTried(true)
    if (faults.size === 0) return save.mutate(undefined)
    setOpened((before) => [...new Set([...before, ...faultyParts(faults)])])
    // Once the parts are open.
    requestAnimationFrame(() =>
      requestAnimationFrame(() => form.current?.querySelector<HTMLElement>('[aria-invalid=true]')?.focus()),
    )
  }
  return (
    <form
      ref={form}
      onSubmit={(event) => {
        event.preventDefault()
        submit()
      }}
    >
      <Stack gap="lg">
        <Basics part={part} isNew={app === undefined} problem={problem} />
        <Section title={t.apps.around}>
          <Text size="sm" c="dimmed">
            {t.apps.aroundHint}
          </Text>
          <Accordion
            multiple
            order={3}
            keepMounted={false}
            variant="contained"
            value={opened}
            onChange={setOpened}
          >
            {PARTS.map((each) => {
              const Fields = FIELDS[each]
              return (
                <Accordion.Item key={each} value={each}>
                  <Accordion.Control>
                    <Group justify="space-between" gap="xs" pr="sm">
                      <Text span fw={600} size="sm">
                        {t.apps.parts[each].title}
                      </Text>
                      <Text span size="sm" c="dimmed">
                        {t.apps.parts[each].said(saidOf(draft)[each])}
                      </Text>
                    </Group>
                  </Accordion.Control>
                  <Accordion.Panel>
                    <Fields {...part} />
                  </Accordion.Panel>
                </Accordion.Item>
              )
            })}
          </Accordion>
        </Section>
        {tried && faults.size > 0 && (
          <Callout tone="bad" role="alert">
            <Text size="sm">{t.apps.faulty(faults.size)}</Text>
          </Callout>
        )}
        <ProblemPanel error={problem} />
        <Group justify="flex-end">
          <Button type="submit" loading={save.isPending} disabled={name === ''}>
            {t.apps.save(name)}
          </Button>
        </Group>
        <TomlTwin name={name} definition={definition} />
      </Stack>
    </form>
  )
}

function Basics({ part, isNew, problem }: { part: Part; isNew: boolean; problem: ApiProblem | undefined }) {
  const t = useTexts()
  const repositories = useQuery(queries.repositories())
  const { draft, change } = part
  const line = lineField({ ...part, wrong: (field) => part.wrong(field) ?? problem?.field(field) })
  return (
    <Section title={t.apps.definition}>
      {repositories.data?.length === 0 && (
        <Callout tone="warn">
          <Group justify="space-between">
            <Text size="sm">{t.apps.needsRepository}</Text>
            <LinkButton to={paths.newRepository} size="xs" variant="default">
              {t.repositories.create}
            </LinkButton>
          </Group>
        </Callout>
      )}
      <SimpleGrid cols={{ base: 1, sm: 2 }}>
        <TextInput
          label={t.common.name}
          description={t.common.nameHint}
          required
          disabled={!isNew}
          value={draft.name}
          onChange={(event) => change({ name: event.currentTarget.value })}
          error={problem?.field('name')}
        />
        {line('environment', t.apps.environment, t.apps.environmentHint)}
      </SimpleGrid>
      <Textarea
        label={t.apps.databases}
        description={t.apps.databasesHint}
        placeholder="postgres://pgkeep:password@db.example.org/shop"
        required
        autosize
        minRows={2}
        value={draft.databases}
        onChange={(event) => change({ databases: event.currentTarget.value })}
        error={problem?.field('databases')}
        spellCheck={false}
      />
      <Select
        label={t.common.repository}
        data={(repositories.data ?? []).map((each) => each.name)}
        value={draft.repository}
        onChange={(repository) => change({ repository })}
        allowDeselect={false}
        error={problem?.field('repository')}
      />
      {line('adminUrl', t.apps.adminUrl, t.apps.adminUrlHint)}
      <Textarea
        label={t.apps.excluded}
        description={t.apps.excludedHint}
        autosize
        minRows={1}
        value={draft.excluded}
        onChange={(event) => change({ excluded: event.currentTarget.value })}
        error={problem?.field('excludeTableData')}
        spellCheck={false}
      />
    </Section>
  )
}
