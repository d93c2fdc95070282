import type { PolicyDefinition } from '../../api/types.ts'
import type { Texts } from '../../texts/index.ts'

/** When a policy runs, in the reader's language; `words` are the server's, in English. */
export function scheduleWords(schedule: PolicyDefinition['schedule'], words: string, t: Texts): string {
  return t.said.schedule?.(schedule ?? {}) ?? words
}

/** What a policy keeps, in the reader's language; `words` are the server's, in English. */
export function retentionWords(retention: PolicyDefinition['retention'], words: string, t: Texts): string {
  return t.said.retention?.(retention ?? {}) ?? words
}
