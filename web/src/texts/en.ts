/**
 * All texts of the UI in English, a file for each group of pages. `Texts` is what every language must have.
 *
 * The groups here are those of the first load: login, overview, and what stands around every page. The others are put together
 * in `en-pages.ts` and come with the first page that is opened.
 */
import { said } from './en/said.ts'
import { shell } from './en/shell.ts'
import { words } from './en/words.ts'
import { work } from './en/work.ts'
import type { pages } from './en-pages.ts'

const first = { ...words, ...shell, said, ...work }

export type Texts = typeof first & typeof pages

/** Whole once `withAllTexts` has loaded the rest; nothing of the first load says anything else. */
export const en = first as Texts
