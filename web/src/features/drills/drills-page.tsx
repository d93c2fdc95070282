import { useInfiniteQuery } from '@tanstack/react-query'
import { queries } from '../../api/queries.ts'
import type { Job } from '../../api/types.ts'
import { count } from '../../format/amounts.ts'
import { duration } from '../../format/time.ts'
import { type Texts, useLocale, useTexts } from '../../texts/index.ts'
import { Empty, More } from '../../ui/bits.tsx'
import { DataTable } from '../../ui/data-table.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import type { State } from '../../ui/mark.tsx'
import { Page } from '../../ui/page.tsx'
import { columns } from '../jobs/columns.tsx'
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
                columns.started(t),
                columns.state(t, (job) => outcome(job, t)),
                columns.app(t),
                columns.backup(t, (job) => drillReport(job)?.backup),
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

/** A drill that succeeded has proven its backup. */
function outcome(job: Job, t: Texts): State {
  if (job.state === 'succeeded' && drillReport(job)?.proven)
    return { tone: 'good', icon: 'shield', words: t.backupStates.proven }
  return jobState(job, t)
}
