import type { AppDefinition } from '../../api/types.ts'

type Tree = NonNullable<AppDefinition['files']>[number]

/** One folder a line, as `name=path`. */
export function treesText(trees: Tree[] | undefined): string {
  return (trees ?? []).map((tree) => `${tree.name}=${tree.path}`).join('\n')
}

/** Reads the lines; a folder without a name is called as its last part. What a line does not say of a known folder stays. */
export function readTrees(text: string, before: Tree[] | undefined): Tree[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .map((line) => {
      const at = line.indexOf('=')
      const path = at < 0 ? line : line.slice(at + 1).trim()
      const name = at < 0 ? (path.split('/').filter(Boolean).at(-1) ?? '') : line.slice(0, at).trim()
      return { ...before?.find((tree) => tree.name === name), name, path }
    })
}
