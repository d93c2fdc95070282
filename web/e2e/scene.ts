/**
 * One stage for tests: a throwaway PostgreSQL with a shop in it, a pgkeep server, and a browser.
 *
 * The database comes from `pgkeep demo --leave-running`, which also leaves a repository with backups; what is served is
 * either that (`populated`) or a server that knows nothing yet (`empty`).
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from 'playwright-core'

const ROOT = resolve(import.meta.dirname, '../..')
/** Where pictures of the pages go. */
export const SCREENS = join(ROOT, 'target/screens')
const PASSWORD = 'correct horse staple 42'
const SCOPES = ['BACKUP_CREATE', 'BACKUP_DELETE', 'BACKUP_DOWNLOAD', 'LOGIN', 'RESTORE', 'STATUS', 'UPLOAD']
/** For states that come and stay. */
export const LASTING_MS = 90_000
/** For what a page shows. */
const PLAIN_MS = Number(process.env.PGKEEP_E2E_WAIT_MS ?? 60_000)

function first(paths: (string | undefined)[], what: string): string {
  const found = paths.find((path) => path !== undefined && existsSync(path))
  if (found === undefined) throw new Error(`${what} is not installed; run \`make setup\``)
  return found
}

const binary = () =>
  first(
    [process.env.PGKEEP_BINARY, join(ROOT, 'target/debug/pgkeep'), join(ROOT, 'target/release/pgkeep')],
    'pgkeep (cargo build -p pgkeep)',
  )
