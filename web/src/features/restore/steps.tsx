import { List, Text } from '@mantine/core'
import type { Plan } from '../../api/types.ts'
import { useTexts } from '../../texts/index.ts'
import { Callout } from '../../ui/mark.tsx'
import { Prose } from '../../ui/prose.tsx'

/** What a plan does, in its order. */
export function Steps({ plan }: { plan: Pick<Plan, 'steps'> }) {
  const t = useTexts()
  return (
    <List type="ordered" size="sm" spacing={4} aria-label={t.restore.steps}>
      {plan.steps.map((step) => (
        <List.Item key={step} lang="en">
          <Prose text={step} />
        </List.Item>
      ))}
    </List>
  )
}

/** What stands in the way of a plan, each with the way out. */
export function Refusals({ plan }: { plan: Pick<Plan, 'refusals'> }) {
  return plan.refusals.map((refusal) => (
    <Callout key={refusal.message} tone="bad" role="alert">
      <Text size="sm" fw={600} lang="en">
        <Prose text={refusal.message} />
      </Text>
      <Text size="sm" lang="en">
        <Prose text={refusal.remedy} />
      </Text>
    </Callout>
  ))
}
