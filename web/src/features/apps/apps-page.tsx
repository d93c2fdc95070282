import { useQuery } from '@tanstack/react-query'
import { queries } from '../../api/queries.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { Empty, Moment } from '../../ui/bits.tsx'
import { DataTable } from '../../ui/data-table.tsx'
import { LinkButton, TextLink } from '../../ui/links.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Mark } from '../../ui/mark.tsx'
import { Page } from '../../ui/page.tsx'
import { useMay } from '../session/session.ts'
import { healthState } from '../states.ts'

export function AppsPage() {
  const t = useTexts()
  const may = useMay()
  const query = useQuery(queries.apps())
  const status = useQuery(queries.status())
  const statusOf = (name: string) => status.data?.apps.find((app) => app.app === name)
  const create = may('configure') && <LinkButton to={paths.newApp}>{t.apps.create}</LinkButton>
  return (
    <Page title={t.nav.apps} about={t.apps.about} actions={create}>
      <Loaded query={query}>
        {(apps) =>
          apps.length === 0 ? (
            <Empty title={t.overview.noApps} hint={t.overview.noAppsHint} action={create} />
          ) : (
            <DataTable
              label={t.nav.apps}
              rows={apps}
              rowKey={(row) => row.name}
              columns={[
                {
                  key: 'name',
                  title: t.common.name,
                  cell: (row) => (
                    <TextLink to={paths.app} params={{ name: row.name }} size="sm">
                      {row.name}
                    </TextLink>
                  ),
                },
                {
                  key: 'state',
                  title: t.common.state,
                  cell: (row) => {
                    const app = statusOf(row.name)
                    return app ? <Mark state={healthState(app.state, t)} pill /> : '–'
                  },
                },
                {
                  key: 'environment',
                  title: t.apps.environment,
                  cell: (row) => row.definition.environment || '–',
                },
                {
                  key: 'databases',
                  title: t.apps.databases,
                  number: true,
                  cell: (row) => row.definition.databases?.length ?? 0,
                },
                {
                  key: 'repository',
                  title: t.common.repository,
                  cell: (row) => row.definition.repository ?? '–',
                },
                {
                  key: 'good',
                  title: t.overview.lastGood,
                  cell: (row) => <Moment at={statusOf(row.name)?.lastGood?.time} />,
                },
              ]}
            />
          )
        }
      </Loaded>
    </Page>
  )
}
