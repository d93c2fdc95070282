import { Button, Group, Stack, Text } from '@mantine/core'
import { api, call } from '../../api/client.ts'
import type { Status } from '../../api/types.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Section } from '../../ui/bits.tsx'
import { LinkButton } from '../../ui/links.tsx'
import { Mark } from '../../ui/mark.tsx'
import { ProblemPanel } from '../../ui/problem-panel.tsx'
import { Prose } from '../../ui/prose.tsx'
import classes from '../../ui/ui.module.css'
import { AcceptButton } from '../backups/accept-button.tsx'
import { CreateBackupButton } from '../backups/create-backup.tsx'
import { DrillButton } from '../drills/drill-button.tsx'
import { findingWords } from '../findings.ts'
import { KitButton } from '../repositories/kit-button.tsx'
import { useMay } from '../session/session.ts'
import { healthState } from '../states.ts'
import { type Attention, attention, REMEDY_NEEDS, type Remedy } from './attention.ts'

export function AttentionList({ status }: { status: Status }) {
  const t = useTexts()
  const list = attention(status)
  if (list.length === 0) return null
  return (
    <Section title={t.overview.attention}>
      <ul className={classes.rows}>
        {list.map((each) => (
          <Group key={each.key} component="li" justify="space-between" gap="sm" wrap="wrap">
            <Stack gap={2} style={{ flex: '1 1 18rem' }}>
              <Mark state={stateOf(each, t)} />
              <Words of={each} />
            </Stack>
            <RemedyButton remedy={each.remedy} />
          </Group>
        ))}
      </ul>
    </Section>
  )
}

type T = ReturnType<typeof useTexts>

function stateOf(each: Attention, t: T) {
  if (each.state === 'no_worker') return { tone: 'bad', icon: 'cross', words: t.overview.noWorker } as const
  if (each.state === 'queue_paused') return { tone: 'warn', icon: 'clock', words: t.queue.paused } as const
  const state = healthState(each.state, t)
  const subject = each.app ?? each.repository
  return subject ? { ...state, words: `${subject}: ${state.words}` } : state
}

function Words({ of: each }: { of: Attention }) {
  const t = useTexts()
  const { sentence, original } = wordsOf(each, t)
  return (
    <>
      <Text size="sm">
        <Prose text={sentence} name={each.app} />
      </Text>
      {original && (
        <Text size="xs" c="dimmed" lang="en">
          <Prose text={original} name={each.app} />
        </Text>
      )}
    </>
  )
}

function wordsOf(each: Attention, t: T): { sentence: string; original?: string } {
  if (each.state === 'no_worker') return { sentence: t.overview.noWorkerHint }
  if (each.state === 'queue_paused') return { sentence: t.queue.pausedHint }
  const { repository, days } = each
  if (repository && each.state === 'storage_filling' && days !== undefined)
    return { sentence: t.overview.filling(repository, days) }
  if (repository && each.state === 'no_recovery_kit') return { sentence: t.overview.noKit(repository) }
  return findingWords(each, t)
}

function ShowBackups({ app, state }: { app: string; state?: string }) {
  const t = useTexts()
  return (
    <LinkButton to={paths.backups} search={{ app, state }} variant="default" size="xs">
      {t.overview.showBackups}
    </LinkButton>
  )
}

function RemedyButton({ remedy }: { remedy: Remedy }) {
  const t = useTexts()
  const may = useMay()
  const resume = useAction(() => call(api.POST('/api/v1/queue/resume')), ['queue', 'status'])
  const needs = REMEDY_NEEDS[remedy.act]
  if (needs && !may(needs)) return null
  switch (remedy.act) {
    case 'back-up':
      return <CreateBackupButton app={remedy.app} variant="default" size="xs" />
    case 'drill':
      return <DrillButton app={remedy.app} variant="default" size="xs" />
    case 'show-job':
      return (
        <LinkButton to={paths.job} params={{ id: remedy.job }} variant="default" size="xs">
          {t.overview.showWhy}
        </LinkButton>
      )
    case 'accept-loss':
      return (
        <Group gap="xs">
          <ShowBackups app={remedy.app} />
          {may('operate') && <AcceptButton app={remedy.app} />}
        </Group>
      )
    case 'show-backups':
      return <ShowBackups app={remedy.app} state={remedy.state} />
    case 'show-targets':
      return (
        <LinkButton to={paths.settings} variant="default" size="xs">
          {t.overview.showTargets}
        </LinkButton>
      )
    case 'make-policy':
      return (
        <LinkButton to={paths.newPolicy} search={{ app: remedy.app }} variant="default" size="xs">
          {t.overview.newPolicy}
        </LinkButton>
      )
    case 'show-repository':
    case 'make-room':
      return (
        <LinkButton to={paths.repository} params={{ name: remedy.repository }} variant="default" size="xs">
          {remedy.act === 'make-room' ? t.overview.makeRoom : t.overview.showRepository}
        </LinkButton>
      )
    case 'keep-kit':
      return <KitButton name={remedy.repository} />
    case 'resume-queue':
      return (
        <Stack gap="xs">
          <Button
            variant="default"
            size="xs"
            loading={resume.isPending}
            onClick={() => resume.mutate(undefined)}
          >
            {t.queue.resume}
          </Button>
          <ProblemPanel error={resume.error} />
        </Stack>
      )
    case 'none':
      return null
  }
}
