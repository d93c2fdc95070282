import { Checkbox, List, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { queries } from '../../api/queries.ts'
import type { Backup, DeletePlan } from '../../api/types.ts'
import { commands } from '../../commands.ts'
import { shortId } from '../../format/amounts.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Command } from '../../ui/bits.tsx'
import { Confirm } from '../../ui/confirm.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Callout } from '../../ui/mark.tsx'
import { Prose } from '../../ui/prose.tsx'
import { deleteBackup } from './requests.ts'

/** Shows what removing a backup would do, and does exactly that. */
export function DeleteBackup({ backup, onClose }: { backup: Backup; onClose: () => void }) {
  const t = useTexts()
  const navigate = useNavigate()
  const plan = useQuery(queries.deletePlan(backup.id, backup.repository))
  const [force, setForce] = useState(false)
  const objections = plan.data && 'objections' in plan.data ? plan.data.objections : []
  const refused = objections.some((objection) => !objection.canBeForced)
  const remove = useAction(
    () => deleteBackup(backup, { force: force || undefined }),
    ['backup', 'job', 'status'],
    (accepted) => {
      onClose()
      if ('jobId' in accepted) void navigate({ to: paths.job, params: { id: accepted.jobId } })
    },
  )
  return (
    <Confirm
      opened
      title={t.backups.deleteTitle(1)}
      consequence={
        <Loaded query={plan}>
          {(data) => (
            <Stack gap="sm">
              {'steps' in data && <Steps plan={data} />}
              {objections.length > 0 && !refused && (
                <Checkbox
                  label={t.backups.deleteAnyway}
                  checked={force}
                  onChange={(event) => setForce(event.currentTarget.checked)}
                />
              )}
              <Command line={commands.forget(backup.id)} />
            </Stack>
          )}
        </Loaded>
      }
      phrase={shortId(backup.id)}
      action={t.backups.deleteOne(backup.app, shortId(backup.id))}
      disabled={plan.data === undefined || refused || (objections.length > 0 && !force)}
      pending={remove.isPending}
      error={remove.error}
      onConfirm={() => remove.mutate(undefined)}
      onClose={onClose}
    />
  )
}

function Steps({ plan }: { plan: DeletePlan }) {
  return (
    <>
      {plan.objections.map((objection) => (
        <Callout key={objection.message} tone={objection.canBeForced ? 'warn' : 'bad'}>
          <Text size="sm" lang="en">
            <Prose text={objection.message} />
          </Text>
        </Callout>
      ))}
      <List type="ordered" size="sm">
        {plan.steps.map((step) => (
          <List.Item key={step} lang="en">
            <Prose text={step} />
          </List.Item>
        ))}
      </List>
    </>
  )
}
