import { Radio, Stack, Text, TextInput } from '@mantine/core'
import { useTexts } from '../../texts/index.ts'
import { Section } from '../../ui/bits.tsx'
import { Callout } from '../../ui/mark.tsx'
import { type Choice, lacking } from './choice.ts'

/** Beside the live database first: that cannot harm anybody. */
export function Where({ choice, change }: { choice: Choice; change: (part: Partial<Choice>) => void }) {
  const t = useTexts()
  const whole = choice.parts === 'all'
  return (
    <Section title={t.restore.where}>
      <Radio.Group
        aria-label={t.restore.where}
        value={choice.mode}
        onChange={(mode) => change({ mode: mode as Choice['mode'] })}
      >
        <Stack gap="md">
          <Radio value="into" label={t.restore.into} description={t.restore.intoHint} />
          {choice.mode === 'into' && (
            <TextInput
              label={t.restore.newName}
              value={choice.beside}
              onChange={(event) => change({ beside: event.currentTarget.value })}
              error={lacking(choice) === 'beside' ? t.restore.newNameNeeded(choice.database) : undefined}
              maw={420}
              ml={32}
            />
          )}
          {whole && (
            <Radio
              value="replace"
              label={t.restore.replace(choice.database)}
              description={t.restore.replaceHint}
            />
          )}
          <Radio
            value="in_place"
            label={whole ? t.restore.inPlace(choice.database) : t.restore.partsInPlace(choice.database)}
            description={t.restore.inPlaceHint}
          />
        </Stack>
      </Radio.Group>
      {choice.mode !== 'into' && (
        <Callout tone="warn">
          <Text size="sm">{t.restore.overwrites(choice.database)}</Text>
        </Callout>
      )}
    </Section>
  )
}
