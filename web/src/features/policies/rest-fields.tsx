import { Checkbox, MultiSelect, NumberInput, SimpleGrid, Text, Textarea, TextInput } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { asProblem } from '../../api/problem.ts'
import { queries } from '../../api/queries.ts'
import { useTexts } from '../../texts/index.ts'
import { Section } from '../../ui/bits.tsx'
import { Callout } from '../../ui/mark.tsx'
import type { Draft } from './draft.ts'

interface Part {
  draft: Draft
  change: (part: Partial<Draft>) => void
  error: unknown
}

/** Where packages go, and who can open them. */
export function Package({ draft, change, error }: Part) {
  const t = useTexts()
  const problem = error ? asProblem(error) : undefined
  return (
    <Section title={t.policies.package}>
      <Text size="sm" c="dimmed">
        {t.policies.packageHint}
      </Text>
      <TextInput
        label={t.policies.exportTo}
        description={t.policies.exportToHint}
        placeholder="s3://archive/shop"
        value={draft.exportTo}
        onChange={(event) => change({ exportTo: event.currentTarget.value })}
        error={problem?.field('exportTo')}
        spellCheck={false}
      />
      <Textarea
        label={t.policies.recipients}
        description={t.policies.recipientsHint}
        placeholder="age1…"
        autosize
        minRows={1}
        value={draft.exportRecipients}
        onChange={(event) => change({ exportRecipients: event.currentTarget.value })}
        error={problem?.field('exportRecipients')}
        spellCheck={false}
      />
      {draft.exportRecipients.trim() === '' && (
        <Callout tone="warn">
          <Text size="sm">{t.policies.openPackage}</Text>
        </Callout>
      )}
      <Checkbox
        label={t.policies.zstd}
        checked={draft.exportZstd}
        onChange={(event) => change({ exportZstd: event.currentTarget.checked })}
      />
    </Section>
  )
}

/** Where to, who hears of it, and what limits it. */
export function Rest({ draft, change, error }: Part) {
  const t = useTexts()
  const repositories = useQuery(queries.repositories())
  const targets = useQuery(queries.targets())
  const problem = error ? asProblem(error) : undefined
  const clear = { clearable: true, clearButtonProps: { 'aria-label': t.common.clear } }
  return (
    <Section title={t.policies.rest}>
      <SimpleGrid cols={{ base: 1, sm: 2 }}>
        <MultiSelect
          label={t.common.repositories}
          description={t.policies.repositoriesHint}
          data={(repositories.data ?? []).map((repository) => repository.name)}
          value={draft.repositories}
          onChange={(list) => change({ repositories: list })}
          {...clear}
        />
        <MultiSelect
          label={t.policies.notify}
          description={t.policies.notifyHint}
          data={(targets.data ?? []).map((target) => target.name)}
          value={draft.notify}
          onChange={(list) => change({ notify: list })}
          {...clear}
        />
        <NumberInput
          label={t.policies.loadLimit}
          description={t.policies.loadLimitHint}
          min={0}
          max={100}
          suffix=" %"
          value={draft.loadPercent}
          onChange={(value) => change({ loadPercent: String(value) })}
          placeholder={t.policies.noLimit}
          hideControls
        />
        <TextInput
          label={t.policies.drill}
          description={t.policies.drillHint}
          placeholder="7d"
          value={draft.drill}
          onChange={(event) => change({ drill: event.currentTarget.value })}
          error={problem?.field('drill')}
          spellCheck={false}
        />
      </SimpleGrid>
      <Checkbox
        label={t.policies.skipUnchanged}
        checked={draft.skipIfUnchanged}
        onChange={(event) => change({ skipIfUnchanged: event.currentTarget.checked })}
      />
    </Section>
  )
}
