import { Button, Group, NumberInput, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { api, call } from '../../api/client.ts'
import { queries } from '../../api/queries.ts'
import type { Settings } from '../../api/types.ts'
import { bytes } from '../../format/amounts.ts'
import { duration } from '../../format/time.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Empty, Facts, Moment, Section } from '../../ui/bits.tsx'
import { DataTable } from '../../ui/data-table.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Mark } from '../../ui/mark.tsx'
import { useTell } from '../../ui/notices.tsx'
import { Page } from '../../ui/page.tsx'
import { ProblemPanel } from '../../ui/problem-panel.tsx'
import { Targets } from './targets.tsx'

export function SettingsPage() {
  const t = useTexts()
  const query = useQuery(queries.settings())
  return (
    <Page title={t.nav.settings} about={t.settings.about}>
      <Targets />
      <Loaded query={query}>
        {(settings) => (
          <Stack gap="lg">
            <ProofEvery settings={settings} />
            <Section title={t.settings.server}>
              <Facts
                facts={[
                  [t.settings.version, settings.version],
                  [t.settings.instance, settings.instance],
                  [t.settings.catalog, settings.catalog],
                  [t.settings.dataDir, settings.dataDir],
                  [t.settings.listen, settings.listen],
                  [t.settings.publicUrl, settings.publicUrl ?? '–'],
                  ['TLS', settings.tls ? t.common.yes : t.common.no],
                  [t.settings.proxies, settings.trustedProxies.join(', ') || '–'],
                  [t.settings.signOn, settings.oidc ? t.common.yes : t.common.no],
                  [t.settings.twoPersons, settings.twoPersonRestore ? t.common.yes : t.common.no],
                  [t.settings.workers, settings.workers],
                  [
                    t.jobs.limits,
                    t.jobs.limitsOf(duration(settings.softLimitSecs), duration(settings.hardLimitSecs)),
                  ],
                  [t.settings.uploadMost, bytes(settings.uploadMaxFileBytes)],
                  [
                    t.settings.limits,
                    Object.entries(settings.throttles).map(([scope, limit]) => (
                      <div key={scope}>
                        {scope}: {limit}
                      </div>
                    )),
                  ],
                ]}
              />
              <Text size="sm" c="dimmed">
                {t.settings.inFile}
              </Text>
            </Section>
          </Stack>
        )}
      </Loaded>
      <Workers />
    </Page>
  )
}

function ProofEvery({ settings }: { settings: Settings }) {
  const t = useTexts()
  const tell = useTell()
  const [days, setDays] = useState<number | string>(settings.proveEveryDays ?? '')
  const save = useAction(
    () => call(api.PATCH('/api/v1/settings', { body: { proveEveryDays: Number(days) } })),
    ['setting', 'status'],
    () => tell(t.settings.saved),
  )
  return (
    <Section title={t.settings.proof}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          save.mutate(undefined)
        }}
      >
        <Group align="flex-end">
          <NumberInput
            label={t.settings.proveEvery}
            description={t.settings.proveEveryHint}
            inputWrapperOrder={['label', 'description', 'input', 'error']}
            min={1}
            max={3650}
            value={days}
            onChange={setDays}
            hideControls
            allowDecimal={false}
          />
          <Button type="submit" variant="default" loading={save.isPending} disabled={!Number(days)}>
            {t.common.save}
          </Button>
        </Group>
        <ProblemPanel error={save.error} />
      </form>
    </Section>
  )
}

function Workers() {
  const t = useTexts()
  const query = useQuery(queries.workers())
  return (
    <Section title={t.settings.workersTitle}>
      <Loaded query={query}>
        {(workers) =>
          workers.length === 0 ? (
            <Empty title={t.overview.noWorker} hint={t.overview.noWorkerHint} />
          ) : (
            <DataTable
              label={t.settings.workersTitle}
              rows={workers}
              rowKey={(row) => row.node}
              columns={[
                { key: 'node', title: t.jobs.node, cell: (row) => row.node },
                {
                  key: 'state',
                  title: t.common.state,
                  cell: (row) => (
                    <Mark
                      pill
                      state={
                        row.alive
                          ? { tone: 'good', icon: 'check', words: t.settings.alive }
                          : { tone: 'idle', icon: 'none', words: t.settings.gone }
                      }
                    />
                  ),
                },
                { key: 'slots', title: t.settings.slots, number: true, cell: (row) => row.slots },
                { key: 'version', title: t.settings.version, cell: (row) => row.version },
                { key: 'seen', title: t.settings.seen, cell: (row) => <Moment at={row.seenAt} /> },
              ]}
            />
          )
        }
      </Loaded>
    </Section>
  )
}
