import { Button, Container, Group, Stack, Title } from '@mantine/core'
import { useRouter } from '@tanstack/react-router'
import { paths } from '../../paths.ts'
import { useTexts } from '../../texts/index.ts'
import { TextLink } from '../../ui/links.tsx'
import { ProblemPanel } from '../../ui/problem-panel.tsx'

/** Stands where a page failed; the rest of the UI goes on. */
export function Broken({ error }: { error: unknown }) {
  const t = useTexts()
  const router = useRouter()
  return (
    <Container size="sm" py="xl" component="section">
      <Stack>
        <Title order={1}>{t.problem.pageFailed}</Title>
        <ProblemPanel error={error} />
        <Group>
          <Button onClick={() => void router.invalidate()}>{t.problem.tryAgain}</Button>
          <TextLink to={paths.overview}>{t.nav.overview}</TextLink>
        </Group>
      </Stack>
    </Container>
  )
}

export function NotFound() {
  const t = useTexts()
  return (
    <Container size="sm" py="xl" component="main">
      <Stack>
        <Title order={1}>{t.problem.nothingHere}</Title>
        <TextLink to={paths.overview}>{t.nav.overview}</TextLink>
      </Stack>
    </Container>
  )
}
