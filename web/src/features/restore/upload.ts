import { api, call, sendBytes } from '../../api/client.ts'
import { asProblem } from '../../api/problem.ts'

/** A request that is cut loses at most this much. */
const CHUNK_BYTES = 8 * 1024 * 1024
const TRIES = 5

const ENDINGS = ['.dump', '.pgcustom', '.backup', '.sql', '.sql.gz', '.tar', '.zst']

/** Whether a file looks like one that can be taken in; the server looks into it before it believes anything. */
export function looksLikeDump(name: string): boolean {
  const lower = name.toLowerCase()
  return ENDINGS.some((ending) => lower.endsWith(ending))
}

/** Where the next chunk ends. */
export function chunkEnd(offset: number, size: number): number {
  return Math.min(size, offset + CHUNK_BYTES)
}

export interface Target {
  app: string
  description: string
}

/** Sends a file in chunks, goes on after a cut where the server stopped, and answers with the job that takes it in. */
export async function upload(
  file: File,
  target: Target,
  progress: (sentBytes: number) => void,
  signal: AbortSignal,
): Promise<string> {
  const { id } = await call(
    api.POST('/api/v1/backups/uploads', { body: { fileName: file.name, sizeBytes: file.size } }),
  )
  try {
    let offset = 0
    let failures = 0
    while (offset < file.size) {
      try {
        const end = chunkEnd(offset, file.size)
        await sendBytes(
          'PATCH',
          `/api/v1/backups/uploads/${id}`,
          file.slice(offset, end),
          { 'upload-offset': String(offset) },
          signal,
        )
        offset = end
        failures = 0
      } catch (error) {
        const { status } = asProblem(error)
        failures += 1
        if (signal.aborted || failures >= TRIES || (status >= 400 && status < 500 && status !== 409))
          throw error
        const params = { params: { path: { id } } }
        offset = (await call(api.GET('/api/v1/backups/uploads/{id}', params))).receivedBytes
      }
      progress(offset)
    }
    const accepted = await call(
      api.POST('/api/v1/backups/uploads/{id}/complete', {
        params: { path: { id } },
        body: { app: target.app, description: target.description },
      }),
    )
    return accepted.jobId
  } catch (error) {
    // Nothing is left behind; if that fails, too, the server removes it by itself.
    await api.DELETE('/api/v1/backups/uploads/{id}', { params: { path: { id } } }).catch(() => {})
    throw error
  }
}
