import type { components } from './schema.d.ts'

type Schemas = components['schemas']

export type App = Schemas['App']
export type AppDefinition = Omit<Schemas['AppDefinition'], 'migrations'> & {
  migrations?: (Schemas['Migrations'] & { command?: string[]; harmless?: string[] }) | null
}
export type AppStatus = Omit<Schemas['AppStatus'], 'findings'> & {
  findings: (Schemas['Finding'] & {
    alarm?: boolean
    repository?: string | null
    days?: number | null
    since?: string | null
  })[]
}
export type AuditEntry = Schemas['AuditView']
export type Backup = Schemas['Backup']
export type BackupDetail = Schemas['BackupDetail']
export type BackupKind = Schemas['BackupKind']
export type BackupState = Schemas['BackupState']
export type BackupTable = Schemas['BackupTable']
export type DeletePlan = Schemas['DeletePlan']
export type Job = Schemas['Job']
export type JobState = Schemas['JobState']
export type JobKind = Schemas['JobKind']
export type Kept = Omit<Schemas['KeptDatabase'], 'sizeBytes'> & {
  kind?: 'database' | 'files'
  sizeBytes?: number | null
  tree?: string | null
  of?: string | null
}
export type LogLine = Schemas['LogLine']
export type Permission = Schemas['Permission']
export type Plan = Schemas['Plan'] & {
  files?: {
    trees: { name: string; to: string; replaces: boolean; files: number; bytes: number; freeBytes: number }[]
  } | null
}
export type Policy = Schemas['Policy']
export type PolicyDefinition = Schemas['PolicyDefinition']
export type ProblemBody = Schemas['Problem']
export type Repository = Schemas['Repository'] & {
  recoveryKit?: { confirmedAt?: string | null }
  growth?: { bytesPerDay: number; freeBytes: number; fullInDays?: number | null } | null
}
export type RepositoryDefinition = Schemas['RepositoryDefinition']
export type RepositoryTest = Schemas['RepositoryTest']
export type RestoreRequest = Schemas['RestoreBody']
export type RestoreBody = Omit<Schemas['RestoreBody'], 'mode' | 'name'> & {
  mode?: 'into' | 'replace' | 'in_place'
  name?: string
  files?: 'none' | 'with' | 'only'
  trees?: string[]
  fileGlobs?: string[]
  filesInto?: string
  readOnly?: boolean
}
export type Role = Schemas['Role']
export type Session = Schemas['SessionView']
export type Settings = Schemas['Settings']
export type Status = Omit<Schemas['Status'], 'apps'> & { apps: AppStatus[] }
export type Target = Schemas['Target']
export type TargetDefinition = Schemas['TargetDefinition']
export type Token = Schemas['TokenView']
export type User = Schemas['UserView']
export type Weekday = Schemas['Weekday']
export type Channel = Schemas['Channel']
export type NoticeKind = Schemas['NoticeKind']

/** A page of a list. */
export interface Page<T> {
  items: T[]
  nextCursor?: string
}
