import {
  Autocomplete,
  Button,
  Checkbox,
  Group,
  NumberInput,
  Select,
  SimpleGrid,
  Stack,
  Text,
  TextInput,
} from '@mantine/core'
import { useDebouncedValue } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { api, call } from '../../api/client.ts'
import { asProblem } from '../../api/problem.ts'
import { queries } from '../../api/queries.ts'
import { dateTime, utc } from '../../format/time.ts'
import { useLocale, useTexts } from '../../texts/index.ts'
import { Section } from '../../ui/bits.tsx'
import { ProblemPanel } from '../../ui/problem-panel.tsx'
import { type Draft, definitionOf, WEEKDAYS } from './draft.ts'
import { Keep } from './keep-fields.tsx'
import { Package, Rest } from './rest-fields.tsx'
import { scheduleWords } from './schedule-words.ts'

interface Props {
  draft: Draft
  change: (part: Partial<Draft>) => void
  isNew: boolean
  error: unknown
  saving: boolean
  save: () => void
}

export function PolicyForm(props: Props) {
  const t = useTexts()
  const { draft, change } = props
  const preview = usePreview(draft)
  const error = props.error ?? preview.error
  const problem = props.error ? asProblem(props.error) : undefined
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        props.save()
      }}
    >
      <Stack gap="lg">
        <Basics {...props} />
        <When draft={draft} change={change} error={error} />
        <Keep draft={draft} change={change} />
        {draft.kind === 'export' && <Package draft={draft} change={change} error={error} />}
        <Rest draft={draft} change={change} error={error} />
        <ProblemPanel error={problem} />
        <Group justify="flex-end">
          <Button
            type="submit"
            loading={props.saving}
            disabled={draft.name.trim() === '' || draft.app === ''}
          >
            {t.policies.save(draft.name.trim())}
          </Button>
        </Group>
      </Stack>
    </form>
  )
}

function Basics({ draft, change, isNew, error }: Props) {
  const t = useTexts()
  const apps = useQuery(queries.apps())
  const problem = error ? asProblem(error) : undefined
  return (
    <Section title={t.policies.what}>
      <SimpleGrid cols={{ base: 1, sm: 2 }}>
        <TextInput
          label={t.common.name}
          description={t.common.nameHint}
          required
          disabled={!isNew}
          value={draft.name}
          onChange={(event) => change({ name: event.currentTarget.value })}
          error={problem?.field('name')}
        />
        <Select
          label={t.common.app}
          data={(apps.data ?? []).map((app) => app.name)}
          value={draft.app}
          onChange={(app) => app && change({ app })}
          allowDeselect={false}
          required
          error={problem?.field('app')}
        />
        <Select
          label={t.backups.kind}
          description={t.backupKindHints[draft.kind]}
          data={Object.entries(t.backupKinds).map(([value, label]) => ({ value, label }))}
          value={draft.kind}
          onChange={(kind) => kind && change({ kind: kind as Draft['kind'] })}
          allowDeselect={false}
        />
        <TextInput
          label={t.backups.description}
          value={draft.description}
          onChange={(event) => change({ description: event.currentTarget.value })}
        />
      </SimpleGrid>
      <Checkbox
        label={t.policies.runsBySchedule}
        checked={draft.enabled}
        onChange={(event) => change({ enabled: event.currentTarget.checked })}
      />
    </Section>
  )
}

type Part = Pick<Props, 'draft' | 'change'>

function When({ draft, change, error }: Part & { error: unknown }) {
  const t = useTexts()
  const problem = error ? asProblem(error) : undefined
  const timed = ['hourly', 'daily', 'weekly', 'monthly'].includes(draft.frequency)
  return (
    <Section title={t.policies.when}>
      <SimpleGrid cols={{ base: 1, sm: 2 }}>
        <Select
          label={t.policies.howOften}
          data={Object.entries(t.frequencies).map(([value, label]) => ({ value, label }))}
          value={draft.frequency}
          onChange={(frequency) => frequency && change({ frequency: frequency as Draft['frequency'] })}
          allowDeselect={false}
        />
        {timed && (
          <TextInput
            placeholder="02:00"
            inputMode="numeric"
            label={draft.frequency === 'hourly' ? t.policies.minute : t.policies.at}
            value={draft.at}
            onChange={(event) => change({ at: event.currentTarget.value })}
            error={problem?.field('schedule.at')}
          />
        )}
        {draft.frequency === 'weekly' && (
          <Select
            label={t.policies.weekday}
            data={WEEKDAYS.map((value) => ({ value, label: t.weekdays[value] }))}
            value={draft.weekday}
            onChange={(day) => day && change({ weekday: day })}
            allowDeselect={false}
          />
        )}
        {draft.frequency === 'monthly' && (
          <NumberInput
            label={t.policies.dayOfMonth}
            min={1}
            max={31}
            value={draft.day}
            onChange={(day) => change({ day: Number(day) || 1 })}
            hideControls
          />
        )}
        {draft.frequency === 'cron' && (
          <TextInput
            label={t.policies.cron}
            description={t.policies.cronHint}
            ff="monospace"
            value={draft.cron}
            onChange={(event) => change({ cron: event.currentTarget.value })}
            error={problem?.field('schedule.cron')}
          />
        )}
        {draft.frequency !== 'on_demand' && (
          <Autocomplete
            label={t.policies.timeZone}
            description={t.policies.timeZoneHint}
            data={Intl.supportedValuesOf('timeZone')}
            limit={40}
            value={draft.timeZone}
            onChange={(timeZone) => change({ timeZone })}
            error={problem?.field('schedule.timeZone')}
          />
        )}
      </SimpleGrid>
      {draft.frequency !== 'on_demand' && <Preview draft={draft} />}
    </Section>
  )
}

/** The schedule in plain words and the runs that it makes. */
function Preview({ draft }: { draft: Draft }) {
  const t = useTexts()
  const locale = useLocale()
  const query = usePreview(draft)
  if (query.isError) {
    // What is wrong elsewhere is said at its field.
    const { fields } = asProblem(query.error)
    const ofSchedule = fields.length === 0 || fields.some(({ field }) => field.startsWith('schedule'))
    return ofSchedule && <ProblemPanel error={query.error} />
  }
  if (!query.data) return null
  return (
    <Stack gap={4} role="status">
      <Text size="sm">
        {t.policies.inWords}: <b>{scheduleWords(definitionOf(draft).schedule, query.data.words, t)}</b>
      </Text>
      <Text size="sm" fw={600}>
        {t.policies.nextRuns}
      </Text>
      <SimpleGrid component="ul" cols={{ base: 2, sm: 5 }} spacing="xs" verticalSpacing={4} m={0} p={0}>
        {query.data.runs.map((run) => (
          <Text component="li" size="sm" key={run.start} style={{ listStyle: 'none' }}>
            <time dateTime={run.start} title={utc(run.start)}>
              {dateTime(run.start, locale)}
            </time>
          </Text>
        ))}
      </SimpleGrid>
    </Stack>
  )
}

/** What the server says of the draft before it is saved: when it would run, or what is wrong with it. */
function usePreview(draft: Draft) {
  const [settled] = useDebouncedValue(JSON.stringify(definitionOf({ ...draft, enabled: true })), 400)
  return useQuery({
    queryKey: ['policy', 'preview', settled],
    queryFn: () =>
      call(
        api.POST('/api/v1/policies/preview', {
          params: { query: { count: 10 } },
          body: JSON.parse(settled) as ReturnType<typeof definitionOf>,
        }),
      ),
    enabled: draft.app !== '',
    retry: false,
    refetchInterval: false,
  })
}
