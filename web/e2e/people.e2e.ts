/** Who comes without a mouse, who logs in somewhere else, and two who must agree; and a server that goes while it works. */
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { Keyboard } from './keyboard.ts'
import { CLIENT, Provider } from './provider.ts'
import { LASTING_MS, logIn, PASSWORD, SCREENS, Scene } from './scene.ts'

let scene: Scene
let provider: Provider
beforeAll(async () => {
  scene = await Scene.start('populated')
  await scene.administrator()
  provider = await Provider.start(`${scene.url}/api/v1/session/oidc/callback`)
  await provider.people({
    's-olga': { preferred_username: 'olga', groups: ['staff', 'seconds'] },
    's-eve': { preferred_username: 'eve', groups: ['visitors'] },
  })
})
afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') await scene?.keepPictures(task.name.replace(/\W+/g, '-'))
})
afterAll(async () => {
  provider?.stop()
  await scene?.stop()
})

const PHRASE = 'I understand this will irreversibly overwrite data'

/** The newest whole backup of the shop. */
async function newest(): Promise<string> {
  const answer = await scene.ask('GET', '/backups?app=shop&kind=full')
  const { items } = (await answer.json()) as { items: { id: string }[] }
  return items[0]?.id ?? ''
}

test('a backup, a restore by the wizard and its undo need no mouse', async () => {
  const { page, context, faults } = await scene.window()
  const keys = new Keyboard(page)
  const heading = (name: string | RegExp) => page.getByRole('heading', { level: 1, name })
  const state = (words: string) => page.locator('[role="status"]').getByText(words, { exact: true }).first()
  await page.goto('/')
  await heading('Log in')
    .or(page.getByRole('heading', { name: 'Log in' }))
    .first()
    .waitFor()
  // The first field has the focus already.
  await page.keyboard.type('ann')
  await keys.to('textbox', 'Password')
  await page.keyboard.type(PASSWORD)
  await page.keyboard.press('Enter')
  await heading('Overview').waitFor()

  // What stands around every page is skipped in one step, after which the page itself has the focus.
  await page.goto('/')
  await heading('Overview').waitFor()
  await page.getByRole('button', { name: 'Back up now' }).first().waitFor()
  await keys.to('link', 'Skip to the page')
  await page.keyboard.press('Enter')
  await keys.press('Back up now')
  await page.getByRole('dialog').waitFor()
  // Who has second thoughts is back where they were.
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'hidden' })
  await keys.comesTo('button', 'Back up now')
  await page.keyboard.press('Enter')
  await page.getByRole('dialog').waitFor()
  await keys.to('textbox', 'Description')
  await page.keyboard.type('by hand, without a mouse')
  await page.keyboard.press('Enter')
  await heading('Backup: shop').waitFor()
  await keys.comesTo('heading', 'Backup: shop')
  await state('Succeeded').waitFor({ timeout: LASTING_MS })

  const before = scene.sql('SELECT count(*), sum(hashtext(r::text)::bigint) FROM reviews r')
  scene.sql('DROP TABLE reviews CASCADE')

  // From the overview, through the list, into the wizard.
  await keys.to('link', 'Overview')
  await page.keyboard.press('Enter')
  await heading('Overview').waitFor()
  await keys.to('link', 'Bring something back')
  await page.keyboard.press('Enter')
  await heading('Bring something back').waitFor()
  await page.getByText('by hand, without a mouse').waitFor()
  await keys.to('link', /^Choose backup/)
  await page.keyboard.press('Enter')
  await heading(/^Restore shop of/).waitFor()
  await keys.press('Next: Where')
  await keys.to('radio', 'Into a new database beside the live one')
  await page.keyboard.press('ArrowDown')
  expect(await page.getByLabel('In place of shop').isChecked()).toBe(true)
  await keys.press('Next: Check')
  await page.getByText('Nothing stands against it.').waitFor()
  await keys.press('Next: Protect')
  await keys.press('Next: Confirm')
  await page.getByText('Kept in the audit log').waitFor()
  await keys.to('textbox', /^To confirm, type exactly/)
  await page.keyboard.type(PHRASE)
  await page.keyboard.press('Enter')
  await state('Succeeded').waitFor({ timeout: LASTING_MS })
  await page.getByText('Equal to the backup').waitFor()
  expect(scene.sql('SELECT count(*), sum(hashtext(r::text)::bigint) FROM reviews r')).toBe(before)

  // The dialog takes the focus, gives it back where it is left, and takes the phrase.
  await keys.press(/^Undo this restore/)
  await page.getByRole('dialog').waitFor()
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'hidden' })
  await keys.comesTo('button', /^Undo this restore/)
  await page.keyboard.press('Enter')
  await page.getByRole('dialog').waitFor()
  await keys.to('textbox', /^To confirm, type exactly/)
  await page.keyboard.type(PHRASE)
  await page.keyboard.press('Enter')
  await heading('Undo of a restore: shop').waitFor()
  await state('Succeeded').waitFor({ timeout: LASTING_MS })
  expect(scene.sql("SELECT to_regclass('public.reviews') IS NULL")).toBe('t')
  expect([...keys.unseen, ...faults]).toEqual([])
  await context.close()
})

