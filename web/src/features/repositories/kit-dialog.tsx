import { List, Stack, Text } from '@mantine/core'
import { api, call } from '../../api/client.ts'
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
            {t.repositories.kitSteps.map((step, index) => (
              <List.Item key={step}>
                {step}
                {index === 0 && <Command line={commands.recoveryKit(name)} />}
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
