import { type AppDraft, treeName } from './draft.ts'
import { wordsOf } from './words.ts'

/** What is wrong with a field of the form; the words are the language's. */
export type Fault =
  | 'missing'
  | 'notAbsolute'
  | 'taken'
  | 'openQuote'
  | 'duration'
  | 'size'
  | 'percent'
  | 'address'
  | 'variable'

export type Faults = Map<string, Fault>

const DURATION = /^(0|(\d+[smhdw])+)$/
const SIZE = /^[1-9]\d*\s*([kmg]i?)?b?$/i
const VARIABLE = /^[A-Za-z_]\w*$/

/** What the server or a later run would refuse, by field: `directory`, `trees.0.path`. */
export function faultsOf(draft: AppDraft): Faults {
  const faults: Faults = new Map()
  const say = (field: string, fault: Fault | undefined) => {
    if (fault !== undefined && !faults.has(field)) faults.set(field, fault)
  }
  treeFaults(draft, say)
  if (draft.framework === 'query') say('migrationsQuery', filled(draft.migrationsQuery))
  say('code', path(draft.code))
  say('directory', path(draft.directory))
  for (const field of ['migrationsCommand', 'migrate', 'migrateCheck', 'version', 'runtime'] as const)
    say(field, quotes(draft[field]))
  for (const line of draft.checks.split('\n')) say('checks', quotes(line))
  say('versionFile', path(draft.versionFile))
  say('versionEnv', variable(draft.versionEnv))
  say('urlVariable', variable(draft.urlVariable))
  draft.variables.forEach((each, at) => {
    const name = each.name.trim()
    say(`variables.${at}`, filled(name) ?? variable(name))
    if (draft.variables.findIndex((other) => other.name.trim() === name) < at) say(`variables.${at}`, 'taken')
  })
  say('commandTimeout', duration(draft.commandTimeout))
  say('lockDir', path(draft.lockDir))
  say('grace', duration(draft.grace))
  draft.hooks.forEach((hook, at) => {
    if (hook.does === 'command') say(`hooks.${at}.command`, filled(hook.command) ?? quotes(hook.command))
    else say(`hooks.${at}.url`, filled(hook.url) ?? address(hook.url))
    say(`hooks.${at}.timeout`, duration(hook.timeout))
  })
  say('every', duration(draft.every))
  say('objective', duration(draft.objective))
  if (draft.leaveFree.trim() !== '' && !SIZE.test(draft.leaveFree.trim())) say('leaveFree', 'size')
  if (draft.maxLoad.trim() !== '' && !/^[1-9]\d{0,4}$/.test(draft.maxLoad.trim())) say('maxLoad', 'percent')
  return faults
}

function treeFaults(draft: AppDraft, say: (field: string, fault: Fault | undefined) => void) {
  const names = draft.trees.map(treeName)
  draft.trees.forEach((tree, at) => {
    say(`trees.${at}.path`, filled(tree.path) ?? path(tree.path))
    if (names[at] !== '' && names.indexOf(names[at] ?? '') < at) say(`trees.${at}.name`, 'taken')
  })
}

const filled = (text: string): Fault | undefined => (text.trim() === '' ? 'missing' : undefined)
const path = (text: string): Fault | undefined =>
  text.trim() === '' || text.trim().startsWith('/') ? undefined : 'notAbsolute'
const quotes = (line: string): Fault | undefined => (wordsOf(line) === undefined ? 'openQuote' : undefined)
const duration = (text: string): Fault | undefined =>
  text.trim() === '' || DURATION.test(text.trim()) ? undefined : 'duration'
const variable = (text: string): Fault | undefined =>
  text.trim() === '' || VARIABLE.test(text.trim()) ? undefined : 'variable'
const address = (text: string): Fault | undefined =>
  /^(https?:\/\/|env:|file:)\S+$/.test(text.trim()) ? undefined : 'address'
