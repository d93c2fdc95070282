import { Button, Group, List, Stack, Text } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { getRouteApi, useNavigate } from '@tanstack/react-router'
import { api, call } from '../../api/client.ts'
import { queries } from '../../api/queries.ts'
import type { Repository, RepositoryTest } from '../../api/types.ts'
import { bytes, shortId } from '../../format/amounts.ts'
import { duration } from '../../format/time.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Facts, Moment, Section } from '../../ui/bits.tsx'
import { Confirm } from '../../ui/confirm.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { ManagedByFile } from '../../ui/managed.tsx'
import { Callout, Mark } from '../../ui/mark.tsx'
import { Page } from '../../ui/page.tsx'
import { ProblemPanel } from '../../ui/problem-panel.tsx'
import { useMay } from '../session/session.ts'
import { KitButton } from './kit-dialog.tsx'
import { RepositoryForm } from './repository-form.tsx'
import { fullIn, growthOf, urgency } from './room.ts'

const route = getRouteApi('/inside/repositories/$name')

export function NewRepositoryPage() {
  const t = useTexts()
  return (
    <Page
      title={t.repositories.create}
      about={t.repositories.createAbout}
      up={{ label: t.nav.repositories, to: paths.repositories }}
    >
      <RepositoryForm />
    </Page>
  )
}

export function RepositoryPage() {
  const t = useTexts()
  const { name } = route.useParams()
  const query = useQuery(queries.repository(name))
  return (
    <Page
      title={name}
      up={{ label: t.nav.repositories, to: paths.repositories }}
      actions={query.data && <Removal repository={query.data} />}
    >
      <Loaded query={query}>{(repository) => <Detail repository={repository} />}</Loaded>
    </Page>
  )
}

function Detail({ repository }: { repository: Repository }) {
  const t = useTexts()
  const may = useMay()
  const { definition } = repository
  return (
    <Stack gap="lg">
      <Connection name={repository.name} />
      <RoomLeft repository={repository} />
      <Keys repository={repository} />
      <Care name={repository.name} />
      {repository.managedBy === 'file' ? (
        <Section title={t.apps.definition}>
          <ManagedByFile />
          <Facts
            facts={[
              [t.repositories.address, definition.address ?? '–'],
              [t.repositories.endpoint, definition.endpoint ?? '–'],
              [t.repositories.region, definition.region ?? '–'],
              [
                t.repositories.limits,
                [definition.uploadLimit, definition.downloadLimit].filter(Boolean).join(' / ') || '–',
              ],
            ]}
          />
        </Section>
      ) : (
        may('configure') && <RepositoryForm key={repository.revision} repository={repository} />
      )}
    </Stack>
  )
}

/** Whether the storage can be reached, written and read back now. */
function Connection({ name }: { name: string }) {
  const t = useTexts()
  const may = useMay()
  const params = { params: { path: { name } } }
  const test = useAction(() => call(api.POST('/api/v1/repositories/{name}/test', params)), [])
  const init = useAction(
    () => call(api.POST('/api/v1/repositories/{name}/init', params)),
    ['repository'],
    () => test.mutate(undefined),
  )
  const result = test.data
  return (
    <Section
      title={t.repositories.connection}
      actions={
        may('operate') && (
          <Button variant="default" size="xs" loading={test.isPending} onClick={() => test.mutate(undefined)}>
            {t.repositories.test}
          </Button>
        )
      }
    >
      <ProblemPanel error={test.error ?? init.error} />
      {result === undefined ? (
        <Text size="sm" c="dimmed">
          {t.repositories.testHint}
        </Text>
      ) : (
        <>
          <TestResult result={result} />
          {!result.exists && may('configure') && (
            <Group>
              <Button loading={init.isPending} onClick={() => init.mutate(undefined)}>
                {t.repositories.init}
              </Button>
            </Group>
          )}
        </>
      )}
      {init.data && (
        <Callout tone="good">
          <Text size="sm">{t.repositories.made(shortId(init.data.id))}</Text>
          {init.data.lacks.map((lack) => (
            <Text size="sm" key={lack}>
              {lack}
            </Text>
          ))}
        </Callout>
      )}
    </Section>
  )
}

export function TestResult({ result }: { result: RepositoryTest }) {
  const t = useTexts()
  return (
    <Stack gap="xs" role="status">
      <Mark
        state={
          result.usable
            ? { tone: 'good', icon: 'check', words: t.repositories.usable }
            : result.exists
              ? { tone: 'bad', icon: 'cross', words: t.repositories.notUsable }
              : { tone: 'warn', icon: 'warning', words: t.repositories.empty }
        }
      />
      <Facts
        facts={[
          [t.repositories.location, result.location],
          [t.nav.backups, result.backups ?? '–'],
          [t.repositories.took, duration(result.tookMs / 1000)],
        ]}
      />
      {result.findings.length > 0 && (
        <List size="sm">
          {result.findings.map((finding) => (
            <List.Item key={finding}>{finding}</List.Item>
          ))}
        </List>
      )}
    </Stack>
  )
}

