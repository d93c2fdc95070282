import { QueryClient } from '@tanstack/react-query'
import { onSessionEnd } from './api/client.ts'
import { asProblem } from './api/problem.ts'
import { queries } from './api/queries.ts'
import { pollEveryMs } from './features/shell/liveness.ts'

/** Answers that ask again would only repeat. */
function mayHelp(error: unknown) {
  const { status } = asProblem(error)
  return status === 0 || status === 502 || status === 503 || status === 504
}

export const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      // The server may be this very machine: what the browser thinks of the network does not matter.
      networkMode: 'always',
      staleTime: 2_000,
      retry: (failures, error) => mayHelp(error) && failures < 2,
      refetchInterval: () => pollEveryMs(),
    },
    mutations: { networkMode: 'always' },
  },
})

// The login page takes over; it leads back to where this happened.
onSessionEnd(() => {
  const { queryKey } = queries.session()
  if (queryClient.getQueryData(queryKey) !== undefined) queryClient.setQueryData(queryKey, null as never)
})
