import { Badge, Group, Stack, Tabs, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { queries } from '../../api/queries.ts'
import type { BackupDetail } from '../../api/types.ts'
import { commands } from '../../commands.ts'
import { bytes, count, share, shortId } from '../../format/amounts.ts'
import { dateTime, duration } from '../../format/time.ts'
import { paths } from '../../paths.ts'
import { useLocale, useTexts } from '../../texts/index.ts'
import { Command, Facts, Moment, Section } from '../../ui/bits.tsx'
import { LinkButton, TextLink } from '../../ui/links.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Callout, Mark } from '../../ui/mark.tsx'
import { Page } from '../../ui/page.tsx'
import { JobLog } from '../jobs/job-log.tsx'
import { useMay } from '../session/session.ts'
import { backupKind, backupState } from '../states.ts'
import { Application } from './application.tsx'
import { Actions } from './backup-actions.tsx'
import { DoubtNote } from './doubt-note.tsx'
import { Manifest } from './manifest.tsx'
import { Tables } from './tables.tsx'

const route = getRouteApi('/inside/backups/$id')

export function BackupPage() {
  const t = useTexts()
  const { id } = route.useParams()
  const { repository } = route.useSearch()
  const query = useQuery(queries.backup(id, repository))
  const may = useMay()
  const locale = useLocale()
  const backup = query.data
  const title = backup
    ? t.backups.oneTitle(backup.app, dateTime(backup.time, locale))
    : t.backups.unknownTitle(shortId(id))
  return (
    <Page
      title={title}
      up={{ label: t.backups.title, to: paths.backups }}
      actions={
        backup && (
          <>
            {may('restore') && (
              <LinkButton
                to={paths.restore}
                params={{ id: backup.id }}
                search={{ repository: backup.repository }}
              >
                {t.restore.restoreThis}
              </LinkButton>
            )}
            <Actions backup={backup} />
          </>
        )
      }
    >
      <Loaded query={query}>{(data) => <Detail backup={data} />}</Loaded>
    </Page>
  )
}

function Detail({ backup }: { backup: BackupDetail }) {
  const t = useTexts()
  const locale = useLocale()
  const tables = backup.databases.length > 0
  return (
    <Stack gap="lg">
      <Group gap="sm">
        <Mark state={backupState(backup, t)} pill />
        {backup.pinned && <Mark pill state={{ tone: 'note', icon: 'info', words: t.backups.pinned }} />}
        {backup.tags.map((tag) => (
          <Badge key={tag} variant="default">
            {tag}
          </Badge>
        ))}
      </Group>
      {backup.description && <Text>{backup.description}</Text>}
      {backup.shrunk && <DoubtNote backup={backup} />}
      {backup.partial && (
        <Callout tone="warn">
          <Text size="sm">{t.backups.partial}</Text>
        </Callout>
      )}
      <Section title={t.backups.trust}>
        <Facts
          facts={[
            [t.backupStates.stored, <Moment key="stored" at={backup.finishedAt} />],
            [
              t.backupStates.checked,
              backup.checkedAt ? <Moment at={backup.checkedAt} /> : t.backups.notChecked,
            ],
            [
              t.backupStates.proven,
              backup.provenAt ? (
                <>
                  <Moment at={backup.provenAt} />
                  {backup.provenSeconds != null &&
                    `, ${t.backups.recoveryTook(duration(backup.provenSeconds))}`}
                </>
              ) : (
                t.backups.notProven
              ),
            ],
            ...(backup.damagedAt
              ? [
                  [t.backupStates.damaged, <Moment key="damaged" at={backup.damagedAt} />] as [
                    string,
                    React.ReactNode,
                  ],
                ]
              : []),
            ...(backup.drillFailedAt
              ? [
                  [t.backupStates.drill_failed, <Moment key="failed" at={backup.drillFailedAt} />] as [
                    string,
                    React.ReactNode,
                  ],
                ]
              : []),
          ]}
        />
      </Section>
      <Section title={t.backups.contents}>
        <Facts
          facts={[
            [t.backups.kind, backupKind(backup.kind, t)],
            [
              t.backups.size,
              `${bytes(backup.bytes)}${
                backup.bytesAdded == null
                  ? ''
                  : `, ${t.backups.addedShare(bytes(backup.bytesAdded), share(backup.bytesAdded, backup.bytes ?? 0))}`
              }`,
            ],
            [t.backups.rows, count(backup.rows, locale)],
            [t.backups.took, duration(backup.seconds)],
            [t.backups.copies, backup.copies.join(', ')],
            [
              t.common.policy,
              backup.policy ? (
                <TextLink to={paths.policy} params={{ name: backup.policy }} size="sm">
                  {backup.policy}
                </TextLink>
              ) : (
                t.backups.noPolicy
              ),
            ],
            [t.backups.takenOn, `${backup.hostname}, ${backup.username}`],
            [t.backups.globals, backup.globals ? t.common.yes : t.common.no],
            [t.backups.versions, t.backups.versionsOf(backup.pgkeepVersion, backup.compressionLevel)],
            [
              t.backups.evidence,
              <Text key="digest" ff="monospace" size="xs">
                {backup.evidenceDigest}
              </Text>,
            ],
            [
              'ID',
              <Text key="id" ff="monospace" size="xs">
                {backup.id}
              </Text>,
            ],
          ]}
        />
        {backup.contents.map((database) => (
          <div key={database.name}>
            <Text fw={600}>{t.backups.database(database.name)}</Text>
            <Text size="sm" c="dimmed">
              {t.backups.databaseFacts(
                database.serverVersion,
                count(database.tables, locale),
                count(database.rows, locale),
                bytes(database.bytes),
                database.encoding,
              )}
            </Text>
            {database.extensions.length > 0 && (
              <Text size="sm">
                {t.backups.extensions}:{' '}
                {database.extensions.map((extension) => `${extension.name} ${extension.version}`).join(', ')}
              </Text>
            )}
            {database.excludedData.length > 0 && (
              <Text size="sm">
                {t.backups.excluded}: {database.excludedData.join(', ')}
              </Text>
            )}
            {database.warnings.map((warning) => (
              <Callout key={warning} tone="warn">
                <Text size="sm">{warning}</Text>
              </Callout>
            ))}
          </div>
        ))}
        <Command line={commands.show(backup.id)} />
      </Section>
      <Application backup={backup} />
      <Tabs defaultValue={tables ? 'tables' : backup.job ? 'log' : 'manifest'} keepMounted={false}>
        <Tabs.List>
          {tables && <Tabs.Tab value="tables">{t.backups.tables}</Tabs.Tab>}
          {backup.job && <Tabs.Tab value="log">{t.jobs.log}</Tabs.Tab>}
          <Tabs.Tab value="manifest">{t.backups.manifest}</Tabs.Tab>
        </Tabs.List>
        {tables && (
          <Tabs.Panel value="tables" pt="md">
            <Tables backup={backup} />
          </Tabs.Panel>
        )}
        {backup.job && (
          <Tabs.Panel value="log" pt="md">
            <JobLog id={backup.job} over />
          </Tabs.Panel>
        )}
        <Tabs.Panel value="manifest" pt="md">
          <Manifest backup={backup} />
        </Tabs.Panel>
      </Tabs>
    </Stack>
  )
}
