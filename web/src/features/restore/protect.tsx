import { Checkbox, NumberInput, Radio, Stack, Text } from '@mantine/core'
import { useTexts } from '../../texts/index.ts'
import { Section } from '../../ui/bits.tsx'
import { Callout, Mark } from '../../ui/mark.tsx'
import type { Choice } from './choice.ts'

/** What keeps a restore from doing harm. */
export function Protect({ choice, change }: { choice: Choice; change: (part: Partial<Choice>) => void }) {
  const t = useTexts()
  const overwrites = choice.mode !== 'into'
  return (
    <Section title={t.restore.protect}>
      {overwrites ? (
        <Stack gap="md">
          <Checkbox
            label={t.restore.safetyFirst(choice.database)}
            description={t.restore.safetyHint}
            checked={!choice.skipSafetyBackup}
            onChange={(event) => change({ skipSafetyBackup: !event.currentTarget.checked })}
          />
          {choice.skipSafetyBackup && (
            <Callout tone="bad">
              <Text size="sm">{t.restore.noSafety}</Text>
            </Callout>
          )}
          {choice.mode === 'replace' && (
            <NumberInput
              label={t.restore.keepOld}
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
        </Stack>
      ) : (
        <Mark state={{ tone: 'good', icon: 'shield', words: t.restore.safeByItself }} />
      )}
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
      <Checkbox
        label={t.restore.noOwner}
        description={t.restore.noOwnerHint}
        checked={choice.noOwner}
        onChange={(event) => change({ noOwner: event.currentTarget.checked })}
      />
    </Section>
  )
}
