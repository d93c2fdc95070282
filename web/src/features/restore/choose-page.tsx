import { Group, Select, Stack, Text } from '@mantine/core'
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { queries } from '../../api/queries.ts'
import { bytes, count, shortId } from '../../format/amounts.ts'
import { paths } from '../../paths.ts'
import { useLocale, useTexts } from '../../texts/index.ts'
import { Empty, Moment, More } from '../../ui/bits.tsx'
import { DataTable } from '../../ui/data-table.tsx'
import { LinkButton } from '../../ui/links.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Mark } from '../../ui/mark.tsx'
import { Page } from '../../ui/page.tsx'
import { useMay } from '../session/session.ts'
import { backupState } from '../states.ts'

/** Which moment to go back to. */
export function ChoosePage() {
  const t = useTexts()
  const locale = useLocale()
  const may = useMay()
  const apps = useQuery(queries.apps())
  const [chosen, choose] = useState<string | null>(null)
  const app = chosen ?? apps.data?.[0]?.name
  const query = useInfiniteQuery({ ...queries.backups({ app }), enabled: apps.data !== undefined })
  const rows = (query.data?.pages ?? []).flatMap((page) => (typeof page === 'string' ? [] : page.items))
  return (
    <Page
      title={t.restore.bringBack}
      about={t.restore.bringBackAbout}
      actions={
        may('upload') && (
          <LinkButton to={paths.upload} variant="default">
            {t.upload.title}
          </LinkButton>
        )
      }
    >
      {(apps.data ?? []).length > 1 && (
        <Group>
          <Select
            label={t.common.app}
            data={(apps.data ?? []).map((each) => each.name)}
            value={app ?? null}
            onChange={choose}
            allowDeselect={false}
          />
        </Group>
      )}
      <Loaded query={query}>
        {() =>
          rows.length === 0 ? (
            <Empty title={t.backups.none} hint={t.backups.noneHint} />
          ) : (
            <Stack>
              <DataTable
                label={t.restore.bringBack}
                rows={rows}
                rowKey={(row) => `${row.repository} ${row.id}`}
                columns={[
                  {
                    key: 'time',
                    title: t.backups.taken,
                    cell: (row) => (
                      <Stack gap={0}>
                        <Moment at={row.time} absolute />
                        <Text size="xs" c="dimmed">
                          <Moment at={row.time} />
                        </Text>
                      </Stack>
                    ),
                  },
                  {
                    key: 'state',
                    title: t.common.state,
                    cell: (row) => <Mark state={backupState(row, t)} pill />,
                  },
                  {
                    key: 'rows',
                    title: t.backups.rows,
                    number: true,
                    cell: (row) => count(row.rows, locale),
                  },
                  { key: 'size', title: t.backups.size, number: true, cell: (row) => bytes(row.bytes) },
                  {
                    key: 'why',
                    title: t.backups.description,
                    cell: (row) => row.description || row.policy || '–',
                  },
                  {
                    key: 'restore',
                    title: t.common.actions,
                    cell: (row) => (
                      <LinkButton
                        to={paths.restore}
                        params={{ id: row.id }}
                        search={{ repository: row.repository }}
                        size="compact-sm"
                        variant="default"
                        aria-label={t.restore.restoreOne(shortId(row.id))}
                      >
                        {t.restore.choose}
                      </LinkButton>
                    ),
                  },
                ]}
              />
            </Stack>
          )
        }
      </Loaded>
      <More query={query} />
    </Page>
  )
}
