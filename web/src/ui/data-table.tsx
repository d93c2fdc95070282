import { Checkbox } from '@mantine/core'
import { IconArrowDown, IconArrowUp } from '@tabler/icons-react'
import { useWindowVirtualizer } from '@tanstack/react-virtual'
import { type ReactNode, useRef } from 'react'
import { useTexts } from '../texts/index.ts'
import classes from './ui.module.css'

/** Below this many rows the browser draws all of them faster than it can be helped. */
const VIRTUAL_FROM = 100
const ROW_HEIGHT = 41

export interface Column<T> {
  key: string
  title: string
  cell: (row: T) => ReactNode
  number?: boolean
  /** The server's word for this order; without it the column is not sorted by. */
  sort?: string
}

interface DataTableProps<T> {
  /** Says to screen readers what is listed. */
  label: string
  columns: Column<T>[]
  rows: T[]
  rowKey: (row: T) => string
  sort?: { by: string; ascending: boolean; choose: (by: string) => void }
  selection?: { selected: Set<string>; toggle: (key: string) => void; name: (row: T) => string }
}

/** The one table. Sorting and filtering are the server's; long lists draw only what is seen. */
export function DataTable<T>({ label, columns, rows, rowKey, sort, selection }: DataTableProps<T>) {
  const t = useTexts()
  const body = useRef<HTMLTableSectionElement>(null)
  const virtual = rows.length >= VIRTUAL_FROM
  const virtualizer = useWindowVirtualizer({
    count: virtual ? rows.length : 0,
    estimateSize: () => ROW_HEIGHT,
    overscan: 20,
    scrollMargin: body.current?.offsetTop ?? 0,
  })
  const items = virtualizer.getVirtualItems()
  const shown = virtual ? items.map((item) => item.index) : rows.map((_, index) => index)
  const before = virtual ? (items[0]?.start ?? 0) - virtualizer.options.scrollMargin : 0
  const after = virtual
    ? virtualizer.getTotalSize() - ((items.at(-1)?.end ?? 0) - virtualizer.options.scrollMargin)
    : 0
  const width = columns.length + (selection ? 1 : 0)
  return (
    <div className={classes.scroller} role="group" aria-label={label} tabIndex={0}>
      <table className={classes.table} aria-rowcount={rows.length}>
        <thead>
          <tr>
            {selection && (
              <th>
                <span className="visually-hidden">{t.common.select}</span>
              </th>
            )}
            {columns.map((column) => (
              <HeadCell key={column.key} column={column} sort={sort} />
            ))}
          </tr>
        </thead>
        <tbody ref={body}>
          {before > 0 && <Gap height={before} width={width} />}
          {shown.map((index) => {
            const row = rows[index]
            if (row === undefined) return null
            const key = rowKey(row)
            return (
              <tr key={key} aria-rowindex={index + 2}>
                {selection && (
                  <td className={classes.select}>
                    <Checkbox
                      size="xs"
                      aria-label={selection.name(row)}
                      checked={selection.selected.has(key)}
                      onChange={() => selection.toggle(key)}
                    />
                  </td>
                )}
                {columns.map((column) => (
                  <td key={column.key} className={column.number ? classes.number : undefined}>
                    {column.cell(row)}
                  </td>
                ))}
              </tr>
            )
          })}
          {after > 0 && <Gap height={after} width={width} />}
        </tbody>
      </table>
    </div>
  )
}

function HeadCell<T>({ column, sort }: { column: Column<T>; sort: DataTableProps<T>['sort'] }) {
  const by = column.sort
  const sorted = sort !== undefined && by !== undefined && sort.by === by
  const order = sorted ? (sort.ascending ? 'ascending' : 'descending') : undefined
  return (
    <th scope="col" aria-sort={order} className={column.number ? classes.number : undefined}>
      {sort && by ? (
        <button type="button" className={classes.sort} onClick={() => sort.choose(by)}>
          {column.title}
          {sorted && (sort.ascending ? <IconArrowUp size={14} /> : <IconArrowDown size={14} />)}
        </button>
      ) : (
        column.title
      )}
    </th>
  )
}

function Gap({ height, width }: { height: number; width: number }) {
  return (
    <tr aria-hidden>
      <td colSpan={width} style={{ height, padding: 0 }} />
    </tr>
  )
}
