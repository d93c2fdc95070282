import type { Job } from '../../api/types.ts'
import { shortId } from '../../format/amounts.ts'
import { paths } from '../../paths.ts'
import type { Texts } from '../../texts/index.ts'
import { Moment } from '../../ui/bits.tsx'
import type { Column } from '../../ui/data-table.tsx'
import { TextLink } from '../../ui/links.tsx'
import { Mark, type State } from '../../ui/mark.tsx'
import { jobState } from '../states.ts'

/** Columns that lists of jobs share, whatever the jobs do. */
export const columns = {
  started: (t: Texts): Column<Job> => ({
    key: 'at',
    title: t.jobs.startedAt,
    cell: (row) => (
      <TextLink to={paths.job} params={{ id: row.id }} size="sm">
        <Moment at={row.startedAt ?? row.createdAt} absolute />
      </TextLink>
    ),
  }),
  state: (t: Texts, outcome: (job: Job) => State = (job) => jobState(job, t)): Column<Job> => ({
    key: 'state',
    title: t.common.state,
    cell: (row) => <Mark state={outcome(row)} pill />,
  }),
  app: (t: Texts): Column<Job> => ({ key: 'app', title: t.common.app, cell: (row) => row.app || '–' }),
  backup: (t: Texts, backupOf: (job: Job) => string | undefined): Column<Job> => ({
    key: 'backup',
    title: t.backups.backup,
    cell: (row) => {
      const backup = backupOf(row)
      return backup ? (
        <TextLink to={paths.backup} params={{ id: backup }} size="sm" ff="monospace">
          {shortId(backup)}
        </TextLink>
      ) : (
        '–'
      )
    },
  }),
}
