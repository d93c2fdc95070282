import { Button, PasswordInput, Stack, TextInput } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { api, call } from '../../api/client.ts'
import { asProblem } from '../../api/problem.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { ProblemPanel } from '../../ui/problem-panel.tsx'
import { Outside } from './outside.tsx'
import { enter } from './session.ts'

/** Makes the first account, with the token that the server printed when it started. */
export function SetUpPage() {
  const t = useTexts()
  const navigate = useNavigate()
  const client = useQueryClient()
  const [form, setForm] = useState({ token: '', name: '', email: '', password: '' })
  const set = (field: keyof typeof form) => (event: { currentTarget: { value: string } }) => {
    const { value } = event.currentTarget
    setForm((before) => ({ ...before, [field]: value }))
  }
  const make = useAction(
    () =>
      call(
        api.POST('/api/v1/setup', {
          body: {
            token: form.token.trim(),
            name: form.name.trim(),
            password: form.password,
            email: form.email.trim() || undefined,
          },
        }),
      ),
    [],
    (session) => {
      enter(client, session)
      void navigate({ to: paths.overview })
    },
  )
  const problem = make.isError ? asProblem(make.error) : undefined
  return (
    <Outside title={t.setUp.title} about={t.setUp.about}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          make.mutate(undefined)
        }}
      >
        <Stack>
          <TextInput
            label={t.setUp.token}
            description={t.setUp.tokenHint}
            required
            autoFocus
            autoComplete="off"
            value={form.token}
            onChange={set('token')}
            error={problem?.field('token')}
          />
          <TextInput
            label={t.login.name}
            required
            autoComplete="username"
            value={form.name}
            onChange={set('name')}
            error={problem?.field('name')}
          />
          <TextInput
            label={t.setUp.email}
            type="email"
            autoComplete="email"
            value={form.email}
            onChange={set('email')}
            error={problem?.field('email')}
          />
          <PasswordInput
            label={t.login.password}
            description={t.setUp.passwordHint}
            required
            autoComplete="new-password"
            visibilityToggleButtonProps={{ 'aria-label': t.login.showPassword }}
            value={form.password}
            onChange={set('password')}
            error={problem?.field('password')}
          />
          <ProblemPanel error={make.error} />
          <Button type="submit" loading={make.isPending}>
            {t.setUp.make}
          </Button>
        </Stack>
      </form>
    </Outside>
  )
}
