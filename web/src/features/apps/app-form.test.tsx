import { MantineProvider } from '@mantine/core'
import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import {
  createMemoryHistory,
  createRootRoute,
  createRoute,
  createRouter,
  RouterProvider,
} from '@tanstack/react-router'
import { fireEvent, render, screen, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import axe from 'axe-core'
import { expect, test, vi } from 'vitest'
import type { AppDefinition } from '../../api/types.ts'
import { server } from '../../testing/server.ts'
import { AppForm } from './app-form.tsx'

/** The form on a page of its own, and what it sends. */
function show() {
  const sent: AppDefinition[] = []
  server.answer = async (request) => {
    if (request.method === 'PUT') {
      sent.push((await request.json()) as AppDefinition)
      return Response.json({ name: 'shop', definition: {}, revision: 1, managedBy: 'api' })
    }
    return Response.json({ items: [{ name: 'main', definition: {} }] })
  }
  const root = createRootRoute()
  const routes = ['/', '/apps/$name'].map((path) =>
    createRoute({
      getParentRoute: () => root,
      path,
      component: path === '/' ? () => <AppForm /> : () => null,
    }),
  )
  const router = createRouter({
    routeTree: root.addChildren(routes),
    history: createMemoryHistory({ initialEntries: ['/'] }),
  })
  const view = render(
    <MantineProvider env="test">
      <QueryClientProvider client={new QueryClient()}>
        <RouterProvider router={router as never} />
      </QueryClientProvider>
    </MantineProvider>,
  )
  return { sent, container: view.container }
}

const fill = (field: HTMLElement, value: string) => fireEvent.change(field, { target: { value } })

test('rows are added, what is wrong keeps the form and is shown where it is, and what is right is sent', async () => {
  const user = userEvent.setup()
  const { sent, container } = show()
  fill(await screen.findByLabelText(/^Name/), 'shop')
  fill(screen.getByLabelText(/^Databases/), 'postgres://db/shop')
  await user.click(screen.getByRole('button', { name: /^Folders of files/ }))
  await user.click(await screen.findByRole('button', { name: 'Add a folder' }))
  const path = screen.getByLabelText('Path')
  expect(path).toHaveFocus()
  expect(path).not.toBeInvalid()
  await user.click(screen.getByRole('button', { name: /^Folders of files/ }))
  await user.click(screen.getByRole('button', { name: 'Save shop' }))
  expect(sent).toEqual([])
  expect(await screen.findByRole('alert')).toHaveTextContent('1 field needs a second look')
  expect(await screen.findByLabelText('Path')).toBeInvalid()

  fill(screen.getByLabelText('Path'), '/srv/media')
  await user.click(screen.getByRole('button', { name: /^Hooks/ }))
  await user.click(await screen.findByRole('button', { name: 'Add a hook' }))
  fill(screen.getByLabelText('Command'), 'flush "all of it"')
  const file = screen.getByRole('group', { name: 'The same as a file' })
  expect(file).toHaveTextContent('command = ["flush", "all of it"]')
  const { violations } = await axe.run(container, { rules: { region: { enabled: false } } })
  expect(violations.map((each) => `${each.id} ${each.nodes[0]?.html}`)).toEqual([])

  await user.click(screen.getByRole('button', { name: 'Save shop' }))
  await vi.waitFor(() => expect(sent).toHaveLength(1))
  expect(sent[0]).toMatchObject({
    databases: ['postgres://db/shop'],
    repository: 'main',
    files: [{ name: 'media', path: '/srv/media' }],
    hooks: [{ on: 'before_backup', command: ['flush', 'all of it'], url: null }],
  })
})

test('what was added can be taken away again', async () => {
  const user = userEvent.setup()
  show()
  await user.click(await screen.findByRole('button', { name: /^Commands/ }))
  await user.click(await screen.findByRole('button', { name: 'Add a variable' }))
  fill(screen.getByLabelText('Variable'), 'MODE')
  const file = screen.getByRole('group', { name: 'The same as a file' })
  expect(within(file).getByText(/environment = \{ MODE = "" \}/)).toBeInTheDocument()
  await user.click(screen.getByRole('button', { name: 'Remove MODE' }))
  expect(screen.queryByLabelText('Variable')).toBeNull()
  expect(screen.getByRole('button', { name: 'Add a variable' })).toHaveFocus()
  expect(file).not.toHaveTextContent('environment')
})
