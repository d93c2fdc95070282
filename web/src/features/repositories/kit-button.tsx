import { Button } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { lazy, Suspense } from 'react'
import { useTexts, withAllTexts } from '../../texts/index.ts'

// Most servers never need it again after their first day.
const KitDialog = lazy(() =>
  withAllTexts(import('./kit-dialog.tsx')).then((module) => ({ default: module.KitDialog })),
)

export function KitButton({ name, size = 'xs' }: { name: string; size?: string }) {
  const t = useTexts()
  const [opened, dialog] = useDisclosure()
  return (
    <>
      <Button variant="default" size={size} onClick={dialog.open}>
        {t.overview.keepKit}
      </Button>
      <Suspense fallback={null}>{opened && <KitDialog name={name} onClose={dialog.close} />}</Suspense>
    </>
  )
}
