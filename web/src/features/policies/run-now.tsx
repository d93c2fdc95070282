import { Button, Stack, Text } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useNavigate } from '@tanstack/react-router'
import { api, call } from '../../api/client.ts'
import { commands } from '../../commands.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Command } from '../../ui/bits.tsx'
import { Confirm } from '../../ui/confirm.tsx'

/** Runs a policy without waiting for its time. */
export function RunNow({ policy, app, size = 'sm' }: { policy: string; app: string; size?: string }) {
  const t = useTexts()
  const navigate = useNavigate()
  const [opened, dialog] = useDisclosure()
  const run = useAction(
    () => call(api.POST('/api/v1/policies/{name}/run-now', { params: { path: { name: policy } } })),
    ['job', 'status'],
    (accepted) => {
      dialog.close()
      void navigate({ to: paths.job, params: { id: accepted.jobId } })
    },
  )
  return (
    <>
      <Button variant="default" size={size} onClick={dialog.open} aria-label={t.policies.runNowLabel(policy)}>
        {t.policies.runNow}
      </Button>
      <Confirm
        opened={opened}
        title={t.policies.runNowLabel(policy)}
        consequence={
          <Stack gap="sm">
            <Text size="sm">{t.policies.runConsequence(app)}</Text>
            <Command line={commands.runPolicy(policy)} />
          </Stack>
        }
        action={t.policies.runAction(policy)}
        destroys={false}
        pending={run.isPending}
        error={run.error}
        onConfirm={() => run.mutate(undefined)}
        onClose={dialog.close}
      />
    </>
  )
}
