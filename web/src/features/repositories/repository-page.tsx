import { Stack } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { getRouteApi, useNavigate } from '@tanstack/react-router'
import { api, call } from '../../api/client.ts'
import { queries } from '../../api/queries.ts'
import type { Repository } from '../../api/types.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { Facts, Section } from '../../ui/bits.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { ManagedByFile } from '../../ui/managed.tsx'
import { Page } from '../../ui/page.tsx'
import { Removal } from '../removal.tsx'
import { useMay } from '../session/session.ts'
import { Care } from './care.tsx'
import { Connection } from './connection.tsx'
import { Keys, RoomLeft } from './keeping.tsx'
import { RepositoryForm } from './repository-form.tsx'

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
      actions={query.data && <Forget repository={query.data} />}
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

function Forget({ repository }: { repository: Repository }) {
  const t = useTexts()
  const may = useMay()
  const navigate = useNavigate()
  if (!may('configure') || repository.managedBy === 'file') return null
  return (
    <Removal
      name={repository.name}
      words={{
        label: t.repositories.forget,
        title: t.repositories.forget,
        consequence: t.repositories.forgetConsequence,
        action: t.repositories.forgetAction(repository.name),
      }}
      remove={() =>
        call(
          api.DELETE('/api/v1/repositories/{name}', {
            params: { path: { name: repository.name }, header: { 'If-Match': `"${repository.revision}"` } },
          }),
        )
      }
      topics={['repository', 'backup', 'status']}
      gone={() => void navigate({ to: paths.repositories })}
    />
  )
}
