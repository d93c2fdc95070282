import { Button, Group, Stack, Switch, Text } from '@mantine/core'
import { useInfiniteQuery } from '@tanstack/react-query'
import { useVirtualizer } from '@tanstack/react-virtual'
import { useEffect, useRef, useState } from 'react'
import { api, call } from '../../api/client.ts'
import { clock, utc } from '../../format/time.ts'
import { useLocale, useTexts } from '../../texts/index.ts'
import { ProblemPanel } from '../../ui/problem-panel.tsx'
import classes from '../../ui/ui.module.css'
import { saveText } from '../save-text.ts'

const BATCH = 500
const LOOK_EVERY_MS = 1_500

/** A job's log, growing while the job runs. Only the lines that are seen are drawn. */
export function JobLog({ id, over }: { id: string; over: boolean }) {
  const t = useTexts()
  const locale = useLocale()
  const [follow, setFollow] = useState(true)
  const frame = useRef<HTMLDivElement>(null)
  const query = useInfiniteQuery({
    queryKey: ['log', id],
    queryFn: ({ pageParam }) =>
      call(
        api.GET('/api/v1/jobs/{id}/log', {
          params: { path: { id }, query: { after: pageParam, limit: BATCH } },
        }),
      ),
    initialPageParam: 0,
    getNextPageParam: (page, _, after) =>
      page.items.length === BATCH ? (page.items.at(-1)?.line ?? after) : undefined,
    refetchInterval: over ? false : LOOK_EVERY_MS,
  })
  const { hasNextPage, isFetching, fetchNextPage } = query
  useEffect(() => {
    if (hasNextPage && !isFetching) void fetchNextPage()
  }, [hasNextPage, isFetching, fetchNextPage])
  // What was written between the last look and the end.
  const { refetch } = query
  useEffect(() => {
    if (over) void refetch()
  }, [over, refetch])

  const lines = (query.data?.pages ?? []).flatMap((page) => page.items)
  const virtualizer = useVirtualizer({
    count: lines.length,
    getScrollElement: () => frame.current,
    estimateSize: () => 20,
    overscan: 30,
    getItemKey: (index) => lines[index]?.line ?? index,
  })
  useEffect(() => {
    if (follow && lines.length > 0) virtualizer.scrollToIndex(lines.length - 1, { align: 'end' })
  }, [follow, lines.length, virtualizer])

  return (
    <Stack gap="xs">
      <Group justify="space-between">
        <Switch
          label={t.jobs.follow}
          checked={follow}
          onChange={(event) => setFollow(event.currentTarget.checked)}
          size="sm"
        />
        <Group gap="sm">
          <Text size="sm" c="dimmed">
            {t.jobs.lines(lines.length)}
          </Text>
          <Button
            size="xs"
            variant="default"
            disabled={lines.length === 0}
            onClick={() =>
              saveText(
                `job-${id}.log`,
                lines.map((line) => `${utc(line.at)} ${line.level} ${line.text}\n`).join(''),
              )
            }
          >
            {t.jobs.saveLog}
          </Button>
        </Group>
      </Group>
      <ProblemPanel error={query.error} retry={() => void query.refetch()} />
      <div
        ref={frame}
        className={classes.log}
        role="log"
        aria-label={t.jobs.log}
        aria-live="off"
        tabIndex={0}
      >
        {lines.length === 0 && (
          <span>{query.isPending ? t.common.loading : over ? t.jobs.emptyLog : t.jobs.noLog}</span>
        )}
        <div style={{ height: virtualizer.getTotalSize(), position: 'relative' }}>
          {virtualizer.getVirtualItems().map((item) => {
            const line = lines[item.index]
            if (line === undefined) return null
            return (
              <div
                key={item.key}
                ref={virtualizer.measureElement}
                data-index={item.index}
                data-level={line.level}
                className={classes.logLine}
                style={{
                  position: 'absolute',
                  top: 0,
                  left: 0,
                  right: 0,
                  transform: `translateY(${item.start}px)`,
                }}
              >
                <time dateTime={line.at} title={utc(line.at)}>
                  {clock(line.at, locale)}
                </time>
                <span>{line.text}</span>
              </div>
            )
          })}
        </div>
      </div>
    </Stack>
  )
}
