import { expect, test } from 'vitest'
import type { AppStatus, Status } from '../../api/types.ts'
import { attention } from './attention.ts'

const app = (findings: AppStatus['findings']): AppStatus => ({
  app: 'shop',
  alarm: true,
  backups: 0,
  findings,
  policies: [
    {
      name: 'nightly',
      enabled: true,
      backups: 0,
      retention: '',
      schedule: '',
      lastJob: 'job-1',
      lastState: 'failed',
    },
  ],
  repositories: [],
  score: 40,
  sentence: '',
  state: 'failing',
})

const status = (change: Partial<Status>): Status => ({
  alarm: false,
  apps: [],
  queue: {},
  queuePaused: false,
  sentence: '',
  state: 'ok',
  time: '2026-11-21T12:00:00Z',
  workers: 1,
  ...change,
})

test('each finding leads to what mends it', () => {
  const finding = (state: string, policy?: string) => ({ state, policy, sentence: state, cost: 10 })
  const list = attention(
    status({
      apps: [
        app([
          finding('failing', 'nightly'),
          finding('overdue', 'nightly'),
          finding('proof_stale'),
          finding('unscheduled'),
          finding('damaged'),
          finding('something new'),
        ]),
      ],
    }),
  )
  expect(list.map((each) => each.remedy)).toEqual([
    { act: 'show-job', job: 'job-1' },
    { act: 'back-up', app: 'shop' },
    { act: 'drill', app: 'shop' },
    { act: 'make-policy', app: 'shop' },
    { act: 'show-backups', app: 'shop', state: 'damaged' },
    { act: 'none' },
  ])
})

test('a server that works on nothing comes before all apps', () => {
  const list = attention(status({ workers: 0, queuePaused: true, apps: [app([])] }))
  expect(list.map((each) => each.state)).toEqual(['no_worker', 'queue_paused'])
})

test('nothing is asked of anybody where all is well', () => {
  expect(attention(status({ apps: [app([])] }))).toEqual([])
})
