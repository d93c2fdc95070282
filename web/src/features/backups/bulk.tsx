import { Button, Group, List, Stack, Text } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useNavigate } from '@tanstack/react-router'
import type { Backup } from '../../api/types.ts'
import { shortId } from '../../format/amounts.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Confirm } from '../../ui/confirm.tsx'
import { useTell } from '../../ui/notices.tsx'
import { ProblemPanel } from '../../ui/problem-panel.tsx'
import { useMay } from '../session/session.ts'
import { changeBackup, deleteBackup, verifyBackup } from './requests.ts'

/** What can be done with the chosen rows. */
export function Bulk({ backups, clear }: { backups: Backup[]; clear: () => void }) {
  const t = useTexts()
  const may = useMay()
  const tell = useTell()
  const navigate = useNavigate()
  const [deleting, dialog] = useDisclosure()
  const done = (words: string) => {
    tell(words)
    clear()
  }
  const each = (act: (backup: Backup) => Promise<unknown>) => async () => {
    for (const backup of backups) await act(backup)
  }
  const verify = useAction(
    each((b) => verifyBackup(b, false)),
    ['job'],
    () => done(t.backups.verifyQueued(backups.length)),
  )
  const pin = useAction(
    each((b) => changeBackup(b, { pinned: true })),
    ['backup'],
    () => done(t.backups.pinnedThem(backups.length)),
  )
  const remove = useAction(
    each((b) => deleteBackup(b)),
    ['backup', 'job'],
    () => {
      dialog.close()
      done(t.backups.deleteQueued(backups.length))
    },
  )
  if (backups.length === 0) return null
  const [first, second] = [...backups].sort((a, b) => a.time.localeCompare(b.time))
  return (
    <Stack gap="xs">
      <Group gap="sm">
        <Text size="sm" fw={600} role="status">
          {t.common.selected(backups.length)}
        </Text>
        {backups.length === 2 && first && second && (
          <Button
            size="xs"
            variant="default"
            onClick={() => void navigate({ to: paths.compare, search: { from: first.id, to: second.id } })}
          >
            {t.backups.compare}
          </Button>
        )}
        {may('operate') && (
          <>
            <Button
              size="xs"
              variant="default"
              loading={verify.isPending}
              onClick={() => verify.mutate(undefined)}
            >
              {t.backups.verify}
            </Button>
            <Button size="xs" variant="default" loading={pin.isPending} onClick={() => pin.mutate(undefined)}>
              {t.backups.pin}
            </Button>
          </>
        )}
        {may('delete') && (
          <Button size="xs" variant="default" c="var(--tone-bad)" onClick={dialog.open}>
            {t.common.delete}
          </Button>
        )}
        <Button size="xs" variant="subtle" onClick={clear}>
          {t.common.clearSelection}
        </Button>
      </Group>
      <ProblemPanel error={verify.error ?? pin.error} />
      <Confirm
        opened={deleting}
        title={t.backups.deleteTitle(backups.length)}
        consequence={
          <Stack gap="xs">
            <Text size="sm">{t.backups.deleteConsequence}</Text>
            <List size="sm">
              {backups.map((backup) => (
                <List.Item key={backup.id}>
                  {backup.app} {shortId(backup.id)}
                </List.Item>
              ))}
            </List>
          </Stack>
        }
        phrase={t.backups.deletePhrase(backups.length)}
        action={t.backups.deleteAction(backups.length)}
        pending={remove.isPending}
        error={remove.error}
        onConfirm={() => remove.mutate(undefined)}
        onClose={dialog.close}
      />
    </Stack>
  )
}
