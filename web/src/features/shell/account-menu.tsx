import { Button, Menu, Text, useMantineColorScheme } from '@mantine/core'
import {
  IconBook2,
  IconDeviceDesktop,
  IconLanguage,
  IconLogout,
  IconMoon,
  IconSun,
  IconUser,
} from '@tabler/icons-react'
import { useQueryClient } from '@tanstack/react-query'
import { Link, useNavigate } from '@tanstack/react-router'
import { useContext } from 'react'
import { api, call } from '../../api/client.ts'
import { paths } from '../../paths.ts'
import { LanguageContext, useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Mark } from '../../ui/mark.tsx'
import { leave, useSession } from '../session/session.ts'
import { useLiveness } from './liveness.ts'

/** Whether what is shown is kept new by itself. */
export function LiveBadge() {
  const t = useTexts()
  const liveness = useLiveness()
  if (liveness === 'starting') return null
  return liveness === 'live' ? (
    <Mark pill state={{ tone: 'good', icon: 'check', words: t.live.live }} />
  ) : (
    <Mark pill state={{ tone: 'warn', icon: 'clock', words: t.live.polling }} />
  )
}

export function AccountMenu() {
  const t = useTexts()
  const session = useSession()
  const navigate = useNavigate()
  const client = useQueryClient()
  const scheme = useMantineColorScheme()
  const { language, choose } = useContext(LanguageContext)
  const logOut = useAction(
    () => call(api.DELETE('/api/v1/session')),
    [],
    () => {
      leave(client)
      void navigate({ to: paths.login })
    },
  )
  if (!session) return null
  const schemes = [
    { value: 'light', label: t.account.light, icon: IconSun },
    { value: 'dark', label: t.account.dark, icon: IconMoon },
    { value: 'auto', label: t.account.system, icon: IconDeviceDesktop },
  ] as const
  return (
    <Menu position="bottom-end" width={240} withinPortal>
      <Menu.Target>
        <Button variant="default" size="sm" leftSection={<IconUser size={16} aria-hidden />}>
          {session.name}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>
          <Text size="xs">{t.roles[session.role]}</Text>
        </Menu.Label>
        <Menu.Item component={Link} to={paths.profile} leftSection={<IconUser size={16} />}>
          {t.nav.profile}
        </Menu.Item>
        <Menu.Item component="a" href="/api/docs" leftSection={<IconBook2 size={16} />}>
          {t.account.api}
        </Menu.Item>
        <Menu.Divider />
        {schemes.map((each) => (
          <Menu.Item
            key={each.value}
            role="menuitemradio"
            aria-checked={scheme.colorScheme === each.value}
            leftSection={<each.icon size={16} />}
            fw={scheme.colorScheme === each.value ? 650 : undefined}
            onClick={() => scheme.setColorScheme(each.value)}
          >
            {each.label}
          </Menu.Item>
        ))}
        <Menu.Divider />
        <Menu.Item
          leftSection={<IconLanguage size={16} />}
          lang={language === 'en' ? 'de' : 'en'}
          onClick={() => choose(language === 'en' ? 'de' : 'en')}
        >
          {language === 'en' ? 'Deutsch' : 'English'}
        </Menu.Item>
        <Menu.Item leftSection={<IconLogout size={16} />} onClick={() => logOut.mutate(undefined)}>
          {t.account.logOut}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  )
}
