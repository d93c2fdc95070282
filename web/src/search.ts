/** What addresses carry after the question mark. Whatever does not fit is left out, never an error. */

type Raw = Record<string, unknown>

function text(raw: Raw, name: string): string | undefined {
  const value = raw[name]
  if (typeof value === 'number') return String(value)
  return typeof value === 'string' && value !== '' ? value : undefined
}

function flag(raw: Raw, name: string): true | undefined {
  return raw[name] === true || raw[name] === 'true' ? true : undefined
}

export interface LoginSearch {
  next?: string
  /** Somebody was logged in until now. */
  ended?: true
  /** Code of the problem with which a login at the identity provider came back. */
  refused?: string
}

export function login(raw: Raw): LoginSearch {
  const next = text(raw, 'next')
  // Only a place of our own: never another site.
  const ours = next?.startsWith('/') && !next.startsWith('//') && !next.includes('\\')
  return { next: ours ? next : undefined, ended: flag(raw, 'ended'), refused: text(raw, 'refused') }
}

export interface BackupsSearch {
  app?: string
  state?: string
  kind?: string
  policy?: string
  text?: string
  sort?: string
  ascending?: true
  pinned?: true
}

export function backups(raw: Raw): BackupsSearch {
  return {
    app: text(raw, 'app'),
    state: text(raw, 'state'),
    kind: text(raw, 'kind'),
    policy: text(raw, 'policy'),
    text: text(raw, 'text'),
    sort: text(raw, 'sort'),
    ascending: flag(raw, 'ascending'),
    pinned: flag(raw, 'pinned'),
  }
}

export function compare(raw: Raw): { from?: string; to?: string } {
  return { from: text(raw, 'from'), to: text(raw, 'to') }
}

export function backup(raw: Raw): { repository?: string } {
  return { repository: text(raw, 'repository') }
}

export function restore(raw: Raw): { repository?: string; job?: string; table?: string } {
  return { repository: text(raw, 'repository'), job: text(raw, 'job'), table: text(raw, 'table') }
}

export interface JobsSearch {
  state?: string
  kind?: string
  app?: string
  policy?: string
  text?: string
}

export function jobs(raw: Raw): JobsSearch {
  return {
    state: text(raw, 'state'),
    kind: text(raw, 'kind'),
    app: text(raw, 'app'),
    policy: text(raw, 'policy'),
    text: text(raw, 'text'),
  }
}

export function newPolicy(raw: Raw): { app?: string } {
  return { app: text(raw, 'app') }
}

export function audit(raw: Raw): { actor?: string; action?: string; object?: string; result?: string } {
  return {
    actor: text(raw, 'actor'),
    action: text(raw, 'action'),
    object: text(raw, 'object'),
    result: text(raw, 'result'),
  }
}
