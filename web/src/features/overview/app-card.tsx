import { Card, Group, Progress, Stack, Text, Title, Tooltip } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { queries } from '../../api/queries.ts'
import type { AppStatus } from '../../api/types.ts'
import { bytes, count } from '../../format/amounts.ts'
import { duration } from '../../format/time.ts'
import { paths } from '../../paths.ts'
import { useLocale, useTexts } from '../../texts/index.ts'
import { Facts, Moment } from '../../ui/bits.tsx'
import { TextLink } from '../../ui/links.tsx'
import { Mark } from '../../ui/mark.tsx'
import { CreateBackupButton } from '../backups/create-backup.tsx'
import { percentOf } from '../jobs/progress.ts'
import { useMay } from '../session/session.ts'
import { pollEveryMs } from '../shell/liveness.ts'
import { healthState, jobKind, phaseName } from '../states.ts'
import { HistoryStrip } from './history-strip.tsx'

/** One app: is it safe, since when, where, and what happens to it now. */
export function AppCard({ app, order = 3 }: { app: AppStatus; order?: 2 | 3 }) {
  const t = useTexts()
  const locale = useLocale()
  const may = useMay()
  const next = app.policies
    .filter((policy) => policy.enabled && policy.nextRun)
    .map((policy) => String(policy.nextRun))
    .sort()[0]
  return (
    <Card withBorder padding="lg" component="article" aria-label={app.app}>
      <Stack gap="md" h="100%">
        <Group justify="space-between" wrap="nowrap" align="flex-start">
          <div style={{ minWidth: 0 }}>
            {order === 3 && (
              <Title order={3} size="h3" style={{ overflowWrap: 'anywhere' }}>
                <TextLink to={paths.app} params={{ name: app.app }} inherit c="inherit">
                  {app.app}
                </TextLink>
              </Title>
            )}
            <Mark state={healthState(app.state, t)} />
          </div>
          <Tooltip label={t.overview.scoreHint} multiline w={260}>
            <Text size="sm" c="dimmed" style={{ whiteSpace: 'nowrap' }}>
              {t.overview.score(app.score)}
            </Text>
          </Tooltip>
        </Group>
        <RunningNow app={app.app} />
        <HistoryStrip app={app} />
        <Facts
          facts={[
            [
              t.overview.lastGood,
              app.lastGood ? (
                <Group gap={6}>
                  <TextLink to={paths.backup} params={{ id: app.lastGood.id }} size="sm">
                    <Moment at={app.lastGood.time} />
                  </TextLink>
                  <Text span size="sm" c="dimmed">
                    {bytes(app.lastGoodBytes)}
                  </Text>
                </Group>
              ) : (
                t.overview.none
              ),
            ],
            [
              t.overview.lastProven,
              app.lastProvenAt ? (
                <>
                  <Moment at={app.lastProvenAt} />
                  {app.provenSeconds != null && `, ${t.overview.took(duration(app.provenSeconds))}`}
                </>
              ) : (
                t.overview.never
              ),
            ],
            [t.overview.nextRun, next ? <Moment at={next} /> : t.overview.noneScheduled],
            [
              t.overview.copies,
              app.repositories.length === 0
                ? t.overview.noCopies
                : app.repositories.map((holding) => (
                    <div key={holding.repository}>
                      {t.overview.holding(
                        holding.repository,
                        count(holding.backups, locale),
                        holding.offsite ? t.overview.offsite : t.overview.local,
                      )}
                    </div>
                  )),
            ],
          ]}
        />
        <Group justify="space-between" mt="auto">
          <TextLink to={paths.backups} search={{ app: app.app }} size="sm">
            {t.overview.allBackups(app.backups)}
          </TextLink>
          {order === 3 && may('operate') && <CreateBackupButton app={app.app} variant="light" size="xs" />}
        </Group>
      </Stack>
    </Card>
  )
}

/** While something runs, its bar moves. */
const RUNNING_EVERY_MS = 2_000

function RunningNow({ app }: { app: string }) {
  const t = useTexts()
  const { data } = useQuery({
    ...queries.recentJobs({ state: 'running' }, 100),
    refetchInterval: (query) => (query.state.data?.length ? RUNNING_EVERY_MS : pollEveryMs()),
  })
  const job = data?.find((each) => each.app === app)
  if (job === undefined) return null
  const percent = percentOf(job)
  return (
    <div>
      <Group justify="space-between">
        <TextLink to={paths.job} params={{ id: job.id }} size="sm">
          {jobKind(job.kind, t)}: {job.phase ? phaseName(job.phase, t) : t.jobStates.running}
        </TextLink>
        {percent !== undefined && <Text size="sm">{percent} %</Text>}
      </Group>
      <Progress value={percent ?? 100} animated={percent === undefined} aria-label={jobKind(job.kind, t)} />
    </div>
  )
}
