import { useQuery } from '@tanstack/react-query'
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
