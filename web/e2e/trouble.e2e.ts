/** What a person sees when something is not as it should be. */
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { Keyboard } from './keyboard.ts'
import { LASTING_MS, logIn, PASSWORD, Scene } from './scene.ts'

/** A backup, as far as it may be in doubt. */
interface Doubted {
  id: string
  tags: string[]
  shrunk?: string | null
}

let scene: Scene
let backup: string
beforeAll(async () => {
  scene = await Scene.start('populated')
  await scene.administrator()
  const page = (await (await scene.ask('GET', '/backups?app=shop&kind=full')).json()) as {
    items: { id: string }[]
  }
  backup = page.items[0]?.id ?? ''
})
afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') await scene?.keepPictures(task.name.replace(/\W+/g, '-'))
})
afterAll(() => scene?.stop())

test('who has never been here finds why a run failed, takes a backup, and brings a dropped table back', async () => {
  const before = scene.sql('SELECT count(*), sum(hashtext(r::text)::bigint) FROM reviews r')
  // Last night the repository was not there.
  const place = join(scene.demo, 'repository')
  renameSync(place, `${place}-away`)
  await scene.ask('POST', '/policies/nightly/run-now')
  const { page, context, faults } = await scene.window()
  await page.addInitScript(() => {
    const count = () => sessionStorage.setItem('clicks', String(Number(sessionStorage.getItem('clicks')) + 1))
    document.addEventListener('click', (event) => event.isTrusted && count(), true)
  })
  const walked: string[] = []
  const walk = async (what: string, most: number, steps: () => Promise<void>) => {
    await page.evaluate(() => sessionStorage.setItem('clicks', '0'))
    const began = performance.now()
    await steps()
    const seconds = ((performance.now() - began) / 1000).toFixed(1)
    const clicks = Number(await page.evaluate(() => sessionStorage.getItem('clicks')))
    walked.push(`${what}: ${clicks} clicks, ${seconds} s`)
    expect(clicks, what).toBeLessThanOrEqual(most)
  }
  const button = (name: string) => page.getByRole('button', { name })
  const link = (name: string | RegExp) => page.getByRole('link', { name }).first()
  const succeeded = () =>
    page.locator('[role="status"]').getByText('Succeeded', { exact: true }).waitFor({ timeout: LASTING_MS })
  await page.goto('/')
  await logIn(page)
  await link('Show why').waitFor({ timeout: LASTING_MS })
  renameSync(`${place}-away`, place)

  await walk('why the last run failed', 1, async () => {
    await link('Show why').click()
    await page.getByRole('alert').getByText('Repository demo').waitFor()
  })
  await walk('a backup', 2, async () => {
    await button('Back up now').click()
    await button('Back up shop').click()
    await succeeded()
  })
  scene.sql('DROP TABLE reviews CASCADE')
  await walk('a dropped table', 9, async () => {
    await link('Show backup').click()
    await page.getByPlaceholder('Find a table').or(page.getByLabel('Find a table')).fill('reviews')
    await link('Bring back public.reviews').click()
    await button('Next: Where').click()
    await page.getByLabel('Back into shop').check()
    await button('Next: Check').click()
    await page.getByText('Nothing stands against it.').waitFor()
    await button('Next: Protect').click()
    await button('Next: Confirm').click()
    await page
      .getByLabel('To confirm, type exactly:')
      .fill('I understand this will irreversibly overwrite data')
    await button('Overwrite public.reviews in shop').click()
    await succeeded()
    await page.getByText('Equal to the backup').waitFor()
  })
  expect(scene.sql('SELECT count(*), sum(hashtext(r::text)::bigint) FROM reviews r')).toBe(before)
  console.log(walked.join('; '))
  expect(faults).toEqual([])
  await context.close()
})

