import { administration } from './de/administration.ts'
import { apps } from './de/apps.ts'
import { policies } from './de/policies.ts'
import { recovery } from './de/recovery.ts'
import { repositories } from './de/repositories.ts'
import { said } from './de/said.ts'
import { shell } from './de/shell.ts'
import { words } from './de/words.ts'
import { work } from './de/work.ts'
import type { Texts } from './en.ts'

/** Alle Texte auf Deutsch. Was der Server in freien Sätzen sagt (Schritte, Gründe, Protokolle), bleibt Englisch. */
export const de: Texts = {
  ...words,
  ...shell,
  said,
  ...work,
  ...recovery,
  ...policies,
  ...apps,
  ...repositories,
  ...administration,
}
