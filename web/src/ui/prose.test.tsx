import { MantineProvider } from '@mantine/core'
import { render } from '@testing-library/react'
import { expect, test } from 'vitest'
import { Prose, sentence } from './prose.tsx'

test('a sentence begins large, a name stays as it is', () => {
  const cases: [string, string | undefined, string][] = [
    ['policy nightly of shop failed', 'shop', 'Policy nightly of shop failed'],
    ['shop has no good backup', 'shop', 'shop has no good backup'],
    ['pg_dump is missing', undefined, 'pg_dump is missing'],
    ['/srv/backups is full', undefined, '/srv/backups is full'],
    ['', undefined, ''],
  ]
  for (const [text, name, said] of cases) expect(sentence(text, name)).toBe(said)
})

test('commands in backquotes are shown as such, and a lone backquote is no command', () => {
  const show = (text: string) =>
    render(
      <MantineProvider>
        <p>
          <Prose text={text} />
        </p>
      </MantineProvider>,
    ).container
  const told = show('check the address, or make one with `pgkeep init`')
  expect(told.querySelector('code')?.textContent).toBe('pgkeep init')
  expect(told.querySelector('p')?.textContent).toBe('Check the address, or make one with pgkeep init')
  expect(show('it is a ` here').querySelector('code')).toBeNull()
})
