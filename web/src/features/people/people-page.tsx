import { Badge, Button, Group, Menu, PasswordInput, Stack, Text } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { api, call } from '../../api/client.ts'
import { asProblem } from '../../api/problem.ts'
import { queries } from '../../api/queries.ts'
import type { User } from '../../api/types.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Moment, Section } from '../../ui/bits.tsx'
import { Confirm } from '../../ui/confirm.tsx'
import { DataTable } from '../../ui/data-table.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Mark } from '../../ui/mark.tsx'
import { useTell } from '../../ui/notices.tsx'
import { Page } from '../../ui/page.tsx'
import { useSession } from '../session/session.ts'
import { Tokens } from './tokens.tsx'
import { EditUser, NewUser } from './user-form.tsx'

export function PeoplePage() {
  const t = useTexts()
  const query = useQuery(queries.users())
  const [making, dialog] = useDisclosure()
  return (
    <Page
      title={t.nav.people}
      about={t.people.about}
      actions={<Button onClick={dialog.open}>{t.people.create}</Button>}
    >
      <Section title={t.people.accounts}>
        <Loaded query={query}>
          {(users) => (
            <DataTable
              label={t.people.accounts}
              rows={users}
              rowKey={(row) => row.id}
              columns={[
                {
                  key: 'name',
                  title: t.common.name,
                  cell: (row) => (
                    <Stack gap={0}>
                      <span>{row.name}</span>
                      {row.email && (
                        <Text size="xs" c="dimmed">
                          {row.email}
                        </Text>
                      )}
                    </Stack>
                  ),
                },
                { key: 'role', title: t.people.role, cell: (row) => t.roles[row.role] },
                {
                  key: 'apps',
                  title: t.nav.apps,
                  cell: (row) => (row.apps ? row.apps.join(', ') || t.people.noApps : t.people.allApps),
                },
                {
                  key: 'login',
                  title: t.people.login,
                  cell: (row) => (
                    <Group gap={4}>
                      {row.hasPassword && <Badge variant="default">{t.login.password}</Badge>}
                      {row.hasTotp && <Badge variant="default">TOTP</Badge>}
                      {row.issuer && <Badge variant="default">OIDC</Badge>}
                    </Group>
                  ),
                },
                {
                  key: 'state',
                  title: t.common.state,
                  cell: (row) => (
                    <Mark
                      pill
                      state={
                        row.disabled
                          ? { tone: 'idle', icon: 'none', words: t.people.disabled }
                          : { tone: 'good', icon: 'check', words: t.people.active }
                      }
                    />
                  ),
                },
                { key: 'seen', title: t.people.lastLogin, cell: (row) => <Moment at={row.lastLoginAt} /> },
                { key: 'actions', title: t.common.actions, cell: (row) => <UserMenu user={row} /> },
              ]}
            />
          )}
        </Loaded>
      </Section>
      <Tokens />
      {making && <NewUser onClose={dialog.close} />}
    </Page>
  )
}

type Doing = 'edit' | 'password' | 'delete' | 'totp' | 'sessions' | undefined

function UserMenu({ user }: { user: User }) {
  const t = useTexts()
  const session = useSession()
  const [doing, setDoing] = useState<Doing>()
  const own = session?.userId === user.id
  return (
    <>
      <Menu position="bottom-end" withinPortal>
        <Menu.Target>
          <Button size="compact-sm" variant="default" aria-label={t.people.change(user.name)}>
            {t.common.change}
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item onClick={() => setDoing('edit')}>{t.people.roleAndApps}</Menu.Item>
          <Menu.Item onClick={() => setDoing('password')}>{t.people.setPassword}</Menu.Item>
          <Menu.Item onClick={() => setDoing('sessions')}>{t.people.endSessions}</Menu.Item>
          {user.hasTotp && <Menu.Item onClick={() => setDoing('totp')}>{t.people.removeTotp}</Menu.Item>}
          {!own && (
            <Menu.Item c="var(--tone-bad)" onClick={() => setDoing('delete')}>
              {t.common.delete}
            </Menu.Item>
          )}
        </Menu.Dropdown>
      </Menu>
      {doing === 'edit' && <EditUser user={user} onClose={() => setDoing(undefined)} />}
      {doing !== undefined && doing !== 'edit' && (
        <Act user={user} doing={doing} onClose={() => setDoing(undefined)} />
      )}
    </>
  )
}

function Act({
  user,
  doing,
  onClose,
}: {
  user: User
  doing: Exclude<Doing, 'edit' | undefined>
  onClose: () => void
}) {
  const t = useTexts()
  const tell = useTell()
  const [password, setPassword] = useState('')
  const path = { id: user.id }
  const act = useAction(
    async () => {
      switch (doing) {
        case 'password':
          return void (await call(
            api.PUT('/api/v1/users/{id}/password', { params: { path }, body: { password } }),
          ))
        case 'delete':
          return void (await call(api.DELETE('/api/v1/users/{id}', { params: { path } })))
        case 'totp':
          return void (await call(api.DELETE('/api/v1/users/{id}/totp', { params: { path } })))
        case 'sessions':
          return void (await call(api.DELETE('/api/v1/users/{id}/sessions', { params: { path } })))
      }
    },
    ['user', 'token', 'audit'],
    () => {
      tell(t.people.done[doing](user.name))
      onClose()
    },
  )
  return (
    <Confirm
      opened
      title={t.people.titles[doing](user.name)}
      consequence={
        <Stack gap="sm">
          <Text size="sm">{t.people.consequences[doing]}</Text>
          {doing === 'password' && (
            <PasswordInput
              label={t.people.newPassword}
              description={t.setUp.passwordHint}
              autoComplete="new-password"
              data-autofocus
              visibilityToggleButtonProps={{ 'aria-label': t.login.showPassword }}
              value={password}
              onChange={(event) => setPassword(event.currentTarget.value)}
              error={act.isError ? asProblem(act.error).field('password') : undefined}
            />
          )}
        </Stack>
      }
      phrase={doing === 'delete' ? user.name : undefined}
      action={t.people.titles[doing](user.name)}
      destroys={doing === 'delete'}
      disabled={doing === 'password' && password === ''}
      pending={act.isPending}
      error={act.error}
      onConfirm={() => act.mutate(undefined)}
      onClose={onClose}
    />
  )
}