test('a server that is restarted while it works goes on, and says what became of what it did', async () => {
  const { page, context, faults } = await scene.window()
  const status = (words: string) => page.locator('[role="status"]').getByText(words, { exact: true }).first()
  const gate = join(scene.folder, 'gate')
  const reached = join(scene.folder, 'reached')
  // A hook that waits for a file holds each job at an exact point.
  const hook = (on: string) =>
    `[[app.shop.hooks]]\non = "${on}"\ncommand = ["/bin/sh", "-c", "echo waiting at the gate; : > ${reached}; while [ ! -e ${gate} ]; do sleep 0.1; done"]\ntimeout = "10m"\n`
  await scene.endServer()
  scene.configure((text) => `${text}\n${hook('before_backup')}\n${hook('before_restore')}`)
  scene.command('apply', '--yes', '--quiet')
  await scene.serve()

  await page.goto('/backups')
  await logIn(page)
  await page.getByRole('button', { name: 'Back up now' }).first().click()
  await page.getByRole('button', { name: 'Back up shop' }).click()
  await page.getByRole('log').getByText('waiting at the gate').first().waitFor({ timeout: LASTING_MS })
  await status('Running').waitFor()
  await scene.endServer()
  await page.getByText('The server does not answer').first().waitFor({ timeout: LASTING_MS })
  writeFileSync(gate, '')
  await scene.serve()
  // Nobody has touched the page.
  await page.getByText('The server does not answer').first().waitFor({ state: 'hidden', timeout: LASTING_MS })
  await status('Succeeded').waitFor({ timeout: LASTING_MS })
  await page.getByRole('log').getByText('handed back').waitFor()
  await page.getByRole('link', { name: /^Show backup/ }).waitFor()

  // A restore is never begun again by itself: whoever asked for it hears that it was not done.
  rmSync(gate)
  rmSync(reached)
  const rows = scene.sql('SELECT count(*) FROM orders')
  await page.goto(`/backups/${await newest()}/restore`)
  await page.getByRole('button', { name: 'Next: Where' }).click()
  await page.getByLabel('In place of shop').check()
  for (const step of ['Check', 'Protect', 'Confirm'])
    await page.getByRole('button', { name: `Next: ${step}` }).click()
  await page.getByLabel('To confirm, type exactly:').fill(PHRASE)
  await page.getByRole('button', { name: 'Overwrite shop' }).click()
  await page.getByRole('log').getByText('waiting at the gate').first().waitFor({ timeout: LASTING_MS })
  await scene.endServer()
  writeFileSync(gate, '')
  await scene.serve()
  await status('Failed').waitFor({ timeout: LASTING_MS })
  await page.getByText('the server was shut down while the job ran').waitFor()
  await page.getByText('changed nothing in the live database').waitFor()
  expect(scene.sql('SELECT count(*) FROM orders')).toBe(rows)
  expect(existsSync(reached)).toBe(true)
  expect(faults).toEqual([])
  await context.close()
})

