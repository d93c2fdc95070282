import { Code } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { queries } from '../../api/queries.ts'
import type { Backup } from '../../api/types.ts'
import { useTexts } from '../../texts/index.ts'
import { Loaded } from '../../ui/loaded.tsx'

/** Everything that a backup says of itself. */
export function Manifest({ backup }: { backup: Backup }) {
  const t = useTexts()
  const query = useQuery(queries.backupManifest(backup.id, backup.repository))
  return (
    <Loaded query={query}>
      {(manifest) => (
        <Code block tabIndex={0} role="region" aria-label={t.backups.manifest} style={{ maxHeight: '32rem' }}>
          {JSON.stringify(manifest, null, 2)}
        </Code>
      )}
    </Loaded>
  )
}
