import { Button, Group, Stack, Text } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { api, call } from '../../api/client.ts'
import { queries } from '../../api/queries.ts'
import type { Job } from '../../api/types.ts'
import { between, duration } from '../../format/time.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Facts, Moment, Section } from '../../ui/bits.tsx'
import { Confirm } from '../../ui/confirm.tsx'
import { TextLink } from '../../ui/links.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Callout, Mark } from '../../ui/mark.tsx'
import { Page } from '../../ui/page.tsx'
import { ProblemPanel } from '../../ui/problem-panel.tsx'
import { Prose } from '../../ui/prose.tsx'
import { CreateBackupButton } from '../backups/create-backup.tsx'
import { useMay, useSession } from '../session/session.ts'
import { isOver, jobKind, jobState } from '../states.ts'
import { Asked } from './asked.tsx'
import { JobLog } from './job-log.tsx'
import { JobProgress } from './job-progress.tsx'
import { JobResult } from './job-result.tsx'

const route = getRouteApi('/inside/jobs/$id')

export function JobPage() {
  const t = useTexts()
  const { id } = route.useParams()
  const query = useQuery(queries.job(id))
  const job = query.data
  return (
    <Page
      title={job ? t.jobs.oneTitle(jobKind(job.kind, t), job.app || job.repository || '') : t.jobs.title}
      up={{ label: t.jobs.title, to: paths.jobs }}
      actions={job && <JobActions job={job} />}
    >
      <Loaded query={query}>{(data) => <Detail job={data} />}</Loaded>
    </Page>
  )
}

function Detail({ job }: { job: Job }) {
  const t = useTexts()
  const may = useMay()
  const session = useSession()
  return (
    <Stack gap="lg">
      <div role="status">
        <Mark state={jobState(job, t)} pill />
      </div>
      {job.state === 'queued' && job.approval.state === 'needed' && (
        <Callout tone="note">
          <Text size="sm">
            {session?.name === job.createdBy
              ? t.jobs.yourOwn
              : may('approve_restore')
                ? t.jobs.waitsForYes(job.createdBy, job.app ?? '')
                : t.restore.needsApproval}
          </Text>
        </Callout>
      )}
      <JobError job={job} />
      <Asked job={job} />
      <JobResult job={job} />
      {job.state === 'running' && (
        <Section title={t.jobs.progress}>
          <JobProgress job={job} />
        </Section>
      )}
      <Section title={t.jobs.log}>
        <JobLog id={job.id} over={isOver(job)} />
      </Section>
      <Section title={t.jobs.facts}>
        <Facts
          facts={[
            [t.common.app, job.app || '–'],
            [t.common.policy, job.policy ?? '–'],
            [t.common.repository, job.repository ?? '–'],
            [t.jobs.startedBy, `${job.createdBy} (${t.triggers[job.trigger]})`],
            [t.jobs.queuedAt, <Moment key="created" at={job.createdAt} absolute />],
            [t.jobs.startedAt, <Moment key="started" at={job.startedAt} absolute />],
            [t.jobs.finishedAt, <Moment key="finished" at={job.finishedAt} absolute />],
            [t.jobs.took, duration(between(job.startedAt, job.finishedAt))],
            [t.jobs.attempts, t.jobs.attemptsOf(job.attempts, job.maxAttempts)],
            [t.jobs.node, job.node ?? '–'],
            [t.jobs.limits, t.jobs.limitsOf(duration(job.softLimitSecs), duration(job.hardLimitSecs))],
            [
              'ID',
              <Text key="id" ff="monospace" size="xs">
                {job.id}
              </Text>,
            ],
          ]}
        />
      </Section>
    </Stack>
  )
}

/** Why a job failed, and what to do. */
export function JobError({ job }: { job: Job }) {
  const t = useTexts()
  if (!job.error) return null
  const { code, message, hint, details } = job.error
  const translated = t.said.problems[code]
  return (
    <Callout tone={job.state === 'failed' ? 'bad' : 'warn'} role="alert">
      <Stack gap="xs">
        <Text fw={600}>{translated ?? <Prose text={message} />}</Text>
        {translated && (
          <Text size="sm" lang="en">
            {message}
          </Text>
        )}
        {hint && (
          <Text size="sm">
            <Prose text={hint} />
          </Text>
        )}
        {details && (
          <Text size="sm" style={{ whiteSpace: 'pre-wrap' }}>
            {details}
          </Text>
        )}
      </Stack>
    </Callout>
  )
}

function JobActions({ job }: { job: Job }) {
  const t = useTexts()
  const may = useMay()
  const session = useSession()
  const [cancelling, dialog] = useDisclosure()
  const params = { params: { path: { id: job.id } } }
  const cancel = useAction(() => call(api.POST('/api/v1/jobs/{id}/cancel', params)), ['job'], dialog.close)
  const hold = useAction(() => call(api.POST('/api/v1/jobs/{id}/hold', params)), ['job'])
  const release = useAction(() => call(api.POST('/api/v1/jobs/{id}/release', params)), ['job'])
  const approve = useAction(() => call(api.POST('/api/v1/jobs/{id}/approve', params)), ['job'])
  const first = useAction(
    () => call(api.PUT('/api/v1/jobs/{id}/priority', { ...params, body: { priority: job.priority + 10 } })),
    ['job'],
  )
  if (isOver(job)) {
    return job.app && job.kind === 'backup' && job.state === 'failed' ? (
      <>
        <TextLink to={paths.app} params={{ name: job.app }}>
          {t.jobs.toApp(job.app)}
        </TextLink>
        {may('operate') && <CreateBackupButton app={job.app} />}
      </>
    ) : null
  }
  const waits = job.state === 'queued'
  return (
    <Stack gap="xs" align="flex-end">
      <Group gap="sm">
        {waits &&
          job.approval.state === 'needed' &&
          may('approve_restore') &&
          session?.name !== job.createdBy && (
            <Button loading={approve.isPending} onClick={() => approve.mutate(undefined)}>
              {t.jobs.approve}
            </Button>
          )}
        {may('manage_jobs') && (
          <>
            {waits && (
              <>
                <Button variant="default" onClick={() => first.mutate(undefined)}>
                  {t.jobs.sooner}
                </Button>
                {job.held ? (
                  <Button variant="default" onClick={() => release.mutate(undefined)}>
                    {t.jobs.release}
                  </Button>
                ) : (
                  <Button variant="default" onClick={() => hold.mutate(undefined)}>
                    {t.jobs.hold}
                  </Button>
                )}
              </>
            )}
            <Button variant="default" disabled={job.cancelRequested} onClick={dialog.open}>
              {job.cancelRequested ? t.jobStates.stopping : t.jobs.cancel}
            </Button>
          </>
        )}
      </Group>
      <ProblemPanel error={hold.error ?? release.error ?? approve.error ?? first.error} />
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
