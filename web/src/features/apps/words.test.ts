import { expect, test } from 'vitest'
import { lineOf, wordsOf } from './words.ts'

test('a line becomes words as a shell would split it, and only quotes mean something', () => {
  const cases: [string, string[] | undefined][] = [
    ['', []],
    ['  manage.py   migrate --noinput ', ['manage.py', 'migrate', '--noinput']],
    [`sh -c 'echo "a b"'`, ['sh', '-c', 'echo "a b"']],
    ['say "a \\"b\\" \\n"', ['say', 'a "b" \\n']],
    ['one\\ word', ['one word']],
    ["a '' b", ['a', '', 'b']],
    ['$HOME | tee', ['$HOME', '|', 'tee']],
    [`it's open`, undefined],
    ['ends in \\', undefined],
  ]
  for (const [line, words] of cases) expect(wordsOf(line), line).toEqual(words)
})

test('what is shown reads as the same words again', () => {
  for (const words of [['a'], ['a b', "it's"], ['', '"', '\\', '$x', 'ü'], ['tab\there', 'line\nbreak']])
    expect(wordsOf(lineOf(words))).toEqual(words)
})
