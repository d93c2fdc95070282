import { Text } from '@mantine/core'
import type { AppDefinition } from '../../api/types.ts'
import { commands } from '../../commands.ts'
import { useTexts } from '../../texts/index.ts'
import { Command, Section } from '../../ui/bits.tsx'
import { Snippet } from '../../ui/snippet.tsx'
import { hidesSecrets, tomlOf } from './toml.ts'

/** What is on the page, as it would stand in a file, and the command that takes it in. */
export function TomlTwin({ name, definition }: { name: string; definition: AppDefinition }) {
  const t = useTexts()
  const toml = tomlOf(name, definition)
  return (
    <Section title={t.apps.asFile}>
      <Text size="sm">{t.apps.asFileHint}</Text>
      <Snippet text={toml} label={t.apps.asFile} />
      {hidesSecrets(toml) && <Text size="sm">{t.apps.hidden}</Text>}
      <Command line={commands.apply()} />
    </Section>
  )
}
