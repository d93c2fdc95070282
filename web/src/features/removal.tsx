import { Button, Text } from '@mantine/core'
import { useDisclosure } from '@mantine/hooks'
import { useAction } from '../ui/action.ts'
import { Confirm } from '../ui/confirm.tsx'

interface Words {
  /** What the button says before anything is asked. */
  label: string
  title: string
  consequence: string
  action: string
}

/** Removes something that is defined here, once its name is typed. */
export function Removal({
  name,
  words,
  remove,
  topics,
  gone,
}: {
  name: string
  words: Words
  remove: () => Promise<unknown>
  topics: string[]
  gone: () => void
}) {
  const [opened, dialog] = useDisclosure()
  const removal = useAction(remove, topics, gone)
  return (
    <>
      <Button variant="default" c="var(--tone-bad)" onClick={dialog.open}>
        {words.label}
      </Button>
      <Confirm
        opened={opened}
        title={words.title}
        consequence={<Text size="sm">{words.consequence}</Text>}
        phrase={name}
        action={words.action}
        pending={removal.isPending}
        error={removal.error}
        onConfirm={() => removal.mutate(undefined)}
        onClose={dialog.close}
      />
    </>
  )
}
