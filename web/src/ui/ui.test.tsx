import { MantineProvider } from '@mantine/core'
import { render, screen, within } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import axe from 'axe-core'
import type { ReactNode } from 'react'
import { expect, test, vi } from 'vitest'
import { ApiProblem } from '../api/problem.ts'
import { may } from '../features/session/session.ts'
import { backupState, healthState, jobState } from '../features/states.ts'
import { de } from '../texts/de.ts'
import { en } from '../texts/en.ts'
import { Confirm } from './confirm.tsx'
import { DataTable } from './data-table.tsx'
import { ProblemPanel } from './problem-panel.tsx'

const show = (content: ReactNode) => render(<MantineProvider env="test">{content}</MantineProvider>)

test('what destroys waits for the exact phrase', async () => {
  const confirmed = vi.fn()
  show(
    <Confirm
      opened
      title="Delete this backup"
      consequence="It is gone for good."
      phrase="6e160c22"
      action="Delete shop 6e160c22"
      onConfirm={confirmed}
      onClose={() => {}}
    />,
  )
  const user = userEvent.setup()
  const dialog = await screen.findByRole('dialog', { name: 'Delete this backup' })
  const button = within(dialog).getByRole('button', { name: 'Delete shop 6e160c22' })
  const field = within(dialog).getByRole('textbox')
  expect(button).toBeDisabled()
  await user.type(field, '6e160c2')
  expect(button).toBeDisabled()
  await user.keyboard('{Enter}')
  expect(confirmed).not.toHaveBeenCalled()
  await user.type(field, '2')
  expect(button).toBeEnabled()
  await user.click(button)
  expect(confirmed).toHaveBeenCalledOnce()
})

test('an error shows what failed, what to do and the number of the request', async () => {
  const retry = vi.fn()
  const problem = new ApiProblem({
    status: 503,
    code: 'no_worker',
    detail: 'no worker is alive',
    hint: 'start one',
    requestId: 'a31c',
    details: ['also: the queue is paused'],
  })
  const { container } = show(<ProblemPanel error={problem} retry={retry} />)
  const alert = screen.getByRole('alert')
  for (const text of ['No worker is alive', 'Start one', 'a31c', 'also: the queue is paused']) {
    expect(alert).toHaveTextContent(text)
  }
  await userEvent.click(screen.getByRole('button', { name: en.problem.tryAgain }))
  expect(retry).toHaveBeenCalledOnce()
  const { violations } = await axe.run(container, { rules: { region: { enabled: false } } })
  expect(violations).toEqual([])
})

test('a table says how it is sorted, and asks for another order', async () => {
  const choose = vi.fn()
  show(
    <DataTable
      label="Backups"
      rows={[{ id: 'a', size: 1 }]}
      rowKey={(row) => row.id}
      sort={{ by: 'time', ascending: false, choose }}
      columns={[
        { key: 'id', title: 'Taken', sort: 'time', cell: (row) => row.id },
        { key: 'size', title: 'Size', sort: 'bytes', cell: (row) => row.size },
        { key: 'plain', title: 'Plain', cell: () => '' },
      ]}
    />,
  )
  expect(screen.getByRole('columnheader', { name: 'Taken' })).toHaveAttribute('aria-sort', 'descending')
  expect(screen.getByRole('columnheader', { name: 'Size' })).not.toHaveAttribute('aria-sort')
  expect(within(screen.getByRole('columnheader', { name: 'Plain' })).queryByRole('button')).toBeNull()
  await userEvent.click(screen.getByRole('button', { name: 'Size' }))
  expect(choose).toHaveBeenCalledWith('bytes')
})

test('stored, checked and proven never look alike, and every state has words', () => {
  const states = (['stored', 'checked', 'proven', 'drill_failed', 'damaged'] as const).map((state) =>
    backupState({ state }, en),
  )
  expect(new Set(states.map((state) => `${state.icon} ${state.words}`)).size).toBe(states.length)
  const doubted = { state: 'proven', shrunk: 'table reviews is not there' } as const
  expect(backupState(doubted, en)).toMatchObject({ tone: 'bad', words: 'Lost content' })
  expect(backupState({ ...doubted, state: 'damaged' }, en).words).toBe('Damaged')
  const job = { held: false, approval: { state: 'not_needed' as const }, cancelRequested: false }
  expect(jobState({ ...job, state: 'queued', held: true }, en).words).toBe('Held')
  expect(jobState({ ...job, state: 'queued', approval: { state: 'needed' } }, en).words).toBe(
    'Waits for approval',
  )
  expect(jobState({ ...job, state: 'running', cancelRequested: true }, en).words).toBe('Stopping')
  expect(healthState('overdue', en)).toMatchObject({ tone: 'warn', icon: 'clock' })
  expect(healthState('something_new', en)).toMatchObject({ tone: 'warn', words: 'something_new' })
})

test('what an account may do comes from its permissions alone', () => {
  expect(may({ permissions: ['view', 'restore'] }, 'restore')).toBe(true)
  expect(may({ permissions: ['view'] }, 'restore')).toBe(false)
  expect(may(undefined, 'view')).toBe(false)
  expect(may(null, 'view')).toBe(false)
})

/** All texts that take no values, by their place. */
function plain(texts: object, place = ''): [string, string][] {
  return Object.entries(texts).flatMap(([key, value]) =>
    typeof value === 'string'
      ? [[`${place}${key}`, value] as [string, string]]
      : typeof value === 'object'
        ? plain(value, `${place}${key}.`)
        : [],
  )
}

test('every text is there in German, too, and is German', () => {
  const english = new Map(plain(en))
  // What the server says in English has no text in English here.
  const german = plain(de).filter(([place]) => !place.startsWith('said.'))
  expect(german.map(([place]) => place).sort()).toEqual([...english.keys()].sort())
  expect(german.every(([, text]) => text.trim() !== '')).toBe(true)
  const same = german.filter(([place, text]) => text.length > 12 && english.get(place) === text)
  // Names, and a word that both languages share.
  expect(same.map(([place]) => place)).toEqual([
    'roles.admin',
    'channels.teams',
    'backups.formats.custom',
    'backups.formats.directory',
  ])
})
