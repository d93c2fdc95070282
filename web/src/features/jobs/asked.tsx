import { useQuery } from '@tanstack/react-query'
import { queries } from '../../api/queries.ts'
import type { Job } from '../../api/types.ts'
import { shortId } from '../../format/amounts.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { Facts, Moment, Section } from '../../ui/bits.tsx'
import { TextLink } from '../../ui/links.tsx'

/** What a restore was asked to do, as far as whoever agrees to it has to know. */
interface RestoreSpec {
  backup: string
  /** The name is that of the database. */
  target: { mode: string; name?: string }
  tables?: string[]
  schemas?: string[]
  skip_safety_backup?: boolean
  migrate?: boolean
  check?: boolean
  files?: { trees?: string[]; globs?: string[]; into?: string | null } | null
}

function specOf(job: Job): RestoreSpec | undefined {
  const spec = job.spec as (Partial<RestoreSpec> & { kind?: string }) | null | undefined
  return spec?.kind === 'restore' && spec.backup && spec.target ? (spec as RestoreSpec) : undefined
}

/** What a restore is about to do, for whoever has to agree, before it has anything to report. */
export function Asked({ job }: { job: Job }) {
  const t = useTexts()
  const asked = specOf(job)
  if (asked === undefined || job.result) return null
  const parts = [...(asked.tables ?? []), ...(asked.schemas ?? [])]
  const database = asked.target.mode !== 'files_only'
  const overwrites = database && asked.target.mode !== 'into'
  const commands = [asked.migrate && t.restore.migrate, asked.check && t.restore.checkIt].filter(Boolean)
  return (
    <Section title={t.jobs.asked}>
      <Facts
        facts={[
          [t.restore.fromBackup, <Source key="backup" id={asked.backup} repository={job.repository} />],
          ...(database
            ? ([
                [t.restore.restoredTo, whereTo(asked, t)],
                [t.restore.what, parts.length === 0 ? t.restore.everything : parts.join(', ')],
                [
                  t.restore.safetyBackup,
                  overwrites && !asked.skip_safety_backup ? t.common.yes : t.common.no,
                ],
              ] as [string, string][])
            : []),
          ...(commands.length > 0 ? [[t.restore.beforeUse, commands.join(', ')] as [string, string]] : []),
          ...(asked.files ? filesOf(asked.files, t) : []),
        ]}
      />
    </Section>
  )
}

function Source({ id, repository }: { id: string; repository: string | null | undefined }) {
  const { data } = useQuery(queries.backup(id, repository ?? undefined))
  return (
    <TextLink to={paths.backup} params={{ id }} size="sm">
      {data ? <Moment at={data.time} absolute /> : shortId(id)}
    </TextLink>
  )
}

function whereTo({ target }: RestoreSpec, t: ReturnType<typeof useTexts>): string {
  const name = target.name ?? '–'
  if (target.mode === 'replace') return t.restore.replace(name)
  return target.mode === 'in_place' ? t.restore.inPlace(name) : name
}

function filesOf(
  { trees, globs, into }: NonNullable<RestoreSpec['files']>,
  t: ReturnType<typeof useTexts>,
): [string, string][] {
  return [
    [t.restore.folders, (trees ?? []).join(', ') || t.common.all],
    ...(globs && globs.length > 0 ? [[t.restore.onlyFiles, globs.join(', ')] as [string, string]] : []),
    [t.restore.whereFiles, into ?? t.restore.inTheirPlace],
  ]
}
