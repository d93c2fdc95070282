import { expect, test } from 'vitest'
import type { Job } from '../../api/types.ts'
import { replacedBy } from '../restore/undo-button.tsx'
import { lostOf, restoreReport } from './reports.ts'

const tree = {
  name: 'media',
  to: '/srv/media',
  kept_as: '/srv/media_before',
  files: 3,
  bytes: 9,
  proven: true,
  owners: false,
  odd: [{ path: 'a/b', reason: 'no such owner' }],
}
const of = (result: unknown, kind: Job['kind'] = 'restore') =>
  restoreReport({ kind, result: result as Job['result'] })

test('files are found beside the database, and where they came back alone', () => {
  const both = of({ database: 'shop', backup: '1a', kept_as: 'shop_before', files: { trees: [tree] } })
  expect(both?.database).toBe('shop')
  expect(both?.trees).toEqual([
    {
      name: 'media',
      to: '/srv/media',
      keptAs: '/srv/media_before',
      files: 3,
      bytes: 9,
      proven: true,
      owners: false,
      odd: ['a/b: no such owner'],
    },
  ])
  expect(replacedBy(both)).toEqual([
    { name: 'shop', keptAs: 'shop_before' },
    { name: 'media', keptAs: '/srv/media_before' },
  ])
  const alone = of({ backup: '1a', seconds: 2, trees: [{ ...tree, kept_as: null }] })
  expect(alone).toMatchObject({ database: undefined, totalSeconds: 2 })
  expect(replacedBy(alone)).toEqual([])
})

test('what reports neither is no report', () => {
  expect(of({ backup: '1a' })).toBeUndefined()
  expect(of(null)).toBeUndefined()
  expect(of({ database: 'shop' })?.trees).toEqual([])
  expect(of({ database: 'shop' }, 'backup')).toBeUndefined()
})

test('what a backup lost is read of backups alone', () => {
  const result = {
    id: '1a',
    shrunk: { since: '0f', reasons: ['table reviews is not there'] },
  } as unknown as Job['result']
  expect(lostOf({ kind: 'backup', result })).toEqual(['table reviews is not there'])
  expect(lostOf({ kind: 'drill', result })).toEqual([])
  expect(lostOf({ kind: 'backup', result: { id: '1a' } as unknown as Job['result'] })).toEqual([])
})
