import { List, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { queries } from '../../api/queries.ts'
import type { Backup } from '../../api/types.ts'
import { Prose } from '../../ui/prose.tsx'
import { manifestFacts } from './manifest-facts.ts'

/** What a backup lacks that an earlier one held. The list has it in one sentence, the manifest in as many as there are. */
export function Lost({ backup }: { backup: Backup }) {
  const { data } = useQuery({ ...queries.backupManifest(backup.id, backup.repository), retry: false })
  const reasons = data === undefined ? [] : (manifestFacts(data).shrunk?.reasons ?? [])
  const shown = reasons.length > 0 ? reasons : [backup.shrunk ?? '']
  if (shown.length === 1)
    return (
      <Text size="sm" lang="en">
        <Prose text={shown[0] ?? ''} />
      </Text>
    )
  return (
    <List size="sm" lang="en">
      {shown.map((reason) => (
        <List.Item key={reason}>
          <Prose text={reason} />
        </List.Item>
      ))}
    </List>
  )
}