/** How much room is left, and for how long. */
function RoomLeft({ repository }: { repository: Repository }) {
  const t = useTexts()
  const { growth } = repository
  const soon = urgency(repository)
  return (
    <Section title={t.repositories.room}>
      {soon !== 'none' && (
        <Callout tone={soon === 'now' ? 'bad' : 'warn'}>
          <Text size="sm" fw={600}>
            {t.overview.filling(repository.name, Math.floor(growth?.fullInDays ?? 0))}
          </Text>
          <Text size="sm">{t.repositories.roomHint}</Text>
        </Callout>
      )}
      <Facts
        facts={[
          [t.repositories.growth, growthOf(repository, t)],
          ...(growth
            ? ([
                [t.repositories.free, bytes(growth.freeBytes)],
                [t.repositories.fullIn, fullIn(repository, t)],
              ] as [string, string][])
            : []),
        ]}
      />
    </Section>
  )
}

/** What opens the repository, and whether that outlives this machine. */
function Keys({ repository }: { repository: Repository }) {
  const t = useTexts()
  const may = useMay()
  const confirmedAt = repository.recoveryKit?.confirmedAt
  return (
    <Section title={t.repositories.keys} actions={may('configure') && <KitButton name={repository.name} />}>
      <Text size="sm">{t.repositories.keysHint}</Text>
      <Facts
        facts={[
          [t.repositories.key, repository.definition.key ?? t.repositories.noKey],
          [
            t.repositories.kit,
            confirmedAt ? (
              <>
                {t.repositories.kitConfirmed}, <Moment at={confirmedAt} />
              </>
            ) : (
              <Mark state={{ tone: 'warn', icon: 'warning', words: t.repositories.kitMissing }} />
            ),
          ],
        ]}
      />
    </Section>
  )
}

/** Upkeep by jobs. */
function Care({ name }: { name: string }) {
  const t = useTexts()
  const may = useMay()
  const navigate = useNavigate()
  const [pruning, dialog] = useDisclosure()
  const params = { params: { path: { name } } }
  const show = (accepted: { jobId: string }) =>
    void navigate({ to: paths.job, params: { id: accepted.jobId } })
  const check = useAction(
    (readDataPercent: number) =>
      call(api.POST('/api/v1/repositories/{name}/check', { ...params, body: { readDataPercent } })),
    ['job'],
    show,
  )
  const sync = useAction(() => call(api.POST('/api/v1/repositories/{name}/sync', params)), ['job'], show)
  const prune = useAction(() => call(api.POST('/api/v1/repositories/{name}/prune', params)), ['job'], show)
  if (!may('operate') && !may('delete')) return null
  return (
    <Section title={t.repositories.care}>
      <Group gap="sm">
        {may('operate') && (
          <>
            <Button variant="default" loading={check.isPending} onClick={() => check.mutate(0)}>
              {t.repositories.checkStructure}
            </Button>
            <Button variant="default" loading={check.isPending} onClick={() => check.mutate(100)}>
              {t.repositories.checkAll}
            </Button>
            <Button variant="default" loading={sync.isPending} onClick={() => sync.mutate(undefined)}>
              {t.repositories.sync}
            </Button>
          </>
        )}
        {may('delete') && (
          <Button variant="default" onClick={dialog.open}>
            {t.repositories.prune}
          </Button>
        )}
      </Group>
      <ProblemPanel error={check.error ?? sync.error} />
      <Confirm
        opened={pruning}
        title={t.repositories.prune}
        consequence={<Text size="sm">{t.repositories.pruneConsequence}</Text>}
        action={t.repositories.pruneAction(name)}
        pending={prune.isPending}
        error={prune.error}
        onConfirm={() => prune.mutate(undefined)}
        onClose={dialog.close}
      />
    </Section>
  )
}

function Removal({ repository }: { repository: Repository }) {
  const t = useTexts()
  const may = useMay()
  const navigate = useNavigate()
  const [opened, dialog] = useDisclosure()
  const remove = useAction(
    () =>
      call(
        api.DELETE('/api/v1/repositories/{name}', {
          params: { path: { name: repository.name }, header: { 'If-Match': `"${repository.revision}"` } },
        }),
      ),
    ['repository', 'backup', 'status'],
    () => void navigate({ to: paths.repositories }),
  )
  if (!may('configure') || repository.managedBy === 'file') return null
  return (
    <>
      <Button variant="default" c="var(--tone-bad)" onClick={dialog.open}>
        {t.repositories.forget}
      </Button>
      <Confirm
        opened={opened}
        title={t.repositories.forget}
        consequence={<Text size="sm">{t.repositories.forgetConsequence}</Text>}
        phrase={repository.name}
        action={t.repositories.forgetAction(repository.name)}
        pending={remove.isPending}
        error={remove.error}
        onConfirm={() => remove.mutate(undefined)}
        onClose={dialog.close}
      />
    </>
  )
}
