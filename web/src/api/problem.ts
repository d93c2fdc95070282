import type { ProblemBody } from './types.ts'

/** An answer that says what went wrong, or that there was none. */
export class ApiProblem extends Error {
  readonly code: string
  /** 0 where no answer came. */
  readonly status: number
  readonly hint?: string
  readonly details: string[]
  readonly fields: { field: string; message: string }[]
  readonly requestId?: string

  constructor(body: Partial<ProblemBody> & { status: number; detail: string }) {
    super(body.detail)
    this.name = 'ApiProblem'
    this.code = body.code ?? 'unknown'
    this.status = body.status
    this.hint = body.hint
    this.details = body.details ?? []
    this.fields = body.fields ?? []
    this.requestId = body.requestId
  }

  /** What is wrong with one field of a form. */
  field(name: string): string | undefined {
    return this.fields.find((problem) => problem.field === name)?.message
  }
}

/** Turns whatever was thrown into a problem. */
export function asProblem(error: unknown): ApiProblem {
  if (error instanceof ApiProblem) return error
  return new ApiProblem({
    status: 0,
    code: 'unreachable',
    detail: error instanceof Error ? error.message : String(error),
  })
}

/** Reads an answer that is not a success. A proxy in between may answer with no problem document. */
export async function problemOf(response: Response): Promise<ApiProblem> {
  const requestId = response.headers.get('x-request-id') ?? undefined
  const body: unknown = await response.json().catch(() => null)
  if (isProblem(body)) return new ApiProblem({ ...body, requestId: body.requestId ?? requestId })
  return new ApiProblem({
    status: response.status,
    code: 'unknown',
    detail: `${response.status} ${response.statusText}`.trim(),
    requestId,
  })
}

function isProblem(body: unknown): body is ProblemBody {
  return typeof body === 'object' && body !== null && 'detail' in body && 'code' in body && 'status' in body
}
