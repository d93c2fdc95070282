import { Button, Group, Stack, Text } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { api, call } from '../../api/client.ts'
import { queries } from '../../api/queries.ts'
import type { Job } from '../../api/types.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Section } from '../../ui/bits.tsx'
import { Confirm } from '../../ui/confirm.tsx'
import { TextLink } from '../../ui/links.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Callout, Mark } from '../../ui/mark.tsx'
import { JobLog } from '../jobs/job-log.tsx'
import { JobError } from '../jobs/job-page.tsx'
import { JobProgress } from '../jobs/job-progress.tsx'
import { JobResult } from '../jobs/job-result.tsx'
import { useMay, useSession } from '../session/session.ts'
import { isOver, jobKind, jobState } from '../states.ts'

/** A restore while it runs, and what came of it. */
export function Run({ job: id }: { job: string }) {
  const query = useQuery(queries.job(id))
  return <Loaded query={query}>{(job) => <Running job={job} />}</Loaded>
}

function Running({ job }: { job: Job }) {
  const t = useTexts()
  const may = useMay()
  const session = useSession()
  const [cancelling, dialog] = useDisclosure()
  const cancel = useAction(
    () => call(api.POST('/api/v1/jobs/{id}/cancel', { params: { path: { id: job.id } } })),
    ['job'],
    dialog.close,
  )
  const over = isOver(job)
  return (
    <Stack gap="lg">
      <Group justify="space-between">
        <div role="status">
          <Mark state={jobState(job, t)} pill />
        </div>
        {!over && may('manage_jobs') && (
          <Button variant="default" disabled={job.cancelRequested} onClick={dialog.open}>
            {job.cancelRequested ? t.jobStates.stopping : t.jobs.cancel}
          </Button>
        )}
      </Group>
      {job.state === 'queued' && job.approval.state === 'needed' && (
        <Callout tone="note">
          <Text size="sm">{session?.name === job.createdBy ? t.jobs.yourOwn : t.restore.needsApproval}</Text>
        </Callout>
      )}
      <JobError job={job} />
      {over && job.state !== 'succeeded' && (
        <Callout tone="note">
          <Text size="sm">{t.restore.nothingChanged}</Text>
        </Callout>
      )}
      <JobResult job={job} />
      {!over && (
        <Section title={t.jobs.progress}>
          <JobProgress job={job} />
        </Section>
      )}
      <Section title={t.jobs.log}>
        <JobLog id={job.id} over={over} />
      </Section>
      <Group gap="lg">
        <TextLink to={paths.restores}>{t.nav.restores}</TextLink>
        <TextLink to={paths.job} params={{ id: job.id }}>
          {t.restore.showJob}
        </TextLink>
      </Group>
      <Confirm
        opened={cancelling}
        title={t.jobs.cancelTitle}
        consequence={<Text size="sm">{t.jobs.cancelConsequence(job.kind)}</Text>}
        action={t.jobs.cancelAction(jobKind(job.kind, t))}
        pending={cancel.isPending}
        error={cancel.error}
        onConfirm={() => cancel.mutate(undefined)}
        onClose={dialog.close}
      />
    </Stack>
  )
}
