import {
  IconAlertTriangle,
  IconCircleCheck,
  IconCircleDashed,
  IconCircleX,
  IconClock,
  IconInfoCircle,
  IconLoader2,
  IconShieldCheck,
} from '@tabler/icons-react'
import type { ReactNode } from 'react'
import classes from './ui.module.css'

export type Tone = 'good' | 'note' | 'warn' | 'bad' | 'idle'
export type MarkIcon = 'check' | 'shield' | 'cross' | 'warning' | 'clock' | 'running' | 'none' | 'info'

/** A state in words, with a tone and an icon so that no colour needs to be seen. */
export interface State {
  tone: Tone
  icon: MarkIcon
  words: string
}

const ICONS = {
  check: IconCircleCheck,
  shield: IconShieldCheck,
  cross: IconCircleX,
  warning: IconAlertTriangle,
  clock: IconClock,
  running: IconLoader2,
  none: IconCircleDashed,
  info: IconInfoCircle,
}

/** The one way to show a state. */
export function Mark({ state, pill = false }: { state: State; pill?: boolean }) {
  const Icon = ICONS[state.icon]
  return (
    <span className={`${classes.mark} ${classes[state.tone]} ${pill ? classes.pill : ''}`}>
      <Icon
        size={pill ? 16 : 18}
        stroke={2}
        aria-hidden
        className={state.icon === 'running' ? 'spin' : undefined}
      />
      <span>{state.words}</span>
    </span>
  )
}

/** A remark that belongs to what stands beside it. */
export function Callout({
  tone,
  children,
  role,
}: {
  tone: Tone
  children: ReactNode
  role?: 'alert' | 'status'
}) {
  return (
    <div className={`${classes.callout} ${classes[tone]}`} role={role}>
      {children}
    </div>
  )
}
