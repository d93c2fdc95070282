/** Reads the comparison of two backups, which the server sends as a free document. Schemas are compared apart, as SQL. */

export interface TableChange {
  name: string
  change: string
  rowsFrom?: number
  rowsTo?: number
}

export interface DefinitionChange {
  kind: string
  name: string
  change: string
  from?: string
  to?: string
}

export interface DatabaseComparison {
  name: string
  tables: TableChange[]
  definitions: DefinitionChange[]
  extensions: string[]
}

export interface Comparison {
  from: string
  to: string
  same: boolean
  databases: DatabaseComparison[]
  notCompared: string[]
}

type Document = Record<string, unknown>

const document = (value: unknown): Document =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Document) : {}
const list = (value: unknown): Document[] => (Array.isArray(value) ? value.map(document) : [])
const text = (value: unknown): string | undefined =>
  value === null || value === undefined
    ? undefined
    : typeof value === 'string'
      ? value
      : JSON.stringify(value)
const number = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined)

export function readComparison(answer: unknown): Comparison {
  const whole = document(answer)
  return {
    from: text(whole.from) ?? '',
    to: text(whole.to) ?? '',
    same: whole.same === true,
    notCompared: Array.isArray(whole.not_compared) ? whole.not_compared.map((each) => text(each) ?? '') : [],
    databases: list(whole.databases).map((database) => ({
      name: text(database.name) ?? '',
      tables: list(database.tables).map((table) => ({
        name: text(table.table) ?? '',
        change: text(table.change) ?? 'changed',
        rowsFrom: number(table.rows_from),
        rowsTo: number(table.rows_to),
      })),
      definitions: [
        ...definitions(database.sequences, 'sequence'),
        ...definitions(database.settings, 'setting'),
      ],
      extensions: list(database.extensions).map((each) =>
        [text(each.name), text(each.from), text(each.to)].filter(Boolean).join(' → '),
      ),
    })),
  }
}

function definitions(value: unknown, kind: string): DefinitionChange[] {
  return list(value).map((each) => ({
    kind: text(each.kind) ?? kind,
    name: text(each.name) ?? text(each.what) ?? '',
    change: text(each.change) ?? 'changed',
    from: text(each.from),
    to: text(each.to),
  }))
}
