import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Plugin } from 'vite'

/** The classes that a stylesheet of the library styles, as its components name them. */
const CLASSES = /\bm_[0-9a-f]{6,8}\b/g

/** Fails the build where a component of the library is used whose styles `src/mantine.css` does not import. */
export function libraryStyles(): Plugin {
  let root = ''
  return {
    name: 'library-styles',
    apply: 'build',
    configResolved(config) {
      root = config.root
    },
    generateBundle(_, bundle) {
      const used = new Set<string>()
      for (const chunk of Object.values(bundle)) {
        if (chunk.type === 'chunk') for (const [name] of chunk.code.matchAll(CLASSES)) used.add(name)
      }
      const imported = readFileSync(join(root, 'src/mantine.css'), 'utf8')
      const folder = join(root, 'node_modules/@mantine/core/styles')
      for (const file of readdirSync(folder)) {
        if (!file.endsWith('.css') || file.endsWith('.layer.css') || imported.includes(`/${file}"`)) continue
        const styled = readFileSync(join(folder, file), 'utf8').match(CLASSES) ?? []
        if (styled.some((name) => used.has(name))) this.error(`src/mantine.css has to import ${file}`)
      }
    },
  }
}
