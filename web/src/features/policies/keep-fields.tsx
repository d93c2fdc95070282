import { Button, Group, NumberInput, SimpleGrid, Stack, Text } from '@mantine/core'
import { useTexts } from '../../texts/index.ts'
import { Section } from '../../ui/bits.tsx'
import type { Draft } from './draft.ts'
import { COUNTS, type Keeping, keeps, LIMITS, READY } from './keeping.ts'

/** What is kept: a ready choice, or numbers of one's own. */
export function Keep({ draft, change }: { draft: Draft; change: (part: Partial<Draft>) => void }) {
  const t = useTexts()
  const number = (key: keyof Keeping, label: string, placeholder: string) => (
    <NumberInput
      key={key}
      label={label}
      min={0}
      value={draft[key]}
      onChange={(value) => change({ [key]: String(value) })}
      placeholder={placeholder}
      allowDecimal={false}
      hideControls
    />
  )
  return (
    <Section title={t.policies.keep}>
      <Stack gap={6}>
        <Text size="sm" fw={600} id="ready-choices">
          {t.policies.readyChoices}
        </Text>
        <Group gap="xs" role="group" aria-labelledby="ready-choices">
          {READY.map(({ name, keeping }) => {
            const chosen = keeps(draft, keeping)
            return (
              <Button
                key={name}
                size="xs"
                variant={chosen ? 'light' : 'default'}
                aria-pressed={chosen}
                onClick={() => change(keeping)}
              >
                {t.policies.readyKeep[name]}
              </Button>
            )
          })}
        </Group>
      </Stack>
      <Text size="sm" c="dimmed">
        {t.policies.keepHint}
      </Text>
      <SimpleGrid cols={{ base: 1, sm: 2 }}>
        {LIMITS.map((limit) => number(limit, t.policies.limits[limit], t.policies.noLimit))}
      </SimpleGrid>
      <SimpleGrid cols={{ base: 2, sm: 5 }}>
        {COUNTS.map((bucket) => number(bucket, t.policies.buckets[bucket], t.policies.noCount))}
      </SimpleGrid>
    </Section>
  )
}
