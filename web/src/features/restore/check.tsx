import { List, Loader, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { queries } from '../../api/queries.ts'
import type { BackupDetail, Plan } from '../../api/types.ts'
import { bytes, count } from '../../format/amounts.ts'
import { duration } from '../../format/time.ts'
import { useLocale, useTexts } from '../../texts/index.ts'
import { Facts, Section } from '../../ui/bits.tsx'
import { Callout, Mark } from '../../ui/mark.tsx'
import { ProblemPanel } from '../../ui/problem-panel.tsx'
import { Prose } from '../../ui/prose.tsx'
import { type Choice, takesDatabase } from './choice.ts'
import { planQuery, sidesOf, treesOf, versionsOf } from './plan.ts'
import { Refusals, Steps } from './steps.tsx'

/** The dry run: what will happen, and what stands against it. */
export function Check({ backup, choice }: { backup: BackupDetail; choice: Choice }) {
  const t = useTexts()
  const query = useQuery(planQuery(backup, choice))
  return (
    <Section title={t.restore.check}>
      {query.isPending && (
        <Stack align="center" py="lg" role="status">
          <Loader />
          <Text size="sm">{t.restore.planning}</Text>
        </Stack>
      )}
      <ProblemPanel error={query.error} retry={() => void query.refetch()} />
      {query.data && <PlanView plan={query.data} backup={backup} choice={choice} />}
    </Section>
  )
}

export function PlanView({ plan, backup, choice }: { plan: Plan; backup: BackupDetail; choice: Choice }) {
  const t = useTexts()
  const locale = useLocale()
  const sides = sidesOf(plan)
  const versions = versionsOf(plan)
  const trees = treesOf(plan)
  const status = useQuery(queries.status())
  const app = status.data?.apps.find((each) => each.app === backup.app)
  const estimate = backup.provenSeconds ?? app?.provenSeconds
  const missing = [...sides.missingExtensions, ...sides.missingRoles, ...sides.missingTablespaces]
  const databaseFacts = (): [string, string][] => [
    [t.restore.versions, `${sides.sourceVersion ?? '–'} → ${sides.targetVersion ?? '–'}`],
    [t.restore.server, sides.targetServer ?? '–'],
    [
      t.restore.amount,
      t.restore.amountOf(count(sides.tables, locale), count(sides.rows, locale), bytes(sides.bytes)),
    ],
    ...(sides.existingBytes === undefined
      ? []
      : [[t.restore.existing, bytes(sides.existingBytes)] as [string, string]]),
    ...(choice.mode === 'into'
      ? []
      : [
          [
            t.restore.sessions,
            sides.sessions.length === 0 ? t.restore.noSessions : sides.sessions.join('; '),
          ] as [string, string],
        ]),
    [t.restore.missing, missing.length === 0 ? t.restore.nothingMissing : missing.join(', ')],
    [
      t.restore.estimate,
      estimate === null || estimate === undefined
        ? t.restore.noEstimate
        : t.restore.estimateOf(duration(estimate)),
    ],
  ]
  return (
    <Stack gap="md">
      <Refusals plan={plan} />
      {plan.warnings.map((warning) => (
        <Callout key={warning} tone="warn">
          <Text size="sm">
            <Prose text={warning} />
          </Text>
        </Callout>
      ))}
      {plan.refusals.length === 0 && (
        <Mark state={{ tone: 'good', icon: 'check', words: t.restore.nothingAgainst }} />
      )}
      {plan.overwrites && takesDatabase(choice) && choice.mode === 'replace' && (
        <Callout tone="warn">
          <Text size="sm">{t.restore.lost(duration(plan.ageSecs))}</Text>
        </Callout>
      )}
      <Steps plan={plan} />
      {versions && (
        <div>
          <Text size="sm" fw={600}>
            {t.restore.schemaVersion}
          </Text>
          {versions.words.map((sentence) => (
            <Text size="sm" key={sentence}>
              {sentence}
            </Text>
          ))}
          {versions.forward.length > 0 && (
            <>
              <Text size="sm" mt="xs">
                {t.restore.wouldMigrate}
              </Text>
              <List size="sm" aria-label={t.restore.wouldMigrate}>
                {versions.forward.map((migration) => (
                  <List.Item key={migration}>
                    <Text span size="sm" ff="monospace">
                      {migration}
                    </Text>
                  </List.Item>
                ))}
              </List>
            </>
          )}
        </div>
      )}
      {trees.map((tree) => (
        <div key={tree.name}>
          <Text size="sm" fw={600} mb={4}>
            {t.restore.folderOf(tree.name)}
          </Text>
          <Facts
            facts={[
              [t.restore.goesTo, tree.to],
              [t.restore.amount, t.restore.filesRestored(count(tree.files, locale), bytes(tree.bytes))],
              [t.restore.freeThere, bytes(tree.freeBytes)],
              [t.restore.thereNow, tree.replaces ? t.restore.keptBeside : t.restore.nothingThere],
            ]}
          />
        </div>
      ))}
      <Facts
        facts={[[t.restore.age, duration(plan.ageSecs)], ...(takesDatabase(choice) ? databaseFacts() : [])]}
      />
    </Stack>
  )
}