const browserPath = () =>
  first(
    [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'],
    'Chromium',
  )

/** The environment without what a developer may have set for pgkeep. */
function environment(extra: Record<string, string> = {}): NodeJS.ProcessEnv {
  const clean = Object.entries(process.env).filter(
    ([name]) =>
      !name.startsWith('PGKEEP_') &&
      !['DATABASE_URL', 'DB_ADMIN_URL', 'BACKUPS_DIR', 'BACKUP_ENCRYPTION_KEY'].includes(name),
  )
  const cache = process.env.PGKEEP_CACHE ? { PGKEEP_CACHE: process.env.PGKEEP_CACHE } : {}
  return { ...Object.fromEntries(clean), ...cache, ...extra }
}

export class Scene {
  readonly folder = mkdtempSync(join(tmpdir(), 'pgkeep-web-'))
  readonly demo = join(this.folder, 'demo')
  url = ''
  setupToken = ''
  private server: ChildProcess | undefined
  private browser: Browser | undefined
  private args: string[] = []
  private pages: Page[] = []
  private admin: Record<string, string> = {}

  /** Starts the database and the server. */
  static async start(kind: 'empty' | 'populated'): Promise<Scene> {
    const scene = new Scene()
    try {
      execFileSync(binary(), ['demo', '--size-mb', '20', '--dir', scene.demo, '--leave-running'], {
        env: environment(),
        stdio: ['ignore', 'ignore', 'inherit'],
      })
      const config = join(scene.folder, 'pgkeep.toml')
      if (kind === 'empty') writeFileSync(config, `data_dir = "${join(scene.folder, 'state')}"\n`)
      scene.args = ['--config', kind === 'empty' ? config : join(scene.demo, 'pgkeep.toml')]
      await scene.serve()
      scene.browser = await chromium.launch({ executablePath: browserPath(), args: ['--no-sandbox'] })
      return scene
    } catch (error) {
      await scene.stop()
      throw error
    }
  }

  /** Starts pgkeep; `workers` is how many jobs it runs at once. */
  async serve(workers = 2): Promise<void> {
    const off = Object.fromEntries(SCOPES.map((scope) => [`PGKEEP_THROTTLE_${scope}`, 'off']))
    // The same address again, so that a page that was open finds the server that was started anew.
    const listen = this.url === '' ? '127.0.0.1:0' : this.url.replace('http://', '')
    const server = spawn(
      binary(),
      ['serve', '--listen', listen, '--workers', String(workers), ...this.args],
      { env: environment(off), stdio: ['ignore', 'pipe', 'pipe'] },
    )
    this.server = server
    let said = ''
    await new Promise<void>((ready, failed) => {
      const hear = (bytes: Buffer) => {
        said += bytes.toString()
        const url = /pgkeep listens on (http\S+)/.exec(said)?.[1]
        const token = /setup token:\s+(\S+)/.exec(said)?.[1]
        if (token !== undefined) this.setupToken = token
        if (url !== undefined && (token !== undefined || !said.includes('nobody has an account'))) {
          this.url = url
          ready()
        }
      }
      server.stdout?.on('data', hear)
      server.stderr?.on('data', hear)
      server.on('exit', () => failed(new Error(`pgkeep ended: ${said}`)))
    })
  }

  async endServer(): Promise<void> {
    const { server } = this
    this.server = undefined
    if (server === undefined || server.exitCode !== null) return
    server.removeAllListeners('exit')
    const ended = new Promise<void>((done) => server.once('exit', () => done()))
    server.kill('SIGTERM')
    await ended
  }

  /** Writes the demonstration's configuration anew; the server reads it when it starts. */
  configure(change: (text: string) => string): void {
    const path = join(this.demo, 'pgkeep.toml')
    writeFileSync(path, change(readFileSync(path, 'utf8')))
  }

  /** The connection string of the shop. */
  get shop(): string {
    const text = readFileSync(join(this.demo, 'pgkeep.toml'), 'utf8')
    const found = /databases = \["([^"]+)"\]/.exec(text)?.[1]
    if (found === undefined) throw new Error('the demonstration names no database')
    return found
  }

  sql(statement: string, database = 'shop'): string {
    const address = this.shop.replace(/dbname=\S+/, `dbname=${database}`)
    return execFileSync(
      'psql',
      ['-X', '-A', '-t', '-q', '-v', 'ON_ERROR_STOP=1', '-d', address, '-c', statement],
      {
        encoding: 'utf8',
      },
    ).trim()
  }

  command(...args: string[]): string {
    return execFileSync(binary(), [...args, ...this.args], { env: environment(), encoding: 'utf8' })
  }

  /** A browser window of its own: other cookies, other settings. What the page complains of fails the test. */
  async window(
    options: BrowserContextOptions = {},
  ): Promise<{ context: BrowserContext; page: Page; faults: string[] }> {
    if (this.browser === undefined) throw new Error('no browser')
    const context = await this.browser.newContext({
      baseURL: this.url,
      viewport: { width: 1280, height: 900 },
      locale: 'en-GB',
      timezoneId: 'Europe/Berlin',
      reducedMotion: 'reduce',
      ...options,
    })
    const page = await context.newPage()
    page.setDefaultTimeout(PLAIN_MS)
    this.pages.push(page)
    const faults: string[] = []
    page.on('pageerror', (error) => faults.push(String(error)))
    page.on('console', (message) => {
      if (/Content Security Policy|violates|Warning:/i.test(message.text())) faults.push(message.text())
    })
    page.on('request', (request) => {
      const address = request.url()
      if (!address.startsWith(this.url) && !/^(data|blob):/.test(address)) faults.push(`asked ${address}`)
    })
    return { context, page, faults }
  }

  /** Makes the first administrator through the API, for tests that are about something else. */
  async administrator(): Promise<void> {
    const answer = await fetch(`${this.url}/api/v1/setup`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token: this.setupToken, name: 'ann', password: PASSWORD }),
    })
    if (!answer.ok) throw new Error(await answer.text())
    const { csrfToken } = (await answer.json()) as { csrfToken: string }
    this.admin = {
      cookie: answer.headers
        .getSetCookie()
        .map((cookie) => cookie.split(';')[0])
        .join('; '),
      'x-csrf-token': csrfToken,
      'content-type': 'application/json',
    }
  }

  /** A request in the administrator's name, past the browser. */
  async ask(method: string, path: string, body?: unknown): Promise<Response> {
    const answer = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: this.admin,
      body: body === undefined ? undefined : JSON.stringify(body),
    })
    if (!answer.ok) throw new Error(`${method} ${path}: ${await answer.text()}`)
    return answer
  }

  /** Keeps what the windows show, for who has to find out why a test failed. */
  async keepPictures(name: string): Promise<void> {
    mkdirSync(SCREENS, { recursive: true })
    for (const [index, page] of this.pages.entries()) {
      if (page.isClosed()) continue
      await page.screenshot({ path: join(SCREENS, `failed-${name}-${index}.png`) }).catch(() => {})
    }
  }

  async stop(): Promise<void> {
    await this.browser?.close()
    await this.endServer()
    const note = join(this.demo, 'database')
    if (existsSync(note)) {
      const [process_, place] = readFileSync(note, 'utf8').split('\n')
      const alive = () => existsSync(`/proc/${process_}/cmdline`)
      if (place?.includes('pgkeep-throwaway-') && alive()) {
        if (readFileSync(`/proc/${process_}/cmdline`, 'utf8').includes(place)) {
          process.kill(Number(process_), 'SIGQUIT')
          for (let wait = 0; alive() && wait < 200; wait += 1)
            await new Promise((done) => setTimeout(done, 50))
        }
        rmSync(place, { recursive: true, force: true })
      }
    }
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export async function logIn(page: Page, name = 'ann', password = PASSWORD): Promise<void> {
  await page.getByLabel('User name').fill(name)
  await page.locator('input[autocomplete="current-password"]').fill(password)
  await page.getByRole('button', { name: 'Log in', exact: true }).click()
}

export { PASSWORD }
