import '@mantine/charts/styles.css'
import { LineChart } from '@mantine/charts'
import { SegmentedControl, SimpleGrid, Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { queries } from '../../api/queries.ts'
import type { Backup } from '../../api/types.ts'
import { bytes } from '../../format/amounts.ts'
import { dateTime, duration } from '../../format/time.ts'
import { useLocale, useTexts } from '../../texts/index.ts'
import { Section } from '../../ui/bits.tsx'
import { byteTicks } from './ticks.ts'

const DAYS = 90
const since = () => new Date(new Date().setHours(0, 0, 0, 0) - DAYS * 86_400_000).toISOString()

/** How size, added bytes, duration and recovery time of an app go. */
export function Trends({ apps }: { apps: string[] }) {
  const t = useTexts()
  const locale = useLocale()
  const [wanted, choose] = useState('')
  // The worst app comes first, and may have nothing to show.
  const chosen = apps.includes(wanted) ? wanted : (apps[0] ?? '')
  const [from] = useState(since)
  const backups = useQuery({ ...queries.recentBackups(chosen, from), enabled: chosen !== '' })
  const points = [...(backups.data ?? [])].reverse()
  if (chosen === '' || backups.data === undefined) return null
  const few = points.length < 2
  if (few && apps.length < 2) return null
  const label = (backup: Backup) => dateTime(backup.time, locale)
  const line = (
    title: string,
    value: (backup: Backup) => number | null | undefined,
    format: (n: number) => string,
    ticksOf?: (most: number) => number[],
  ) => {
    const data = points.flatMap((backup) => {
      const amount = value(backup)
      return amount === null || amount === undefined ? [] : [{ at: label(backup), amount }]
    })
    if (data.length < 2) return null
    const last = data.at(-1)?.amount ?? 0
    const ticks = ticksOf?.(Math.max(...data.map((point) => point.amount)))
    return (
      <Stack gap={4} key={title} role="group" aria-label={`${title}: ${format(last)}`}>
        <Text size="sm" fw={600}>
          {title}: {format(last)}
        </Text>
        <LineChart
          h={140}
          data={data}
          dataKey="at"
          series={[{ name: 'amount', label: title, color: 'keep.6' }]}
          withXAxis={false}
          withDots={data.length < 20}
          curveType="linear"
          yAxisProps={{ width: 86, domain: [0, ticks?.at(-1) ?? 'auto'], ...(ticks && { ticks }) }}
          valueFormatter={format}
          lineChartProps={{ accessibilityLayer: false }}
        />
      </Stack>
    )
  }
  return (
    <Section
      title={t.overview.trends}
      actions={
        apps.length > 1 && (
          <div style={{ maxWidth: '100%', overflowX: 'auto' }}>
            <SegmentedControl
              size="xs"
              data={apps}
              value={chosen}
              onChange={choose}
              aria-label={t.common.app}
            />
          </div>
        )
      }
    >
      {few && (
        <Text size="sm" c="dimmed">
          {t.overview.tooFew(DAYS)}
        </Text>
      )}
      <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="xl">
        {line(t.overview.size, (backup) => backup.bytes, bytes, byteTicks)}
        {line(t.overview.added, (backup) => backup.bytesAdded, bytes, byteTicks)}
        {line(t.overview.timeTaken, (backup) => backup.seconds, duration)}
        {line(t.overview.recovery, (backup) => backup.provenSeconds, duration)}
      </SimpleGrid>
    </Section>
  )
}
