import { Loader, Stack } from '@mantine/core'
import type { UseQueryResult } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { useTexts } from '../texts/index.ts'
import { ProblemPanel } from './problem-panel.tsx'

/** Shows data once it is there; before, that it is coming; or why it cannot come. Old data stays visible under an error. */
export function Loaded<T>({
  query,
  children,
}: {
  query: UseQueryResult<T>
  children: (data: T) => ReactNode
}) {
  const t = useTexts()
  if (query.data === undefined) {
    if (query.isError) return <ProblemPanel error={query.error} retry={() => void query.refetch()} />
    return (
      <Stack align="center" py="xl" role="status" aria-label={t.common.loading}>
        <Loader />
      </Stack>
    )
  }
  return (
    <>
      {query.isError && <ProblemPanel error={query.error} retry={() => void query.refetch()} />}
      {children(query.data)}
    </>
  )
}
