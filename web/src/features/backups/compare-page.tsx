import { List, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { queries } from '../../api/queries.ts'
import { commands } from '../../commands.ts'
import { count } from '../../format/amounts.ts'
import { paths } from '../../paths.ts'
import { useLocale, useTexts } from '../../texts/index.ts'
import { Command, Empty, Section } from '../../ui/bits.tsx'
import { DataTable } from '../../ui/data-table.tsx'
import { TextLink } from '../../ui/links.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Mark } from '../../ui/mark.tsx'
import { Page } from '../../ui/page.tsx'
import { sentence } from '../../ui/prose.tsx'
import { type Comparison, type DatabaseComparison, readComparison } from './comparison.ts'
import { changeOf } from './schema-diff.ts'
import { changeState, SchemaDiff } from './schema-diff.tsx'

const route = getRouteApi('/inside/backups/compare')

export function ComparePage() {
  const t = useTexts()
  const { from, to } = route.useSearch()
  const query = useQuery({ ...queries.compare(from ?? '', to ?? ''), enabled: Boolean(from && to) })
  return (
    <Page title={t.compare.title} about={t.compare.about} up={{ label: t.backups.title, to: paths.backups }}>
      {from && to ? (
        <>
          <Loaded query={query}>
            {(data) => <Result comparison={readComparison(data)} from={from} to={to} />}
          </Loaded>
          <SchemaDiff from={from} to={to} />
          <Stack gap="xs">
            <Command line={commands.diff(from, to)} />
            <Command line={commands.schemaDiff(from, to)} />
          </Stack>
        </>
      ) : (
        <Empty title={t.compare.chooseTwo} hint={t.compare.chooseHint} />
      )}
    </Page>
  )
}

function Result({ comparison, from, to }: { comparison: Comparison; from: string; to: string }) {
  const t = useTexts()
  return (
    <Stack gap="lg">
      <Text size="sm">
        <TextLink to={paths.backup} params={{ id: from }} size="sm">
          {sentence(comparison.from)}
        </TextLink>
        {' → '}
        <TextLink to={paths.backup} params={{ id: to }} size="sm">
          {sentence(comparison.to)}
        </TextLink>
      </Text>
      {comparison.same ? (
        <Mark state={{ tone: 'good', icon: 'check', words: t.compare.same }} />
      ) : (
        comparison.databases.map((database) => <Database key={database.name} database={database} />)
      )}
      {comparison.notCompared.length > 0 && (
        <Text size="sm" c="dimmed">
          {t.compare.notCompared}: {comparison.notCompared.join(', ')}
        </Text>
      )}
    </Stack>
  )
}

function Database({ database }: { database: DatabaseComparison }) {
  const t = useTexts()
  const locale = useLocale()
  return (
    <Section title={t.backups.database(database.name)}>
      {database.tables.length === 0 ? (
        <Text size="sm">{t.compare.noTableDiffers}</Text>
      ) : (
        <DataTable
          label={t.backups.tables}
          rows={database.tables}
          rowKey={(row) => row.name}
          columns={[
            { key: 'name', title: t.backups.table, cell: (row) => row.name },
            {
              key: 'change',
              title: t.compare.change,
              cell: (row) => <Mark state={changeState(changeOf(row.change), t)} pill />,
            },
            {
              key: 'from',
              title: t.compare.rowsBefore,
              number: true,
              cell: (row) => count(row.rowsFrom, locale),
            },
            { key: 'to', title: t.compare.rowsAfter, number: true, cell: (row) => count(row.rowsTo, locale) },
          ]}
        />
      )}
      {database.definitions.length > 0 && (
        <DataTable
          label={t.compare.definitions}
          rows={database.definitions}
          rowKey={(row) => `${row.kind} ${row.name}`}
          columns={[
            { key: 'kind', title: t.compare.kind, cell: (row) => row.kind },
            { key: 'name', title: t.compare.name, cell: (row) => row.name },
            {
              key: 'change',
              title: t.compare.change,
              cell: (row) => <Mark state={changeState(changeOf(row.change), t)} pill />,
            },
            {
              key: 'from',
              title: t.compare.before,
              cell: (row) => (
                <Text ff="monospace" size="xs" style={{ whiteSpace: 'pre-wrap' }}>
                  {row.from ?? '–'}
                </Text>
              ),
            },
            {
              key: 'to',
              title: t.compare.after,
              cell: (row) => (
                <Text ff="monospace" size="xs" style={{ whiteSpace: 'pre-wrap' }}>
                  {row.to ?? '–'}
                </Text>
              ),
            },
          ]}
        />
      )}
      {database.extensions.length > 0 && (
        <List size="sm">
          {database.extensions.map((each) => (
            <List.Item key={each}>{each}</List.Item>
          ))}
        </List>
      )}
    </Section>
  )
}
