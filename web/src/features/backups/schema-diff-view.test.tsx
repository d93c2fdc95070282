import { MantineProvider } from '@mantine/core'
import { render, screen } from '@testing-library/react'
import userEvent from '@testing-library/user-event'
import axe from 'axe-core'
import { expect, test } from 'vitest'
import { sideBySide } from './schema-diff.ts'
import { Objects } from './schema-diff.tsx'

const show = (marked: string) =>
  render(
    <MantineProvider env="test">
      <h2>Schema</h2>
      <Objects
        label="Schema of shop"
        objects={[{ change: 'changed', title: 'table public.orders', lines: sideBySide(marked, '', '') }]}
      />
    </MantineProvider>,
  )

test('a change is said in words and signs, in both layouts, and what is folded opens', async () => {
  const user = userEvent.setup()
  const { container } = show(`${' same\n'.repeat(9)}-old\n+new\n`)
  const diff = screen.getByRole('group', { name: 'Schema of shop' })
  expect(screen.getByText('0 added, 0 removed, 1 changed')).toBeVisible()
  const read = () => diff.textContent?.replaceAll(/\s+/g, ' ')
  expect(read()).toContain('−Removedold')
  expect(read()).toContain('+Addednew')
  const { violations } = await axe.run(container, { rules: { region: { enabled: false } } })
  expect(violations.map((each) => `${each.id} ${each.nodes[0]?.html}`)).toEqual([])
  await user.click(screen.getByRole('radio', { name: 'One below the other' }))
  expect(read()).toMatch(/−Removedold.*\+Addednew/)
  expect(read()?.match(/same/g)).toHaveLength(3 + 1)
  await user.click(screen.getByRole('button', { name: 'Show 6 lines that are the same' }))
  expect(read()?.match(/same/g)).toHaveLength(9)
})

test('of a long comparison only what is seen is drawn', () => {
  show('+line\n'.repeat(20_000))
  const drawn = screen.queryAllByText('line').length
  expect(drawn).toBeLessThan(500)
})
