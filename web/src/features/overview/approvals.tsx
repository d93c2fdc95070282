import { Group, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { queries } from '../../api/queries.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { LinkButton } from '../../ui/links.tsx'
import { Callout } from '../../ui/mark.tsx'
import { useMay, useSession } from '../session/session.ts'

/** Restores that somebody else has asked for, which wait for whoever looks at this page. */
export function Approvals() {
  const t = useTexts()
  const may = useMay()
  const session = useSession()
  const { data } = useQuery({
    ...queries.recentJobs({ state: 'queued' }, 100),
    enabled: may('approve_restore'),
  })
  const waiting = (data ?? []).filter(
    (job) => job.approval.state === 'needed' && job.createdBy !== session?.name,
  )
  if (waiting.length === 0) return null
  return (
    <Callout tone="warn">
      <Stack gap="sm">
        {waiting.map((job) => (
          <Group key={job.id} justify="space-between" gap="sm">
            <Text size="sm" fw={600}>
              {t.jobs.waitsForYes(job.createdBy, job.app ?? '')}
            </Text>
            <LinkButton to={paths.job} params={{ id: job.id }} variant="default" size="xs">
              {t.jobs.lookAtIt}
            </LinkButton>
          </Group>
        ))}
      </Stack>
    </Callout>
  )
}
