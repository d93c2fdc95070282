/** A whole life: first set-up, an app, a policy, a backup, damage, a restore by the wizard, its proof, and its undo. */
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { LASTING_MS, PASSWORD, Scene } from './scene.ts'

let scene: Scene
beforeAll(async () => {
  scene = await Scene.start('empty')
})
afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') await scene?.keepPictures(task.name.replace(/\W+/g, '-'))
})
afterAll(() => scene?.stop())

const PHRASE = 'I understand this will irreversibly overwrite data'

test('from nothing to a restore that was proven and undone', async () => {
  const { page, faults } = await scene.window()
  const heading = (name: string | RegExp) => page.getByRole('heading', { level: 1, name })
  const button = (name: string | RegExp) => page.getByRole('button', { name })
  const state = (words: string) => page.locator('[role="status"]').getByText(words, { exact: true }).first()

  // First set-up, with the token that the server printed.
  await page.goto('/')
  await heading('Make the first administrator').waitFor()
  await page.getByLabel('Setup token').fill('wrong')
  await page.getByLabel('User name').fill('ann')
  await page.locator('input[autocomplete="new-password"]').fill(PASSWORD)
  await button('Make the account').click()
  await page.getByRole('alert').waitFor()
  await page.getByLabel('Setup token').fill(scene.setupToken)
  await button('Make the account').click()
  await heading('Overview').waitFor()
  await page.getByText('No app is protected yet').waitFor()

  // A repository: tried out, made, and its key kept.
  await page.goto('/repositories/new')
  await page.getByLabel('Name').fill('main')
  await page.getByLabel('Address').fill(join(scene.folder, 'repository'))
  await button('Make a key').click()
  expect(await button('Save the recovery kit').isEnabled()).toBe(true)
  await button('Save main').click()
  await heading('main').waitFor()
  await button('Test the connection').first().click()
  await page.getByText('No repository is there yet').waitFor()
  await button('Make the repository here').click()
  await page.getByText('Keep a copy of its key').waitFor()

  // The app.
  await page.goto('/apps/new')
  await page.getByText('pg_read_all_data').waitFor()
  await page.getByLabel('Name').fill('shop')
  await page.getByLabel('Databases').fill(scene.shop)
  await button('Save shop').click()
  await heading('shop').waitFor()
  // Changed later; the connection string, which is not shown any more, stays as it was.
  await page.getByLabel('Environment').fill('production')
  await button('Save shop').click()
  await page.getByText('App shop is saved.').last().waitFor()

  // A policy: its schedule is said in words and shows its next runs.
  await page.goto('/policies/new?app=shop')
  await page.getByLabel('Name').fill('nightly')
  await page.getByText('The next ten runs').waitFor()
  await page.getByText('daily at 02:00').first().waitFor()
  await button('Save nightly').click()
  await heading('nightly').waitFor()
  await button('7 daily, 4 weekly, 12 monthly').press('Enter')
  await button('Save nightly').click()
  await page.getByText('keep daily 7, weekly 4, monthly 12').first().waitFor()
  await page.getByLabel('For so many days').fill('14')
  await button('Save nightly').click()
  await page.getByText('14 days').first().waitFor()

  // A backup, by the policy, now.
  await button('Run now: nightly').click()
  await button('Run nightly').last().click()
  await heading('Backup: shop').waitFor()
  await state('Succeeded').waitFor({ timeout: LASTING_MS })
  await page.getByRole('log').getByText('reading back').waitFor()

  // Damage.
  const before = scene.sql('SELECT count(*), sum(hashtext(r::text)::bigint) FROM reviews r')
  scene.sql('DROP TABLE reviews CASCADE')

  // The wizard.
  await page.goto('/restore')
  await button(/^Choose backup/)
    .or(page.getByRole('link', { name: /^Choose backup/ }))
    .first()
    .click()
  await heading(/^Restore shop of/).waitFor()
  await button('Next: Where').click()
  await page.getByLabel('In place of shop').check()
  await button('Next: Check').click()
  await page.getByText('Nothing stands against it.').waitFor()
  await page.getByText(/will be lost from the live database/).waitFor()
  await button('Next: Protect').click()
  expect(await page.getByLabel('Back up shop first').isChecked()).toBe(true)
  await button('Next: Confirm').click()
  const go = button('Overwrite shop')
  await go.waitFor()
  expect(await go.isDisabled()).toBe(true)
  await page.getByLabel('To confirm, type exactly:').fill(PHRASE.toLowerCase())
  await page.getByText('This is not the phrase.').waitFor()
  expect(await go.isDisabled()).toBe(true)
  await page.getByLabel('To confirm, type exactly:').fill(PHRASE)
  await page.getByLabel('Reason (optional)').fill('reviews are gone')
  await go.click()
  await state('Succeeded').waitFor({ timeout: LASTING_MS })
  await page.getByText('Equal to the backup').waitFor()
  expect(scene.sql('SELECT count(*), sum(hashtext(r::text)::bigint) FROM reviews r')).toBe(before)

  // A page that is loaded anew stands where it stood.
  await page.reload()
  await page.getByText('Equal to the backup').waitFor()

  // Second thoughts.
  await button(/^Undo this restore/).click()
  await page.getByLabel('To confirm, type exactly:').fill(PHRASE)
  await button('Swap shop back').click()
  await heading('Undo of a restore: shop').waitFor()
  await state('Succeeded').waitFor({ timeout: LASTING_MS })
  expect(scene.sql("SELECT to_regclass('public.reviews') IS NULL")).toBe('t')

  // It is all in the audit log.
  await page.goto('/audit')
  await page.getByText('reviews are gone').first().waitFor()
  await button('Check the chain').click()
  await page.getByText(/^Intact/).waitFor()
  expect(faults).toEqual([])
})
