/** Someone who has only a keyboard: goes where Tab leads, and minds that the focus can be seen at every stop. */
import type { Locator, Page } from 'playwright-core'

type Role = 'button' | 'heading' | 'link' | 'radio' | 'textbox'
/** More stops than any page has. */
const MOST_STOPS = 150

export class Keyboard {
  /** Where the focus could not be seen. */
  readonly unseen: string[] = []

  constructor(private readonly page: Page) {}

  /** Presses Tab until the focus is on it. */
  async to(role: Role, name: string | RegExp): Promise<void> {
    const wanted = this.page.getByRole(role, { name, exact: typeof name === 'string' })
    // What a page is about to show can be reached once it is there.
    await wanted.first().waitFor()
    for (let stop = 0; stop < MOST_STOPS; stop += 1) {
      if ((await this.focused(role, name).count()) > 0) return
      await this.page.keyboard.press('Tab')
      await this.look()
    }
    throw new Error(
      `${MOST_STOPS} times Tab do not lead to the ${role} ${name}; the focus is on ${await this.where()}`,
    )
  }

  /** Goes to a button and presses it. */
  async press(name: string | RegExp): Promise<void> {
    await this.to('button', name)
    await this.page.keyboard.press('Enter')
  }

  /** Waits for the page to put the focus on it. */
  comesTo(role: Role, name: string | RegExp): Promise<void> {
    return this.focused(role, name).waitFor()
  }

  private focused(role: Role, name: string | RegExp): Locator {
    const wanted = this.page.getByRole(role, { name, exact: typeof name === 'string' })
    return wanted.and(this.page.locator(':focus'))
  }

  private where(): Promise<string> {
    return this.page.evaluate(() => document.activeElement?.outerHTML.slice(0, 120) ?? 'nothing')
  }

  /** Notes a stop that shows nothing. A field for text shows its caret. */
  private async look(): Promise<void> {
    const unseen = await this.page.evaluate(() => {
      const at = document.activeElement
      // Past the last stop the focus goes to the browser's own parts, and comes back.
      if (at === null || at === document.body) return undefined
      const { outlineStyle, outlineWidth, visibility } = getComputedStyle(at)
      const ring = outlineStyle !== 'none' && Number.parseFloat(outlineWidth) > 0
      const caret = at instanceof HTMLInputElement && ['text', 'password', 'search'].includes(at.type)
      const { width, height } = at.getBoundingClientRect()
      const there = visibility === 'visible' && width > 0 && height > 0
      return there && (ring || caret) ? undefined : `${at.outerHTML.slice(0, 120)} at ${location.pathname}`
    })
    if (unseen !== undefined && !this.unseen.includes(unseen)) this.unseen.push(unseen)
  }
}
