import { Text } from '@mantine/core'
import { useTexts } from '../texts/index.ts'
import { Callout } from './mark.tsx'

/** Says that a file, not this page, decides. */
export function ManagedByFile() {
  const t = useTexts()
  return (
    <Callout tone="note">
      <Text size="sm">{t.common.managedByFile}</Text>
    </Callout>
  )
}
