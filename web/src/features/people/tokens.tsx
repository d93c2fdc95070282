import { Button, Code, CopyButton, Select, Stack, Text, TextInput } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { api, call } from '../../api/client.ts'
import { asProblem } from '../../api/problem.ts'
import { queries } from '../../api/queries.ts'
import type { Role, Token } from '../../api/types.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Empty, Moment, Section } from '../../ui/bits.tsx'
import { Confirm } from '../../ui/confirm.tsx'
import { DataTable } from '../../ui/data-table.tsx'
import { Dialog } from '../../ui/dialog.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Callout, Mark, type State } from '../../ui/mark.tsx'
import { useNow } from '../../ui/now.ts'
import { AccessFields } from './user-form.tsx'

/** Tokens for programs: one's own, and everybody's for who manages accounts. */
export function Tokens() {
  const t = useTexts()
  const now = useNow()
  const query = useQuery(queries.tokens())
  const [making, dialog] = useDisclosure()
  const [ending, setEnding] = useState<Token>()
  const [shown, setShown] = useState<string>()
  const end = useAction(
    (id: string) => call(api.DELETE('/api/v1/tokens/{id}', { params: { path: { id } } })),
    ['token'],
    () => setEnding(undefined),
  )
  return (
    <Section
      title={t.tokens.title}
      actions={
        <Button size="xs" variant="default" onClick={dialog.open}>
          {t.tokens.create}
        </Button>
      }
    >
      <Loaded query={query}>
        {(tokens) =>
          tokens.length === 0 ? (
            <Empty title={t.tokens.none} hint={t.tokens.noneHint} />
          ) : (
            <DataTable
              label={t.tokens.title}
              rows={tokens}
              rowKey={(row) => row.id}
              columns={[
                { key: 'name', title: t.common.name, cell: (row) => row.name },
                {
                  key: 'prefix',
                  title: t.tokens.begins,
                  cell: (row) => <Code>{row.prefix}…</Code>,
                },
                { key: 'owner', title: t.tokens.owner, cell: (row) => row.owner },
                { key: 'role', title: t.people.role, cell: (row) => t.roles[row.role] },
                {
                  key: 'state',
                  title: t.common.state,
                  cell: (row) => <Mark pill state={stateOf(row, now, t)} />,
                },
                { key: 'used', title: t.tokens.lastUsed, cell: (row) => <Moment at={row.lastUsedAt} /> },
                {
                  key: 'expires',
                  title: t.tokens.expires,
                  cell: (row) => <Moment at={row.expiresAt} absolute />,
                },
                {
                  key: 'end',
                  title: t.common.actions,
                  cell: (row) =>
                    row.revokedAt ? null : (
                      <Button
                        size="compact-sm"
                        variant="default"
                        aria-label={t.tokens.endAction(row.name)}
                        onClick={() => setEnding(row)}
                      >
                        {t.tokens.end}
                      </Button>
                    ),
                },
              ]}
            />
          )
        }
      </Loaded>
      {making && (
        <NewToken
          onClose={dialog.close}
          onMade={(token) => {
            dialog.close()
            setShown(token)
          }}
        />
      )}
      <Confirm
        opened={ending !== undefined}
        title={t.tokens.endAction(ending?.name ?? '')}
        consequence={<Text size="sm">{t.tokens.endConsequence}</Text>}
        action={t.tokens.endAction(ending?.name ?? '')}
        pending={end.isPending}
        error={end.error}
        onConfirm={() => ending && end.mutate(ending.id)}
        onClose={() => setEnding(undefined)}
      />
      <Dialog opened={shown !== undefined} onClose={() => setShown(undefined)} title={t.tokens.made}>
        <Stack>
          <Callout tone="warn">
            <Text size="sm">{t.tokens.once}</Text>
          </Callout>
          <Code block tabIndex={0}>
            {shown}
          </Code>
          <CopyButton value={shown ?? ''}>
            {({ copied, copy }) => <Button onClick={copy}>{copied ? t.common.copied : t.tokens.copy}</Button>}
          </CopyButton>
        </Stack>
      </Dialog>
    </Section>
  )
}

function stateOf(token: Token, now: Date, t: ReturnType<typeof useTexts>): State {
  if (token.revokedAt) return { tone: 'idle', icon: 'none', words: t.tokens.ended }
  if (token.expiresAt && new Date(token.expiresAt) <= now) {
    return { tone: 'idle', icon: 'clock', words: t.tokens.expired }
  }
  return { tone: 'good', icon: 'check', words: t.tokens.valid }
}

const DAYS = ['30', '90', '365', ''] as const

function NewToken({ onClose, onMade }: { onClose: () => void; onMade: (token: string) => void }) {
  const t = useTexts()
  const [name, setName] = useState('')
  const [role, setRole] = useState<Role>('viewer')
  const [apps, setApps] = useState<string[]>([])
  const [days, setDays] = useState<string>('90')
  const make = useAction(
    () =>
      call(
        api.POST('/api/v1/tokens', {
          body: {
            name: name.trim(),
            role,
            apps: apps.length > 0 ? apps : undefined,
            expiresAt: days ? new Date(Date.now() + Number(days) * 86_400_000).toISOString() : undefined,
          },
        }),
      ),
    ['token'],
    (made) => onMade(made.token),
  )
  return (
    <Confirm
      opened
      title={t.tokens.create}
      consequence={
        <Stack gap="sm">
          <TextInput
            label={t.common.name}
            description={t.tokens.nameHint}
            required
            data-autofocus
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
            error={make.isError ? asProblem(make.error).field('name') : undefined}
          />
          <AccessFields role={role} setRole={setRole} apps={apps} setApps={setApps} />
          <Select
            label={t.tokens.expires}
            data={DAYS.map((value) => ({
              value: value || 'never',
              label: value ? t.tokens.days(Number(value)) : t.tokens.never,
            }))}
            value={days || 'never'}
            onChange={(value) => setDays(value === 'never' || value === null ? '' : value)}
            allowDeselect={false}
          />
        </Stack>
      }
      action={t.tokens.create}
      destroys={false}
      disabled={name.trim() === ''}
      pending={make.isPending}
      error={make.error}
      onConfirm={() => make.mutate(undefined)}
      onClose={onClose}
    />
  )
}