test('a viewer is offered nothing that the server would refuse', async () => {
  await scene.ask('POST', '/users', { name: 'vera', role: 'viewer', password: PASSWORD })
  const { page, context, faults } = await scene.window()
  await page.goto('/')
  await logIn(page, 'vera')
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor()
  const offered = async (name: string | RegExp) =>
    (await page.getByRole('button', { name }).count()) + (await page.getByRole('link', { name }).count())
  expect(await offered(/Back up now|Bring something back|Settings|Audit log|Users and tokens/)).toBe(0)
  await page.goto(`/backups/${backup}`)
  await page.getByText('Content hash').waitFor()
  expect(await offered(/Restore this backup|More actions|Bring back/)).toBe(0)
  await page.goto(`/backups/${backup}/restore`)
  await page.getByText('Your account may not restore').waitFor()
  // And what is not offered is refused.
  const status = await page.evaluate(async (id) => {
    const session = (await (await fetch('/api/v1/session')).json()) as { csrfToken: string }
    const answer = await fetch(`/api/v1/backups/${id}/restore`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-csrf-token': session.csrfToken },
      body: JSON.stringify({ mode: 'into', name: 'stolen' }),
    })
    return answer.status
  }, backup)
  expect(status).toBe(403)
  expect(faults).toEqual([])
  await context.close()
})

test('a backup that lost content is in doubt until somebody who may says that it was meant', async () => {
  scene.sql('TRUNCATE reviews CASCADE')
  scene.command('policy', 'run', 'nightly')
  // No other policy makes a newer one meanwhile.
  await scene.ask('POST', '/queue/pause')
  const newest = (
    (await (await scene.ask('GET', '/backups?app=shop&limit=1')).json()) as { items: Doubted[] }
  ).items[0]
  expect(newest?.shrunk).toMatch(/reviews/)

  // A viewer is told, and who can do something about it.
  const viewer = await scene.window()
  await viewer.page.goto(`/backups/${newest?.id}`)
  await logIn(viewer.page, 'vera')
  await viewer.page.getByText('Whoever may start backups can accept it').waitFor()
  expect(await viewer.page.getByRole('button', { name: 'Accept the loss' }).count()).toBe(0)

  const { page, context, faults } = await scene.window()
  const keys = new Keyboard(page)
  await page.goto('/')
  await logIn(page)
  await page.getByText('shop: Lost content').waitFor({ timeout: LASTING_MS })
  await keys.press('Accept the loss')
  const dialog = page.getByRole('dialog')
  await dialog.getByText('table public.reviews of shop holds 0 rows', { exact: false }).waitFor()
  expect(await dialog.getByText('rules remove older backups again').count()).toBe(1)
  await dialog.getByRole('button', { name: 'Accept the loss' }).click()
  await dialog.waitFor({ state: 'hidden' })
  await page.getByText('shop: Lost content').waitFor({ state: 'hidden', timeout: LASTING_MS })
  const after = (await (await scene.ask('GET', `/backups/${newest?.id}`)).json()) as Doubted
  expect(after).toMatchObject({ tags: ['accepted'] })
  expect(after.shrunk ?? null).toBeNull()
  // The page that the viewer still looks at follows.
  await viewer.page.getByText('Lost content').first().waitFor({ state: 'hidden', timeout: LASTING_MS })
  expect([...faults, ...viewer.faults, ...keys.unseen]).toEqual([])
  await scene.ask('POST', '/queue/resume')
  await viewer.context.close()
  await context.close()
})

test('whose session is over logs in and goes on where they were', async () => {
  const { page, context } = await scene.window()
  await page.goto('/policies')
  await logIn(page)
  await page.getByRole('heading', { level: 1, name: 'Policies' }).waitFor()
  await context.clearCookies()
  await page.getByRole('link', { name: 'Repositories' }).click()
  await page.getByText('Your session is over').waitFor()
  await logIn(page, 'ann', 'not the password')
  await page.getByRole('alert').waitFor()
  await logIn(page)
  await page.getByRole('heading', { level: 1, name: 'Repositories' }).waitFor()
  await context.close()
})

