import { Button, Code, Group, List, Stack, Text } from '@mantine/core'
import { asProblem } from '../api/problem.ts'
import { useTexts } from '../texts/index.ts'
import { Callout } from './mark.tsx'
import { Prose } from './prose.tsx'

/** The one way to show an error: what failed, what to do next, and the number that the server's log knows it by. */
export function ProblemPanel({ error, retry }: { error: unknown; retry?: () => void }) {
  const t = useTexts()
  if (!error) return null
  const problem = asProblem(error)
  const unreachable = problem.status === 0
  const translated = t.said.problems[problem.code]
  return (
    <Callout tone="bad" role="alert">
      <Stack gap="xs">
        <Text fw={600}>
          {unreachable ? t.problem.unreachable : (translated ?? <Prose text={problem.message} />)}
        </Text>
        {!unreachable && translated && (
          <Text size="sm" lang="en">
            {problem.message}
          </Text>
        )}
        {problem.details.length > 0 && (
          <List size="sm">
            {problem.details.map((detail) => (
              <List.Item key={detail}>{detail}</List.Item>
            ))}
          </List>
        )}
        {problem.hint && (
          <Text size="sm">
            <Prose text={problem.hint} />
          </Text>
        )}
        {unreachable && <Text size="sm">{t.problem.unreachableHint}</Text>}
        {(problem.requestId || retry) && (
          <Group gap="sm">
            {retry && (
              <Button size="xs" variant="default" onClick={retry}>
                {t.problem.tryAgain}
              </Button>
            )}
            {problem.requestId && (
              <Text size="xs">
                {t.problem.request} <Code>{problem.requestId}</Code>
              </Text>
            )}
          </Group>
        )}
      </Stack>
    </Callout>
  )
}
