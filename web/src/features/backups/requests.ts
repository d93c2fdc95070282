import { api, call } from '../../api/client.ts'
import type { components } from '../../api/schema.d.ts'
import type { Backup } from '../../api/types.ts'
import { ACCEPTED } from './doubt.ts'

type Which = Pick<Backup, 'id' | 'repository'>

const at = ({ id, repository }: Which) => ({ path: { id }, query: { repository } })

export function verifyBackup(backup: Which, readData: boolean) {
  return call(api.POST('/api/v1/backups/{id}/verify', { params: at(backup), body: { readData } }))
}

export function changeBackup(backup: Backup, change: components['schemas']['PatchBackup']) {
  return call(
    api.PATCH('/api/v1/backups/{id}', {
      params: { ...at(backup), header: { 'If-Match': `"${backup.revision}"` } },
      body: change,
    }),
  )
}

/** Takes it as right that a backup holds less than the one before. */
export function acceptLoss(backup: Backup) {
  return changeBackup(backup, { addTags: [ACCEPTED] })
}

export function deleteBackup(backup: Which, options: { force?: boolean; reason?: string } = {}) {
  return call(
    api.DELETE('/api/v1/backups/{id}', {
      params: { path: { id: backup.id }, query: { repository: backup.repository, ...options } },
    }),
  )
}
