import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'
import { compress } from './build/compress.ts'
import { libraryStyles } from './build/library-styles.ts'

export default defineConfig({
  plugins: [react(), libraryStyles(), compress()],
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    // Inlined files would need `data:` in the content security policy.
    assetsInlineLimit: 0,
    sourcemap: false,
  },
  server: {
    proxy: { '/api': process.env.PGKEEP_SERVER ?? 'http://127.0.0.1:8321' },
  },
  test: {
    environment: 'jsdom',
    setupFiles: ['src/testing/setup.ts'],
    include: ['src/**/*.test.{ts,tsx}'],
    css: false,
    // A slow machine is no fault.
    testTimeout: 60_000,
  },
})
