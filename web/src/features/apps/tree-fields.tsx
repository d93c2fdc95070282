import { Checkbox, SimpleGrid, Stack, Text, Textarea, TextInput } from '@mantine/core'
import { useTexts } from '../../texts/index.ts'
import { changed, Entries, without } from '../../ui/entries.tsx'
import { newTree, type TreeDraft, treeName } from './draft.ts'
import type { Part } from './fields.ts'

/** Folders that are backed up together with the databases. */
export function TreeFields({ draft, change, wrong }: Part) {
  const t = useTexts().apps.parts.files
  const { trees } = draft
  return (
    <Stack>
      <Text size="sm">{t.about}</Text>
      <Entries
        entries={trees}
        none={t.none}
        addLabel={t.add}
        add={() => change({ trees: [...trees, newTree()] })}
        removeLabel={(tree) => t.remove(treeName(tree))}
        remove={(at) => change({ trees: without(trees, at) })}
      >
        {(tree, at) => (
          <Tree
            tree={tree}
            change={(part) => change({ trees: changed(trees, at, part) })}
            wrong={(field) => wrong(`trees.${at}.${field}`)}
          />
        )}
      </Entries>
    </Stack>
  )
}

function Tree({
  tree,
  change,
  wrong,
}: {
  tree: TreeDraft
  change: (part: Partial<TreeDraft>) => void
  wrong: Part['wrong']
}) {
  const t = useTexts().apps.parts.files
  return (
    <Stack gap="sm">
      <SimpleGrid cols={{ base: 1, sm: 2 }}>
        <TextInput
          label={t.path}
          description={t.pathHint}
          placeholder="/srv/shop/media"
          value={tree.path}
          onChange={(event) => change({ path: event.currentTarget.value })}
          error={wrong('path')}
          spellCheck={false}
        />
        <TextInput
          label={t.called}
          description={t.calledHint}
          placeholder={treeName(tree) || 'media'}
          value={tree.name}
          onChange={(event) => change({ name: event.currentTarget.value })}
          error={wrong('name')}
          spellCheck={false}
        />
      </SimpleGrid>
      <Textarea
        label={t.exclude}
        description={t.excludeHint}
        placeholder={'cache/\n*.tmp'}
        autosize
        minRows={1}
        value={tree.exclude}
        onChange={(event) => change({ exclude: event.currentTarget.value })}
        spellCheck={false}
      />
      <Checkbox
        label={t.oneFileSystem}
        checked={tree.oneFileSystem}
        onChange={(event) => change({ oneFileSystem: event.currentTarget.checked })}
      />
      <Textarea
        label={t.sql}
        description={t.sqlHint}
        placeholder="SELECT file FROM documents"
        autosize
        minRows={1}
        styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }}
        value={tree.sql}
        onChange={(event) => change({ sql: event.currentTarget.value })}
        spellCheck={false}
      />
      {tree.sql.trim() !== '' && (
        <>
          <TextInput
            label={t.sqlDatabase}
            description={t.sqlDatabaseHint}
            value={tree.sqlDatabase}
            onChange={(event) => change({ sqlDatabase: event.currentTarget.value })}
            maw={420}
            spellCheck={false}
          />
          <Checkbox
            label={t.ignoreOrphans}
            checked={tree.ignoreOrphans}
            onChange={(event) => change({ ignoreOrphans: event.currentTarget.checked })}
          />
        </>
      )}
    </Stack>
  )
}
