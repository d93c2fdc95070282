import { createContext, useContext } from 'react'
import { en, type Texts } from './en.ts'

export type { Texts } from './en.ts'
export type Language = 'en' | 'de'

const KEY = 'pgkeep-language'

/** The language that was chosen, or else the browser's where there is a translation. */
export function preferredLanguage(): Language {
  const chosen = localStorage.getItem(KEY)
  if (chosen === 'en' || chosen === 'de') return chosen
  return navigator.language.startsWith('de') ? 'de' : 'en'
}

export function rememberLanguage(language: Language) {
  localStorage.setItem(KEY, language)
}

/** Waits for what a page is made of, and for its texts. */
export async function withAllTexts<Module>(page: Promise<Module>): Promise<Module> {
  const { pages } = await import('./en-pages.ts')
  Object.assign(en, pages)
  return page
}

/** English is in the first load, as far as the first page needs it; other languages come when they are asked for. */
export async function loadTexts(language: Language): Promise<Texts> {
  if (language === 'de') return (await import('./de.ts')).de
  return en
}

export interface Spoken {
  language: Language
  texts: Texts
  choose(language: Language): void
}

export const LanguageContext = createContext<Spoken>({ language: 'en', texts: en, choose: () => {} })

export function useTexts(): Texts {
  return useContext(LanguageContext).texts
}

/** For numbers and dates: the viewer's own habits where they speak the language, such as `en-GB`. */
export function useLocale(): string {
  const { language } = useContext(LanguageContext)
  return navigator.language.startsWith(language) ? navigator.language : language
}
