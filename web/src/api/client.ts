import createClient from 'openapi-fetch'
import { ApiProblem, problemOf } from './problem.ts'
import type { paths } from './schema.d.ts'

let csrfToken = ''
let sessionEnded: () => void = () => {}

/** The token that requests repeat which change something; it comes with the session. */
export function rememberCsrfToken(token: string | undefined) {
  csrfToken = token ?? ''
}

/** What happens when the server no longer knows the session. */
export function onSessionEnd(listener: () => void) {
  sessionEnded = listener
}

export const api = createClient<paths>({ baseUrl: '', credentials: 'same-origin' })

api.use({
  onRequest({ request }) {
    if (request.method !== 'GET' && csrfToken !== '') request.headers.set('x-csrf-token', csrfToken)
    return request
  },
  async onResponse({ response }) {
    if (response.ok) return response
    const problem = await problemOf(response)
    if (problem.code === 'unauthenticated') sessionEnded()
    throw problem
  },
  onError({ error }) {
    if (error instanceof ApiProblem) return error
    return new ApiProblem({
      status: 0,
      code: 'unreachable',
      detail: error instanceof Error ? error.message : 'no answer',
    })
  },
})

/** The data of an answer; what is not a success was thrown already. */
export async function call<T>(answer: Promise<{ data?: T; response: Response }>): Promise<T> {
  const { data } = await answer
  return data as T
}

/** Sends bytes, which the typed client would take for JSON. */
export async function sendBytes(
  method: 'PATCH' | 'POST',
  path: string,
  bytes: Blob,
  headers: Record<string, string>,
  signal?: AbortSignal,
): Promise<Response> {
  const response = await fetch(path, {
    method,
    body: bytes,
    signal,
    headers: { 'content-type': 'application/octet-stream', 'x-csrf-token': csrfToken, ...headers },
  })
  if (!response.ok) throw await problemOf(response)
  return response
}
