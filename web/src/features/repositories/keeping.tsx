import { Text } from '@mantine/core'
import type { Repository } from '../../api/types.ts'
import { bytes } from '../../format/amounts.ts'
import { useTexts } from '../../texts/index.ts'
import { Facts, Moment, Section } from '../../ui/bits.tsx'
import { Callout, Mark } from '../../ui/mark.tsx'
import { useMay } from '../session/session.ts'
import { KitButton } from './kit-button.tsx'
import { fullIn, growthOf, urgency } from './room.ts'

/** How much room is left, and for how long. */
export function RoomLeft({ repository }: { repository: Repository }) {
  const t = useTexts()
  const { growth } = repository
  const soon = urgency(repository)
  return (
    <Section title={t.repositories.room}>
      {soon !== 'none' && (
        <Callout tone={soon === 'now' ? 'bad' : 'warn'}>
          <Text size="sm" fw={600}>
            {t.overview.filling(repository.name, Math.floor(growth?.fullInDays ?? 0))}
          </Text>
          <Text size="sm">{t.repositories.roomHint}</Text>
        </Callout>
      )}
      <Facts
        facts={[
          [t.repositories.growth, growthOf(repository, t)],
          ...(growth
            ? ([
                [t.repositories.free, bytes(growth.freeBytes)],
                [t.repositories.fullIn, fullIn(repository, t)],
              ] as [string, string][])
            : []),
        ]}
      />
    </Section>
  )
}

/** What opens the repository, and whether that outlives this machine. */
export function Keys({ repository }: { repository: Repository }) {
  const t = useTexts()
  const may = useMay()
  const confirmedAt = repository.recoveryKit?.confirmedAt
  return (
    <Section title={t.repositories.keys} actions={may('configure') && <KitButton name={repository.name} />}>
      <Text size="sm">{t.repositories.keysHint}</Text>
      <Facts
        facts={[
          [t.repositories.key, repository.definition.key ?? t.repositories.noKey],
          [
            t.repositories.kit,
            confirmedAt ? (
              <>
                {t.repositories.kitConfirmed}, <Moment at={confirmedAt} />
              </>
            ) : (
              <Mark state={{ tone: 'warn', icon: 'warning', words: t.repositories.kitMissing }} />
            ),
          ],
        ]}
      />
    </Section>
  )
}
