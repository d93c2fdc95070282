import type { Job } from '../../api/types.ts'

/** What jobs leave behind. The server sends free documents; what is not as expected reads as absent. */

export interface Proof {
  level: string
  tables: number
  rows: number
  differences: string[]
}

/** A folder of files that was brought back. */
export interface RestoredTree {
  name: string
  to: string
  keptAs?: string
  files: number
  bytes: number
  proven: boolean
  /** Whether owners are as they were, which only root may set. */
  owners: boolean
  /** What could not be made as it was, with the reason. */
  odd: string[]
}

export interface RestoreReport {
  backup: string
  /** Absent where only files came back. */
  database?: string
  trees: RestoredTree[]
  rows?: number
  tables?: number
  bytes?: number
  restoreSeconds?: number
  proveSeconds?: number
  totalSeconds?: number
  blockedMs?: number
  keptAs?: string
  keptUntil?: string
  safetyBackup?: string
  warnings: string[]
  proof?: Proof
}

export interface DrillReport {
  backup: string
  proven: boolean
  seconds?: number
  databases: {
    name: string
    proof?: Proof
    restoreSeconds?: number
    proveSeconds?: number
    assertions: { text: string; holds: boolean }[]
  }[]
}

export interface DoctorReport {
  healthy: boolean
  findings: { subject: string; message: string; severity: string; remedy?: string }[]
}

type Document = Record<string, unknown>

const document = (value: unknown): Document | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Document) : undefined
const documents = (value: unknown): Document[] =>
  Array.isArray(value) ? value.map(document).filter((each) => each !== undefined) : []
const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
const number = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined)
const sentences = (value: unknown): string[] =>
  Array.isArray(value) ? value.map((each) => (typeof each === 'string' ? each : JSON.stringify(each))) : []

function proof(value: unknown): Proof | undefined {
  const read = document(value)
  if (read === undefined) return undefined
  return {
    level: text(read.level) ?? 'none',
    tables: number(read.tables_compared) ?? 0,
    rows: number(read.rows_compared) ?? 0,
    differences: sentences(read.differences),
  }
}

export function restoreReport(job: Pick<Job, 'kind' | 'result'>): RestoreReport | undefined {
  const read = job.kind === 'restore' ? document(job.result) : undefined
  const database = text(read?.database)
  const trees = restoredTrees(read)
  if (read === undefined || (database === undefined && trees.length === 0)) return undefined
  return {
    database,
    trees,
    backup: text(read.backup) ?? '',
    rows: number(read.rows),
    tables: number(read.tables),
    bytes: number(read.bytes),
    restoreSeconds: number(read.restore_seconds),
    proveSeconds: number(read.prove_seconds),
    totalSeconds: number(read.total_seconds) ?? number(read.seconds),
    blockedMs: number(read.blocked_ms),
    keptAs: text(read.kept_as),
    keptUntil: text(read.kept_until),
    safetyBackup: text(read.safety_backup),
    warnings: sentences(read.warnings),
    proof: proof(read.proof),
  }
}

/** They stand in the report itself where no database came back with them. */
function restoredTrees(report: Document | undefined): RestoredTree[] {
  return documents(document(report?.files)?.trees ?? report?.trees).map((tree) => ({
    name: text(tree.name) ?? '',
    to: text(tree.to) ?? '',
    keptAs: text(tree.kept_as),
    files: number(tree.files) ?? 0,
    bytes: number(tree.bytes) ?? 0,
    proven: tree.proven === true,
    owners: tree.owners !== false,
    odd: documents(tree.odd).map((odd) => `${text(odd.path) ?? ''}: ${text(odd.reason) ?? ''}`),
  }))
}

export function drillReport(job: Pick<Job, 'kind' | 'result'>): DrillReport | undefined {
  const read = job.kind === 'drill' ? document(job.result) : undefined
  if (read === undefined || text(read.backup) === undefined) return undefined
  return {
    backup: text(read.backup) ?? '',
    proven: read.proven === true,
    seconds: number(read.seconds),
    databases: documents(read.databases).map((database) => ({
      name: text(database.name) ?? '',
      proof: proof(database.proof),
      restoreSeconds: number(database.restore_seconds),
      proveSeconds: number(database.prove_seconds),
      assertions: documents(database.assertions).map((assertion) => ({
        text: text(assertion.sql) ?? text(assertion.statement) ?? text(assertion.assertion) ?? '',
        holds: assertion.holds === true || assertion.passed === true || assertion.ok === true,
      })),
    })),
  }
}

export function doctorReport(job: Pick<Job, 'kind' | 'result'>): DoctorReport | undefined {
  const read = job.kind === 'doctor' ? document(job.result) : undefined
  if (read === undefined || !Array.isArray(read.findings)) return undefined
  return {
    healthy: read.healthy === true,
    findings: documents(read.findings).map((finding) => ({
      subject: text(finding.subject) ?? '',
      message: text(finding.message) ?? '',
      severity: text(finding.severity) ?? 'note',
      remedy: text(finding.remedy),
    })),
  }
}

/** Ids of the backups that a job made or was about. */
export function backupOf(job: Pick<Job, 'kind' | 'result'>): string | undefined {
  if (!['backup', 'import', 'restore', 'drill'].includes(job.kind)) return undefined
  const read = document(job.result)
  return text(read?.backup) ?? text(read?.id) ?? text(read?.snapshot)
}

/** What the backup that a job made lacks that an earlier one held. */
export function lostOf(job: Pick<Job, 'kind' | 'result'>): string[] {
  if (job.kind !== 'backup') return []
  return sentences(document(document(job.result)?.shrunk)?.reasons)
}
