import { Button, FileInput, Group, Progress, Select, Stack, Text, TextInput } from '@mantine/core'
import { IconUpload } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { type DragEvent, useRef, useState } from 'react'
import { queries } from '../../api/queries.ts'
import { bytes, share } from '../../format/amounts.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Section } from '../../ui/bits.tsx'
import { LinkButton } from '../../ui/links.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Callout, Mark } from '../../ui/mark.tsx'
import { Page } from '../../ui/page.tsx'
import { ProblemPanel } from '../../ui/problem-panel.tsx'
import { JobError } from '../jobs/job-page.tsx'
import { backupOf } from '../jobs/reports.ts'
import { jobState } from '../states.ts'
import { looksLikeDump, upload } from './upload.ts'

/** Takes in a dump from elsewhere; it becomes a backup like any other, which the wizard restores. */
export function UploadPage() {
  const t = useTexts()
  const apps = useQuery(queries.apps())
  const [file, setFile] = useState<File | null>(null)
  const [chosen, choose] = useState<string | null>(null)
  const [description, setDescription] = useState('')
  const [sent, setSent] = useState(0)
  const stop = useRef<AbortController>(null)
  const app = chosen ?? apps.data?.[0]?.name ?? ''
  const send = useAction(
    (what: File) => {
      stop.current = new AbortController()
      setSent(0)
      return upload(what, { app, description: description.trim() }, setSent, stop.current.signal)
    },
    ['job', 'backup'],
  )
  const fits = file === null || looksLikeDump(file.name)
  const drop = (event: DragEvent) => {
    event.preventDefault()
    setFile(event.dataTransfer.files[0] ?? null)
  }
  return (
    <Page title={t.upload.title} about={t.upload.about} up={{ label: t.backups.title, to: paths.backups }}>
      {send.data ? (
        <TakenIn job={send.data} />
      ) : (
        <Section title={t.upload.file}>
          <form
            onSubmit={(event) => {
              event.preventDefault()
              if (file && fits) send.mutate(file)
            }}
          >
            <Stack onDragOver={(event) => event.preventDefault()} onDrop={drop}>
              <FileInput
                label={t.upload.choose}
                description={t.upload.drop}
                placeholder={t.upload.noFile}
                value={file}
                onChange={setFile}
                leftSection={<IconUpload size={16} aria-hidden />}
                error={fits ? undefined : t.upload.wrongType}
                clearable
                clearButtonProps={{ 'aria-label': t.common.clear }}
                required
              />
              {file && <Text size="sm">{bytes(file.size)}</Text>}
              <Select
                label={t.upload.forApp}
                data={(apps.data ?? []).map((each) => each.name)}
                value={app}
                onChange={choose}
                allowDeselect={false}
              />
              <TextInput
                label={t.backups.description}
                value={description}
                onChange={(event) => setDescription(event.currentTarget.value)}
              />
              {send.isPending && file && (
                <Stack gap={4}>
                  <Progress value={(sent / Math.max(1, file.size)) * 100} aria-label={t.upload.sending} />
                  <Text size="sm">
                    {t.upload.sent(bytes(sent), bytes(file.size), share(sent, file.size))}
                  </Text>
                </Stack>
              )}
              <ProblemPanel error={send.error} />
              <Group justify="flex-end">
                {send.isPending && (
                  <Button variant="default" onClick={() => stop.current?.abort()}>
                    {t.common.cancel}
                  </Button>
                )}
                <Button type="submit" disabled={!file || !fits || app === ''} loading={send.isPending}>
                  {t.upload.send}
                </Button>
              </Group>
            </Stack>
          </form>
        </Section>
      )}
    </Page>
  )
}

function TakenIn({ job: id }: { job: string }) {
  const t = useTexts()
  const query = useQuery(queries.job(id))
  return (
    <Loaded query={query}>
      {(job) => {
        const backup = backupOf(job)
        return (
          <Section title={t.upload.reading}>
            <div role="status">
              <Mark state={jobState(job, t)} pill />
            </div>
            <JobError job={job} />
            {job.state === 'succeeded' && (
              <Callout tone="good">
                <Text size="sm">{t.upload.done}</Text>
              </Callout>
            )}
            <Group>
              {backup && (
                <LinkButton to={paths.restore} params={{ id: backup }}>
                  {t.restore.restoreThis}
                </LinkButton>
              )}
              <LinkButton to={paths.job} params={{ id: job.id }} variant="default">
                {t.restore.showJob}
              </LinkButton>
            </Group>
          </Section>
        )
      }}
    </Loaded>
  )
}
