import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { queries } from '../../api/queries.ts'
import { count } from '../../format/amounts.ts'
import { duration } from '../../format/time.ts'
import { paths } from '../../paths.ts'
import { useLocale, useTexts } from '../../texts/index.ts'
import { Empty, More } from '../../ui/bits.tsx'
import { DataTable } from '../../ui/data-table.tsx'
import { LinkButton } from '../../ui/links.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Mark } from '../../ui/mark.tsx'
import { Page } from '../../ui/page.tsx'
import { columns } from '../jobs/columns.tsx'
import { type RestoreReport, restoreReport } from '../jobs/reports.ts'
import { useMay } from '../session/session.ts'
import { jobKind } from '../states.ts'
import { AllKept } from './kept.tsx'

export function RestoresPage() {
  const t = useTexts()
  const locale = useLocale()
  const may = useMay()
  const query = useInfiniteQuery(queries.restores())
  const apps = useQuery(queries.apps())
  const rows = (query.data?.pages ?? []).flatMap((page) => page.items)
  return (
    <Page
      title={t.nav.restores}
      about={t.restore.restoresAbout}
      actions={may('restore') && <LinkButton to={paths.bringBack}>{t.overview.restore}</LinkButton>}
    >
      <Loaded query={query}>
        {() =>
          rows.length === 0 ? (
            <Empty title={t.restore.none} hint={t.restore.noneHint} />
          ) : (
            <DataTable
              label={t.nav.restores}
              rows={rows}
              rowKey={(row) => row.id}
              columns={[
                columns.started(t),
                { key: 'kind', title: t.jobs.kind, cell: (row) => jobKind(row.kind, t) },
                columns.state(t),
                columns.app(t),
                columns.backup(t, (job) => restoreReport(job)?.backup),
                {
                  key: 'to',
                  title: t.restore.restoredTo,
                  cell: (row) => restoredTo(restoreReport(row)),
                },
                {
                  key: 'proof',
                  title: t.restore.proof,
                  cell: (row) => {
                    const proof = restoreReport(row)?.proof
                    if (!proof || proof.level === 'none') return '–'
                    return proof.differences.length === 0 ? (
                      <Mark state={{ tone: 'good', icon: 'shield', words: t.restore.equalShort }} />
                    ) : (
                      <Mark state={{ tone: 'bad', icon: 'cross', words: t.restore.differs }} />
                    )
                  },
                },
                {
                  key: 'rows',
                  title: t.backups.rows,
                  number: true,
                  cell: (row) => count(restoreReport(row)?.rows, locale),
                },
                {
                  key: 'took',
                  title: t.jobs.took,
                  number: true,
                  cell: (row) => duration(restoreReport(row)?.totalSeconds),
                },
                { key: 'by', title: t.jobs.startedBy, cell: (row) => row.createdBy },
              ]}
            />
          )
        }
      </Loaded>
      <More query={query} />
      <AllKept apps={(apps.data ?? []).map((app) => app.name)} />
    </Page>
  )
}

/** The database, or the folders where only files came back. */
function restoredTo(report: RestoreReport | undefined): string {
  return report?.database ?? (report?.trees.map((tree) => tree.to).join(', ') || '–')
}
