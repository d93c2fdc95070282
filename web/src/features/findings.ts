/** What the server finds wrong, in the reader's language. */
import type { AppStatus } from '../api/types.ts'
import type { Texts } from '../texts/index.ts'
import { sentence } from '../ui/prose.tsx'

/** What a sentence is about. */
export interface Subject {
  state: string
  /** As the server says it, in English. */
  sentence: string
  app?: string
  policy?: string | null
  repository?: string | null
  days?: number | null
}

/** What the server says of these is no more than what the translation says. */
const SAID_WHOLE = ['no_backup', 'unscheduled', 'unproven', 'no_recovery_kit']

/** The sentence, and what the server says in English where that is another one and may tell more. */
export function findingWords(subject: Subject, t: Texts): { sentence: string; original?: string } {
  const translated = t.said.findings[subject.state]?.({
    app: subject.app ?? '',
    policy: subject.policy ?? undefined,
    repository: subject.repository ?? '',
    days: subject.days ?? undefined,
  })
  if (translated === undefined) return { sentence: sentence(subject.sentence, subject.app) }
  return SAID_WHOLE.includes(subject.state)
    ? { sentence: translated }
    : { sentence: translated, original: subject.sentence }
}

/** The worst about an app in a few words; the reason, which may be long, stands with the finding. */
export function worstWords(app: AppStatus, t: Texts): string {
  const worst = app.findings[0]
  const said = app.state === 'failing' ? app.sentence.split(': ', 1)[0] : app.sentence
  return findingWords({ ...worst, state: app.state, sentence: said ?? '', app: app.app }, t).sentence
}
