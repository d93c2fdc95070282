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
          finding('overdue'),
          finding('proof_stale'),
          finding('unscheduled'),
          finding('damaged'),
          finding('shrunk'),
          finding('something new'),
        ]),
      ],
    }),
  )
  expect(list.map((each) => each.remedy)).toEqual([
    { act: 'show-job', job: 'job-1' },
    { act: 'back-up', app: 'shop' },
    { act: 'make-policy', app: 'shop' },
    { act: 'drill', app: 'shop' },
    { act: 'make-policy', app: 'shop' },
    { act: 'show-backups', app: 'shop', state: 'damaged' },
    { act: 'accept-loss', app: 'shop' },
    { act: 'none' },
  ])
})

test('a repository is looked after once, however many apps keep their backups there', () => {
  const about = (state: string, repository: string, days?: number) => ({
    state,
    repository,
    days,
    sentence: `${state} ${repository}`,
    cost: 0,
  })
  const both = [about('storage_filling', 'main', 3), about('no_recovery_kit', 'main')]
  const list = attention(
    status({ apps: [app([about('offsite_behind', 'far'), ...both]), { ...app(both), app: 'blog' }] }),
  )
  expect(list.map((each) => [each.app, each.repository, each.remedy])).toEqual([
    ['shop', 'far', { act: 'show-repository', repository: 'far' }],
    [undefined, 'main', { act: 'make-room', repository: 'main' }],
    [undefined, 'main', { act: 'keep-kit', repository: 'main' }],
  ])
  expect(new Set(list.map((each) => each.key)).size).toBe(3)
})

test('what must be done now comes first, hints come last', () => {
  const finding = (state: string, alarm: boolean) => ({
    state,
    alarm,
    repository: 'main',
    sentence: state,
    cost: 0,
  })
  const list = attention(
    status({
      apps: [
        app([finding('no_recovery_kit', false), finding('overdue', false)]),
        { ...app([finding('storage_filling', true), finding('unproven', false)]), app: 'blog' },
      ],
    }),
  )
  expect(list.map((each) => each.state)).toEqual([
    'storage_filling',
    'overdue',
    'unproven',
    'no_recovery_kit',
  ])
})

test('a server that works on nothing comes before all apps', () => {
  const list = attention(status({ workers: 0, queuePaused: true, apps: [app([])] }))
  expect(list.map((each) => each.state)).toEqual(['no_worker', 'queue_paused'])
})

test('nothing is asked of anybody where all is well', () => {
  expect(attention(status({ apps: [app([])] }))).toEqual([])
})
