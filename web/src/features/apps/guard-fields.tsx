import { Checkbox, Select, SimpleGrid, Stack, Text, Textarea, TextInput } from '@mantine/core'
import { useTexts } from '../../texts/index.ts'
import { changed, Entries, without } from '../../ui/entries.tsx'
import { lineField } from './command-fields.tsx'
import { type HookDraft, MOMENTS, newHook } from './draft.ts'
import type { Part } from './fields.ts'

const MONOSPACE = { input: { fontFamily: 'var(--mantine-font-family-monospace)' } }

/** What keeps the app away while its database is replaced. */
export function FenceFields(part: Part) {
  const t = useTexts().apps.parts.fence
  const { draft, change } = part
  const line = lineField(part)
  return (
    <Stack>
      <Text size="sm">{t.about}</Text>
      <Checkbox
        label={t.readOnly}
        description={t.readOnlyHint}
        checked={draft.readOnly}
        onChange={(event) => change({ readOnly: event.currentTarget.checked })}
      />
      <SimpleGrid cols={{ base: 1, sm: 2 }}>
        {line('lockDir', t.lockDir, t.lockDirHint, '/srv/shop/run')}
        {line('grace', t.grace, t.graceHint, '5s')}
      </SimpleGrid>
      {line('pgbouncer', t.pgbouncer, t.pgbouncerHint, 'env:PGBOUNCER_URL')}
    </Stack>
  )
}

/** What is run or told at set moments. */
export function HookFields({ draft, change, wrong }: Part) {
  const t = useTexts()
  const words = t.apps.parts.hooks
  const { hooks } = draft
  return (
    <Stack>
      <Text size="sm">{words.about}</Text>
      <Entries
        entries={hooks}
        none={words.none}
        addLabel={words.add}
        add={() => change({ hooks: [...hooks, newHook()] })}
        removeLabel={(hook) => words.remove(t.moments[hook.on])}
        remove={(at) => change({ hooks: without(hooks, at) })}
      >
        {(hook, at) => (
          <HookRow
            hook={hook}
            change={(part) => change({ hooks: changed(hooks, at, part) })}
            wrong={(field) => wrong(`hooks.${at}.${field}`)}
          />
        )}
      </Entries>
    </Stack>
  )
}

function HookRow({
  hook,
  change,
  wrong,
}: {
  hook: HookDraft
  change: (part: Partial<HookDraft>) => void
  wrong: Part['wrong']
}) {
  const t = useTexts()
  const words = t.apps.parts.hooks
  const stops = hook.on.startsWith('before')
  return (
    <Stack gap="sm">
      <SimpleGrid cols={{ base: 1, sm: 3 }}>
        <Select
          label={words.when}
          data={MOMENTS.map((value) => ({ value, label: t.moments[value] }))}
          value={hook.on}
          onChange={(on) => on && change({ on: on as HookDraft['on'] })}
          allowDeselect={false}
        />
        <Select
          label={words.does}
          data={[
            { value: 'command', label: words.runs },
            { value: 'url', label: words.tells },
          ]}
          value={hook.does}
          onChange={(does) => does && change({ does: does as HookDraft['does'] })}
          allowDeselect={false}
        />
        <TextInput
          label={words.timeout}
          placeholder="1m"
          value={hook.timeout}
          onChange={(event) => change({ timeout: event.currentTarget.value })}
          error={wrong('timeout')}
          spellCheck={false}
        />
      </SimpleGrid>
      {hook.does === 'command' ? (
        <TextInput
          label={words.command}
          description={words.commandHint}
          placeholder="/srv/shop/bin/flush-uploads"
          value={hook.command}
          onChange={(event) => change({ command: event.currentTarget.value })}
          error={wrong('command')}
          spellCheck={false}
          styles={MONOSPACE}
        />
      ) : (
        <TextInput
          label={words.url}
          description={words.urlHint}
          placeholder="https://hooks.example.com/shop"
          value={hook.url}
          onChange={(event) => change({ url: event.currentTarget.value })}
          error={wrong('url')}
          spellCheck={false}
        />
      )}
      <Checkbox
        label={words.mayFail}
        description={stops ? words.stops : undefined}
        checked={hook.mayFail}
        onChange={(event) => change({ mayFail: event.currentTarget.checked })}
      />
    </Stack>
  )
}

/** What drills ask besides the evidence, when they run, and where. */
export function DrillFields(part: Part) {
  const t = useTexts().apps.parts.drill
  const { draft, change } = part
  const line = lineField(part)
  return (
    <Stack>
      <Text size="sm">{t.about}</Text>
      <SimpleGrid cols={{ base: 1, sm: 2 }}>
        {line('every', t.every, t.everyHint, '7d')}
        {line('objective', t.objective, t.objectiveHint, '30m')}
        {line('leaveFree', t.leaveFree, t.leaveFreeHint, '10GiB')}
        {line('maxLoad', t.maxLoad, t.maxLoadHint, '200')}
      </SimpleGrid>
      {line('drillUrl', t.server, t.serverHint)}
      <Textarea
        label={t.assertions}
        description={t.assertionsHint}
        placeholder="SELECT count(*) > 0 FROM orders"
        autosize
        minRows={1}
        value={draft.assertions}
        onChange={(event) => change({ assertions: event.currentTarget.value })}
        spellCheck={false}
        styles={MONOSPACE}
      />
      <Checkbox
        label={t.commands}
        checked={draft.drillCommands}
        onChange={(event) => change({ drillCommands: event.currentTarget.checked })}
      />
      <Checkbox
        label={t.amcheck}
        description={t.amcheckHint}
        checked={draft.amcheck}
        onChange={(event) => change({ amcheck: event.currentTarget.checked })}
      />
    </Stack>
  )
}
