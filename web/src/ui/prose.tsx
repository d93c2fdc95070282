import { Code } from '@mantine/core'

/** What the server says, as a sentence: it begins large, and what stands in backquotes can be told from the words. */
export function Prose({ text, name }: { text: string; name?: string }) {
  const parts = sentence(text, name).split('`')
  // A part between two backquotes has an odd number; a single one is left as it is.
  if (parts.length % 2 === 0) return sentence(text, name)
  return parts.map((part, index) =>
    // biome-ignore lint/suspicious/noArrayIndexKey: the parts of one text never change places
    index % 2 === 1 ? <Code key={index}>{part}</Code> : part,
  )
}

/** Begins with a capital letter, unless the first word is a name of its own, such as that of an app. */
export function sentence(text: string, name?: string): string {
  if (name && text.startsWith(`${name} `)) return text
  // Paths, commands and names with a mark in them are no words.
  return /^[a-z]+[ ,:;]/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text
}
