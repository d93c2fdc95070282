import { Button, Loader } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { lazy, Suspense } from 'react'
import { useTexts } from '../../texts/index.ts'
import { Dialog } from '../../ui/dialog.tsx'

// The overview has this button, but needs no form before it is pressed.
const CreateBackup = lazy(() =>
  import('./create-backup-form.tsx').then((module) => ({ default: module.CreateBackup })),
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
      <Dialog opened={opened} onClose={dialog.close} title={t.backups.backUpNow}>
        {opened && (
          <Suspense fallback={<Loader />}>
            <CreateBackup app={app} onClose={dialog.close} />
          </Suspense>
        )}
      </Dialog>
    </>
  )
}
