import { Button, Group, List, Stack, Text } from '@mantine/core'
import { api, call } from '../../api/client.ts'
import type { RepositoryTest } from '../../api/types.ts'
import { shortId } from '../../format/amounts.ts'
import { duration } from '../../format/time.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Facts, Section } from '../../ui/bits.tsx'
import { Callout, Mark } from '../../ui/mark.tsx'
import { ProblemPanel } from '../../ui/problem-panel.tsx'
import { useMay } from '../session/session.ts'

/** Whether the storage can be reached, written and read back now. */
export function Connection({ name }: { name: string }) {
  const t = useTexts()
  const may = useMay()
  const params = { params: { path: { name } } }
  const test = useAction(() => call(api.POST('/api/v1/repositories/{name}/test', params)), [])
  const init = useAction(
    () => call(api.POST('/api/v1/repositories/{name}/init', params)),
    ['repository'],
    () => test.mutate(undefined),
  )
  const result = test.data
  return (
    <Section
      title={t.repositories.connection}
      actions={
        may('operate') && (
          <Button variant="default" size="xs" loading={test.isPending} onClick={() => test.mutate(undefined)}>
            {t.repositories.test}
          </Button>
        )
      }
    >
      <ProblemPanel error={test.error ?? init.error} />
      {result === undefined ? (
        <Text size="sm" c="dimmed">
          {t.repositories.testHint}
        </Text>
      ) : (
        <>
          <TestResult result={result} />
          {!result.exists && may('configure') && (
            <Group>
              <Button loading={init.isPending} onClick={() => init.mutate(undefined)}>
                {t.repositories.init}
              </Button>
            </Group>
          )}
        </>
      )}
      {init.data && (
        <Callout tone="good">
          <Text size="sm">{t.repositories.made(shortId(init.data.id))}</Text>
          {init.data.lacks.map((lack) => (
            <Text size="sm" key={lack}>
              {lack}
            </Text>
          ))}
        </Callout>
      )}
    </Section>
  )
}

export function TestResult({ result }: { result: RepositoryTest }) {
  const t = useTexts()
  return (
    <Stack gap="xs" role="status">
      <Mark
        state={
          result.usable
            ? { tone: 'good', icon: 'check', words: t.repositories.usable }
            : result.exists
              ? { tone: 'bad', icon: 'cross', words: t.repositories.notUsable }
              : { tone: 'warn', icon: 'warning', words: t.repositories.empty }
        }
      />
      <Facts
        facts={[
          [t.repositories.location, result.location],
          [t.nav.backups, result.backups ?? '–'],
          [t.repositories.took, duration(result.tookMs / 1000)],
        ]}
      />
      {result.findings.length > 0 && (
        <List size="sm">
          {result.findings.map((finding) => (
            <List.Item key={finding}>{finding}</List.Item>
          ))}
        </List>
      )}
    </Stack>
  )
}
