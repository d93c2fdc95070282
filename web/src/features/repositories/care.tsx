import { Button, Group, Text } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useNavigate } from '@tanstack/react-router'
import { api, call } from '../../api/client.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Section } from '../../ui/bits.tsx'
import { Confirm } from '../../ui/confirm.tsx'
import { ProblemPanel } from '../../ui/problem-panel.tsx'
import { useMay } from '../session/session.ts'

/** Upkeep by jobs. */
export function Care({ name }: { name: string }) {
  const t = useTexts()
  const may = useMay()
  const navigate = useNavigate()
  const [pruning, dialog] = useDisclosure()
  const params = { params: { path: { name } } }
  const show = (accepted: { jobId: string }) =>
    void navigate({ to: paths.job, params: { id: accepted.jobId } })
  const check = useAction(
    (readDataPercent: number) =>
      call(api.POST('/api/v1/repositories/{name}/check', { ...params, body: { readDataPercent } })),
    ['job'],
    show,
  )
  const sync = useAction(() => call(api.POST('/api/v1/repositories/{name}/sync', params)), ['job'], show)
  const prune = useAction(() => call(api.POST('/api/v1/repositories/{name}/prune', params)), ['job'], show)
  if (!may('operate') && !may('delete')) return null
  return (
    <Section title={t.repositories.care}>
      <Group gap="sm">
        {may('operate') && (
          <>
            <Button variant="default" loading={check.isPending} onClick={() => check.mutate(0)}>
              {t.repositories.checkStructure}
            </Button>
            <Button variant="default" loading={check.isPending} onClick={() => check.mutate(100)}>
              {t.repositories.checkAll}
            </Button>
            <Button variant="default" loading={sync.isPending} onClick={() => sync.mutate(undefined)}>
              {t.repositories.sync}
            </Button>
          </>
        )}
        {may('delete') && (
          <Button variant="default" onClick={dialog.open}>
            {t.repositories.prune}
          </Button>
        )}
      </Group>
      <ProblemPanel error={check.error ?? sync.error} />
      <Confirm
        opened={pruning}
        title={t.repositories.prune}
        consequence={<Text size="sm">{t.repositories.pruneConsequence}</Text>}
        action={t.repositories.pruneAction(name)}
        pending={prune.isPending}
        error={prune.error}
        onConfirm={() => prune.mutate(undefined)}
        onClose={dialog.close}
      />
    </Section>
  )
}
