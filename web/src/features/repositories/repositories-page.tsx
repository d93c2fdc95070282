import { useQuery } from '@tanstack/react-query'
import { queries } from '../../api/queries.ts'
import type { Repository } from '../../api/types.ts'
import { count } from '../../format/amounts.ts'
import { paths } from '../../paths.ts'
import { useLocale, useTexts } from '../../texts/index.ts'
import { Empty, Moment } from '../../ui/bits.tsx'
import { DataTable } from '../../ui/data-table.tsx'
import { LinkButton, TextLink } from '../../ui/links.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Mark } from '../../ui/mark.tsx'
import { Page } from '../../ui/page.tsx'
import { useMay } from '../session/session.ts'
import { fullIn, isRemote, urgency } from './room.ts'

export function RepositoriesPage() {
  const t = useTexts()
  const locale = useLocale()
  const may = useMay()
  const query = useQuery(queries.repositories())
  const status = useQuery(queries.status())
  const holdings = (name: string) =>
    (status.data?.apps ?? []).flatMap((app) => app.repositories.filter((each) => each.repository === name))
  const create = may('configure') && <LinkButton to={paths.newRepository}>{t.repositories.create}</LinkButton>
  return (
    <Page title={t.nav.repositories} about={t.repositories.about} actions={create}>
      <Loaded query={query}>
        {(repositories) =>
          repositories.length === 0 ? (
            <Empty title={t.repositories.none} hint={t.repositories.noneHint} action={create} />
          ) : (
            <DataTable
              label={t.nav.repositories}
              rows={repositories}
              rowKey={(row) => row.name}
              columns={[
                {
                  key: 'name',
                  title: t.common.name,
                  cell: (row) => (
                    <TextLink to={paths.repository} params={{ name: row.name }} size="sm">
                      {row.name}
                    </TextLink>
                  ),
                },
                {
                  key: 'address',
                  title: t.repositories.address,
                  cell: (row) => row.definition.address ?? '–',
                },
                {
                  key: 'place',
                  title: t.repositories.place,
                  cell: (row) =>
                    holdings(row.name).some((each) => each.offsite) || isRemote(row.definition.address)
                      ? t.overview.offsite
                      : t.overview.local,
                },
                {
                  key: 'backups',
                  title: t.nav.backups,
                  number: true,
                  cell: (row) =>
                    count(
                      holdings(row.name).reduce((sum, each) => sum + each.backups, 0),
                      locale,
                    ),
                },
                {
                  key: 'newest',
                  title: t.repositories.newest,
                  cell: (row) => (
                    <Moment
                      at={holdings(row.name)
                        .map((each) => each.newest ?? '')
                        .sort()
                        .at(-1)}
                    />
                  ),
                },
                { key: 'full', title: t.repositories.fullIn, cell: (row) => <Room repository={row} /> },
                {
                  key: 'kit',
                  title: t.repositories.kit,
                  cell: (row) =>
                    row.recoveryKit?.confirmedAt ? (
                      <Moment at={row.recoveryKit.confirmedAt} />
                    ) : (
                      <Mark state={{ tone: 'warn', icon: 'warning', words: t.common.no }} />
                    ),
                },
              ]}
            />
          )
        }
      </Loaded>
    </Page>
  )
}

/** When the disk is full; stands out where somebody has to do something about it. */
function Room({ repository }: { repository: Repository }) {
  const t = useTexts()
  const words = fullIn(repository, t)
  const soon = urgency(repository)
  if (soon === 'none') return words
  return <Mark state={{ tone: soon === 'now' ? 'bad' : 'warn', icon: 'warning', words }} />
}
