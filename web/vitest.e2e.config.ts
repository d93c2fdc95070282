import { defineConfig } from 'vitest/config'

/** Tests of the built UI in a browser, against the real binary and a real PostgreSQL. */
export default defineConfig({
  test: {
    include: ['e2e/**/*.e2e.ts'],
    environment: 'node',
    testTimeout: 600_000,
    hookTimeout: 300_000,
    // Each file starts a database server and a browser; one after the other is quick enough.
    fileParallelism: false,
    bail: 1,
  },
})
