import { expect, test } from 'vitest'
import { backups, login } from './search.ts'

test('after a login only a page of our own is opened', () => {
  const cases: [unknown, string | undefined][] = [
    ['/backups?app=shop', '/backups?app=shop'],
    ['//evil.example.org', undefined],
    ['https://evil.example.org', undefined],
    ['/\\evil.example.org', undefined],
    [['/a'], undefined],
    [undefined, undefined],
  ]
  for (const [next, opened] of cases) expect(login({ next }).next).toBe(opened)
})

test('what does not fit into an address is left out', () => {
  expect(backups({ app: 'shop', ascending: 'yes', pinned: true, text: 7, state: '' })).toEqual({
    app: 'shop',
    pinned: true,
    text: '7',
  })
})
