/** Reads the comparison of two schemas, which the server sends as a free document, into lines that stand side by side. */

export type Change = 'added' | 'removed' | 'changed'

export interface SchemaObject {
  change: Change
  /** What it is and what it is called: `table public.orders`. */
  title: string
  lines: DiffLine[]
}

/** A line on either side; absent where the other side alone has it. */
export interface DiffLine {
  change: Change | 'same'
  left?: Numbered
  right?: Numbered
}

export interface Numbered {
  number: number
  text: string
}

export interface SchemaDiff {
  databases: { name: string; objects: SchemaObject[]; remarks: string[] }[]
  notCompared: string[]
}

type Document = Record<string, unknown>

const document = (value: unknown): Document =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Document) : {}
const documents = (value: unknown): Document[] => (Array.isArray(value) ? value.map(document) : [])
const text = (value: unknown): string => (typeof value === 'string' ? value : '')
const texts = (value: unknown): string[] => (Array.isArray(value) ? value.map(text) : [])

export function readSchemaDiff(answer: unknown): SchemaDiff {
  const whole = document(answer)
  return {
    notCompared: texts(whole.not_compared),
    databases: documents(whole.databases).map((database) => ({
      name: text(database.name),
      remarks: texts(database.remarks),
      objects: documents(database.objects).map((object) => ({
        change: changeOf(object.change),
        title: titleOf(object),
        lines: sideBySide(text(object.sql), text(object.from), text(object.to)),
      })),
    })),
  }
}

/** Whatever is neither new nor gone has changed. */
export function changeOf(value: unknown): Change {
  return value === 'added' || value === 'removed' ? value : 'changed'
}

function titleOf(object: Document): string {
  const [schema, name, table] = [text(object.schema), text(object.name), text(object.table)]
  return `${text(object.kind)} ${schema ? `${schema}.` : ''}${name}${table ? ` (${table})` : ''}`.trim()
}

/**
 * Pairs the lines after `-` with those after `+` that stand in their place. Unchanged lines show each side's own text, for a
 * comma at the end does not count as a change.
 */
export function sideBySide(marked: string, from: string, to: string): DiffLine[] {
  const [before, after] = [from.split('\n'), to.split('\n')]
  const lines: DiffLine[] = []
  let removed: Numbered[] = []
  let added: Numbered[] = []
  let [left, right] = [0, 0]
  const flush = () => {
    for (let at = 0; at < Math.max(removed.length, added.length); at += 1) {
      const [a, b] = [removed[at], added[at]]
      lines.push({ change: a && b ? 'changed' : a ? 'removed' : 'added', left: a, right: b })
    }
    removed = []
    added = []
  }
  for (const line of marked.replace(/\n$/, '').split('\n')) {
    const shown = line.slice(1)
    if (line.startsWith('-')) {
      left += 1
      removed.push({ number: left, text: shown })
    } else if (line.startsWith('+')) {
      right += 1
      added.push({ number: right, text: shown })
    } else if (line !== '') {
      flush()
      left += 1
      right += 1
      lines.push({
        change: 'same',
        left: { number: left, text: before[left - 1] || shown },
        right: { number: right, text: after[right - 1] || shown },
      })
    }
  }
  flush()
  return lines
}

/** A row of the view. */
export type Row =
  | { kind: 'object'; key: string; object: SchemaObject }
  | { kind: 'line'; key: string; line: DiffLine }
  | { kind: 'fold'; key: string; amount: number }

/** So many unchanged lines stay around a change. */
const AROUND = 3

/** All rows, with long unchanged stretches folded unless they are among `unfolded`. */
export function rowsOf(objects: SchemaObject[], unfolded: ReadonlySet<string>): Row[] {
  return objects.flatMap((object, index) => {
    const rows: Row[] = [{ kind: 'object', key: `${index}`, object }]
    const { lines } = object
    const show = (from: number, to: number) => {
      for (let at = from; at < to; at += 1) {
        const line = lines[at]
        if (line) rows.push({ kind: 'line', key: `${index} ${at}`, line })
      }
    }
    let at = 0
    while (at < lines.length) {
      let end = at
      while (lines[end]?.change === 'same') end += 1
      // Nothing changes before the first line nor after the last, so there the stretch is folded up to the end.
      const first = at === 0 ? at : at + AROUND
      const last = end === lines.length ? end : end - AROUND
      const key = `${index} fold ${at}`
      if (last - first > AROUND && !unfolded.has(key)) {
        show(at, first)
        rows.push({ kind: 'fold', key, amount: last - first })
        show(last, end)
      } else show(at, end)
      at = end
      while (at < lines.length && lines[at]?.change !== 'same') at += 1
      show(end, at)
    }
    return rows
  })
}

export function amounts(objects: SchemaObject[]): Record<Change, number> {
  const of = (change: Change) => objects.filter((object) => object.change === change).length
  return { added: of('added'), removed: of('removed'), changed: of('changed') }
}
