import { MantineProvider } from '@mantine/core'
import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import {
  createMemoryHistory,
  createRootRoute,
  createRoute,
  createRouter,
  RouterProvider,
} from '@tanstack/react-router'
import { render, screen, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import axe from 'axe-core'
import { expect, test, vi } from 'vitest'
import type { Backup, BackupDetail, Permission } from '../../api/types.ts'
import { server } from '../../testing/server.ts'
import { AcceptButton } from './accept-button.tsx'
import { DoubtNote } from './doubt-note.tsx'

/** A slow machine is no fault. */
const SOON = { timeout: 30_000 }
const REASONS = [
  'table public.reviews of shop holds 0 rows; the backup before held 40,000',
  'folder media holds no file',
]
const backup = {
  id: 'f'.repeat(64),
  repository: 'main',
  app: 'shop',
  time: '2026-01-02T02:00:00Z',
  databases: ['shop'],
  files: ['media'],
  shrunk: REASONS.join('; '),
  revision: 7,
} as Backup as BackupDetail

/** A page with that on it, for an account with these permissions; what it sent. */
function show(content: React.ReactNode, permissions: Permission[], newer: Partial<Backup>[] = []) {
  const sent: { path: string; match: string | null; body: unknown }[] = []
  server.answer = async (request) => {
    const { pathname, search } = new URL(request.url)
    if (request.method === 'PATCH') {
      sent.push({
        path: pathname + search,
        match: request.headers.get('if-match'),
        body: await request.json(),
      })
      return Response.json({ ...backup, shrunk: undefined })
    }
    if (pathname.endsWith('/manifest'))
      return Response.json({ shrunk: { since: 'e'.repeat(64), reasons: REASONS } })
    const far = { ...backup, id: 'a'.repeat(64), repository: 'far', revision: 2 }
    const older = { ...backup, id: 'b'.repeat(64), time: '2026-01-01T02:00:00Z' }
    const later = newer.map((change) => ({
      ...backup,
      id: 'c'.repeat(64),
      time: '2026-01-03T02:00:00Z',
      ...change,
    }))
    return Response.json({ items: [...later, backup, far, older] })
  }
  const client = new QueryClient()
  client.setQueryData(['session'], { permissions })
  const root = createRootRoute()
  const routes = ['/', '/backups/$id', '/backups/compare'].map((path) =>
    createRoute({ getParentRoute: () => root, path, component: () => (path === '/' ? content : null) }),
  )
  const router = createRouter({
    routeTree: root.addChildren(routes),
    history: createMemoryHistory({ initialEntries: ['/'] }),
  })
  const { container } = render(
    <MantineProvider env="test">
      <QueryClientProvider client={client}>
        <RouterProvider router={router as never} />
      </QueryClientProvider>
    </MantineProvider>,
  )
  return { sent, container }
}

test('a viewer reads what is gone and who can accept it, and is offered no button', async () => {
  const { container } = show(<DoubtNote backup={backup} />, ['view'])
  expect(await screen.findByText(/Table public.reviews of shop holds 0 rows/)).toBeVisible()
  expect(await screen.findByText(/Folder media holds no file/)).toBeVisible()
  expect(screen.getByText(/Whoever may start backups can accept it/)).toBeVisible()
  expect(screen.queryByRole('button')).toBeNull()
  const compare = screen.getByRole('link', { name: 'Compare with the backup before' })
  expect(compare.getAttribute('href')).toMatch(/^\/backups\/compare\?from=e+&to=f+$/)
  const { violations } = await axe.run(container, { rules: { region: { enabled: false } } })
  expect(violations.map((each) => each.id)).toEqual([])
})

test('where a later backup holds it again, nothing is left to accept', async () => {
  show(<DoubtNote backup={backup} />, ['view', 'operate'], [{ shrunk: undefined }])
  expect(await screen.findByText(/Nothing waits for this one any more/)).toBeVisible()
  expect(screen.queryByRole('button', { name: 'Accept the loss' })).toBeNull()
})

test('accepting a backup says what is gone first, and marks that revision of that copy', async () => {
  const user = userEvent.setup()
  const { sent } = show(<DoubtNote backup={backup} />, ['view', 'operate'])
  await user.click(await screen.findByRole('button', { name: 'Accept the loss' }))
  const dialog = await screen.findByRole('dialog')
  expect(await within(dialog).findByText(/Folder media holds no file/)).toBeInTheDocument()
  expect(within(dialog).getByText('pgkeep tag ffffffff --add accepted --repo main')).toBeInTheDocument()
  expect(sent).toEqual([])
  await user.click(within(dialog).getByRole('button', { name: 'Accept the loss' }))
  await vi.waitFor(() => expect(sent).toHaveLength(1), SOON)
  expect(sent[0]).toEqual({
    path: `/api/v1/backups/${'f'.repeat(64)}?repository=main`,
    match: '"7"',
    body: { addTags: ['accepted'] },
  })
})

test('from the overview all that is in doubt is accepted, once for each repository', async () => {
  const user = userEvent.setup()
  const { sent } = show(<AcceptButton app="shop" />, ['view', 'operate'])
  await user.click(await screen.findByRole('button', { name: 'Accept the loss' }))
  const dialog = await screen.findByRole('dialog')
  expect(await within(dialog).findByText('Backup aaaaaaaa')).toBeInTheDocument()
  expect(within(dialog).queryByText('Backup bbbbbbbb')).toBeNull()
  await user.click(within(dialog).getByRole('button', { name: 'Accept the loss' }))
  await vi.waitFor(() => expect(sent).toHaveLength(2), SOON)
  expect(sent.map((each) => [each.path.split('?')[1], each.match])).toEqual([
    ['repository=main', '"7"'],
    ['repository=far', '"2"'],
  ])
})
