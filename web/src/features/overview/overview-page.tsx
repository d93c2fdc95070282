import { Group, SimpleGrid, Stack, Text, Title } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { lazy, Suspense } from 'react'
import { queries } from '../../api/queries.ts'
import type { Status } from '../../api/types.ts'
import { duration } from '../../format/time.ts'
import { paths } from '../../paths.ts'
import { type Texts, useTexts } from '../../texts/index.ts'
import { Empty, Moment } from '../../ui/bits.tsx'
import { LinkButton } from '../../ui/links.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Callout, Mark, type Tone } from '../../ui/mark.tsx'
import { Page } from '../../ui/page.tsx'
import { worstWords } from '../findings.ts'
import { useMay } from '../session/session.ts'
import { healthState } from '../states.ts'
import { AppCard } from './app-card.tsx'
import { Approvals } from './approvals.tsx'
import { AttentionList } from './attention-list.tsx'

const Trends = lazy(() => import('./trends.tsx').then((module) => ({ default: module.Trends })))

export function OverviewPage() {
  const t = useTexts()
  const may = useMay()
  const query = useQuery(queries.status())
  return (
    <Page
      title={t.overview.title}
      actions={
        may('restore') && (
          <LinkButton to={paths.bringBack} variant="default">
            {t.overview.restore}
          </LinkButton>
        )
      }
    >
      <Loaded query={query}>
        {(status) =>
          status.apps.length === 0 ? (
            <Empty
              title={t.overview.noApps}
              hint={t.overview.noAppsHint}
              action={may('configure') && <LinkButton to={paths.newApp}>{t.overview.newApp}</LinkButton>}
            />
          ) : (
            <Stack gap="lg">
              <Answer status={status} />
              <Approvals />
              <AttentionList status={status} />
              <SimpleGrid cols={{ base: 1, lg: status.apps.length > 1 ? 2 : 1 }} spacing="lg">
                {status.apps.map((app) => (
                  <AppCard key={app.app} app={app} />
                ))}
              </SimpleGrid>
              <Suspense fallback={null}>
                <Trends apps={status.apps.filter((app) => app.backups > 1).map((app) => app.app)} />
              </Suspense>
            </Stack>
          )
        }
      </Loaded>
    </Page>
  )
}

/** Am I safe? One sentence, the worst first. */
function Answer({ status }: { status: Status }) {
  const t = useTexts()
  const state = healthState(status.state, t)
  const proven = status.apps
    .filter((app) => app.lastProvenAt)
    .sort((a, b) => String(b.lastProvenAt).localeCompare(String(a.lastProvenAt)))[0]
  const worst = Math.max(...status.apps.map((app) => app.rpoSeconds ?? Number.POSITIVE_INFINITY))
  const tone: Tone = state.tone
  return (
    <Callout tone={tone}>
      <Stack gap={6}>
        <Mark state={state} />
        <Title order={2} size="h3">
          {headline(status, t)}
        </Title>
        <Group gap="lg">
          <Text size="sm">
            {proven ? (
              <>
                {t.overview.lastProven} <Moment at={proven.lastProvenAt} />
                {proven.provenSeconds != null && `, ${t.overview.took(duration(proven.provenSeconds))}`}
              </>
            ) : (
              t.overview.neverProven
            )}
          </Text>
          <Text size="sm">
            {Number.isFinite(worst) ? t.overview.atMost(duration(worst)) : t.overview.everything}
          </Text>
        </Group>
      </Stack>
    </Callout>
  )
}

export function headline(status: Status, t: Texts): string {
  const bad = status.apps.filter((app) => app.state !== 'ok')
  const only = bad[0]
  if (only === undefined) return t.overview.allSafe(status.apps.length)
  if (bad.length === 1) return worstWords(only, t)
  return t.overview.someNot(bad.length, status.apps.length)
}
