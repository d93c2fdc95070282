/**
 * What changes on the server, for all tabs of a browser through one connection.
 *
 * Browsers open only a few connections to one server over HTTP/1.1, so one tab (whoever holds the lock) listens and tells
 * the others. Where the stream is cut, everybody looks for themselves until it is back.
 */

export interface Change {
  id: number
  topic: string
  app: string | null
  subject: string
}

/** `live` hears of changes, `polling` looks every few seconds, `starting` knows nothing yet. */
export type Liveness = 'starting' | 'live' | 'polling'

type Message =
  | { kind: 'change'; change: Change }
  | { kind: 'missed' }
  | { kind: 'liveness'; liveness: Liveness }

export interface Listener {
  changed(change: Change): void
  /** Changes were missed: everything that is shown may be old. */
  missed(): void
  liveness(liveness: Liveness): void
}

/** Longest silence before the stream is taken for dead; the server says something every 15 seconds. */
const STARTS_WITHIN_MS = 4_000

/** Listens until the returned function is called. */
export function listen(listener: Listener): () => void {
  const channel = new BroadcastChannel('pgkeep-changes')
  const end = new AbortController()
  let liveness: Liveness = 'starting'

  const hear = (message: Message) => {
    if (message.kind === 'change') listener.changed(message.change)
    else if (message.kind === 'missed') listener.missed()
    else if (message.liveness !== liveness) {
      // The browser tries again and again, and each try fails: that is one piece of news.
      liveness = message.liveness
      listener.liveness(message.liveness)
    }
  }
  const tell = (message: Message) => {
    hear(message)
    channel.postMessage(message)
  }
  channel.onmessage = (event: MessageEvent<Message | { kind: 'ask' }>) => {
    if (event.data.kind !== 'ask') hear(event.data)
    else if (source !== null) channel.postMessage({ kind: 'liveness', liveness })
  }

  let source: EventSource | null = null
  const lead = () =>
    new Promise<void>((resolve) => {
      source = new EventSource('/api/v1/events')
      source.addEventListener('hello', () => tell({ kind: 'liveness', liveness: 'live' }))
      source.addEventListener('change', (event) => tell({ kind: 'change', change: JSON.parse(event.data) }))
      source.addEventListener('missed', () => tell({ kind: 'missed' }))
      // The browser tries again by itself, except after an answer that is an error.
      source.onerror = () => {
        tell({ kind: 'liveness', liveness: 'polling' })
        if (source?.readyState === EventSource.CLOSED) {
          source = null
          setTimeout(resolve, STARTS_WITHIN_MS)
        }
      }
      end.signal.addEventListener('abort', () => {
        source?.close()
        resolve()
      })
    })
  const leadWhileWanted = async () => {
    while (!end.signal.aborted) {
      await navigator.locks.request('pgkeep-changes', { signal: end.signal }, lead).catch(() => {})
    }
  }
  if (navigator.locks === undefined) {
    // Pages of another machine without TLS have no locks: each tab listens for itself.
    void (async () => {
      while (!end.signal.aborted) await lead()
    })()
  } else {
    void leadWhileWanted()
  }
  channel.postMessage({ kind: 'ask' })
  const silence = setTimeout(() => {
    if (liveness === 'starting') hear({ kind: 'liveness', liveness: 'polling' })
  }, STARTS_WITHIN_MS)

  return () => {
    clearTimeout(silence)
    end.abort()
    channel.close()
  }
}
