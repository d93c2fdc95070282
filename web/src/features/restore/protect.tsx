import { Checkbox, List, NumberInput, Radio, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { queries } from '../../api/queries.ts'
import type { AppDefinition, BackupDetail } from '../../api/types.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { Section } from '../../ui/bits.tsx'
import { TextLink } from '../../ui/links.tsx'
import { Callout, Mark } from '../../ui/mark.tsx'
import {
  type Choice,
  commandsOf,
  filesTo,
  mayRunCommands,
  overwrites,
  overwritesDatabase,
  takesDatabase,
} from './choice.ts'
import { fenceAndHooks } from './fence.ts'
import { planQuery } from './plan.ts'
import { Refusals, Steps } from './steps.tsx'

interface Props {
  backup: BackupDetail
  choice: Choice
  change: (part: Partial<Choice>) => void
}

/** What keeps a restore from doing harm. */
export function Protect({ backup, choice, change }: Props) {
  const app = useQuery({ ...queries.app(backup.app), retry: false })
  const definition = app.data?.definition
  return (
    <Stack gap="lg">
      <Guards choice={choice} change={change} definition={definition} />
      {takesDatabase(choice) && (
        <BeforeUse backup={backup} choice={choice} change={change} definition={definition} />
      )}
      {overwritesDatabase(choice) && <AroundIt app={backup.app} choice={choice} definition={definition} />}
      <SoItGoes backup={backup} choice={choice} />
    </Stack>
  )
}

interface Part {
  choice: Choice
  change: Props['change']
  definition: AppDefinition | undefined
}

/** What can be taken back, and how long. */
function Guards({ choice, change, definition }: Part) {
  const t = useTexts()
  const replaces = takesDatabase(choice) && choice.mode === 'replace'
  const fenced = definition?.fence?.readOnly === true
  return (
    <Section title={t.restore.protect}>
      {!overwrites(choice) && (
        <Mark state={{ tone: 'good', icon: 'shield', words: t.restore.safeByItself }} />
      )}
      {overwritesDatabase(choice) && (
        <Checkbox
          label={t.restore.safetyFirst(choice.database)}
          description={t.restore.safetyHint}
          checked={!choice.skipSafetyBackup}
          onChange={(event) => change({ skipSafetyBackup: !event.currentTarget.checked })}
        />
      )}
      {overwritesDatabase(choice) && choice.skipSafetyBackup && (
        <Callout tone="bad">
          <Text size="sm">{t.restore.noSafety}</Text>
        </Callout>
      )}
      {replaces && (
        <Checkbox
          label={t.restore.readOnly(choice.database)}
          description={fenced ? t.restore.readOnlyByApp : t.restore.readOnlyHint}
          checked={fenced || choice.readOnly}
          disabled={fenced}
          onChange={(event) => change({ readOnly: event.currentTarget.checked })}
        />
      )}
      {(replaces || filesTo(choice) === 'place') && (
        <NumberInput
          label={replaces ? t.restore.keepOld : t.restore.keepOldFolders}
          description={t.restore.keepOldHint}
          value={choice.keepOldHours}
          onChange={(hours) => change({ keepOldHours: Math.max(0, Number(hours) || 0) })}
          min={0}
          max={24 * 30}
          suffix=" h"
          maw={280}
          hideControls
        />
      )}
    </Section>
  )
}

/** What has to hold before anybody uses what was restored. */
function BeforeUse({ backup, choice, change, definition }: Part & { backup: BackupDetail }) {
  const t = useTexts()
  const has = commandsOf(definition)
  const may = mayRunCommands(choice)
  const run = (which: 'migrate' | 'check', label: string, hint: string) => (
    <Checkbox
      label={label}
      description={!may ? t.restore.onlyWholeDatabase : has[which] ? hint : t.restore.noCommand}
      checked={may && has[which] && choice[which]}
      disabled={!may || !has[which]}
      onChange={(event) => change({ [which]: event.currentTarget.checked })}
    />
  )
  return (
    <Section title={t.restore.beforeUse}>
      <Radio.Group
        label={t.restore.proveHow}
        value={choice.prove}
        onChange={(prove) => change({ prove: prove as Choice['prove'] })}
      >
        <Stack gap="xs" mt="xs">
          <Radio value="full" label={t.restore.proveFull} />
          <Radio value="counts" label={t.restore.proveCounts} />
          <Radio value="none" label={t.restore.proveNone} />
        </Stack>
      </Radio.Group>
      {run('migrate', t.restore.migrate, t.restore.migrateHint)}
      {run('check', t.restore.checkIt, t.restore.checkItHint)}
      {may && !(has.migrate && has.check) && (
        <TextLink to={paths.app} params={{ name: backup.app }} size="sm">
          {t.restore.setCommands(backup.app)}
        </TextLink>
      )}
      <Checkbox
        label={t.restore.noOwner}
        description={t.restore.noOwnerHint}
        checked={choice.noOwner}
        onChange={(event) => change({ noOwner: event.currentTarget.checked })}
      />
    </Section>
  )
}

/** The app's fence and hooks, which take part by themselves. */
function AroundIt({
  app,
  choice,
  definition,
}: {
  app: string
  choice: Choice
  definition: AppDefinition | undefined
}) {
  const t = useTexts()
  if (definition === undefined) return null
  const lines = fenceAndHooks(definition, choice, t)
  return (
    <Section title={t.restore.around}>
      {lines.length === 0 ? (
        <Text size="sm">{t.restore.nothingAround}</Text>
      ) : (
        <List size="sm" spacing={4}>
          {lines.map((line) => (
            <List.Item key={line.key}>
              {line.words}
              {line.detail && (
                <Text
                  size="sm"
                  c="dimmed"
                  ff={line.code ? 'monospace' : undefined}
                  style={{ overflowWrap: 'anywhere' }}
                >
                  {line.detail}
                </Text>
              )}
            </List.Item>
          ))}
        </List>
      )}
      <TextLink to={paths.app} params={{ name: app }} size="sm">
        {t.restore.setAround(app)}
      </TextLink>
    </Section>
  )
}

/** The plan with what is chosen here. */
function SoItGoes({ backup, choice }: Pick<Props, 'backup' | 'choice'>) {
  const t = useTexts()
  const { data } = useQuery({ ...planQuery(backup, choice), placeholderData: (before) => before })
  if (data === undefined) return null
  return (
    <Section title={t.restore.soItGoes}>
      <Refusals plan={data} />
      <Steps plan={data} />
    </Section>
  )
}
