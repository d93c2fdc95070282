import type { Repository } from '../../api/types.ts'
import { bytes } from '../../format/amounts.ts'
import type { Texts } from '../../texts/index.ts'

/** A repository in object storage, or on another machine. */
export function isRemote(address: string | null | undefined): boolean {
  return /^\w+:\/\//.test(address ?? '') && !address?.startsWith('file:')
}

/** How fast it grows, in words. */
export function growthOf(repository: Pick<Repository, 'growth' | 'definition'>, t: Texts): string {
  const { growth, definition } = repository
  if (!growth)
    return isRemote(definition.address) ? t.repositories.growthElsewhere : t.repositories.growthUnknown
  return growth.bytesPerDay < 0
    ? t.repositories.shrinks(bytes(-growth.bytesPerDay))
    : t.repositories.growthOf(bytes(growth.bytesPerDay))
}

const A_YEAR = 366

/** When its disk is full, in words; nothing where that is not known. */
export function fullIn(repository: Pick<Repository, 'growth'>, t: Texts): string {
  const { growth } = repository
  if (!growth) return '–'
  if (growth.fullInDays == null) return t.repositories.notFilling
  return growth.fullInDays >= A_YEAR
    ? t.repositories.fullInLong
    : t.repositories.fullInDays(Math.floor(growth.fullInDays))
}

/** How soon somebody has to make room: the same limits by which the overview tells of it. */
export function urgency(repository: Pick<Repository, 'growth'>): 'none' | 'soon' | 'now' {
  const days = repository.growth?.fullInDays
  if (days == null || days > 14) return 'none'
  return days < 2 ? 'now' : 'soon'
}
