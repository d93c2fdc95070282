import { expect, test } from 'vitest'
import { manifestFacts } from './manifest-facts.ts'

test('files, version and migrations are read from a manifest', () => {
  const facts = manifestFacts({
    application: { version: '2.4.1', runtime: { django: '5.2' } },
    files: [{ name: 'media', source: '/srv/media', files: 12, bytes: 4096 }],
    databases: [
      {
        name: 'shop',
        migrations: [
          {
            framework: 'django',
            unfinished: ['0009_half'],
            applied: {
              orders: [
                { name: '0002_b', applied_at: '2026-11-20T00:00:00Z' },
                { name: '0001_a', applied_at: '2026-11-21T00:00:00Z' },
              ],
            },
          },
        ],
      },
    ],
  })
  expect(facts).toEqual({
    appVersion: '2.4.1',
    runtime: ['django 5.2'],
    files: [{ name: 'media', source: '/srv/media', files: 12, bytes: 4096 }],
    migrations: [
      { database: 'shop', framework: 'django', applied: 2, latest: '0001_a', unfinished: ['0009_half'] },
    ],
  })
})

test('a manifest without them, or none at all, says nothing', () => {
  const nothing = { appVersion: undefined, runtime: [], files: [], migrations: [] }
  expect(manifestFacts({ databases: [{ name: 'shop' }] })).toEqual(nothing)
  expect(manifestFacts(null)).toEqual(nothing)
})

test('what a backup lacks is there only where it lacks something', () => {
  const shrunk = { since: '0f', time: '2026-01-01T00:00:00Z', reasons: ['table a is not there', 'and b'] }
  expect(manifestFacts({ shrunk }).shrunk).toEqual({ since: '0f', reasons: shrunk.reasons })
  expect(manifestFacts({ shrunk: null })).not.toHaveProperty('shrunk')
})
