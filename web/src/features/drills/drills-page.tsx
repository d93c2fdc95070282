import { useInfiniteQuery } from '@tanstack/react-query'
import { queries } from '../../api/queries.ts'
import { count, shortId } from '../../format/amounts.ts'
import { duration } from '../../format/time.ts'
import { paths } from '../../paths.ts'
import { useLocale, useTexts } from '../../texts/index.ts'
import { Empty, Moment, More } from '../../ui/bits.tsx'
import { DataTable } from '../../ui/data-table.tsx'
import { TextLink } from '../../ui/links.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Mark } from '../../ui/mark.tsx'
import { Page } from '../../ui/page.tsx'
import { drillReport } from '../jobs/reports.ts'
import { useMay } from '../session/session.ts'
import { jobState } from '../states.ts'
import { DrillButton } from './drill-button.tsx'

export function DrillsPage() {
  const t = useTexts()
  const locale = useLocale()
  const may = useMay()
  const query = useInfiniteQuery(queries.drills())
  const rows = (query.data?.pages ?? []).flatMap((page) => page.items)
  return (
    <Page title={t.drills.title} about={t.drills.about} actions={may('operate') && <DrillButton />}>
      <Loaded query={query}>
        {() =>
          rows.length === 0 ? (
            <Empty title={t.drills.none} hint={t.drills.noneHint} />
          ) : (
            <DataTable
              label={t.drills.title}
              rows={rows}
              rowKey={(row) => row.id}
              columns={[
                {
                  key: 'at',
                  title: t.jobs.startedAt,
                  cell: (row) => (
                    <TextLink to={paths.job} params={{ id: row.id }} size="sm">
                      <Moment at={row.startedAt ?? row.createdAt} absolute />
                    </TextLink>
                  ),
                },
                { key: 'state', title: t.common.state, cell: (row) => <Mark state={outcome(row, t)} pill /> },
                { key: 'app', title: t.common.app, cell: (row) => row.app || '–' },
                {
                  key: 'backup',
                  title: t.backups.backup,
                  cell: (row) => {
                    const backup = drillReport(row)?.backup
                    return backup ? (
                      <TextLink to={paths.backup} params={{ id: backup }} size="sm" ff="monospace">
                        {shortId(backup)}
                      </TextLink>
                    ) : (
                      '–'
                    )
                  },
                },
                {
                  key: 'rows',
                  title: t.restore.rowsCompared,
                  number: true,
                  cell: (row) =>
                    count(
                      drillReport(row)?.databases.reduce((sum, each) => sum + (each.proof?.rows ?? 0), 0),
                      locale,
                    ),
                },
                {
                  key: 'time',
                  title: t.drills.recoveryTime,
                  number: true,
                  cell: (row) => duration(drillReport(row)?.seconds),
                },
              ]}
            />
          )
        }
      </Loaded>
      <More query={query} />
    </Page>
  )
}

function outcome(
  job: Parameters<typeof jobState>[0] & Parameters<typeof drillReport>[0],
  t: ReturnType<typeof useTexts>,
) {
  const report = drillReport(job)
  if (job.state === 'succeeded' && report?.proven) {
    return { tone: 'good', icon: 'shield', words: t.backupStates.proven } as const
  }
  return jobState(job, t)
}
