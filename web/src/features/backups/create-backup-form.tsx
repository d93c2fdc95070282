import { Button, Checkbox, Group, Select, Stack, TextInput } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { api, call } from '../../api/client.ts'
import { queries } from '../../api/queries.ts'
import type { BackupKind } from '../../api/types.ts'
import { commands } from '../../commands.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Command } from '../../ui/bits.tsx'
import { Dialog } from '../../ui/dialog.tsx'
import { ProblemPanel } from '../../ui/problem-panel.tsx'
import { requestKey } from '../request-key.ts'

/** What is asked before a backup by hand. */
export function CreateBackupDialog({ app, onClose }: { app?: string; onClose: () => void }) {
  const t = useTexts()
  return (
    <Dialog opened onClose={onClose} title={t.backups.backUpNow}>
      <CreateBackup app={app} onClose={onClose} />
    </Dialog>
  )
}

function CreateBackup({ app, onClose }: { app?: string; onClose: () => void }) {
  const t = useTexts()
  const navigate = useNavigate()
  const apps = useQuery(queries.apps())
  const [key] = useState(requestKey)
  const [chosen, setChosen] = useState<string | null>(app ?? null)
  const [kind, setKind] = useState<BackupKind>('full')
  const [description, setDescription] = useState('')
  const [pinned, setPinned] = useState(false)
  const name = chosen ?? apps.data?.[0]?.name ?? ''
  const create = useAction(
    () =>
      call(
        api.POST('/api/v1/backups', {
          params: { header: { 'Idempotency-Key': key } },
          body: { app: name, kind, description: description.trim(), pinned },
        }),
      ),
    ['job', 'status'],
    (accepted) => {
      onClose()
      void navigate({ to: paths.job, params: { id: accepted.jobId } })
    },
  )
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        create.mutate(undefined)
      }}
    >
      <Stack>
        {app === undefined && (
          <Select
            label={t.common.app}
            data={(apps.data ?? []).map((each) => each.name)}
            value={name}
            onChange={setChosen}
            allowDeselect={false}
            required
          />
        )}
        <Select
          label={t.backups.kind}
          description={t.backupKindHints[kind]}
          data={(['full', 'incremental', 'differential', 'database', 'files'] as const).map((value) => ({
            value,
            label: t.backupKinds[value],
          }))}
          value={kind}
          onChange={(value) => value && setKind(value)}
          allowDeselect={false}
        />
        <TextInput
          label={t.backups.description}
          placeholder={t.backups.descriptionExample}
          maxLength={200}
          value={description}
          onChange={(event) => setDescription(event.currentTarget.value)}
        />
        <Checkbox
          label={t.backups.pinIt}
          description={t.backups.pinHint}
          checked={pinned}
          onChange={(event) => setPinned(event.currentTarget.checked)}
        />
        <Command line={commands.backUp(name, description.trim())} />
        <ProblemPanel error={create.error} />
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            {t.common.cancel}
          </Button>
          <Button type="submit" loading={create.isPending} disabled={name === ''}>
            {t.backups.backUp(name)}
          </Button>
        </Group>
      </Stack>
    </form>
  )
}
