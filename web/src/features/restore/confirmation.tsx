import { Button, Group, Loader, Stack, Text, TextInput } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { useState } from 'react'
import { api, call } from '../../api/client.ts'
import { asProblem } from '../../api/problem.ts'
import type { BackupDetail } from '../../api/types.ts'
import { commands } from '../../commands.ts'
import { type Texts, useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Command, Section } from '../../ui/bits.tsx'
import { Callout } from '../../ui/mark.tsx'
import { ProblemPanel } from '../../ui/problem-panel.tsx'
import { Prose } from '../../ui/prose.tsx'
import { requestKey } from '../request-key.ts'
import { bodyOf, type Choice, type Tree, takesDatabase, targetOf } from './choice.ts'
import { planQuery } from './plan.ts'
import { Steps } from './steps.tsx'

const route = getRouteApi('/inside/backups/$id/restore')

interface Props {
  backup: BackupDetail
  trees: Tree[]
  choice: Choice
  change: (part: Partial<Choice>) => void
}

/** The last look. The button names what is written to; what overwrites asks for the phrase. */
export function Confirmation({ backup, trees, choice, change }: Props) {
  const t = useTexts()
  const navigate = route.useNavigate()
  const query = useQuery(planQuery(backup, choice))
  const [typed, setTyped] = useState('')
  const [key] = useState(requestKey)
  const plan = query.data
  const body = bodyOf(choice)
  const target = targetOf(choice, trees)
  const start = useAction(
    () =>
      call(
        api.POST('/api/v1/backups/{id}/restore', {
          params: {
            path: { id: backup.id },
            query: { repository: backup.repository },
            header: { 'Idempotency-Key': `${key}-${plan?.hash.slice(0, 16)}` },
          },
          body: {
            ...body,
            confirm: plan?.phrase ? typed : undefined,
            planHash: plan?.hash,
            reason: choice.reason.trim() || undefined,
          },
        }),
      ),
    ['job', 'status', 'backup'],
    (accepted) => void navigate({ search: (before) => ({ ...before, job: accepted.jobId }), replace: true }),
  )
  if (plan === undefined) {
    return query.isError ? (
      <ProblemPanel error={query.error} retry={() => void query.refetch()} />
    ) : (
      <Stack align="center" role="status">
        <Loader />
        <Text size="sm">{t.restore.planning}</Text>
      </Stack>
    )
  }
  const refused = plan.refusals.length > 0
  const right = !plan.phrase || typed === plan.phrase
  const planChanged = start.isError && asProblem(start.error).code === 'plan_changed'
  return (
    <Section title={t.restore.confirm}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          if (right && !refused && !start.isPending) start.mutate(undefined)
        }}
      >
        <Stack gap="md">
          {refused && (
            <Callout tone="bad" role="alert">
              <Text size="sm" fw={600}>
                {t.restore.refused}
              </Text>
              {plan.refusals.map((refusal) => (
                <Text size="sm" key={refusal.message}>
                  <Prose text={`${refusal.message}: ${refusal.remedy}`} />
                </Text>
              ))}
            </Callout>
          )}
          <Steps plan={plan} />
          {plan.needsApproval && (
            <Callout tone="note">
              <Text size="sm">{t.restore.needsApproval}</Text>
            </Callout>
          )}
          <TextInput
            label={t.restore.reason}
            description={t.restore.reasonHint}
            value={choice.reason}
            maxLength={500}
            onChange={(event) => change({ reason: event.currentTarget.value })}
          />
          {plan.phrase && (
            <TextInput
              label={t.confirm.type}
              inputWrapperOrder={['label', 'description', 'input', 'error']}
              description={
                <Text component="span" fw={600} ff="monospace" size="sm" c="var(--mantine-color-text)">
                  {plan.phrase}
                </Text>
              }
              value={typed}
              autoComplete="off"
              spellCheck={false}
              error={typed !== '' && !plan.phrase.startsWith(typed) ? t.confirm.differs : undefined}
              onChange={(event) => setTyped(event.currentTarget.value)}
            />
          )}
          <ProblemPanel error={start.error} retry={planChanged ? () => void query.refetch() : undefined} />
          <Command line={commands.restore(backup.id, body, backup.contents.length > 1)} />
          <Group justify="flex-end">
            <Button
              type="submit"
              color={plan.overwrites ? 'red.8' : undefined}
              disabled={!right || refused}
              loading={start.isPending}
            >
              {plan.overwrites ? overwriting(choice, target, t) : t.restore.restoreNow(target)}
            </Button>
          </Group>
        </Stack>
      </form>
    </Section>
  )
}

/** Says no more than what is overwritten: who brings back one table does not overwrite its database. */
function overwriting(choice: Choice, target: string, t: Texts): string {
  const chosen = choice.parts === 'tables' ? choice.tables : choice.parts === 'schemas' ? choice.schemas : []
  const parts = takesDatabase(choice) ? chosen : []
  return parts.length === 0 ? t.restore.overwriteNow(target) : t.restore.overwriteParts(parts, target)
}
