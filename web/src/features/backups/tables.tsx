import { Group, Stack, Text, TextInput } from '@mantine/core'
import { useDebouncedValue } from '@mantine/hooks'
import { useInfiniteQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { queries } from '../../api/queries.ts'
import type { BackupDetail } from '../../api/types.ts'
import { bytes, count } from '../../format/amounts.ts'
import { paths } from '../../paths.ts'
import { useLocale, useTexts } from '../../texts/index.ts'
import { Empty, More } from '../../ui/bits.tsx'
import { DataTable } from '../../ui/data-table.tsx'
import { TextLink } from '../../ui/links.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { useMay } from '../session/session.ts'

/** The tables of a backup, with what proves them. */
export function Tables({ backup }: { backup: BackupDetail }) {
  const t = useTexts()
  const locale = useLocale()
  const may = useMay()
  const [text, setText] = useState('')
  const [wanted] = useDebouncedValue(text, 300)
  const query = useInfiniteQuery(queries.backupTables(backup.id, backup.repository, wanted))
  const rows = (query.data?.pages ?? []).flatMap((page) => page.items)
  const several = backup.contents.length > 1
  return (
    <Stack gap="sm">
      <TextInput
        label={t.backups.findTable}
        type="search"
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
        maw={320}
      />
      <Loaded query={query}>
        {() =>
          rows.length === 0 ? (
            <Empty title={t.backups.noTable} />
          ) : (
            <DataTable
              label={t.backups.tables}
              rows={rows}
              rowKey={(row) => `${row.database} ${row.schema} ${row.name}`}
              columns={[
                ...(several
                  ? [
                      {
                        key: 'database',
                        title: t.common.database,
                        cell: (row: (typeof rows)[0]) => row.database,
                      },
                    ]
                  : []),
                { key: 'name', title: t.backups.table, cell: (row) => `${row.schema}.${row.name}` },
                { key: 'rows', title: t.backups.rows, number: true, cell: (row) => count(row.rows, locale) },
                { key: 'bytes', title: t.backups.size, number: true, cell: (row) => bytes(row.bytes) },
                {
                  key: 'hash',
                  title: t.backups.hash,
                  cell: (row) => (
                    <Text ff="monospace" size="xs">
                      {row.hash}
                    </Text>
                  ),
                },
                ...(may('restore')
                  ? [
                      {
                        key: 'restore',
                        title: t.common.actions,
                        cell: (row: (typeof rows)[0]) => (
                          <Group gap="xs">
                            <TextLink
                              to={paths.restore}
                              params={{ id: backup.id }}
                              search={{ repository: backup.repository, table: `${row.schema}.${row.name}` }}
                              size="sm"
                              aria-label={t.restore.bringBackOne(`${row.schema}.${row.name}`)}
                            >
                              {t.restore.bringBackTable}
                            </TextLink>
                          </Group>
                        ),
                      },
                    ]
                  : []),
              ]}
            />
          )
        }
      </Loaded>
      <More query={query} />
    </Stack>
  )
}
