import { useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useEffect } from 'react'
import { type Change, listen } from '../../api/live.ts'
import { queries } from '../../api/queries.ts'
import { setLiveness } from './liveness.ts'

/** Changes come in bursts; what is shown is read anew at most this often. */
const GATHER_MS = 1_000

/** Keys of the cache that a change makes old. */
export function outdated(change: Change): readonly (readonly string[])[] {
  switch (change.topic) {
    case 'progress':
    case 'log':
      return [
        ['job', 'one', change.subject],
        ['log', change.subject],
      ]
    case 'job':
      return [['job'], ['log', change.subject], ['queue'], ['status'], ['audit']]
    case 'backup':
      return [['backup'], ['status']]
    case 'app':
    case 'policy':
    case 'repository':
      return [[change.topic], ['status'], ['audit']]
    default:
      return [[change.topic]]
  }
}

/** Keeps what pages show as new as the server's news. */
export function LiveUpdates({ children }: { children: ReactNode }) {
  const client = useQueryClient()
  const { data: session } = useQuery({ ...queries.session(), enabled: false })
  const account = session?.userId
  useEffect(() => {
    if (account === undefined) return
    const waiting = new Map<string, readonly string[]>()
    let timer: ReturnType<typeof setTimeout> | undefined
    const refresh = () => {
      timer = undefined
      for (const queryKey of waiting.values()) void client.invalidateQueries({ queryKey })
      waiting.clear()
    }
    const stop = listen({
      changed(change) {
        for (const key of outdated(change)) waiting.set(key.join(' '), key)
        timer ??= setTimeout(refresh, GATHER_MS)
      },
      missed: () => void client.invalidateQueries(),
      liveness(liveness) {
        setLiveness(liveness)
        // What happened while nobody listened.
        void client.invalidateQueries({ predicate: (query) => query.queryKey[0] !== 'session' })
      },
    })
    return () => {
      stop()
      clearTimeout(timer)
    }
  }, [account, client])
  return children
}
