import { List, Stack, Text } from '@mantine/core'
import type { ReactNode } from 'react'
import type { Job } from '../../api/types.ts'
import { bytes, count, shortId } from '../../format/amounts.ts'
import { duration } from '../../format/time.ts'
import { paths } from '../../paths.ts'
import { type Texts, useLocale, useTexts } from '../../texts/index.ts'
import { Facts, Moment, Section } from '../../ui/bits.tsx'
import { TextLink } from '../../ui/links.tsx'
import { Callout, Mark, type State } from '../../ui/mark.tsx'
import { Prose } from '../../ui/prose.tsx'
import classes from '../../ui/ui.module.css'
import { UndoButton } from '../restore/undo-button.tsx'
import {
  backupOf,
  doctorReport,
  drillReport,
  lostOf,
  type Proof,
  type RestoredTree,
  type RestoreReport,
  restoreReport,
} from './reports.ts'

/** What came of a job, in the words of its kind. */
export function JobResult({ job }: { job: Job }) {
  const t = useTexts()
  if (!job.result) return null
  if (job.kind === 'restore') return <RestoreResult job={job} />
  if (job.kind === 'drill') return <DrillResult job={job} />
  if (job.kind === 'doctor') return <DoctorResult job={job} />
  const backup = backupOf(job)
  if (backup === undefined) return null
  const lost = lostOf(job)
  return (
    <Section title={t.jobs.result}>
      {lost.length > 0 && (
        <Callout tone="bad">
          <Text size="sm" fw={600}>
            {t.doubt.title}
          </Text>
          {lost.map((reason) => (
            <Text size="sm" lang="en" key={reason}>
              <Prose text={reason} />
            </Text>
          ))}
        </Callout>
      )}
      <TextLink to={paths.backup} params={{ id: backup }}>
        {t.jobs.showBackup(shortId(backup))}
      </TextLink>
    </Section>
  )
}

export function ProofTable({ proof, seconds }: { proof: Proof | undefined; seconds?: number }) {
  const t = useTexts()
  const locale = useLocale()
  if (proof === undefined || proof.level === 'none') {
    return <Mark state={{ tone: 'warn', icon: 'warning', words: t.restore.notProven }} />
  }
  const equal = proof.differences.length === 0
  return (
    <Stack gap="sm">
      <Mark
        state={
          equal
            ? { tone: 'good', icon: 'shield', words: t.restore.equal }
            : { tone: 'bad', icon: 'cross', words: t.restore.differs }
        }
      />
      <Facts
        facts={[
          [t.restore.tablesCompared, count(proof.tables, locale)],
          [t.restore.rowsCompared, count(proof.rows, locale)],
          [t.restore.compared, proof.level === 'full' ? t.restore.everyRow : t.restore.countsOnly],
          [t.restore.provedIn, duration(seconds)],
        ]}
      />
      {!equal && (
        <List size="sm">
          {proof.differences.map((difference) => (
            <List.Item key={difference}>{difference}</List.Item>
          ))}
        </List>
      )}
    </Stack>
  )
}

function RestoreResult({ job }: { job: Job }) {
  const t = useTexts()
  const locale = useLocale()
  const report = restoreReport(job)
  if (report === undefined) return null
  return (
    <>
      {report.database !== undefined && (
        <Section title={t.restore.proof}>
          <ProofTable proof={report.proof} seconds={report.proveSeconds} />
        </Section>
      )}
      {report.trees.length > 0 && <RestoredFiles trees={report.trees} />}
      <Section title={t.jobs.result} actions={<UndoButton job={job} />}>
        <Facts facts={resultFacts(report, t, locale)} />
        {report.warnings.map((warning) => (
          <Callout key={warning} tone="warn">
            <Text size="sm">{warning}</Text>
          </Callout>
        ))}
      </Section>
    </>
  )
}