test('without the stream of changes the page says so and looks for itself', async () => {
  const { page, context } = await scene.window()
  await page.route('**/api/v1/events*', (route) => route.abort())
  await page.goto('/jobs?kind=drill')
  await logIn(page)
  await page.getByText('Live updates are interrupted').waitFor()
  const rows = page.locator('tbody tr')
  const before = await rows.count()
  scene.command('drill')
  await page.waitForFunction((count) => document.querySelectorAll('tbody tr').length > count, before, {
    timeout: LASTING_MS,
  })
  await context.close()
})

test('a restore that is cancelled changes nothing, and a file from elsewhere is restored and proven', async () => {
  const { page, context, faults } = await scene.window()
  const status = (words: string) => page.locator('[role="status"]').getByText(words, { exact: true }).first()
  const next = (step: string) => page.getByRole('button', { name: `Next: ${step}` }).click()
  await page.goto('/jobs')
  await logIn(page)

  // Nothing starts while the queue is paused, so there is all the time there is to cancel.
  await page.getByRole('button', { name: 'Pause the queue' }).click()
  await page.getByText('Paused by ann').waitFor()
  await page.goto(`/backups/${backup}/restore`)
  for (const step of ['Where', 'Check', 'Protect', 'Confirm']) await next(step)
  await page.getByRole('button', { name: /^Restore into shop_restored/ }).click()
  await status('Waiting').waitFor()
  await page.getByRole('button', { name: 'Cancel the job' }).click()
  await page.getByRole('button', { name: 'Cancel: Restore' }).click()
  await status('Cancelled').waitFor()
  await page.getByText('changed nothing in the live database').waitFor()
  await page.goto('/jobs')
  await page.getByRole('button', { name: 'Resume the queue' }).click()
  await page.getByRole('button', { name: 'Pause the queue' }).waitFor()

  // The same dump comes back as a file.
  const file = join(scene.folder, 'shop.pgcustom')
  const download = await scene.ask('GET', `/backups/${backup}/download?format=custom`)
  writeFileSync(file, Buffer.from(await download.arrayBuffer()))
  await page.goto('/upload')
  const input = page.locator('input[type="file"]')
  await input.setInputFiles({ name: 'holiday.jpg', mimeType: 'image/jpeg', buffer: Buffer.from('no dump') })
  await page.getByText('This does not look like a dump').waitFor()
  await input.setInputFiles(file)
  await page.getByRole('button', { name: 'Upload', exact: true }).click()
  await page.getByText('The file is a backup now').waitFor({ timeout: LASTING_MS })
  await page.getByRole('link', { name: 'Restore this backup' }).click()
  await next('Where')
  await page.getByLabel('Name of the new database').fill('from_file')
  for (const step of ['Check', 'Protect', 'Confirm']) await next(step)
  await page.getByRole('button', { name: 'Restore into from_file' }).click()
  await status('Succeeded').waitFor({ timeout: LASTING_MS })
  await page.getByText('Equal to the backup').waitFor()
  const rows = 'SELECT count(*) FROM customers'
  expect(scene.sql(rows, 'from_file')).toBe(scene.sql(rows))
  expect(faults).toEqual([])
  await context.close()
})

test('a server that is gone is said to be gone, and what cannot work is refused with a reason', async () => {
  const { page, context } = await scene.window()
  await page.goto('/')
  await logIn(page)
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor()
  // So that the next page needs nothing but the API.
  await page.getByRole('link', { name: 'Repositories' }).click()
  await page.getByRole('heading', { level: 1, name: 'Repositories' }).waitFor()
  await scene.endServer()
  await page.getByText('The server does not answer').first().waitFor({ timeout: LASTING_MS })
  await scene.serve(0)
  await page.getByText('The server does not answer').first().waitFor({ state: 'hidden', timeout: LASTING_MS })

  await page.goto('/')
  await page.getByText('No worker is alive').waitFor({ timeout: LASTING_MS })
  await page.getByRole('button', { name: 'Back up now' }).first().click()
  await page.getByRole('button', { name: 'Back up shop' }).click()
  const alert = page.getByRole('dialog').getByRole('alert')
  await alert.waitFor()
  expect(await alert.textContent()).toMatch(/worker/)
  expect(await alert.textContent()).toMatch(/Request/)
  await context.close()
})
