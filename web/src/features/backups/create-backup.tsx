import { Button } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { lazy, Suspense } from 'react'
import { useTexts } from '../../texts/index.ts'

// The overview has this button, but needs no form before it is pressed.
const CreateBackupDialog = lazy(() =>
  import('./create-backup-form.tsx').then((module) => ({ default: module.CreateBackupDialog })),
)

interface ButtonProps {
  app?: string
  variant?: string
  size?: string
}

export function CreateBackupButton({ app, variant = 'filled', size = 'sm' }: ButtonProps) {
  const t = useTexts()
  const [opened, dialog] = useDisclosure()
  return (
    <>
      <Button variant={variant} size={size} onClick={dialog.open}>
        {t.backups.backUpNow}
      </Button>
      {opened && (
        <Suspense fallback={null}>
          <CreateBackupDialog app={app} onClose={dialog.close} />
        </Suspense>
      )}
    </>
  )
}
