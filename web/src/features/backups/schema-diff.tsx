import { Button, Group, SegmentedControl, Stack, Text } from '@mantine/core'
import { useMediaQuery } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { useWindowVirtualizer } from '@tanstack/react-virtual'
import { type ReactNode, useLayoutEffect, useRef, useState } from 'react'
import { queries } from '../../api/queries.ts'
import { type Texts, useTexts } from '../../texts/index.ts'
import { Section } from '../../ui/bits.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Mark, type State } from '../../ui/mark.tsx'
import classes from './schema-diff.module.css'
import {
  amounts,
  type Change,
  type DiffLine,
  type Numbered,
  type Row,
  readSchemaDiff,
  rowsOf,
  type SchemaObject,
} from './schema-diff.ts'

/** Below this many rows the browser draws all of them faster than it can be helped. */
const VIRTUAL_FROM = 200
const ROW_HEIGHT = 20

/** How an added, removed or changed thing is said. */
export function changeState(change: Change, t: Texts): State {
  const words = t.compare[change]
  if (change === 'added') return { tone: 'good', icon: 'info', words }
  if (change === 'removed') return { tone: 'bad', icon: 'cross', words }
  return { tone: 'warn', icon: 'warning', words }
}

/** What differs between the schemas of two backups, as SQL, before and after beside each other. */
export function SchemaDiff({ from, to }: { from: string; to: string }) {
  const t = useTexts()
  const query = useQuery(queries.schemaDiff(from, to))
  return (
    <Loaded query={query}>
      {(data) => {
        const { databases, notCompared } = readSchemaDiff(data)
        return (
          <>
            {databases.map((database) => (
              <Section key={database.name} title={t.compare.schemaOf(database.name)}>
                {database.objects.length === 0 ? (
                  <Mark state={{ tone: 'good', icon: 'check', words: t.compare.sameSchema }} />
                ) : (
                  <Objects objects={database.objects} label={t.compare.schemaOf(database.name)} />
                )}
                {database.remarks.map((remark) => (
                  <Text size="sm" c="dimmed" key={remark}>
                    {remark}
                  </Text>
                ))}
              </Section>
            ))}
            {notCompared.length > 0 && (
              <Text size="sm" c="dimmed">
                {t.compare.notCompared}: {notCompared.join(', ')}
              </Text>
            )}
          </>
        )
      }}
    </Loaded>
  )
}

export function Objects({ objects, label }: { objects: SchemaObject[]; label: string }) {
  const t = useTexts()
  const wide = useMediaQuery('(min-width: 62em)', true)
  const [chosen, choose] = useState<string>()
  const [unfolded, setUnfolded] = useState<ReadonlySet<string>>(new Set())
  const beside = (chosen ?? (wide ? 'beside' : 'below')) === 'beside'
  const rows = rowsOf(objects, unfolded)
  return (
    <Stack gap="sm">
      <Group justify="space-between">
        <Text size="sm">{t.compare.amounts(amounts(objects))}</Text>
        <SegmentedControl
          size="xs"
          aria-label={t.compare.layout}
          value={beside ? 'beside' : 'below'}
          onChange={choose}
          data={[
            { value: 'beside', label: t.compare.beside },
            { value: 'below', label: t.compare.below },
          ]}
        />
      </Group>
      <Rows label={label} rows={rows} beside={beside}>
        {(row) =>
          row.kind === 'object' ? (
            <h3 className={classes.head}>
              <Mark state={changeState(row.object.change, t)} pill />
              <span>{row.object.title}</span>
            </h3>
          ) : row.kind === 'fold' ? (
            <div className={classes.fold}>
              <Button
                variant="subtle"
                size="compact-xs"
                onClick={() => setUnfolded((before) => new Set([...before, row.key]))}
              >
                {t.compare.unfold(row.amount)}
              </Button>
            </div>
          ) : beside ? (
            <Beside line={row.line} />
          ) : (
            <Below line={row.line} />
          )
        }
      </Rows>
    </Stack>
  )
}

