import { List, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { api, call } from '../../api/client.ts'
import { queries } from '../../api/queries.ts'
import type { Repository } from '../../api/types.ts'
import { commands } from '../../commands.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Command } from '../../ui/bits.tsx'
import { Confirm } from '../../ui/confirm.tsx'
import { useTell } from '../../ui/notices.tsx'

/** Asks a person to put the recovery kit away, and takes their word that they have. */
export function KitDialog({ name, onClose }: { name: Repository['name']; onClose: () => void }) {
  const t = useTexts()
  const tell = useTell()
  const { data } = useQuery(queries.repository(name))
  const [steps, here] = [t.repositories.kitSteps, /^\*+$/.test(data?.definition.key ?? '')]
  const confirm = useAction(
    () => call(api.POST('/api/v1/repositories/{name}/recovery-kit/confirm', { params: { path: { name } } })),
    ['repository', 'status'],
    () => {
      tell(t.repositories.kitSaid(name))
      onClose()
    },
  )
  return (
    <Confirm
      opened
      title={t.repositories.kitTitle(name)}
      destroys={false}
      consequence={
        <Stack gap="sm">
          <Text size="sm">{t.repositories.kitWhy}</Text>
          <List type="ordered" size="sm" spacing="xs">
            {(here ? [t.repositories.kitHere, ...steps.slice(1)] : steps).map((step, index) => (
              <List.Item key={step}>
                {step}
                {index === 0 && !here && <Command line={commands.recoveryKit(name)} />}
              </List.Item>
            ))}
          </List>
          <Text size="sm">{t.repositories.kitDone}</Text>
        </Stack>
      }
      action={t.repositories.kitAction(name)}
      pending={confirm.isPending}
      error={confirm.error}
      onConfirm={() => confirm.mutate(undefined)}
      onClose={onClose}
    />
  )
}
