import { Group, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { queries } from '../../api/queries.ts'
import type { Backup } from '../../api/types.ts'
import { commands } from '../../commands.ts'
import { shortId } from '../../format/amounts.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Command, Moment } from '../../ui/bits.tsx'
import { Confirm } from '../../ui/confirm.tsx'
import { TextLink } from '../../ui/links.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Callout } from '../../ui/mark.tsx'
import { useTell } from '../../ui/notices.tsx'
import { standingDoubts } from './doubt.ts'
import { Lost } from './lost.tsx'
import { acceptLoss } from './requests.ts'

/** Says what is gone and what follows, and takes it as right. */
export function AcceptDialog({
  app,
  backup,
  onClose,
}: {
  app: string
  backup?: Backup
  onClose: () => void
}) {
  const t = useTexts()
  const tell = useTell()
  const list = useQuery({ ...queries.newestBackups(app), enabled: backup === undefined })
  const doubts = backup ? [backup] : standingDoubts(list.data ?? [])
  const accept = useAction(
    async () => {
      for (const each of doubts) await acceptLoss(each)
    },
    ['backup', 'status', 'policy'],
    () => {
      tell(t.doubt.done(app))
      onClose()
    },
  )
  const each = (doubt: Backup) => (
    <Stack key={`${doubt.repository} ${doubt.id}`} gap={4}>
      <Group gap="xs">
        <TextLink
          to={paths.backup}
          params={{ id: doubt.id }}
          search={{ repository: doubt.repository }}
          size="sm"
        >
          {t.backups.unknownTitle(shortId(doubt.id))}
        </TextLink>
        <Text size="sm" c="dimmed">
          <Moment at={doubt.time} absolute />, {doubt.repository}
        </Text>
      </Group>
      <Lost backup={doubt} />
    </Stack>
  )
  const all = (
    <Stack gap="sm">
      {doubts.map(each)}
      {doubts.length === 0 ? (
        <Text size="sm">{t.doubt.settled}</Text>
      ) : (
        <>
          <Callout tone="warn">
            <Text size="sm">{t.doubt.consequence(app)}</Text>
          </Callout>
          {doubts.map((doubt) => (
            <Command
              key={`${doubt.repository} ${doubt.id}`}
              line={commands.acceptLoss(doubt.id, doubt.repository)}
            />
          ))}
        </>
      )}
    </Stack>
  )
  return (
    <Confirm
      opened
      title={t.doubt.title}
      consequence={backup ? all : <Loaded query={list}>{() => all}</Loaded>}
      action={t.doubt.accept}
      destroys={false}
      disabled={doubts.length === 0}
      pending={accept.isPending}
      error={accept.error}
      onConfirm={() => accept.mutate(undefined)}
      onClose={onClose}
    />
  )
}
