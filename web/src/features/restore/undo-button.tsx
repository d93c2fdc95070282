import { Button, Stack, Text } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { api, call } from '../../api/client.ts'
import { queries } from '../../api/queries.ts'
import type { Job } from '../../api/types.ts'
import { commands } from '../../commands.ts'
import { duration } from '../../format/time.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Command } from '../../ui/bits.tsx'
import { Confirm } from '../../ui/confirm.tsx'
import { useNow } from '../../ui/now.ts'
import { type RestoreReport, restoreReport } from '../jobs/reports.ts'
import { useMay } from '../session/session.ts'

/** What the server asks to be typed before a live database is swapped out. */
const PHRASE = 'I understand this will irreversibly overwrite data'

/** Swaps back, for as long as the old database is kept. */
export function UndoButton({ job }: { job: Job }) {
  const t = useTexts()
  const may = useMay()
  const now = useNow()
  const navigate = useNavigate()
  const [opened, dialog] = useDisclosure()
  const report = restoreReport(job)
  const replaced = replacedBy(report)
  const kept = useQuery({ ...queries.kept(job.app ?? ''), enabled: replaced.length > 0 && Boolean(job.app) })
  const undo = useAction(
    () =>
      call(
        api.POST('/api/v1/restores/{id}/undo', {
          params: { path: { id: job.id } },
          body: { confirm: PHRASE },
        }),
      ),
    ['job', 'status'],
    (accepted) => {
      dialog.close()
      void navigate({ to: paths.job, params: { id: accepted.jobId } })
    },
  )
  const there = replaced.every(({ keptAs }) => kept.data?.some((each) => each.name === keptAs))
  if (!report || replaced.length === 0 || !may('restore') || !there) return null
  const names = replaced.map((each) => each.name).join(', ')
  const left = report.keptUntil ? (new Date(report.keptUntil).getTime() - now.getTime()) / 1000 : undefined
  return (
    <>
      <Button variant="default" onClick={dialog.open}>
        {left !== undefined && left > 0 ? t.restore.undoLeft(duration(left)) : t.restore.undo}
      </Button>
      <Confirm
        opened={opened}
        title={t.restore.undo}
        consequence={
          <Stack gap="sm">
            {report.database !== undefined && report.keptAs !== undefined && (
              <>
                <Text size="sm">{t.restore.undoConsequence(report.database, report.keptAs)}</Text>
                <Command line={commands.undo(report.database)} />
              </>
            )}
            {report.trees.some((tree) => tree.keptAs) && <FilesBack trees={report.trees} />}
          </Stack>
        }
        phrase={PHRASE}
        action={t.restore.undoAction(names)}
        pending={undo.isPending}
        error={undo.error}
        onConfirm={() => undo.mutate(undefined)}
        onClose={dialog.close}
      />
    </>
  )
}

/** What the restore put aside, and as what it is kept. */
export function replacedBy(report: RestoreReport | undefined): { name: string; keptAs: string }[] {
  const all = [{ name: report?.database, keptAs: report?.keptAs }, ...(report?.trees ?? [])]
  return all.flatMap(({ name, keptAs }) => (name !== undefined && keptAs ? [{ name, keptAs }] : []))
}

function FilesBack({ trees }: Pick<RestoreReport, 'trees'>) {
  const t = useTexts()
  const swapped = trees.filter((tree) => tree.keptAs)
  return (
    <>
      <Text size="sm">{t.restore.undoFilesConsequence(swapped.map((tree) => tree.to).join(', '))}</Text>
      {swapped.map((tree) => (
        <Command key={tree.name} line={commands.undoFiles(tree.to)} />
      ))}
    </>
  )
}
