import { ActionIcon, Button, Group, Paper, Stack, Text, Tooltip } from '@mantine/core'
import { IconPlus, IconTrash } from '@tabler/icons-react'
import { type ReactNode, useEffect, useRef } from 'react'

interface EntriesProps<T> {
  entries: T[]
  /** What stands there while there is none. */
  none: string
  addLabel: string
  add: () => void
  removeLabel: (entry: T, at: number) => string
  remove: (at: number) => void
  /** Rows of one line need no frame. */
  framed?: boolean
  children: (entry: T, at: number) => ReactNode
}

/** Things of which there may be any number, each with its fields. Who adds one is in its first field at once. */
export function Entries<T extends { key: string }>(props: EntriesProps<T>) {
  const { entries, framed = true } = props
  const list = useRef<HTMLDivElement>(null)
  const adding = useRef(false)
  const amount = entries.length
  // biome-ignore lint/correctness/useExhaustiveDependencies: looks again whenever there are more or fewer
  useEffect(() => {
    if (!adding.current) return
    adding.current = false
    list.current?.querySelector<HTMLElement>(':scope > :last-child :is(input, textarea)')?.focus()
  }, [amount])
  const removeButton = (entry: T, at: number) => {
    const label = props.removeLabel(entry, at)
    return (
      <Tooltip label={label}>
        <ActionIcon
          variant="subtle"
          color="gray"
          aria-label={label}
          onClick={() => {
            props.remove(at)
            list.current?.parentElement?.querySelector<HTMLElement>('[data-add]')?.focus()
          }}
        >
          <IconTrash size={18} aria-hidden />
        </ActionIcon>
      </Tooltip>
    )
  }
  return (
    <Stack gap="sm">
      {amount === 0 && (
        <Text size="sm" c="dimmed">
          {props.none}
        </Text>
      )}
      <Stack gap="sm" ref={list}>
        {entries.map((entry, at) => {
          const row = (
            <Group key={entry.key} gap="xs" align="flex-start" wrap="nowrap">
              <div style={{ flex: 1, minWidth: 0 }}>{props.children(entry, at)}</div>
              {removeButton(entry, at)}
            </Group>
          )
          return framed ? (
            <Paper key={entry.key} withBorder p="md">
              {row}
            </Paper>
          ) : (
            row
          )
        })}
      </Stack>
      <Button
        variant="default"
        size="xs"
        w="fit-content"
        data-add
        leftSection={<IconPlus size={16} aria-hidden />}
        onClick={() => {
          adding.current = true
          props.add()
        }}
      >
        {props.addLabel}
      </Button>
    </Stack>
  )
}

/** The list with one entry changed. */
export function changed<T>(list: T[], at: number, part: Partial<T>): T[] {
  return list.map((each, index) => (index === at ? { ...each, ...part } : each))
}

export function without<T>(list: T[], at: number): T[] {
  return list.filter((_, index) => index !== at)
}
