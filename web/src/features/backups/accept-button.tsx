import { Button } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { lazy, Suspense } from 'react'
import type { Backup } from '../../api/types.ts'
import { useTexts, withAllTexts } from '../../texts/index.ts'

// The overview may have this button, but needs no dialog before it is pressed.
const AcceptDialog = lazy(() =>
  withAllTexts(import('./accept-dialog.tsx')).then((module) => ({ default: module.AcceptDialog })),
)

/** Accepts that backups of an app hold less than they did: one backup, or whatever is in doubt. */
export function AcceptButton({ app, backup, size = 'xs' }: { app: string; backup?: Backup; size?: string }) {
  const t = useTexts()
  const [opened, dialog] = useDisclosure()
  return (
    <>
      <Button variant="default" size={size} onClick={dialog.open}>
        {t.overview.acceptLoss}
      </Button>
      {opened && (
        <Suspense fallback={null}>
          <AcceptDialog app={app} backup={backup} onClose={dialog.close} />
        </Suspense>
      )}
    </>
  )
}
