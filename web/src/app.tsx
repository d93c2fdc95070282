import { MantineProvider } from '@mantine/core'
import { QueryClientProvider } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { useEffect, useMemo, useState } from 'react'
import { LiveUpdates } from './features/shell/live-updates.tsx'
import { queryClient } from './query-client.ts'
import { router } from './router.tsx'
import { en } from './texts/en.ts'
import {
  type Language,
  LanguageContext,
  loadTexts,
  preferredLanguage,
  rememberLanguage,
} from './texts/index.ts'
import { Notices } from './ui/notices.tsx'
import { theme, variables } from './ui/theme.ts'

/** What all pages stand in. */
export function App({ nonce }: { nonce: string }) {
  const [language, setLanguage] = useState<Language>(preferredLanguage)
  const [texts, setTexts] = useState(() => (preferredLanguage() === 'en' ? en : undefined))
  useEffect(() => {
    let wanted = true
    void loadTexts(language).then((loaded) => {
      if (!wanted) return
      document.documentElement.lang = language
      setTexts(loaded)
    })
    return () => {
      wanted = false
    }
  }, [language])
  const spoken = useMemo(
    () => ({
      language,
      texts: texts ?? en,
      choose(chosen: Language) {
        rememberLanguage(chosen)
        setLanguage(chosen)
      },
    }),
    [language, texts],
  )
  return (
    <MantineProvider
      theme={theme}
      cssVariablesResolver={variables}
      defaultColorScheme="auto"
      getStyleNonce={() => nonce}
    >
      {texts && (
        <LanguageContext.Provider value={spoken}>
          <QueryClientProvider client={queryClient}>
            <LiveUpdates>
              <Notices>
                <RouterProvider router={router} />
              </Notices>
            </LiveUpdates>
          </QueryClientProvider>
        </LanguageContext.Provider>
      )}
    </MantineProvider>
  )
}
