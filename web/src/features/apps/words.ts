/** A command as people type it, and the list of words that pgkeep runs. No shell takes part: only quotes mean something. */

import { word } from '../../commands.ts'

/** The words of a line; `undefined` while a quote is open. */
export function wordsOf(line: string): string[] | undefined {
  const words: string[] = []
  let current: string | undefined
  let quote: '"' | "'" | undefined
  const text = [...line.trim()]
  for (let at = 0; at < text.length; at += 1) {
    const sign = text[at] as string
    if (quote === undefined && /\s/.test(sign)) {
      if (current !== undefined) words.push(current)
      current = undefined
      continue
    }
    current ??= ''
    if (quote === undefined && (sign === '"' || sign === "'")) quote = sign
    else if (sign === quote) quote = undefined
    else if (sign === '\\' && quote !== "'") {
      at += 1
      if (text[at] === undefined) return undefined
      // Between double quotes a backslash is itself, but for what would end them.
      if (quote === '"' && text[at] !== '"' && text[at] !== '\\') current += '\\'
      current += text[at]
    } else current += sign
  }
  if (quote !== undefined) return undefined
  if (current !== undefined) words.push(current)
  return words
}

/** A line that reads as exactly these words again. */
export function lineOf(words: string[] | undefined): string {
  return (words ?? []).map(word).join(' ')
}
