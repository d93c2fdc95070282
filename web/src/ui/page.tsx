import { Box, Group, Stack, Text, Title } from '@mantine/core'
import { type ReactNode, useEffect } from 'react'
import { TextLink } from './links.tsx'

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
  useEffect(() => {
    document.title = `${title} · pgkeep`
  }, [title])
  return (
    <Stack gap="lg">
      <Group justify="space-between" align="flex-end" gap="md">
        <Box style={{ flex: '1 1 20rem' }}>
          {up && (
            <TextLink to={up.to} size="sm">
              {up.label}
            </TextLink>
          )}
          <Title order={1} tabIndex={-1} style={{ overflowWrap: 'anywhere' }}>
            {title}
          </Title>
          {about && (
            <Text c="dimmed" maw="46rem">
              {about}
            </Text>
          )}
        </Box>
        {actions && <Group gap="sm">{actions}</Group>}
      </Group>
      {children}
    </Stack>
  )
}
