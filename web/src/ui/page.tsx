import { Group, Stack, Text, Title } from '@mantine/core'
import { type ReactNode, useEffect, useRef } from 'react'
import { TextLink } from './links.tsx'
import classes from './ui.module.css'

interface PageProps {
  title: string
  /** What the page is for, in a sentence. */
  about?: ReactNode
  /** Where one level up is. */
  up?: { label: string; to: string }
  actions?: ReactNode
  children: ReactNode
}

/** The frame of every page: title, one sentence, actions. */
export function Page({ title, about, up, actions, children }: PageProps) {
  const heading = useRef<HTMLHeadingElement>(null)
  // A new page begins at its title, also for who does not see it. What led here, such as a dialog, may be gone.
  useEffect(() => heading.current?.focus({ preventScroll: true }), [])
  useEffect(() => {
    document.title = `${title} · pgkeep`
  }, [title])
  return (
    <Stack gap="lg">
      <header className={classes.pageHead}>
        {up && (
          <div className={classes.pageUp}>
            <TextLink to={up.to} size="sm">
              {up.label}
            </TextLink>
          </div>
        )}
        <Title ref={heading} order={1} tabIndex={-1} style={{ overflowWrap: 'anywhere' }}>
          {title}
        </Title>
        {about && (
          <Text c="dimmed" maw="46rem" className={classes.pageAbout}>
            {about}
          </Text>
        )}
        {actions && (
          <Group gap="sm" className={classes.pageActions}>
            {actions}
          </Group>
        )}
      </header>
      {children}
    </Stack>
  )
}
