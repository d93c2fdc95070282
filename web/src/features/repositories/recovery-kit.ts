/** A key that nobody guesses: 256 random bits as letters and digits. */
export function makeKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(32))
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')
}

/** Whether the key itself stands in the field, not where the server finds it, nor the mask that hides a stored one. */
export function isKeyItself(key: string): boolean {
  return key !== '' && !/^(file|env):/.test(key) && !/^\*+$/.test(key)
}

/** What is needed to recover everything without this server, as a text to keep somewhere else. */
export function recoveryKit(name: string, address: string, key: string): string {
  return `pgkeep recovery kit

repository  ${name}
address     ${address}
key         ${key}

Whoever has this file can read all backups in the repository. Without it nobody can.
Keep it where the loss of the server does not reach it.

With pgkeep, on any machine (put the key alone into recovery.key):
  pgkeep list --repo ${address} --key-file recovery.key
  pgkeep restore latest --repo ${address} --key-file recovery.key --into NAME

Without pgkeep, with stock tools (restic asks for the key):
  restic -r ${address} snapshots
  restic -r ${address} restore latest --target recovered
  pg_restore --create -d postgres recovered/databases/NAME
`
}
