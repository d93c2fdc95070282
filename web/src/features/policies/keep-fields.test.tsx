import { MantineProvider } from '@mantine/core'
import { render, screen } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import { useState } from 'react'
import { expect, test } from 'vitest'
import { type Draft, definitionOf, emptyDraft } from './draft.ts'
import { Keep } from './keep-fields.tsx'

/** The fields on their own, and what would be sent. */
function show(begin: Partial<Draft> = {}) {
  const held: { draft: Draft } = { draft: { ...emptyDraft('shop', ''), ...begin } }
  function Form() {
    const [draft, setDraft] = useState(held.draft)
    held.draft = draft
    return <Keep draft={draft} change={(part) => setDraft((before) => ({ ...before, ...part }))} />
  }
  render(
    <MantineProvider env="test">
      <Form />
    </MantineProvider>,
  )
  return { retention: () => definitionOf(held.draft).retention }
}

test('the ready choice fills the counts and leaves nothing else to limit them', async () => {
  const user = userEvent.setup()
  const { retention } = show({ keepMost: '20', keepHourly: '24' })
  const choice = screen.getByRole('button', { name: '7 daily, 4 weekly, 12 monthly' })
  expect(choice).toHaveAttribute('aria-pressed', 'false')
  choice.focus()
  await user.keyboard('{Enter}')
  expect(choice).toHaveAttribute('aria-pressed', 'true')
  expect(screen.getByLabelText('Weekly')).toHaveValue('4')
  expect(retention()).toMatchObject({
    days: null,
    maxBackups: null,
    keep: { hourly: 0, daily: 7, weekly: 4, monthly: 12, yearly: 0 },
  })
})

test('a number of one’s own makes it another choice, which is said', async () => {
  const user = userEvent.setup()
  const { retention } = show()
  expect(screen.getByRole('button', { name: '30 days', pressed: true })).toBeVisible()
  await user.clear(screen.getByLabelText('For so many days'))
  expect(screen.getByRole('button', { name: 'Everything', pressed: true })).toBeVisible()
  await user.type(screen.getByLabelText('Yearly'), '3')
  expect(screen.queryByRole('button', { pressed: true })).toBeNull()
  expect(retention()).toMatchObject({ days: null, keep: { yearly: 3 } })
})
