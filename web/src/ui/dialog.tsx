import { Group, Modal } from '@mantine/core'
import { type ReactNode, useEffect } from 'react'
import { useTexts } from '../texts/index.ts'

/** The frame of every dialog. Its title is no landmark of the page behind it. */
export function Dialog({
  opened,
  title,
  onClose,
  children,
}: {
  opened: boolean
  title: string
  onClose: () => void
  children: ReactNode
}) {
  const t = useTexts()
  // A dialog that goes together with its frame gives the focus back, too; the library does so only for one that closes.
  useEffect(() => {
    if (!opened) return
    const before = document.activeElement
    return () => {
      setTimeout(() => {
        const lost = document.activeElement === document.body
        if (lost && before instanceof HTMLElement && before.isConnected) before.focus({ preventScroll: true })
      })
    }
  }, [opened])
  return (
    <Modal.Root opened={opened} onClose={onClose} centered>
      <Modal.Overlay />
      <Modal.Content>
        <Modal.Body pt="md">
          <Group justify="space-between" wrap="nowrap" mb="md">
            <Modal.Title fw={650} lh={1.35}>
              {title}
            </Modal.Title>
            <Modal.CloseButton aria-label={t.common.close} />
          </Group>
          {children}
        </Modal.Body>
      </Modal.Content>
    </Modal.Root>
  )
}
