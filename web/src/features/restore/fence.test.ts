import { expect, test } from 'vitest'
import type { AppDefinition } from '../../api/types.ts'
import { en } from '../../texts/en.ts'
import { commandsOf } from './choice.ts'
import { fenceAndHooks } from './fence.ts'

const app: AppDefinition = {
  hooks: [
    { on: 'on_failure', url: 'https://hooks.example.com/***' },
    { on: 'after_swap', command: ['warm', 'the cache'] },
    { on: 'before_restore', command: ['tell'] },
    { on: 'before_backup', command: ['flush'] },
  ],
  fence: { lockDir: '/srv/run', readOnly: true, grace: '10s', pgbouncer: 'env:CONSOLE' },
  commands: { migrate: ['migrate'], check: [] },
}

const said = (mode: 'replace' | 'in_place', definition = app) =>
  fenceAndHooks(definition, { mode }, en).map((line) => [line.words, line.detail])

test('what takes part in a swap is told in its order, and nothing that belongs to backups', () => {
  expect(said('replace')).toEqual([
    ['Before a restore: a command runs', 'tell'],
    ['A lock file tells the app', '/srv/run/.restore.lock'],
    ['The live database refuses writes until the swap', undefined],
    ['Sessions get 10s to end by themselves', undefined],
    ['PgBouncer is paused for the swap', undefined],
    ['After the swap: a command runs', "warm 'the cache'"],
    ['When something fails: an address is called', 'https://hooks.example.com/***'],
  ])
})

test('a restore in place swaps nothing, so nothing of a swap is told', () => {
  expect(said('in_place').map(([words]) => words)).toEqual([
    'Before a restore: a command runs',
    'A lock file tells the app',
    'When something fails: an address is called',
  ])
  expect(said('replace', {})).toEqual([])
})

test('only commands that the app has are offered', () => {
  expect(commandsOf(app)).toEqual({ migrate: true, check: false })
  expect(commandsOf(undefined)).toEqual({ migrate: false, check: false })
})
