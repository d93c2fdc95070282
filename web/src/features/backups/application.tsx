import { List, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { queries } from '../../api/queries.ts'
import type { Backup } from '../../api/types.ts'
import { bytes, count } from '../../format/amounts.ts'
import { useLocale, useTexts } from '../../texts/index.ts'
import { Section } from '../../ui/bits.tsx'
import { Callout } from '../../ui/mark.tsx'
import { manifestFacts } from './manifest-facts.ts'

/** The app's files, version and migrations at that moment; nothing where the backup knows of none. */
export function Application({ backup }: { backup: Backup }) {
  const t = useTexts()
  const locale = useLocale()
  const { data } = useQuery(queries.backupManifest(backup.id, backup.repository))
  if (data === undefined) return null
  const { appVersion, runtime, files, migrations } = manifestFacts(data)
  if (!appVersion && files.length === 0 && migrations.length === 0) return null
  return (
    <Section title={t.backups.application}>
      <Stack gap="sm">
        {appVersion && (
          <Text size="sm">
            {t.backups.appVersion}: {[appVersion, ...runtime].join(', ')}
          </Text>
        )}
        {migrations.length > 0 && (
          <List size="sm">
            {migrations.map((state) => (
              <List.Item key={`${state.database} ${state.framework}`}>
                {t.backups.migrations(
                  state.database,
                  state.framework,
                  count(state.applied, locale),
                  state.latest ?? '–',
                )}
              </List.Item>
            ))}
          </List>
        )}
        {migrations.some((state) => state.unfinished.length > 0) && (
          <Callout tone="warn">
            <Text size="sm">
              {t.backups.unfinished}: {migrations.flatMap((state) => state.unfinished).join(', ')}
            </Text>
          </Callout>
        )}
        {files.length > 0 && (
          <List size="sm">
            {files.map((tree) => (
              <List.Item key={tree.name}>
                {t.backups.tree(tree.name, tree.source, count(tree.files, locale), bytes(tree.bytes))}
              </List.Item>
            ))}
          </List>
        )}
      </Stack>
    </Section>
  )
}
