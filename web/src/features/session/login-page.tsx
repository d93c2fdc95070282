import { Button, Divider, PasswordInput, Stack, Text, TextInput } from '@mantine/core'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { getRouteApi, useNavigate } from '@tanstack/react-router'
import { useEffect, useState } from 'react'
import { api, call } from '../../api/client.ts'
import { asProblem } from '../../api/problem.ts'
import { queries } from '../../api/queries.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Callout } from '../../ui/mark.tsx'
import { ProblemPanel } from '../../ui/problem-panel.tsx'
import { Outside } from './outside.tsx'
import { enter } from './session.ts'

const route = getRouteApi(paths.login)

export function LoginPage() {
  const t = useTexts()
  const { next, ended, refused } = route.useSearch()
  const navigate = useNavigate()
  const client = useQueryClient()
  const options = useQuery(queries.loginOptions())
  const [name, setName] = useState('')
  const [password, setPassword] = useState('')
  const [code, setCode] = useState('')
  const logIn = useAction(
    () => call(api.POST('/api/v1/session', { body: { name, password, code: code || undefined } })),
    [],
    (session) => {
      enter(client, session)
      void navigate({ href: next ?? paths.overview })
    },
  )
  const needsCode = logIn.isError && asProblem(logIn.error).code === 'second_factor_needed'
  const [askCode, setAskCode] = useState(false)
  useEffect(() => {
    if (needsCode) setAskCode(true)
  }, [needsCode])
  const setupNeeded = options.data?.setupNeeded
  useEffect(() => {
    if (setupNeeded) void navigate({ to: paths.setUp })
  }, [setupNeeded, navigate])
  const signOn = options.data?.signOn
  return (
    <Outside title={t.login.title} about={ended ? t.login.again : undefined}>
      {signOn && refused && (
        <Callout tone="bad" role="alert">
          <Text size="sm">
            {refused === 'login_refused' ? t.login.refused(signOn.name) : t.login.away(signOn.name)}
          </Text>
        </Callout>
      )}
      <form
        onSubmit={(event) => {
          event.preventDefault()
          logIn.mutate(undefined)
        }}
      >
        <Stack>
          <TextInput
            label={t.login.name}
            autoComplete="username"
            required
            autoFocus
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <PasswordInput
            label={t.login.password}
            autoComplete="current-password"
            required
            visibilityToggleButtonProps={{ 'aria-label': t.login.showPassword }}
            value={password}
            onChange={(event) => setPassword(event.currentTarget.value)}
          />
          {askCode && (
            <TextInput
              label={t.login.code}
              description={t.login.codeHint}
              autoComplete="one-time-code"
              autoFocus
              value={code}
              onChange={(event) => setCode(event.currentTarget.value)}
            />
          )}
          {!(needsCode && code === '') && <ProblemPanel error={logIn.error} />}
          <Button type="submit" loading={logIn.isPending} fullWidth>
            {t.login.logIn}
          </Button>
        </Stack>
      </form>
      {signOn && (
        <>
          <Divider label={t.login.or} />
          <Button
            component="a"
            variant="default"
            href={`${signOn.url}?returnTo=${encodeURIComponent(next ?? paths.overview)}`}
          >
            {t.login.with(signOn.name)}
          </Button>
        </>
      )}
    </Outside>
  )
}
