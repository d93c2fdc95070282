/** Headers that keep two people from overwriting each other: what is changed must be what was seen. */
export function expecting(
  revision: number | undefined,
): { 'If-Match': string } | { 'If-None-Match': string } {
  return revision === undefined ? { 'If-None-Match': '*' } : { 'If-Match': `"${revision}"` }
}

/** One entry a line or comma. */
export function entries(text: string): string[] {
  return text
    .split(/[\n,]/)
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
}

/** One entry a line, commas included. */
export function lines(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
}
