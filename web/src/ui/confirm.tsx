import { Button, Group, Stack, Text, TextInput } from '@mantine/core'
import { type ReactNode, useState } from 'react'
import { useTexts } from '../texts/index.ts'
import { Dialog } from './dialog.tsx'
import { ProblemPanel } from './problem-panel.tsx'

interface ConfirmProps {
  opened: boolean
  title: string
  /** What will have happened afterwards. */
  consequence: ReactNode
  /** To be typed exactly; nothing has to be typed where absent. */
  phrase?: string
  /** What the button says: the action with its object. */
  action: string
  /** Whether something is lost that nobody gets back. */
  destroys?: boolean
  pending?: boolean
  disabled?: boolean
  error?: unknown
  onConfirm: () => void
  onClose: () => void
}

/** The one dialog before everything that is not undone by a click. */
export function Confirm(props: ConfirmProps) {
  return (
    <Dialog opened={props.opened} onClose={props.onClose} title={props.title}>
      {props.opened && <Question {...props} />}
    </Dialog>
  )
}

function Question(props: ConfirmProps) {
  const t = useTexts()
  const [typed, setTyped] = useState('')
  const allowed = props.phrase === undefined || typed === props.phrase
  const submit = () => {
    if (allowed && !props.pending && !props.disabled) props.onConfirm()
  }
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault()
        submit()
      }}
    >
      <Stack>
        <div>{props.consequence}</div>
        {props.phrase !== undefined && (
          <TextInput
            data-autofocus
            label={t.confirm.type}
            inputWrapperOrder={['label', 'description', 'input', 'error']}
            description={
              <Text component="span" fw={600} ff="monospace" size="sm" c="var(--mantine-color-text)">
                {props.phrase}
              </Text>
            }
            value={typed}
            autoComplete="off"
            spellCheck={false}
            onChange={(event) => setTyped(event.currentTarget.value)}
          />
        )}
        <ProblemPanel error={props.error} />
        <Group justify="flex-end">
          <Button variant="default" onClick={props.onClose}>
            {t.common.cancel}
          </Button>
          <Button
            type="submit"
            color={props.destroys === false ? undefined : 'red.8'}
            disabled={!allowed || props.disabled}
            loading={props.pending}
          >
            {props.action}
          </Button>
        </Group>
      </Stack>
    </form>
  )
}
