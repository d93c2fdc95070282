/** The identity provider of the server's tests: a real one on this machine, in whose login page somebody always clicks at once. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { copyFileSync, existsSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { createInterface, type Interface } from 'node:readline'

const ROOT = resolve(import.meta.dirname, '../..')
export const CLIENT = { id: 'pgkeep-test', secret: 'pgkeep-test-secret' }

export class Provider {
  private constructor(
    private readonly process: ChildProcess,
    private readonly lines: AsyncIterator<string>,
    private readonly reader: Interface,
    private readonly script: string,
    readonly issuer: string,
  ) {}

  /** Starts a provider that knows one client, which it sends back to `redirect`. */
  static async start(redirect: string): Promise<Provider> {
    const cache = execFileSync(join(ROOT, 'scripts/cache-dir'), { encoding: 'utf8' }).trim()
    const folder = join(cache, 'node/oidc')
    if (!existsSync(join(folder, 'node_modules/oidc-provider')))
      throw new Error(`oidc-provider is not installed in ${folder}; run \`make setup\``)
    // Modules are looked for beside the script, so it lies beside them.
    const script = join(folder, `provider-web-${process.pid}.mjs`)
    copyFileSync(join(ROOT, 'crates/testkit/node/oidc/provider.mjs'), script)
    const child = spawn(process.execPath, [script, redirect, CLIENT.id, CLIENT.secret], {
      stdio: ['pipe', 'pipe', 'ignore'],
    })
    const reader = createInterface({ input: child.stdout })
    const lines = reader[Symbol.asyncIterator]()
    const { value: port } = await lines.next()
    if (!/^\d+$/.test(port ?? '')) throw new Error(`the identity provider did not start: ${port}`)
    return new Provider(child, lines, reader, script, `http://127.0.0.1:${port}`)
  }

  /** What is known of people: claims by subject. */
  people(claims: Record<string, Record<string, unknown>>): Promise<void> {
    return this.tell({ people: claims })
  }

  /** Who clicks from now on; nobody, who refuses, where null. */
  logInAs(subject: string | null): Promise<void> {
    return this.tell({ as: subject })
  }

  stop(): void {
    this.reader.close()
    this.process.kill()
    rmSync(this.script, { force: true })
  }

  private async tell(command: unknown): Promise<void> {
    this.process.stdin?.write(`${JSON.stringify(command)}\n`)
    const { value } = await this.lines.next()
    if (value !== 'ok') throw new Error(`the identity provider answers ${value}`)
  }
}