test('who logs in at the company lands where they were going, and two must agree on a replacing restore', async () => {
  await scene.endServer()
  const signOn = `
[server.oidc]
name = "Example"
issuer = "${provider.issuer}"
client_id = "${CLIENT.id}"
client_secret = "${CLIENT.secret}"
scopes = ["profile", "groups"]
role_claim = "groups"
roles = { staff = "operator" }
grants = { seconds = ["approve_restore"] }
`
  scene.configure((text) =>
    text
      .replace('[server]\n', `[server]\npublic_url = "${scene.url}/"\ntwo_person_restore = true\n`)
      .concat(signOn),
  )
  await scene.serve()
  const company = /^asked http:\/\/127\.0\.0\.1:\d+\//
  const olga = await scene.window()
  const enter = async () => {
    const back = olga.page.waitForResponse(/\/session\/oidc\/callback/)
    await olga.page.getByRole('link', { name: 'Log in with Example' }).click()
    await back
  }
  const heading = (name: string) => olga.page.getByRole('heading', { level: 1, name })

  // Who gives up at the provider, and whom it knows but pgkeep does not, come back and hear why.
  await olga.page.goto('/jobs')
  await provider.logInAs(null)
  await enter()
  await olga.page.getByRole('alert').getByText('Example did not let you in').waitFor()
  await olga.page.screenshot({ path: join(SCREENS, 'login-refused.png') })
  await provider.logInAs('s-eve')
  await enter()
  await olga.page.getByRole('alert').waitFor()
  await olga.context.clearCookies()
  await olga.page.goto('/jobs')
  await provider.logInAs('s-olga')
  await enter()
  await heading('Jobs').waitFor()
  await olga.page.getByRole('button', { name: 'olga' }).waitFor()

  // Ann asks for it, and cannot agree with herself.
  const ann = await scene.window()
  const status = (words: string) =>
    ann.page.locator('[role="status"]').getByText(words, { exact: true }).first()
  await ann.page.goto(`/backups/${await newest()}/restore`)
  await logIn(ann.page)
  await ann.page.getByRole('button', { name: 'Next: Where' }).click()
  await ann.page.getByLabel('In place of shop').check()
  for (const step of ['Check', 'Protect', 'Confirm'])
    await ann.page.getByRole('button', { name: `Next: ${step}` }).click()
  await ann.page.getByText('A second person has to say yes').waitFor()
  await ann.page.getByLabel('To confirm, type exactly:').fill(PHRASE)
  await ann.page.getByLabel('Reason (optional)').fill('the import went wrong')
  await ann.page.getByRole('button', { name: 'Overwrite shop' }).click()
  await status('Waits for approval').waitFor()
  const job = /job=([\w-]+)/.exec(ann.page.url())?.[1] ?? ''
  const refused = await ann.page.evaluate(async (id) => {
    const session = (await (await fetch('/api/v1/session')).json()) as { csrfToken: string }
    const headers = { 'x-csrf-token': session.csrfToken }
    return (await fetch(`/api/v1/jobs/${id}/approve`, { method: 'POST', headers })).status
  }, job)
  expect(refused).toBe(403)

  // Olga is told of it, looks at what it is, and says yes.
  await olga.page.getByRole('link', { name: 'Overview' }).click()
  await heading('Overview').waitFor()
  await olga.page.getByRole('link', { name: 'Look at it' }).waitFor()
  await olga.page.screenshot({ path: join(SCREENS, 'overview-approval.png') })
  await olga.page.getByRole('link', { name: 'Look at it' }).click()
  await heading('Restore: shop').waitFor()
  await olga.page.getByText('In place of shop').waitFor()
  await olga.page.screenshot({ path: join(SCREENS, 'job-approval.png'), fullPage: true })
  await olga.page.getByRole('button', { name: 'Approve' }).click()
  // And Ann's page goes on.
  await status('Succeeded').waitFor({ timeout: LASTING_MS })
  await ann.page.getByText('Equal to the backup').waitFor()
  await olga.page.locator('[role="status"]').getByText('Succeeded', { exact: true }).first().waitFor()
  expect([...ann.faults, ...olga.faults.filter((fault) => !company.test(fault))]).toEqual([])
  await olga.context.close()
  await ann.context.close()
})
