import { Button, Group, List, Stack, Text } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useQueries, useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { api, call } from '../../api/client.ts'
import { queries } from '../../api/queries.ts'
import type { Kept as KeptItem } from '../../api/types.ts'
import { commands } from '../../commands.ts'
import { bytes } from '../../format/amounts.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Command, Section } from '../../ui/bits.tsx'
import { Confirm } from '../../ui/confirm.tsx'
import { useTell } from '../../ui/notices.tsx'
import { useMay } from '../session/session.ts'

/** Databases and folders that restores left, by app; apps that share a server, and so what lies there, stand together. */
export function AllKept({ apps }: { apps: string[] }) {
  const all = useQueries({ queries: apps.map((app) => ({ ...queries.kept(app), refetchInterval: false })) })
  return keptTogether(apps.map((app, at) => ({ app, kept: all[at]?.data ?? [] }))).map((group) => (
    <Kept key={group.apps.join(' ')} apps={group.apps} data={group.kept} />
  ))
}

/** The first app of each group stands for all of it. */
export function keptTogether(
  each: { app: string; kept: KeptItem[] }[],
): { apps: string[]; kept: KeptItem[] }[] {
  const groups = new Map<string, { apps: string[]; kept: KeptItem[] }>()
  for (const { app, kept } of each) {
    if (kept.length === 0) continue
    const key = JSON.stringify(kept.map((item) => [item.kind, item.name]).sort())
    const known = groups.get(key)
    if (known) known.apps.push(app)
    else groups.set(key, { apps: [app], kept })
  }
  return [...groups.values()]
}

function Kept({ apps, data }: { apps: string[]; data: KeptItem[] }) {
  const t = useTexts()
  const may = useMay()
  const app = apps[0] ?? ''
  // Of several folders of one tree, the newest gets its place back first.
  const newest = (item: KeptItem) => data.find((each) => each.tree === item.tree) === item
  return (
    <Section
      title={t.restore.keptOf(apps.join(', '))}
      actions={may('delete') && <ClearAway app={app} kept={data} />}
    >
      <List size="sm" spacing="md" listStyleType="none">
        {data.map((item) => (
          <List.Item
            key={item.name}
            styles={{ itemWrapper: { display: 'block' }, itemLabel: { display: 'block' } }}
          >
            <Group justify="space-between" gap="sm">
              <Stack gap={0} style={{ flex: '1 1 18rem', minWidth: 0 }}>
                <Text size="sm" fw={600} style={{ overflowWrap: 'anywhere' }}>
                  {item.name}
                  {item.sizeBytes != null && ` (${bytes(item.sizeBytes)})`}
                </Text>
                <Text size="sm" c="dimmed" style={{ overflowWrap: 'anywhere' }}>
                  {item.why}
                </Text>
              </Stack>
              {item.kind === 'files' && item.tree && may('restore') && newest(item) && (
                <UndoFiles app={app} tree={item.tree} of={item.of ?? ''} />
              )}
            </Group>
          </List.Item>
        ))}
      </List>
    </Section>
  )
}

/** Drops the databases whose time is over, or whose restore died. */
function ClearAway({ app, kept }: { app: string; kept: KeptItem[] }) {
  const t = useTexts()
  const tell = useTell()
  const [opened, dialog] = useDisclosure()
  const over = kept.filter((item) => item.expired && item.kind === 'database')
  const clear = useAction(
    () => call(api.POST('/api/v1/restores/kept/drop-expired', { body: { app } })),
    ['job'],
    ({ dropped }) => {
      tell(t.restore.cleared(dropped.length))
      dialog.close()
    },
  )
  if (over.length === 0) return null
  return (
    <>
      <Button variant="default" size="xs" onClick={dialog.open}>
        {t.restore.clearAway(over.length)}
      </Button>
      <Confirm
        opened={opened}
        title={t.restore.clearTitle}
        consequence={
          <Stack gap="sm">
            <Text size="sm">{t.restore.clearConsequence}</Text>
            {over.map((item) => (
              <Text size="sm" key={item.name} ff="monospace" style={{ overflowWrap: 'anywhere' }}>
                {item.name}
              </Text>
            ))}
            <Command line={commands.dropExpired(app)} />
          </Stack>
        }
        action={t.restore.clearAway(over.length)}
        pending={clear.isPending}
        error={clear.error}
        onConfirm={() => clear.mutate(undefined)}
        onClose={dialog.close}
      />
    </>
  )
}

/** Puts the folder back that the newest restore of a tree replaced. */
function UndoFiles({ app, tree, of }: { app: string; tree: string; of: string }) {
  const t = useTexts()
  const navigate = useNavigate()
  const [opened, dialog] = useDisclosure()
  const plan = useQuery({ ...queries.undoFilesPlan(app, tree), enabled: opened })
  const phrase = plan.data?.phrase
  const undo = useAction(
    () => call(api.POST('/api/v1/restores/files/undo', { body: { app, tree, confirm: phrase } })),
    ['job', 'status'],
    (accepted) => {
      dialog.close()
      if ('jobId' in accepted) void navigate({ to: paths.job, params: { id: accepted.jobId } })
    },
  )
  return (
    <>
      <Button variant="default" size="xs" onClick={dialog.open}>
        {t.restore.undoFilesOf(tree)}
      </Button>
      <Confirm
        opened={opened}
        title={t.restore.undoFilesOf(tree)}
        consequence={
          <Stack gap="sm">
            <Text size="sm">{t.restore.undoFilesConsequence(of)}</Text>
            {(plan.data?.swaps ?? []).map((swap) => (
              <Text size="sm" key={swap.folder} ff="monospace" style={{ overflowWrap: 'anywhere' }}>
                {swap.folder} → {swap.of}
              </Text>
            ))}
            <Command line={commands.undoFiles(of)} />
          </Stack>
        }
        phrase={phrase}
        action={t.restore.undoFilesOf(tree)}
        disabled={phrase === undefined}
        pending={undo.isPending}
        error={plan.error ?? undo.error}
        onConfirm={() => undo.mutate(undefined)}
        onClose={dialog.close}
      />
    </>
  )
}
