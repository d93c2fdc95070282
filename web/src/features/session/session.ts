import { type QueryClient, useQuery } from '@tanstack/react-query'
import { rememberCsrfToken } from '../../api/client.ts'
import { queries } from '../../api/queries.ts'
import type { Permission, Session } from '../../api/types.ts'

/** Whether a session may do something. The server decides; this keeps what it would refuse from being offered. */
export function may(
  session: Pick<Session, 'permissions'> | undefined | null,
  permission: Permission,
): boolean {
  return session?.permissions.includes(permission) ?? false
}

/** Who is logged in. Pages are only shown to somebody. */
export function useSession(): Session | undefined {
  return useQuery({ ...queries.session(), enabled: false }).data
}

export function useMay(): (permission: Permission) => boolean {
  const session = useSession()
  return (permission) => may(session, permission)
}

/** Begins to show what this session may see; nothing of another's is left. */
export function enter(client: QueryClient, session: Session) {
  forgetAll(client)
  rememberCsrfToken(session.csrfToken)
  client.setQueryData(queries.session().queryKey, session)
}

/** Nobody is logged in any more. */
export function leave(client: QueryClient) {
  client.setQueryData(queries.session().queryKey, null as never)
  forgetAll(client)
}

/** The session's own entry stays: the page watches it. */
function forgetAll(client: QueryClient) {
  client.removeQueries({ predicate: (query) => query.queryKey[0] !== 'session' })
}
