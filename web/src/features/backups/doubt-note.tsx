import { Group, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { queries } from '../../api/queries.ts'
import type { Backup, BackupDetail } from '../../api/types.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { LinkButton } from '../../ui/links.tsx'
import { Callout } from '../../ui/mark.tsx'
import { useMay } from '../session/session.ts'
import { AcceptButton } from './accept-button.tsx'
import { standingDoubts } from './doubt.ts'
import { Lost } from './lost.tsx'
import { manifestFacts } from './manifest-facts.ts'

/** Says that a backup is in doubt, what it lacks, and what ends the doubt; or that a later backup has ended it. */
export function DoubtNote({ backup }: { backup: BackupDetail }) {
  const t = useTexts()
  const may = useMay()
  const { data } = useQuery({ ...queries.backupManifest(backup.id, backup.repository), retry: false })
  const list = useQuery(queries.newestBackups(backup.app))
  const stands = (doubt: Backup) => doubt.id === backup.id && doubt.repository === backup.repository
  const settled = list.data !== undefined && !standingDoubts(list.data).some(stands)
  const since = data === undefined ? undefined : manifestFacts(data).shrunk?.since
  return (
    <Callout tone={settled ? 'note' : 'bad'}>
      <Stack gap="xs">
        <Text fw={600}>{t.doubt.title}</Text>
        <Lost backup={backup} />
        <Text size="sm">{settled ? t.doubt.settledSince(backup.app) : t.doubt.meanwhile(backup.app)}</Text>
        <Group gap="xs">
          {may('operate') && !settled && <AcceptButton app={backup.app} backup={backup} />}
          {since && (
            <LinkButton
              to={paths.compare}
              search={{ from: since, to: backup.id }}
              variant="default"
              size="xs"
            >
              {t.doubt.compare}
            </LinkButton>
          )}
        </Group>
        {!may('operate') && !settled && (
          <Text size="sm" c="dimmed">
            {t.doubt.notYours}
          </Text>
        )}
      </Stack>
    </Callout>
  )
}
