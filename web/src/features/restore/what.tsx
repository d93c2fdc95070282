import { Checkbox, Group, MultiSelect, Radio, Select, Stack, TagsInput, Text } from '@mantine/core'
import { useDebouncedValue } from '@mantine/hooks'
import { useInfiniteQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { queries } from '../../api/queries.ts'
import type { BackupDetail } from '../../api/types.ts'
import { bytes, count } from '../../format/amounts.ts'
import { useLocale, useTexts } from '../../texts/index.ts'
import { Facts, Moment, Section } from '../../ui/bits.tsx'
import { Callout, Mark } from '../../ui/mark.tsx'
import { Lost } from '../backups/lost.tsx'
import { backupKind, backupState } from '../states.ts'
import { type Choice, type Tree, takesDatabase } from './choice.ts'

interface Props {
  backup: BackupDetail
  trees: Tree[]
  choice: Choice
  change: (part: Partial<Choice>) => void
}

export function What({ backup, trees, choice, change }: Props) {
  const t = useTexts()
  const locale = useLocale()
  const bad = backup.state === 'damaged' || backup.state === 'drill_failed'
  const both = backup.files.length > 0 && backup.databases.length > 0
  return (
    <Section title={t.restore.what}>
      <Group gap="sm">
        <Mark state={backupState(backup, t)} pill />
        <Text size="sm">
          <Moment at={backup.time} absolute /> (<Moment at={backup.time} />)
        </Text>
      </Group>
      {bad && (
        <Callout tone="bad">
          <Text size="sm">{t.restore.badBackup}</Text>
        </Callout>
      )}
      {backup.shrunk && (
        <Callout tone="warn">
          <Text size="sm">{t.doubt.beforeRestore}</Text>
          <Lost backup={backup} />
        </Callout>
      )}
      <Facts
        facts={[
          [t.backups.kind, backupKind(backup.kind, t)],
          ...(backup.databases.length > 0
            ? [[t.backups.rows, count(backup.rows, locale)] as [string, string]]
            : []),
          [t.backups.size, bytes(backup.bytes)],
        ]}
      />
      {both && (
        <Radio.Group
          label={t.restore.whatOfIt}
          value={choice.files}
          onChange={(value) => change({ files: value as Choice['files'] })}
        >
          <Stack gap="xs" mt="xs">
            <Radio value="none" label={t.restore.databaseAlone} />
            <Radio value="with" label={t.restore.withFiles} description={t.restore.withFilesHint} />
            <Radio value="only" label={t.restore.filesAlone} />
          </Stack>
        </Radio.Group>
      )}
      {takesDatabase(choice) && <OfDatabase backup={backup} choice={choice} change={change} />}
      {choice.files !== 'none' && <OfFiles trees={trees} choice={choice} change={change} />}
    </Section>
  )
}

function OfDatabase({ backup, choice, change }: Omit<Props, 'trees'>) {
  const t = useTexts()
  return (
    <>
      {backup.contents.length > 1 && (
        <Select
          label={t.common.database}
          data={backup.contents.map((database) => database.name)}
          value={choice.database}
          onChange={(database) => database && change({ database, tables: [] })}
          allowDeselect={false}
        />
      )}
      <Radio.Group
        label={t.restore.howMuch}
        value={choice.parts}
        onChange={(value) => {
          const parts = value as Choice['parts']
          // Only a whole database is swapped for another.
          const mode = parts !== 'all' && choice.mode === 'replace' ? 'into' : choice.mode
          change({ parts, mode })
        }}
      >
        <Stack gap="xs" mt="xs">
          <Radio value="all" label={t.restore.everything} />
          <Radio value="tables" label={t.restore.someTables} />
          <Radio value="schemas" label={t.restore.someSchemas} />
        </Stack>
      </Radio.Group>
      {choice.parts === 'tables' && <ChooseTables backup={backup} choice={choice} change={change} />}
      {choice.parts === 'schemas' && (
        <TagsInput
          label={t.restore.schemas}
          description={t.restore.schemasHint}
          value={choice.schemas}
          onChange={(schemas) => change({ schemas })}
        />
      )}
    </>
  )
}

function OfFiles({ trees, choice, change }: Omit<Props, 'backup'>) {
  const t = useTexts()
  const locale = useLocale()
  return (
    <>
      <Checkbox.Group
        label={t.restore.folders}
        value={choice.trees}
        onChange={(chosen) => change({ trees: chosen })}
        error={choice.trees.length === 0 ? t.restore.noFolder : undefined}
      >
        <Stack gap="xs" mt="xs">
          {trees.map((tree) => (
            <Checkbox
              key={tree.name}
              value={tree.name}
              label={tree.name}
              description={t.restore.folderHolds(count(tree.files, locale), bytes(tree.bytes), tree.source)}
            />
          ))}
        </Stack>
      </Checkbox.Group>
      <TagsInput
        label={t.restore.onlyFiles}
        description={t.restore.onlyFilesHint}
        placeholder={choice.globs.length === 0 ? 'invoices/2026-*.pdf' : undefined}
        value={choice.globs}
        onChange={(globs) => change({ globs })}
        splitChars={['\n']}
        acceptValueOnBlur
      />
    </>
  )
}

function ChooseTables({ backup, choice, change }: Omit<Props, 'trees'>) {
  const t = useTexts()
  const [search, setSearch] = useState('')
  const [wanted] = useDebouncedValue(search, 250)
  const query = useInfiniteQuery(queries.backupTables(backup.id, backup.repository, wanted))
  const found = (query.data?.pages ?? [])
    .flatMap((page) => page.items)
    .filter((table) => table.database === choice.database)
    .map((table) => `${table.schema}.${table.name}`)
  const data = [...new Set([...choice.tables, ...found])]
  return (
    <MultiSelect
      label={t.backups.tables}
      description={t.restore.tablesHint}
      data={data}
      value={choice.tables}
      onChange={(tables) => change({ tables })}
      searchable
      searchValue={search}
      onSearchChange={setSearch}
      nothingFoundMessage={t.restore.noTable}
      hidePickedOptions
      maxDropdownHeight={280}
    />
  )
}
