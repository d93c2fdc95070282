import { expect, test } from 'vitest'
import type { Kept } from '../../api/types.ts'
import { keptTogether } from './kept.tsx'

const item = (name: string, kind: Kept['kind'] = 'database') =>
  ({ name, kind, expired: false, why: '' }) as Kept

test('apps that share a server are told of together, others apart, those with nothing not at all', () => {
  const shared = [item('shop_before_1'), item('blog_before_2')]
  const groups = keptTogether([
    { app: 'blog', kept: shared },
    { app: 'crm', kept: [] },
    { app: 'shop', kept: [...shared].reverse() },
    { app: 'files', kept: [...shared, item('/srv/media_before', 'files')] },
  ])
  expect(groups.map((group) => [group.apps, group.kept.length])).toEqual([
    [['blog', 'shop'], 2],
    [['files'], 3],
  ])
})
