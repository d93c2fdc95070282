import { CloseButton, Group, Portal, Stack, Text } from '@mantine/core'
import { createContext, type ReactNode, useCallback, useContext, useMemo, useState } from 'react'
import { useTexts } from '../texts/index.ts'
import { Callout, type Tone } from './mark.tsx'

interface Notice {
  id: number
  tone: Tone
  content: ReactNode
}

type Tell = (content: ReactNode, tone?: Tone) => void

const NoticeContext = createContext<Tell>(() => {})
const SHOWN_MS = 8_000
let next = 0

/** Says for a moment that something was done. Errors do not go here: they stay where they happened. */
export function Notices({ children }: { children: ReactNode }) {
  const t = useTexts()
  const [notices, setNotices] = useState<Notice[]>([])
  const drop = useCallback((id: number) => setNotices((all) => all.filter((notice) => notice.id !== id)), [])
  const tell = useCallback<Tell>(
    (content, tone = 'good') => {
      next += 1
      const id = next
      setNotices((all) => [...all, { id, tone, content }])
      setTimeout(() => drop(id), SHOWN_MS)
    },
    [drop],
  )
  const context = useMemo(() => tell, [tell])
  return (
    <NoticeContext.Provider value={context}>
      {children}
      <Portal>
        <Stack
          gap="xs"
          pos="fixed"
          bottom="1rem"
          right="1rem"
          maw="min(26rem, calc(100vw - 2rem))"
          style={{ zIndex: 500 }}
          role="status"
          aria-live="polite"
        >
          {notices.map((notice) => (
            <Callout key={notice.id} tone={notice.tone}>
              <Group justify="space-between" wrap="nowrap" align="flex-start">
                <Text size="sm" component="div">
                  {notice.content}
                </Text>
                <CloseButton size="sm" aria-label={t.common.close} onClick={() => drop(notice.id)} />
              </Group>
            </Callout>
          ))}
        </Stack>
      </Portal>
    </NoticeContext.Provider>
  )
}

export function useTell(): Tell {
  return useContext(NoticeContext)
}
