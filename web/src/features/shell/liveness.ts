import { useSyncExternalStore } from 'react'
import type { Liveness } from '../../api/live.ts'

/** How often everything is looked at while nobody tells of changes. */
const POLL_MS = 5_000
/** While the stream is live it is trusted, but not blindly. */
const TRUST_MS = 60_000

let current: Liveness = 'starting'
const listeners = new Set<() => void>()

export function setLiveness(liveness: Liveness) {
  current = liveness
  for (const listener of listeners) listener()
}

export function pollEveryMs(): number {
  return current === 'polling' ? POLL_MS : TRUST_MS
}

export function useLiveness(): Liveness {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    () => current,
  )
}