/** The rows, of which a long list draws only those that are seen. */
function Rows({
  label,
  rows,
  beside,
  children,
}: {
  label: string
  rows: Row[]
  beside: boolean
  children: (row: Row) => ReactNode
}) {
  const list = useRef<HTMLDivElement>(null)
  const [top, setTop] = useState(0)
  useLayoutEffect(() => {
    if (list.current) setTop(list.current.getBoundingClientRect().top + window.scrollY)
  }, [])
  const virtual = rows.length >= VIRTUAL_FROM
  const virtualizer = useWindowVirtualizer({
    count: virtual ? rows.length : 0,
    estimateSize: () => ROW_HEIGHT,
    // What is not laid out has no height, and must not draw all rows for it.
    measureElement: (element) => element.getBoundingClientRect().height || ROW_HEIGHT,
    getItemKey: (index) => rows[index]?.key ?? index,
    overscan: 40,
    scrollMargin: top,
  })
  const items = virtualizer.getVirtualItems()
  const shown = virtual ? items.map((item) => item.index) : rows.map((_, index) => index)
  const before = virtual ? (items[0]?.start ?? top) - top : 0
  const after = virtual ? virtualizer.getTotalSize() - ((items.at(-1)?.end ?? top) - top) : 0
  return (
    <div
      ref={list}
      role="group"
      aria-label={label}
      className={`${classes.diff} ${beside ? '' : classes.unified}`}
    >
      {before > 0 && <div style={{ height: before }} />}
      {shown.map((index) => {
        const row = rows[index]
        return (
          row && (
            <div
              key={row.key}
              ref={virtual ? virtualizer.measureElement : undefined}
              data-index={index}
              className={`${classes.row} ${index === 0 ? classes.first : ''}`}
            >
              {children(row)}
            </div>
          )
        )
      })}
      {after > 0 && <div style={{ height: after }} />}
    </div>
  )
}

function Beside({ line }: { line: DiffLine }) {
  const removed = line.change === 'removed' || line.change === 'changed'
  const added = line.change === 'added' || line.change === 'changed'
  return (
    <>
      <Side side={line.left} change={removed ? 'removed' : undefined} />
      <Side side={line.right} change={added ? 'added' : undefined} right />
    </>
  )
}

function Side({
  side,
  change,
  right = false,
}: {
  side: Numbered | undefined
  change: 'added' | 'removed' | undefined
  right?: boolean
}) {
  const look = side === undefined ? classes.nothing : change ? classes[change] : ''
  return (
    <>
      <div className={`${classes.number} ${look} ${right ? classes.right : ''}`}>{side?.number}</div>
      <Sign change={change} look={look} />
      <div className={`${classes.text} ${look}`}>{side?.text}</div>
    </>
  )
}

/** A line of both sides once; one that takes the place of another stands below it. */
function Below({ line }: { line: DiffLine }) {
  const one = (side: Numbered, change: 'added' | 'removed' | undefined) => {
    const look = change ? classes[change] : ''
    return (
      <>
        <div className={`${classes.number} ${look}`}>{change !== 'added' && line.left?.number}</div>
        <div className={`${classes.number} ${look}`}>{change !== 'removed' && line.right?.number}</div>
        <Sign change={change} look={look} />
        <div className={`${classes.text} ${look}`}>{side.text}</div>
      </>
    )
  }
  if (line.change === 'same') return line.right && one(line.right, undefined)
  return (
    <>
      {line.left && one(line.left, 'removed')}
      {line.right && one(line.right, 'added')}
    </>
  )
}

function Sign({ change, look }: { change: 'added' | 'removed' | undefined; look: string | undefined }) {
  const t = useTexts()
  return (
    <div className={`${classes.sign} ${look}`}>
      {change && (
        <>
          <span aria-hidden>{change === 'added' ? '+' : '−'}</span>
          <span className="visually-hidden">{t.compare[change]}</span>
        </>
      )}
    </div>
  )
}
