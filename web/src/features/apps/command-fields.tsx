import { Group, Select, SimpleGrid, Stack, Text, Textarea, TextInput } from '@mantine/core'
import { useTexts } from '../../texts/index.ts'
import { changed, Entries, without } from '../../ui/entries.tsx'
import { type AppDraft, FRAMEWORKS, newVariable } from './draft.ts'
import type { Part } from './fields.ts'

/** Frameworks are called the same in every language. */
const NAMES: Partial<Record<AppDraft['framework'], string>> = {
  alembic: 'Alembic',
  dbmate: 'dbmate',
  diesel: 'Diesel',
  django: 'Django',
  ecto: 'Ecto',
  ef_core: 'EF Core',
  flyway: 'Flyway',
  golang_migrate: 'golang-migrate',
  goose: 'goose',
  knex: 'Knex',
  laravel: 'Laravel',
  liquibase: 'Liquibase',
  prisma: 'Prisma',
  rails: 'Ruby on Rails',
  refinery: 'Refinery',
  sea_orm: 'SeaORM',
  sequelize: 'Sequelize',
  sqlx: 'SQLx',
  type_orm: 'TypeORM',
}

type Line = {
  [Key in keyof AppDraft]: AppDraft[Key] extends string ? (string extends AppDraft[Key] ? Key : never) : never
}[keyof AppDraft]

/** A field of one line, bound to the draft. */
export function lineField({ draft, change, wrong }: Part) {
  return (field: Line, label: string, description?: string, placeholder?: string, mono = false) => (
    <TextInput
      key={field}
      label={label}
      description={description}
      placeholder={placeholder}
      value={draft[field]}
      onChange={(event) => change({ [field]: event.currentTarget.value })}
      error={wrong(field)}
      spellCheck={false}
      autoComplete="off"
      styles={mono ? { input: { fontFamily: 'var(--mantine-font-family-monospace)' } } : undefined}
    />
  )
}

/** How the app's schema version is found out. */
export function MigrationFields(part: Part) {
  const t = useTexts().apps.parts.migrations
  const { draft, change, wrong } = part
  const line = lineField(part)
  return (
    <Stack>
      <Text size="sm">{t.about}</Text>
      <SimpleGrid cols={{ base: 1, sm: 2 }}>
        <Select
          label={t.framework}
          description={t.frameworkHint}
          data={[
            { value: '', label: t.lookedFor },
            ...FRAMEWORKS.map((value) => ({ value, label: NAMES[value] ?? t.query })),
          ]}
          value={draft.framework}
          onChange={(framework) => change({ framework: (framework ?? '') as AppDraft['framework'] })}
          allowDeselect={false}
          searchable
        />
        {line('code', t.code, t.codeHint, '/srv/shop')}
        {line('migrationsDatabase', t.inDatabase, t.inDatabaseHint)}
        {line('migrationsTable', t.table, t.tableHint)}
      </SimpleGrid>
      {draft.framework === 'query' && (
        <Textarea
          label={t.statement}
          description={t.statementHint}
          placeholder="SELECT version FROM schema_versions ORDER BY id"
          autosize
          minRows={2}
          styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }}
          value={draft.migrationsQuery}
          onChange={(event) => change({ migrationsQuery: event.currentTarget.value })}
          error={wrong('migrationsQuery')}
          spellCheck={false}
        />
      )}
      {line('migrationsCommand', t.command, t.commandHint, 'bin/list-migrations', true)}
      <Textarea
        label={t.harmless}
        description={t.harmlessHint}
        placeholder={'sessions\n*_add_index'}
        autosize
        minRows={1}
        value={draft.harmless}
        onChange={(event) => change({ harmless: event.currentTarget.value })}
        spellCheck={false}
      />
    </Stack>
  )
}

/** The app's own programs. */
export function CommandFields(part: Part) {
  const t = useTexts().apps.parts.commands
  const { draft, change, wrong } = part
  const line = lineField(part)
  const { variables } = draft
  return (
    <Stack>
      <Text size="sm">{t.about}</Text>
      <SimpleGrid cols={{ base: 1, sm: 2 }}>
        {line('directory', t.directory, t.directoryHint, '/srv/shop')}
        {line('commandTimeout', t.timeout, t.timeoutHint, '30m')}
        {line('migrate', t.migrate, t.migrateHint, 'venv/bin/python manage.py migrate --noinput', true)}
        {line(
          'migrateCheck',
          t.migrateCheck,
          t.migrateCheckHint,
          'venv/bin/python manage.py migrate --check',
          true,
        )}
      </SimpleGrid>
      <Textarea
        label={t.checks}
        description={t.checksHint}
        placeholder="venv/bin/python manage.py check"
        autosize
        minRows={1}
        value={draft.checks}
        onChange={(event) => change({ checks: event.currentTarget.value })}
        error={wrong('checks')}
        spellCheck={false}
        styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }}
      />
      <SimpleGrid cols={{ base: 1, sm: 2 }}>
        {line('version', t.version, t.versionHint, 'git rev-parse --short HEAD', true)}
        {line('runtime', t.runtime, t.runtimeHint, 'venv/bin/pip list --format=freeze', true)}
        {line('versionFile', t.versionFile, t.versionFileHint, '/srv/shop/VERSION')}
        {line('versionEnv', t.versionEnv, t.versionEnvHint, 'APP_VERSION')}
      </SimpleGrid>
      {line('urlVariable', t.urlVariable, t.urlVariableHint, 'DATABASE_URL')}
      <div>
        <Text size="sm" fw={500}>
          {t.variables}
        </Text>
        <Text size="xs" c="dimmed" mb="xs">
          {t.variablesHint}
        </Text>
        <Entries
          entries={variables}
          framed={false}
          none={t.noVariables}
          addLabel={t.addVariable}
          add={() => change({ variables: [...variables, newVariable()] })}
          removeLabel={(variable) => t.removeVariable(variable.name)}
          remove={(at) => change({ variables: without(variables, at) })}
        >
          {(variable, at) => (
            <Group gap="xs" align="flex-start" wrap="nowrap">
              <TextInput
                aria-label={t.variable}
                placeholder="DJANGO_SETTINGS_MODULE"
                value={variable.name}
                onChange={(event) =>
                  change({ variables: changed(variables, at, { name: event.currentTarget.value }) })
                }
                error={wrong(`variables.${at}`)}
                spellCheck={false}
                style={{ flex: 1 }}
              />
              <TextInput
                aria-label={t.valueOf(variable.name)}
                placeholder="shop.settings"
                value={variable.value}
                onChange={(event) =>
                  change({ variables: changed(variables, at, { value: event.currentTarget.value }) })
                }
                spellCheck={false}
                style={{ flex: 1 }}
              />
            </Group>
          )}
        </Entries>
      </div>
    </Stack>
  )
}
