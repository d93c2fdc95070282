import { NavLink, ScrollArea, Stack, Text } from '@mantine/core'
import {
  IconArchive,
  IconCalendar,
  IconClipboardList,
  IconDatabase,
  IconFlask,
  IconHistory,
  IconHome,
  IconListCheck,
  IconRestore,
  IconServer2,
  IconSettings,
  IconUsers,
} from '@tabler/icons-react'
import { Link, useRouterState } from '@tanstack/react-router'
import type { Permission } from '../../api/types.ts'
import { paths } from '../../paths.ts'
import { type Texts, useTexts } from '../../texts/index.ts'
import { useMay } from '../session/session.ts'

interface Entry {
  to: string
  label: (t: Texts) => string
  icon: typeof IconHome
  needs?: Permission
}

const GROUPS: { label?: (t: Texts) => string; entries: Entry[] }[] = [
  { entries: [{ to: paths.overview, label: (t) => t.nav.overview, icon: IconHome }] },
  {
    label: (t) => t.nav.recovery,
    entries: [
      { to: paths.backups, label: (t) => t.nav.backups, icon: IconArchive },
      { to: paths.restores, label: (t) => t.nav.restores, icon: IconRestore },
      { to: paths.drills, label: (t) => t.nav.drills, icon: IconFlask },
    ],
  },
  {
    label: (t) => t.nav.work,
    entries: [
      { to: paths.jobs, label: (t) => t.nav.jobs, icon: IconListCheck },
      { to: paths.policies, label: (t) => t.nav.policies, icon: IconHistory },
      { to: paths.calendar, label: (t) => t.nav.calendar, icon: IconCalendar },
    ],
  },
  {
    label: (t) => t.nav.protects,
    entries: [
      { to: paths.apps, label: (t) => t.nav.apps, icon: IconDatabase },
      { to: paths.repositories, label: (t) => t.nav.repositories, icon: IconServer2 },
    ],
  },
  {
    label: (t) => t.nav.administration,
    entries: [
      { to: paths.people, label: (t) => t.nav.people, icon: IconUsers, needs: 'manage_users' },
      { to: paths.audit, label: (t) => t.nav.audit, icon: IconClipboardList, needs: 'audit' },
      { to: paths.settings, label: (t) => t.nav.settings, icon: IconSettings, needs: 'configure' },
    ],
  },
]

export function Navigation() {
  const t = useTexts()
  const may = useMay()
  const path = useRouterState({ select: (state) => state.location.pathname })
  const active = (to: string) => (to === '/' ? path === '/' : path === to || path.startsWith(`${to}/`))
  return (
    <ScrollArea h="100%">
      <Stack gap="sm">
        {GROUPS.map((group) => {
          const entries = group.entries.filter((entry) => !entry.needs || may(entry.needs))
          if (entries.length === 0) return null
          return (
            <div key={entries[0]?.to}>
              {group.label && (
                <Text size="xs" c="dimmed" fw={600} px="xs" mb={2}>
                  {group.label(t)}
                </Text>
              )}
              {entries.map((entry) => (
                <NavLink
                  key={entry.to}
                  component={Link}
                  to={entry.to}
                  label={entry.label(t)}
                  leftSection={<entry.icon size={18} stroke={1.7} aria-hidden />}
                  active={active(entry.to)}
                  aria-current={active(entry.to) ? 'page' : undefined}
                  style={{ borderRadius: 'var(--mantine-radius-md)' }}
                  py={6}
                />
              ))}
            </div>
          )
        })}
      </Stack>
    </ScrollArea>
  )
}
