import { Button, Group, Stack, Stepper } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { useRef, useState } from 'react'
import { queries } from '../../api/queries.ts'
import type { BackupDetail } from '../../api/types.ts'
import { shortId } from '../../format/amounts.ts'
import { dateTime } from '../../format/time.ts'
import { paths } from '../../paths.ts'
import { useLocale, useTexts } from '../../texts/index.ts'
import { Empty } from '../../ui/bits.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Page } from '../../ui/page.tsx'
import { manifestFacts } from '../backups/manifest-facts.ts'
import { useMay } from '../session/session.ts'
import { Check } from './check.tsx'
import { besideFolder, type Choice, firstChoice, lacking, type Tree } from './choice.ts'
import { Confirmation } from './confirmation.tsx'
import { Protect } from './protect.tsx'
import { Run } from './run.tsx'
import { What } from './what.tsx'
import { Where } from './where.tsx'

const route = getRouteApi('/inside/backups/$id/restore')

export function RestorePage() {
  const t = useTexts()
  const locale = useLocale()
  const may = useMay()
  const { id } = route.useParams()
  const { repository, job } = route.useSearch()
  const query = useQuery(queries.backup(id, repository))
  const title = query.data
    ? t.restore.title(query.data.app, dateTime(query.data.time, locale))
    : t.restore.titleOf(shortId(id))
  return (
    <Page title={title} up={{ label: t.restore.bringBack, to: paths.bringBack }}>
      {job ? (
        <Run job={job} />
      ) : may('restore') ? (
        <Loaded query={query}>
          {(backup) =>
            backup.files.length > 0 ? <WithTrees backup={backup} /> : <Wizard backup={backup} trees={[]} />
          }
        </Loaded>
      ) : (
        <Empty title={t.restore.notAllowed} />
      )}
    </Page>
  )
}

/** Only the manifest knows where folders were read from and how large they are. */
function WithTrees({ backup }: { backup: BackupDetail }) {
  const query = useQuery(queries.backupManifest(backup.id, backup.repository))
  return (
    <Loaded query={query}>
      {(manifest) => <Wizard backup={backup} trees={manifestFacts(manifest).files} />}
    </Loaded>
  )
}

/** What, where, check, protect, confirm. Nothing is touched before the last. */
function Wizard({ backup, trees }: { backup: BackupDetail; trees: Tree[] }) {
  const t = useTexts()
  const { table } = route.useSearch()
  const [choice, setChoice] = useState<Choice>(() => {
    const now = new Date()
    return { ...firstChoice(backup, table, now), folder: besideFolder(trees, backup.files, now) }
  })
  const [step, setStep] = useState(0)
  const heading = useRef<HTMLDivElement>(null)
  const change = (part: Partial<Choice>) => setChoice((before) => ({ ...before, ...part }))
  const lacks = lacking(choice)
  const blocked =
    (step === 0 && lacks !== undefined && lacks !== 'beside' && lacks !== 'folder') ||
    (step === 1 && lacks !== undefined)
  const go = (to: number) => {
    setStep(to)
    heading.current?.focus()
  }
  const steps = [
    { label: t.restore.what, view: <What backup={backup} trees={trees} choice={choice} change={change} /> },
    { label: t.restore.where, view: <Where trees={trees} choice={choice} change={change} /> },
    { label: t.restore.check, view: <Check backup={backup} choice={choice} /> },
    { label: t.restore.protect, view: <Protect backup={backup} choice={choice} change={change} /> },
    {
      label: t.restore.confirm,
      view: <Confirmation backup={backup} trees={trees} choice={choice} change={change} />,
    },
  ]
  return (
    <Stack gap="lg">
      <Stepper active={step} onStepClick={(to) => to < step && go(to)} size="sm" iconSize={32} wrap>
        {steps.map((each, index) => (
          <Stepper.Step
            key={each.label}
            label={each.label}
            allowStepSelect={index < step}
            aria-current={index === step ? 'step' : undefined}
          />
        ))}
      </Stepper>
      <div
        ref={heading}
        role="group"
        tabIndex={-1}
        aria-label={steps[step]?.label}
        style={{ outline: 'none', scrollMarginTop: '5rem' }}
      >
        {steps[step]?.view}
      </div>
      <Group justify="space-between">
        <Button variant="default" disabled={step === 0} onClick={() => go(step - 1)}>
          {t.common.back}
        </Button>
        {step < steps.length - 1 && (
          <Button disabled={blocked} onClick={() => go(step + 1)}>
            {t.restore.next(steps[step + 1]?.label ?? '')}
          </Button>
        )}
      </Group>
    </Stack>
  )
}
