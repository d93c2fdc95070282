/** What the manifest, a free document, says besides the databases: files, the app's version, its migrations. */

export interface ManifestFacts {
  appVersion?: string
  runtime: string[]
  files: { name: string; source: string; files: number; bytes: number }[]
  migrations: {
    database: string
    framework: string
    applied: number
    latest?: string
    unfinished: string[]
  }[]
  /** What it lacks that an earlier backup held. */
  shrunk?: { since?: string; reasons: string[] }
}

type Document = Record<string, unknown>

const document = (value: unknown): Document =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Document) : {}
const documents = (value: unknown): Document[] => (Array.isArray(value) ? value.map(document) : [])
const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
const number = (value: unknown): number => (typeof value === 'number' ? value : 0)
const texts = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((each): each is string => typeof each === 'string') : []

export function manifestFacts(manifest: unknown): ManifestFacts {
  const whole = document(manifest)
  const application = document(whole.application)
  return {
    appVersion: text(application.version),
    runtime: Object.entries(document(application.runtime)).map(([name, version]) => `${name} ${version}`),
    files: documents(whole.files).map((tree) => ({
      name: text(tree.name) ?? '',
      source: text(tree.source) ?? '',
      files: number(tree.files),
      bytes: number(tree.bytes),
    })),
    migrations: documents(whole.databases).flatMap((database) =>
      documents(database.migrations).map((state) => {
        const applied = Object.values(document(state.applied)).flatMap(documents)
        return {
          database: text(database.name) ?? '',
          framework: text(state.framework) ?? text(document(state.framework).name) ?? '',
          applied: applied.length,
          latest: latest(applied),
          unfinished: texts(state.unfinished),
        }
      }),
    ),
    ...(whole.shrunk == null
      ? {}
      : {
          shrunk: {
            since: text(document(whole.shrunk).since),
            reasons: texts(document(whole.shrunk).reasons),
          },
        }),
  }
}

/** The migration that was applied last; by name where no time is known. */
function latest(applied: Document[]): string | undefined {
  const sorted = [...applied].sort((a, b) => key(a).localeCompare(key(b)))
  return text(sorted.at(-1)?.name)
}

function key(migration: Document): string {
  return `${text(migration.applied_at) ?? ''} ${text(migration.name) ?? ''}`
}
