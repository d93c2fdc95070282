import { ActionIcon, Button, Card, Group, Stack, Text, Title, Tooltip } from '@mantine/core'
import { useClipboard } from '@mantine/hooks'
import { IconCheck, IconCopy } from '@tabler/icons-react'
import { Fragment, type ReactNode } from 'react'
import { dateTime, relative, utc } from '../format/time.ts'
import { useLocale, useTexts } from '../texts/index.ts'
import { useNow } from './now.ts'
import classes from './ui.module.css'

/** A moment as people say it; the exact one, also in UTC, on hover. */
export function Moment({ at, absolute = false }: { at: string | null | undefined; absolute?: boolean }) {
  const locale = useLocale()
  const now = useNow()
  if (!at) return <span>–</span>
  const exact = dateTime(at, locale)
  return (
    <time dateTime={at} title={`${exact} (${utc(at)})`} style={{ whiteSpace: 'nowrap' }}>
      {absolute ? exact : relative(at, now, locale)}
    </time>
  )
}

/** What a command line would say for the action beside it. */
export function Command({ line }: { line: string }) {
  const t = useTexts()
  const clipboard = useClipboard({ timeout: 2000 })
  const label = clipboard.copied ? t.common.copied : t.common.copyCommand
  return (
    <div className={classes.command}>
      <code tabIndex={0}>{line}</code>
      <Tooltip label={label}>
        <ActionIcon variant="subtle" color="gray" aria-label={label} onClick={() => clipboard.copy(line)}>
          {clipboard.copied ? <IconCheck size={16} /> : <IconCopy size={16} />}
        </ActionIcon>
      </Tooltip>
    </div>
  )
}

/** Names and values below each other. */
export function Facts({ facts }: { facts: [string, ReactNode][] }) {
  return (
    <dl className={classes.facts}>
      {facts.map(([name, value]) => (
        <Fragment key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </Fragment>
      ))}
    </dl>
  )
}

/** What stands where a list would be, and what makes the first entry. */
export function Empty({ title, hint, action }: { title: string; hint?: ReactNode; action?: ReactNode }) {
  return (
    <div className={classes.empty}>
      <Stack gap="xs" align="center">
        <Text fw={600}>{title}</Text>
        {hint && (
          <Text c="dimmed" size="sm" maw="34rem">
            {hint}
          </Text>
        )}
        {action}
      </Stack>
    </div>
  )
}

/** A part of a page with its heading. */
export function Section({
  title,
  actions,
  children,
}: {
  title: string
  actions?: ReactNode
  children: ReactNode
}) {
  return (
    <Card withBorder padding="lg" component="section" aria-label={title}>
      <Stack gap="md">
        <Group justify="space-between">
          <Title order={2} size="h3">
            {title}
          </Title>
          {actions}
        </Group>
        {children}
      </Stack>
    </Card>
  )
}

/** Asks for the next page of a list. */
export function More({
  query,
}: {
  query: { hasNextPage: boolean; isFetchingNextPage: boolean; fetchNextPage: () => unknown }
}) {
  const t = useTexts()
  if (!query.hasNextPage) return null
  return (
    <Group justify="center">
      <Button variant="default" loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
        {t.common.more}
      </Button>
    </Group>
  )
}
