/** The English texts of pages that are not in the first load. */
import { administration } from './en/administration.ts'
import { apps } from './en/apps.ts'
import { policies } from './en/policies.ts'
import { recovery } from './en/recovery.ts'
import { repositories } from './en/repositories.ts'

export const pages = { ...recovery, ...policies, ...apps, ...repositories, ...administration }
