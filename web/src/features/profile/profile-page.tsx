import { Button, Code, Group, List, PasswordInput, Stack, Text, TextInput } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { api, call } from '../../api/client.ts'
import { asProblem } from '../../api/problem.ts'
import { queries } from '../../api/queries.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Facts, Moment, Section } from '../../ui/bits.tsx'
import { DataTable } from '../../ui/data-table.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Callout, Mark } from '../../ui/mark.tsx'
import { useTell } from '../../ui/notices.tsx'
import { Page } from '../../ui/page.tsx'
import { ProblemPanel } from '../../ui/problem-panel.tsx'
import { Tokens } from '../people/tokens.tsx'
import { useSession } from '../session/session.ts'

export function ProfilePage() {
  const t = useTexts()
  const session = useSession()
  if (!session) return null
  return (
    <Page title={t.nav.profile} about={t.profile.about(session.name)}>
      <Section title={t.profile.rights}>
        <Facts
          facts={[
            [t.people.role, t.roles[session.role]],
            [t.profile.may, session.permissions.map((permission) => t.permissions[permission]).join(', ')],
            [t.nav.apps, session.apps ? session.apps.join(', ') : t.people.allApps],
            [t.profile.sessionEnds, <Moment key="ends" at={session.expiresAt} absolute />],
          ]}
        />
      </Section>
      <Password />
      <SecondFactor />
      <Sessions />
      <Tokens />
    </Page>
  )
}

function Password() {
  const t = useTexts()
  const tell = useTell()
  const [current, setCurrent] = useState('')
  const [wanted, setWanted] = useState('')
  const save = useAction(
    () => call(api.PUT('/api/v1/session/password', { body: { current, new: wanted } })),
    ['sessions'],
    () => {
      tell(t.profile.passwordChanged)
      setCurrent('')
      setWanted('')
    },
  )
  const problem = save.isError ? asProblem(save.error) : undefined
  const toggle = { 'aria-label': t.login.showPassword }
  return (
    <Section title={t.login.password}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          save.mutate(undefined)
        }}
      >
        <Stack maw={420}>
          <PasswordInput
            label={t.profile.currentPassword}
            autoComplete="current-password"
            visibilityToggleButtonProps={toggle}
            value={current}
            onChange={(event) => setCurrent(event.currentTarget.value)}
            error={problem?.field('current')}
          />
          <PasswordInput
            label={t.people.newPassword}
            description={t.setUp.passwordHint}
            autoComplete="new-password"
            visibilityToggleButtonProps={toggle}
            value={wanted}
            onChange={(event) => setWanted(event.currentTarget.value)}
            error={problem?.field('new')}
          />
          <ProblemPanel error={save.error} />
          <Group>
            <Button type="submit" variant="default" loading={save.isPending} disabled={!current || !wanted}>
              {t.profile.changePassword}
            </Button>
          </Group>
        </Stack>
      </form>
    </Section>
  )
}

function SecondFactor() {
  const t = useTexts()
  const [password, setPassword] = useState('')
  const [code, setCode] = useState('')
  const begin = useAction(() => call(api.POST('/api/v1/session/totp', { body: { password } })), [])
  const confirm = useAction(
    () => call(api.POST('/api/v1/session/totp/confirm', { body: { code } })),
    ['user'],
  )
  const disable = useAction(
    () => call(api.POST('/api/v1/session/totp/disable', { body: { password, code } })),
    ['user'],
  )
  if (confirm.data) {
    return (
      <Section title={t.profile.totp}>
        <Callout tone="warn">
          <Text size="sm">{t.profile.recoveryCodes}</Text>
        </Callout>
        <List>
          {confirm.data.recoveryCodes.map((each) => (
            <List.Item key={each}>
              <Code>{each}</Code>
            </List.Item>
          ))}
        </List>
      </Section>
    )
  }
  return (
    <Section title={t.profile.totp}>
      <Text size="sm">{t.profile.totpHint}</Text>
      {begin.data && (
        <Stack gap="xs">
          <Text size="sm">{t.profile.totpSecret}</Text>
          <Code block tabIndex={0}>
            {begin.data.secret}
          </Code>
          <Text size="sm">
            <a href={begin.data.url}>{t.profile.totpOpen}</a>
          </Text>
        </Stack>
      )}
      <Stack maw={420}>
        {!begin.data && (
          <PasswordInput
            label={t.login.password}
            autoComplete="current-password"
            visibilityToggleButtonProps={{ 'aria-label': t.login.showPassword }}
            value={password}
            onChange={(event) => setPassword(event.currentTarget.value)}
          />
        )}
        <TextInput
          label={t.login.code}
          description={begin.data ? undefined : t.profile.codeToDisable}
          autoComplete="one-time-code"
          value={code}
          onChange={(event) => setCode(event.currentTarget.value)}
        />
        <ProblemPanel error={begin.error ?? confirm.error ?? disable.error} />
        <Group>
          {begin.data ? (
            <Button
              loading={confirm.isPending}
              disabled={code === ''}
              onClick={() => confirm.mutate(undefined)}
            >
              {t.profile.totpConfirm}
            </Button>
          ) : (
            <>
              <Button
                variant="default"
                loading={begin.isPending}
                disabled={password === ''}
                onClick={() => begin.mutate(undefined)}
              >
                {t.profile.totpBegin}
              </Button>
              <Button
                variant="default"
                loading={disable.isPending}
                disabled={password === '' || code === ''}
                onClick={() => disable.mutate(undefined)}
              >
                {t.profile.totpDisable}
              </Button>
            </>
          )}
        </Group>
      </Stack>
    </Section>
  )
}

function Sessions() {
  const t = useTexts()
  const query = useQuery(queries.sessions())
  const end = useAction(
    (id: string) => call(api.DELETE('/api/v1/sessions/{id}', { params: { path: { id } } })),
    ['sessions'],
  )
  const endOthers = useAction(() => call(api.DELETE('/api/v1/sessions')), ['sessions'])
  return (
    <Section
      title={t.profile.sessions}
      actions={
        <Button size="xs" variant="default" onClick={() => endOthers.mutate(undefined)}>
          {t.profile.endOthers}
        </Button>
      }
    >
      <ProblemPanel error={end.error ?? endOthers.error} />
      <Loaded query={query}>
        {({ items }) => (
          <DataTable
            label={t.profile.sessions}
            rows={items}
            rowKey={(row) => row.id}
            columns={[
              {
                key: 'agent',
                title: t.profile.browser,
                cell: (row) => (
                  <Text size="sm" lineClamp={2} maw={360}>
                    {row.agent ?? '–'}
                  </Text>
                ),
              },
              { key: 'from', title: t.profile.from, cell: (row) => row.from ?? '–' },
              { key: 'created', title: t.profile.since, cell: (row) => <Moment at={row.createdAt} /> },
              { key: 'seen', title: t.settings.seen, cell: (row) => <Moment at={row.seenAt} /> },
              {
                key: 'end',
                title: t.common.actions,
                cell: (row) =>
                  row.current ? (
                    <Mark state={{ tone: 'note', icon: 'info', words: t.profile.thisOne }} pill />
                  ) : (
                    <Button size="compact-sm" variant="default" onClick={() => end.mutate(row.id)}>
                      {t.tokens.end}
                    </Button>
                  ),
              },
            ]}
          />
        )}
      </Loaded>
    </Section>
  )
}
