import { Button } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { lazy, Suspense } from 'react'
import { useTexts } from '../../texts/index.ts'

// The overview may have this button, but needs no form before it is pressed.
const DrillDialog = lazy(() =>
  import('./drill-dialog.tsx').then((module) => ({ default: module.DrillDialog })),
)

/** Rehearses a restore in a throwaway database. */
export function DrillButton({
  app,
  variant = 'filled',
  size = 'sm',
}: {
  app?: string
  variant?: string
  size?: string
}) {
  const t = useTexts()
  const [opened, dialog] = useDisclosure()
  return (
    <>
      <Button variant={variant} size={size} onClick={dialog.open}>
        {t.drills.start}
      </Button>
      {opened && (
        <Suspense fallback={null}>
          <DrillDialog app={app} onClose={dialog.close} />
        </Suspense>
      )}
    </>
  )
}
