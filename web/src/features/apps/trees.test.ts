import { expect, test } from 'vitest'
import { readTrees, treesText } from './trees.ts'

test('folders are read a line each, and keep what the lines do not say', () => {
  const before = [{ name: 'media', path: '/srv/media', exclude: ['*.tmp'], oneFileSystem: true }]
  expect(treesText(before)).toBe('media=/srv/media')
  expect(readTrees('media=/srv/shop/media\n\n /srv/uploads/ ', before)).toEqual([
    { name: 'media', path: '/srv/shop/media', exclude: ['*.tmp'], oneFileSystem: true },
    { name: 'uploads', path: '/srv/uploads/' },
  ])
  expect(readTrees('', before)).toEqual([])
})
