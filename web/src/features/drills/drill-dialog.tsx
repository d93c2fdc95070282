import { Select, Stack, Text, Textarea } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { api, call } from '../../api/client.ts'
import { queries } from '../../api/queries.ts'
import { commands } from '../../commands.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Command } from '../../ui/bits.tsx'
import { Confirm } from '../../ui/confirm.tsx'
import { requestKey } from '../request-key.ts'
import { lines } from '../saving.ts'
import { may, useSession } from '../session/session.ts'

/** What is asked before a drill. */
export function DrillDialog({ app, onClose }: { app?: string; onClose: () => void }) {
  const t = useTexts()
  const navigate = useNavigate()
  const apps = useQuery({ ...queries.apps(), enabled: app === undefined })
  const [chosen, setChosen] = useState<string | null>(null)
  const session = useSession()
  // SQL runs with all rights of the privileged connection.
  const mayAsk = may(session, 'configure') && (session?.apps ?? null) === null
  const [assertions, setAssertions] = useState('')
  const [key] = useState(requestKey)
  const name = app ?? chosen ?? apps.data?.[0]?.name ?? ''
  const start = useAction(
    () =>
      call(
        api.POST('/api/v1/drills', {
          params: { header: { 'Idempotency-Key': key } },
          body: { app: name, prove: 'full', assertions: lines(assertions) },
        }),
      ),
    ['job', 'status'],
    (accepted) => {
      onClose()
      void navigate({ to: paths.job, params: { id: accepted.jobId } })
    },
  )
  return (
    <Confirm
      opened
      title={t.drills.start}
      consequence={
        <Stack gap="sm">
          <Text size="sm">{t.drills.consequence}</Text>
          {app === undefined && (
            <Select
              label={t.common.app}
              data={(apps.data ?? []).map((each) => each.name)}
              value={name}
              onChange={setChosen}
              allowDeselect={false}
            />
          )}
          {mayAsk && (
            <Textarea
              label={t.drills.assertions}
              description={t.drills.assertionsHint}
              placeholder="SELECT count(*) > 0 FROM orders"
              autosize
              minRows={2}
              styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }}
              value={assertions}
              onChange={(event) => setAssertions(event.currentTarget.value)}
            />
          )}
          <Command line={commands.drill(name)} />
        </Stack>
      }
      action={t.drills.startFor(name)}
      destroys={false}
      disabled={name === ''}
      pending={start.isPending}
      error={start.error}
      onConfirm={() => start.mutate(undefined)}
      onClose={onClose}
    />
  )
}
