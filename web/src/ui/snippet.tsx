import { Button, Group } from '@mantine/core'
import { useClipboard } from '@mantine/hooks'
import { IconCheck, IconCopy } from '@tabler/icons-react'
import { useTexts } from '../texts/index.ts'
import classes from './ui.module.css'

/** A text of several lines to be copied into a file. */
export function Snippet({ text, label }: { text: string; label: string }) {
  const t = useTexts()
  const clipboard = useClipboard({ timeout: 2000 })
  return (
    <div>
      <pre className={classes.snippet} role="group" tabIndex={0} aria-label={label}>
        {text}
      </pre>
      <Group justify="flex-end" mt="xs">
        <Button
          variant="default"
          size="xs"
          leftSection={
            clipboard.copied ? <IconCheck size={16} aria-hidden /> : <IconCopy size={16} aria-hidden />
          }
          onClick={() => clipboard.copy(text)}
        >
          {clipboard.copied ? t.common.copied : t.common.copy}
        </Button>
      </Group>
    </div>
  )
}
