import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import type { Plugin } from 'vite'

/** Below this a compressed twin saves nothing worth a second file. */
const SMALLEST_BYTES = 1024

/** Leaves `name.br` and `name.gz` beside each asset, for the server to choose from. */
export function compress(): Plugin {
  let assets = ''
  return {
    name: 'compress',
    apply: 'build',
    configResolved(config) {
      assets = join(config.root, config.build.outDir, config.build.assetsDir)
    },
    closeBundle() {
      for (const name of readdirSync(assets)) {
        const path = join(assets, name)
        const bytes = readFileSync(path)
        if (bytes.length < SMALLEST_BYTES || !/\.(js|css|svg)$/.test(name)) continue
        writeFileSync(`${path}.gz`, gzipSync(bytes, { level: 9 }))
        writeFileSync(
          `${path}.br`,
          brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }),
        )
      }
    },
  }
}
