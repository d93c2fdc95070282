import { Checkbox, MultiSelect, PasswordInput, Select, Stack, TextInput } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { api, call } from '../../api/client.ts'
import { asProblem } from '../../api/problem.ts'
import { queries } from '../../api/queries.ts'
import type { Role, User } from '../../api/types.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Confirm } from '../../ui/confirm.tsx'
import { useTell } from '../../ui/notices.tsx'

const ROLES: Role[] = ['viewer', 'operator', 'admin']

/** Role and apps, for accounts and tokens. No app chosen means all. */
export function AccessFields({
  role,
  setRole,
  apps,
  setApps,
}: {
  role: Role
  setRole: (role: Role) => void
  apps: string[]
  setApps: (apps: string[]) => void
}) {
  const t = useTexts()
  const known = useQuery(queries.apps())
  return (
    <>
      <Select
        label={t.people.role}
        description={t.roleHints[role]}
        data={ROLES.map((value) => ({ value, label: t.roles[value] }))}
        value={role}
        onChange={(value) => value && setRole(value)}
        allowDeselect={false}
      />
      <MultiSelect
        label={t.people.onlyApps}
        description={t.people.onlyAppsHint}
        data={(known.data ?? []).map((app) => app.name)}
        value={apps}
        onChange={setApps}
      />
    </>
  )
}

export function NewUser({ onClose }: { onClose: () => void }) {
  const t = useTexts()
  const tell = useTell()
  const [name, setName] = useState('')
  const [email, setEmail] = useState('')
  const [password, setPassword] = useState('')
  const [role, setRole] = useState<Role>('viewer')
  const [apps, setApps] = useState<string[]>([])
  const make = useAction(
    () =>
      call(
        api.POST('/api/v1/users', {
          body: {
            name: name.trim(),
            email: email.trim() || undefined,
            password: password || undefined,
            role,
            apps: apps.length > 0 ? apps : undefined,
          },
        }),
      ),
    ['user'],
    (user) => {
      tell(t.people.made(user.name))
      onClose()
    },
  )
  const problem = make.isError ? asProblem(make.error) : undefined
  return (
    <Confirm
      opened
      title={t.people.create}
      consequence={
        <Stack gap="sm">
          <TextInput
            label={t.login.name}
            required
            data-autofocus
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
            error={problem?.field('name')}
          />
          <TextInput
            label={t.setUp.email}
            type="email"
            value={email}
            onChange={(event) => setEmail(event.currentTarget.value)}
            error={problem?.field('email')}
          />
          <PasswordInput
            label={t.login.password}
            description={t.setUp.passwordHint}
            autoComplete="new-password"
            visibilityToggleButtonProps={{ 'aria-label': t.login.showPassword }}
            value={password}
            onChange={(event) => setPassword(event.currentTarget.value)}
            error={problem?.field('password')}
          />
          <AccessFields role={role} setRole={setRole} apps={apps} setApps={setApps} />
        </Stack>
      }
      action={t.people.createAction(name.trim())}
      destroys={false}
      disabled={name.trim() === ''}
      pending={make.isPending}
      error={make.error}
      onConfirm={() => make.mutate(undefined)}
      onClose={onClose}
    />
  )
}

export function EditUser({ user, onClose }: { user: User; onClose: () => void }) {
  const t = useTexts()
  const tell = useTell()
  const [role, setRole] = useState(user.role)
  const [apps, setApps] = useState(user.apps ?? [])
  const [disabled, setDisabled] = useState(user.disabled)
  const save = useAction(
    () =>
      call(
        api.PATCH('/api/v1/users/{id}', {
          params: { path: { id: user.id } },
          body: { role, disabled, apps: apps.length > 0 ? apps : null },
        }),
      ),
    ['user'],
    () => {
      tell(t.people.saved(user.name))
      onClose()
    },
  )
  return (
    <Confirm
      opened
      title={t.people.change(user.name)}
      consequence={
        <Stack gap="sm">
          <AccessFields role={role} setRole={setRole} apps={apps} setApps={setApps} />
          <Checkbox
            label={t.people.disable}
            description={t.people.disableHint}
            checked={disabled}
            onChange={(event) => setDisabled(event.currentTarget.checked)}
          />
        </Stack>
      }
      action={t.common.save}
      destroys={false}
      pending={save.isPending}
      error={save.error}
      onConfirm={() => save.mutate(undefined)}
      onClose={onClose}
    />
  )
}
