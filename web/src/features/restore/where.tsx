import { Radio, Stack, Text, TextInput } from '@mantine/core'
import { useTexts } from '../../texts/index.ts'
import { Section } from '../../ui/bits.tsx'
import { Callout } from '../../ui/mark.tsx'
import {
  type Choice,
  filesTo,
  lacking,
  mayGoInPlace,
  overwritesDatabase,
  type Tree,
  takesDatabase,
} from './choice.ts'

interface Props {
  trees: Tree[]
  choice: Choice
  change: (part: Partial<Choice>) => void
}

/** Beside what is live first: that cannot harm anybody. */
export function Where({ trees, choice, change }: Props) {
  return (
    <Stack gap="lg">
      {takesDatabase(choice) && <DatabaseTo choice={choice} change={change} />}
      {choice.files !== 'none' && <FilesTo trees={trees} choice={choice} change={change} />}
    </Stack>
  )
}

function DatabaseTo({ choice, change }: Omit<Props, 'trees'>) {
  const t = useTexts()
  const whole = choice.parts === 'all'
  return (
    <Section title={t.restore.where}>
      <Radio.Group
        aria-label={t.restore.where}
        value={choice.mode}
        onChange={(mode) =>
          // Rows and the files that they speak of are from the same moment only when both are swapped.
          change({ mode: mode as Choice['mode'], filesTo: mode === 'replace' ? 'place' : 'folder' })
        }
      >
        <Stack gap="md">
          <Radio value="into" label={t.restore.into} description={t.restore.intoHint} />
          {choice.mode === 'into' && (
            <TextInput
              label={t.restore.newName}
              value={choice.beside}
              onChange={(event) => change({ beside: event.currentTarget.value })}
              error={lacking(choice) === 'beside' ? t.restore.newNameNeeded(choice.database) : undefined}
              maw={420}
              ml={32}
            />
          )}
          {whole && (
            <Radio
              value="replace"
              label={t.restore.replace(choice.database)}
              description={t.restore.replaceHint}
            />
          )}
          <Radio
            value="in_place"
            label={whole ? t.restore.inPlace(choice.database) : t.restore.partsInPlace(choice.database)}
            description={whole ? t.restore.inPlaceHint : t.restore.partsInPlaceHint}
          />
        </Stack>
      </Radio.Group>
      {overwritesDatabase(choice) && (
        <Callout tone="warn">
          <Text size="sm">{t.restore.overwrites(choice.database)}</Text>
        </Callout>
      )}
    </Section>
  )
}

function FilesTo({ trees, choice, change }: Props) {
  const t = useTexts()
  const inPlace = mayGoInPlace(choice)
  const to = filesTo(choice)
  const live = trees.filter((tree) => choice.trees.includes(tree.name)).map((tree) => tree.source)
  return (
    <Section title={t.restore.whereFiles}>
      <Radio.Group
        aria-label={t.restore.whereFiles}
        value={to}
        onChange={(value) => change({ filesTo: value as Choice['filesTo'] })}
      >
        <Stack gap="md">
          <Radio value="folder" label={t.restore.intoFolder} description={t.restore.intoFolderHint} />
          {to === 'folder' && (
            <TextInput
              label={t.restore.folder}
              description={choice.trees.length > 1 ? t.restore.folderOfMany : t.restore.folderHint}
              placeholder="/srv/restored"
              value={choice.folder}
              onChange={(event) => change({ folder: event.currentTarget.value })}
              error={lacking(choice) === 'folder' ? t.restore.folderNeeded : undefined}
              spellCheck={false}
              maw={520}
              ml={32}
            />
          )}
          <Radio
            value="place"
            label={t.restore.inTheirPlace}
            description={
              inPlace
                ? t.restore.inTheirPlaceHint(live.join(', '))
                : choice.globs.length > 0
                  ? t.restore.onlyWholeFolders
                  : t.restore.onlyWithReplace
            }
            disabled={!inPlace}
          />
        </Stack>
      </Radio.Group>
    </Section>
  )
}