function resultFacts(report: RestoreReport, t: Texts, locale: string): [string, ReactNode][] {
  const facts: [string, ReactNode][] = []
  const say = (name: string, value: ReactNode) => facts.push([name, value])
  const backup = (id: string) => (
    <TextLink to={paths.backup} params={{ id }} size="sm">
      {shortId(id)}
    </TextLink>
  )
  if (report.database !== undefined) say(t.restore.restoredTo, report.database)
  say(t.restore.fromBackup, backup(report.backup))
  if (report.database !== undefined) {
    say(t.backups.tables, count(report.tables, locale))
    say(t.backups.rows, count(report.rows, locale))
    say(t.backups.size, bytes(report.bytes))
  }
  say(t.restore.tookAll, duration(report.totalSeconds))
  if (report.blockedMs !== undefined)
    say(t.restore.blocked, report.blockedMs < 1 ? '< 1 ms' : duration(report.blockedMs / 1000))
  if (report.safetyBackup) say(t.restore.safetyBackup, backup(report.safetyBackup))
  if (report.keptAs)
    say(
      t.restore.oldKept,
      <>
        {report.keptAs}
        {report.keptUntil && (
          <>
            {' '}
            (<Moment at={report.keptUntil} absolute />)
          </>
        )}
      </>,
    )
  return facts
}

function RestoredFiles({ trees }: { trees: RestoredTree[] }) {
  const t = useTexts()
  const locale = useLocale()
  return (
    <Section title={t.restore.filesBack}>
      {trees.map((tree) => (
        <Stack key={tree.name} gap="xs">
          <Text fw={600}>{tree.name}</Text>
          <Mark
            state={
              tree.proven
                ? {
                    tone: 'good',
                    icon: 'shield',
                    words: tree.owners ? t.restore.filesProven : t.restore.filesProvenButOwners,
                  }
                : { tone: 'warn', icon: 'warning', words: t.restore.filesNotProven }
            }
          />
          <Facts
            facts={[
              [t.restore.restoredTo, tree.to],
              [t.restore.amount, t.restore.filesRestored(count(tree.files, locale), bytes(tree.bytes))],
              ...(tree.keptAs ? [[t.restore.folderKept, tree.keptAs] as [string, ReactNode]] : []),
            ]}
          />
          {tree.odd.length > 0 && (
            <Callout tone="warn">
              <Text size="sm">{t.restore.odd(tree.odd.length)}</Text>
              <List size="sm">
                {tree.odd.slice(0, 20).map((odd) => (
                  <List.Item key={odd}>{odd}</List.Item>
                ))}
              </List>
            </Callout>
          )}
        </Stack>
      ))}
    </Section>
  )
}

function DrillResult({ job }: { job: Job }) {
  const t = useTexts()
  const report = drillReport(job)
  if (report === undefined) return null
  return (
    <Section title={t.drills.report}>
      <Stack gap="md">
        <Text>
          {t.drills.recoveryTime}: {duration(report.seconds)}.{' '}
          <TextLink to={paths.backup} params={{ id: report.backup }}>
            {t.jobs.showBackup(shortId(report.backup))}
          </TextLink>
        </Text>
        {report.databases.map((database) => (
          <Stack key={database.name} gap="xs">
            <Text fw={600}>{t.backups.database(database.name)}</Text>
            <ProofTable proof={database.proof} seconds={database.proveSeconds} />
            {database.assertions.map((assertion) => (
              <Mark
                key={assertion.text}
                state={
                  assertion.holds
                    ? { tone: 'good', icon: 'check', words: assertion.text }
                    : { tone: 'bad', icon: 'cross', words: assertion.text }
                }
              />
            ))}
          </Stack>
        ))}
      </Stack>
    </Section>
  )
}

const SEVERITY: Record<string, Omit<State, 'words'>> = {
  good: { tone: 'good', icon: 'check' },
  note: { tone: 'note', icon: 'info' },
  warning: { tone: 'warn', icon: 'warning' },
}

function DoctorResult({ job }: { job: Job }) {
  const t = useTexts()
  const report = doctorReport(job)
  if (report === undefined) return null
  return (
    <Section title={t.apps.checked}>
      <ul className={classes.rows}>
        {report.findings.map((finding) => {
          const look = SEVERITY[finding.severity] ?? { tone: 'bad', icon: 'cross' }
          return (
            <li key={`${finding.subject} ${finding.message}`}>
              <Mark
                state={{
                  ...look,
                  words: (t.severities as Record<string, string>)[finding.severity] ?? finding.severity,
                }}
              />
              <Text size="sm" lang="en">
                {finding.message}
              </Text>
              <Text size="xs" c="dimmed">
                {finding.subject}
              </Text>
              {finding.remedy && (
                <Text size="sm" lang="en">
                  <Prose text={finding.remedy} />
                </Text>
              )}
            </li>
          )
        })}
      </ul>
    </Section>
  )
}
