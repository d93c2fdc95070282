import { Button, Menu, Stack, Text, TextInput } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { IconDots } from '@tabler/icons-react'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import type { BackupDetail } from '../../api/types.ts'
import { commands } from '../../commands.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Command } from '../../ui/bits.tsx'
import { Confirm } from '../../ui/confirm.tsx'
import { useTell } from '../../ui/notices.tsx'
import { useMay } from '../session/session.ts'
import { DeleteBackup } from './delete-backup.tsx'
import { changeBackup, verifyBackup } from './requests.ts'

const FORMATS = ['custom', 'plain', 'directory', 'tar'] as const

/** What can be done with a backup besides restoring it. */
export function Actions({ backup }: { backup: BackupDetail }) {
  const t = useTexts()
  const may = useMay()
  const tell = useTell()
  const navigate = useNavigate()
  const [deleting, deletion] = useDisclosure()
  const [verifying, verification] = useDisclosure()
  const [describing, description] = useDisclosure()
  const pin = useAction(
    () => changeBackup(backup, { pinned: !backup.pinned }),
    ['backup'],
    () => tell(backup.pinned ? t.backups.unpinnedIt : t.backups.pinnedIt),
  )
  const verify = useAction(
    () => verifyBackup(backup, true),
    ['job'],
    (accepted) => void navigate({ to: paths.job, params: { id: accepted.jobId } }),
  )
  const nothing = !may('operate') && !may('download') && !may('delete')
  if (nothing) return null
  return (
    <>
      <Menu position="bottom-end" withinPortal>
        <Menu.Target>
          <Button variant="default" leftSection={<IconDots size={16} aria-hidden />}>
            {t.common.moreActions}
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          {may('operate') && (
            <>
              <Menu.Item onClick={verification.open}>{t.backups.verify}</Menu.Item>
              <Menu.Item onClick={() => pin.mutate(undefined)}>
                {backup.pinned ? t.backups.unpin : t.backups.pin}
              </Menu.Item>
              <Menu.Item onClick={description.open}>{t.backups.describe}</Menu.Item>
            </>
          )}
          {may('download') && (
            <>
              <Menu.Divider />
              <Menu.Label>{t.backups.download}</Menu.Label>
              {backup.contents.flatMap((database) =>
                FORMATS.map((format) => (
                  <Menu.Item
                    key={`${database.name} ${format}`}
                    component="a"
                    href={downloadAddress(backup, database.name, format)}
                    download
                  >
                    {backup.contents.length > 1 ? `${database.name}: ` : ''}
                    {t.backups.formats[format]}
                  </Menu.Item>
                )),
              )}
            </>
          )}
          {may('delete') && (
            <>
              <Menu.Divider />
              <Menu.Item c="var(--tone-bad)" onClick={deletion.open}>
                {t.common.delete}
              </Menu.Item>
            </>
          )}
        </Menu.Dropdown>
      </Menu>
      <Confirm
        opened={verifying}
        title={t.backups.verify}
        consequence={
          <Stack gap="sm">
            <Text size="sm">{t.backups.verifyConsequence}</Text>
            <Command line={`${commands.verify(backup.id)} --read-data`} />
          </Stack>
        }
        action={t.backups.verify}
        destroys={false}
        pending={verify.isPending}
        error={verify.error}
        onConfirm={() => verify.mutate(undefined)}
        onClose={verification.close}
      />
      {deleting && <DeleteBackup backup={backup} onClose={deletion.close} />}
      {describing && <Describe backup={backup} onClose={description.close} />}
    </>
  )
}

function Describe({ backup, onClose }: { backup: BackupDetail; onClose: () => void }) {
  const t = useTexts()
  const [text, setText] = useState(backup.description)
  const save = useAction(() => changeBackup(backup, { description: text.trim() }), ['backup'], onClose)
  return (
    <Confirm
      opened
      title={t.backups.describe}
      consequence={
        <TextInput
          label={t.backups.description}
          data-autofocus
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
        />
      }
      action={t.common.save}
      destroys={false}
      pending={save.isPending}
      error={save.error}
      onConfirm={() => save.mutate(undefined)}
      onClose={onClose}
    />
  )
}

function downloadAddress(backup: BackupDetail, database: string, format: string) {
  const query = new URLSearchParams({ format, database, repository: backup.repository })
  return `/api/v1/backups/${backup.id}/download?${query}`
}
