import { AppShell, Burger, Container, Group, Text } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { Link, Outlet, useNavigate, useRouterState } from '@tanstack/react-router'
import { useEffect } from 'react'
import { queries } from '../../api/queries.ts'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { Callout } from '../../ui/mark.tsx'
import classes from '../../ui/ui.module.css'
import { AccountMenu, LiveBadge } from './account-menu.tsx'
import { useLiveness } from './liveness.ts'
import { Navigation } from './navigation.tsx'

/** What stands around every page. */
export function Shell() {
  const t = useTexts()
  const [opened, menu] = useDisclosure()
  const path = useRouterState({ select: (state) => state.location.pathname })
  const href = useRouterState({ select: (state) => state.location.href })
  const session = useQuery({ ...queries.session(), enabled: false })
  const navigate = useNavigate()
  const liveness = useLiveness()

  // The menu of phones closes; and where one page follows another of its kind, it begins at its title, too.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the path is what it is about
  useEffect(() => {
    menu.close()
    document.querySelector<HTMLElement>('main h1')?.focus({ preventScroll: true })
  }, [path])

  const gone = session.data === null
  useEffect(() => {
    // On the way to the login page this page is still there for a moment.
    if (gone && !href.startsWith(paths.login))
      void navigate({ to: paths.login, search: { next: href, ended: true } })
  }, [gone, navigate, href])

  return (
    <AppShell
      header={{ height: 56 }}
      navbar={{ width: 240, breakpoint: 'sm', collapsed: { mobile: !opened } }}
      padding="md"
    >
      <a href="#main" className={classes.skip}>
        {t.nav.skip}
      </a>
      <AppShell.Header>
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Group gap="sm" wrap="nowrap">
            <Burger
              opened={opened}
              onClick={menu.toggle}
              hiddenFrom="sm"
              size="sm"
              aria-label={t.nav.menu}
              aria-expanded={opened}
            />
            <Link to={paths.overview} style={{ textDecoration: 'none', color: 'inherit' }}>
              <Group gap={8} wrap="nowrap">
                <img src="/icon.svg" width={26} height={26} alt="" />
                <Text fw={700} size="lg">
                  pgkeep
                </Text>
              </Group>
            </Link>
          </Group>
          <Group gap="sm" wrap="nowrap">
            <LiveBadge />
            <AccountMenu />
          </Group>
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="sm" aria-label={t.nav.pages}>
        <Navigation />
      </AppShell.Navbar>
      <AppShell.Main id="main" bg="var(--ground)">
        <Container size="xl" px={0}>
          {liveness === 'polling' && (
            <div style={{ marginBottom: '1rem' }}>
              <Callout tone="warn" role="status">
                <Text size="sm">{t.live.cut}</Text>
              </Callout>
            </div>
          )}
          <Outlet />
        </Container>
      </AppShell.Main>
    </AppShell>
  )
}
