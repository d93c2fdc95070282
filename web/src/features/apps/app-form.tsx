import { Button, Group, Select, SimpleGrid, Stack, Text, Textarea, TextInput } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { api, call } from '../../api/client.ts'
import { asProblem } from '../../api/problem.ts'
import { queries } from '../../api/queries.ts'
import type { App, AppDefinition } from '../../api/types.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Section } from '../../ui/bits.tsx'
import { LinkButton } from '../../ui/links.tsx'
import { Callout } from '../../ui/mark.tsx'
import { useTell } from '../../ui/notices.tsx'
import { ProblemPanel } from '../../ui/problem-panel.tsx'
import { entries, expecting } from '../saving.ts'
import { readTrees, treesText } from './trees.ts'

/** Makes or changes an app. Passwords that the server masks are kept as they are unless they are typed anew. */
export function AppForm({ app }: { app?: App }) {
  const t = useTexts()
  const tell = useTell()
  const navigate = useNavigate()
  const repositories = useQuery(queries.repositories())
  const [name, setName] = useState(app?.name ?? '')
  const [databases, setDatabases] = useState((app?.definition.databases ?? []).join('\n'))
  const [environment, setEnvironment] = useState(app?.definition.environment ?? '')
  const [repository, setRepository] = useState<string | null>(app?.definition.repository ?? null)
  const [adminUrl, setAdminUrl] = useState(app?.definition.adminUrl ?? '')
  const [excluded, setExcluded] = useState((app?.definition.excludeTableData ?? []).join('\n'))
  const [folders, setFolders] = useState(treesText(app?.definition.files))
  const wanted = repository ?? repositories.data?.[0]?.name ?? null
  const save = useAction(
    () => {
      const definition: AppDefinition = {
        ...app?.definition,
        databases: lines(databases),
        environment: environment.trim() || null,
        repository: wanted,
        adminUrl: adminUrl.trim() || null,
        excludeTableData: entries(excluded),
        files: readTrees(folders, app?.definition.files),
      }
      return call(
        api.PUT('/api/v1/apps/{name}', {
          params: { path: { name: name.trim() }, header: expecting(app?.revision) },
          body: definition,
        }),
      )
    },
    ['app', 'status'],
    (saved) => {
      tell(t.apps.saved(saved.name))
      void navigate({ to: paths.app, params: { name: saved.name } })
    },
  )
  const problem = save.isError ? asProblem(save.error) : undefined
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
      <form
        onSubmit={(event) => {
          event.preventDefault()
          save.mutate(undefined)
        }}
      >
        <Stack>
          <SimpleGrid cols={{ base: 1, sm: 2 }}>
            <TextInput
              label={t.common.name}
              description={t.common.nameHint}
              required
              disabled={app !== undefined}
              value={name}
              onChange={(event) => setName(event.currentTarget.value)}
              error={problem?.field('name')}
            />
            <TextInput
              label={t.apps.environment}
              description={t.apps.environmentHint}
              value={environment}
              onChange={(event) => setEnvironment(event.currentTarget.value)}
              error={problem?.field('environment')}
            />
          </SimpleGrid>
          <Textarea
            label={t.apps.databases}
            description={t.apps.databasesHint}
            placeholder="postgres://pgkeep:password@db.example.org/shop"
            required
            autosize
            minRows={2}
            value={databases}
            onChange={(event) => setDatabases(event.currentTarget.value)}
            error={problem?.field('databases')}
            spellCheck={false}
          />
          <Select
            label={t.common.repository}
            data={(repositories.data ?? []).map((each) => each.name)}
            value={wanted}
            onChange={setRepository}
            allowDeselect={false}
            error={problem?.field('repository')}
          />
          <TextInput
            label={t.apps.adminUrl}
            description={t.apps.adminUrlHint}
            value={adminUrl}
            onChange={(event) => setAdminUrl(event.currentTarget.value)}
            error={problem?.field('adminUrl')}
            spellCheck={false}
          />
          <Textarea
            label={t.apps.excluded}
            description={t.apps.excludedHint}
            autosize
            minRows={1}
            value={excluded}
            onChange={(event) => setExcluded(event.currentTarget.value)}
            error={problem?.field('excludeTableData')}
            spellCheck={false}
          />
          <Textarea
            label={t.apps.folders}
            description={t.apps.foldersHint}
            placeholder="media=/srv/shop/media"
            autosize
            minRows={1}
            value={folders}
            onChange={(event) => setFolders(event.currentTarget.value)}
            error={problem?.field('files')}
            spellCheck={false}
          />
          <ProblemPanel error={problem} />
          <Group justify="flex-end">
            <Button type="submit" loading={save.isPending} disabled={name.trim() === ''}>
              {t.apps.save(name.trim())}
            </Button>
          </Group>
        </Stack>
      </form>
    </Section>
  )
}

function lines(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
}
