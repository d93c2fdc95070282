import { Card, Center, Group, Stack, Text, Title } from '@mantine/core'
import { type ReactNode, useEffect } from 'react'

/** The frame of pages for who is not logged in. */
export function Outside({ title, about, children }: { title: string; about?: string; children: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · pgkeep`
  }, [title])
  return (
    <Center mih="100vh" p="md" component="main" bg="var(--ground)">
      <Card withBorder padding="xl" w="100%" maw={440}>
        <Stack>
          <Group gap="sm">
            <img src="/icon.svg" width={32} height={32} alt="" />
            <Text fw={700} size="xl">
              pgkeep
            </Text>
          </Group>
          <div>
            <Title order={1} size="h2">
              {title}
            </Title>
            {about && <Text c="dimmed">{about}</Text>}
          </div>
          {children}
        </Stack>
      </Card>
    </Center>
  )
}
