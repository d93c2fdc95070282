import { Button, Collapse, Group, PasswordInput, SimpleGrid, Stack, Text, TextInput } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { IconChevronDown, IconChevronUp } from '@tabler/icons-react'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { api, call } from '../../api/client.ts'
import { asProblem } from '../../api/problem.ts'
import type { Repository, RepositoryDefinition } from '../../api/types.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Section } from '../../ui/bits.tsx'
import { Callout } from '../../ui/mark.tsx'
import { useTell } from '../../ui/notices.tsx'
import { ProblemPanel } from '../../ui/problem-panel.tsx'
import { saveText } from '../save-text.ts'
import { expecting } from '../saving.ts'
import { TestResult } from './connection.tsx'
import { isKeyItself, makeKey, recoveryKit } from './recovery-kit.ts'

type Field =
  | 'address'
  | 'key'
  | 'endpoint'
  | 'region'
  | 'accessKeyId'
  | 'secretAccessKey'
  | 'uploadLimit'
  | 'downloadLimit'
const FIELDS: Field[] = [
  'address',
  'key',
  'endpoint',
  'region',
  'accessKeyId',
  'secretAccessKey',
  'uploadLimit',
  'downloadLimit',
]
const SECRET: Field[] = ['secretAccessKey', 'key']

/** Says where backups live. What is typed can be tried out before it is kept. */
export function RepositoryForm({ repository }: { repository?: Repository }) {
  const t = useTexts()
  const tell = useTell()
  const navigate = useNavigate()
  const [name, setName] = useState(repository?.name ?? '')
  const [values, setValues] = useState<Record<Field, string>>(
    () =>
      Object.fromEntries(FIELDS.map((field) => [field, repository?.definition[field] ?? ''])) as Record<
        Field,
        string
      >,
  )
  const [more, extra] = useDisclosure()
  const definition = (): RepositoryDefinition => ({
    ...repository?.definition,
    ...Object.fromEntries(FIELDS.map((field) => [field, values[field].trim() || null])),
  })
  const test = useAction(() => call(api.POST('/api/v1/repositories/test', { body: definition() })), [])
  const save = useAction(
    () =>
      call(
        api.PUT('/api/v1/repositories/{name}', {
          params: { path: { name: name.trim() }, header: expecting(repository?.revision) },
          body: definition(),
        }),
      ),
    ['repository', 'status'],
    (saved) => {
      tell(t.repositories.saved(saved.name))
      void navigate({ to: paths.repository, params: { name: saved.name } })
    },
  )
  const problem = save.isError ? asProblem(save.error) : undefined
  const s3 = values.address.startsWith('s3:')
  const input = (field: Field, label: string, description?: string) => {
    const Input = SECRET.includes(field) ? PasswordInput : TextInput
    return (
      <Input
        key={field}
        required={field === 'address'}
        label={label}
        description={description}
        value={values[field]}
        onChange={(event) => {
          const { value } = event.currentTarget
          setValues((before) => ({ ...before, [field]: value }))
        }}
        error={problem?.field(field)}
        spellCheck={false}
        autoComplete="off"
        {...(SECRET.includes(field) && {
          visibilityToggleButtonProps: { 'aria-label': t.repositories.show },
        })}
      />
    )
  }
  return (
    <Section title={t.apps.definition}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          save.mutate(undefined)
        }}
      >
        <Stack>
          <SimpleGrid cols={{ base: 1, sm: 2 }}>
            <TextInput
              label={t.common.name}
              description={t.common.nameHint}
              required
              disabled={repository !== undefined}
              value={name}
              onChange={(event) => setName(event.currentTarget.value)}
              error={problem?.field('name')}
            />
            {input('address', t.repositories.address, t.repositories.addressHint)}
          </SimpleGrid>
          {input('key', t.repositories.key, t.repositories.keyHint)}
          <Group gap="sm">
            <Button
              variant="default"
              size="xs"
              onClick={() => setValues((before) => ({ ...before, key: makeKey() }))}
            >
              {t.repositories.makeKey}
            </Button>
            <Button
              variant="default"
              size="xs"
              disabled={!isKeyItself(values.key) || values.address.trim() === ''}
              onClick={() =>
                saveText(
                  `pgkeep-recovery-kit-${name.trim() || 'repository'}.txt`,
                  recoveryKit(name.trim(), values.address.trim(), values.key),
                )
              }
            >
              {t.repositories.saveKit}
            </Button>
          </Group>
          <Callout tone="warn">
            <Text size="sm">{t.repositories.keyWarning}</Text>
          </Callout>
          <Button
            variant="default"
            size="xs"
            rightSection={
              more || s3 ? <IconChevronUp size={16} aria-hidden /> : <IconChevronDown size={16} aria-hidden />
            }
            onClick={extra.toggle}
            aria-expanded={more || s3}
            w="fit-content"
          >
            {t.repositories.moreSettings}
          </Button>
          <Collapse expanded={more || s3}>
            <SimpleGrid cols={{ base: 1, sm: 2 }}>
              {input('endpoint', t.repositories.endpoint, t.repositories.endpointHint)}
              {input('region', t.repositories.region)}
              {input('accessKeyId', t.repositories.accessKeyId)}
              {input('secretAccessKey', t.repositories.secretAccessKey, t.repositories.secretHint)}
              {input('uploadLimit', t.repositories.uploadLimit, t.repositories.limitHint)}
              {input('downloadLimit', t.repositories.downloadLimit)}
            </SimpleGrid>
          </Collapse>
          {test.data && <TestResult result={test.data} />}
          <ProblemPanel error={save.error ?? test.error} />
          <Group justify="flex-end">
            <Button
              variant="default"
              loading={test.isPending}
              disabled={values.address.trim() === ''}
              onClick={() => test.mutate(undefined)}
            >
              {t.repositories.test}
            </Button>
            <Button type="submit" loading={save.isPending} disabled={name.trim() === ''}>
              {t.repositories.save(name.trim())}
            </Button>
          </Group>
        </Stack>
      </form>
    </Section>
  )
}
