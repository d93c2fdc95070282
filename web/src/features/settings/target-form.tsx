import { Checkbox, MultiSelect, NumberInput, PasswordInput, Select, Stack, TextInput } from '@mantine/core'
import { useState } from 'react'
import { api, call } from '../../api/client.ts'
import { asProblem } from '../../api/problem.ts'
import type { Channel, NoticeKind, Target, TargetDefinition } from '../../api/types.ts'
import { useTexts } from '../../texts/index.ts'
import { useAction } from '../../ui/action.ts'
import { Confirm } from '../../ui/confirm.tsx'
import { entries, expecting } from '../saving.ts'

type Kind = Channel['type']
const KINDS: NoticeKind[] = [
  'failure',
  'overdue',
  'recovery',
  'success',
  'restore',
  'drill',
  'cleanup',
  'storage_nearly_full',
]

interface Draft {
  type: Kind
  url: string
  secret: string
  host: string
  port: number | string
  from: string
  to: string
  username: string
  password: string
}

function draftOf(channel: Channel | undefined): Draft {
  const empty: Draft = {
    type: 'email',
    url: '',
    secret: '',
    host: '',
    port: 587,
    from: '',
    to: '',
    username: '',
    password: '',
  }
  if (channel === undefined) return empty
  if (channel.type === 'email') {
    return {
      ...empty,
      host: channel.host,
      port: channel.port ?? '',
      from: channel.from,
      to: channel.to.join(', '),
      username: channel.username ?? '',
      password: channel.password ?? '',
    }
  }
  return {
    ...empty,
    type: channel.type,
    url: channel.url,
    secret: 'secret' in channel ? (channel.secret ?? '') : '',
  }
}

function channelOf(draft: Draft, before: Channel | undefined): Channel {
  switch (draft.type) {
    case 'email':
      return {
        ...(before?.type === 'email' ? before : {}),
        type: 'email',
        host: draft.host.trim(),
        port: Number(draft.port) || null,
        from: draft.from.trim(),
        to: entries(draft.to),
        username: draft.username.trim() || null,
        password: draft.password || null,
      }
    case 'webhook':
      return { type: 'webhook', url: draft.url.trim(), secret: draft.secret || null }
    default:
      return { type: draft.type, url: draft.url.trim() }
  }
}

/** Makes or changes a notification target. */
export function TargetForm({ target, onClose }: { target?: Target; onClose: () => void }) {
  const t = useTexts()
  const [name, setName] = useState(target?.name ?? '')
  const [draft, setDraft] = useState(() => draftOf(target?.definition.channel))
  const [on, setOn] = useState<NoticeKind[]>(target?.definition.on ?? ['failure', 'overdue', 'recovery'])
  const [enabled, setEnabled] = useState(target?.definition.enabled ?? true)
  const [byDefault, setByDefault] = useState(target?.definition.default ?? true)
  const save = useAction(
    () => {
      const definition: TargetDefinition = {
        ...target?.definition,
        channel: channelOf(draft, target?.definition.channel),
        on,
        enabled,
        default: byDefault,
      }
      return call(
        api.PUT('/api/v1/notifications/targets/{name}', {
          params: { path: { name: name.trim() }, header: expecting(target?.revision) },
          body: definition,
        }),
      )
    },
    ['notification_target'],
    onClose,
  )
  const problem = save.isError ? asProblem(save.error) : undefined
  const text = (field: Exclude<keyof Draft, 'type' | 'port'>, label: string, secret = false) => {
    const Input = secret ? PasswordInput : TextInput
    return (
      <Input
        label={label}
        value={draft[field]}
        onChange={(event) => {
          const { value } = event.currentTarget
          setDraft((before) => ({ ...before, [field]: value }))
        }}
        error={problem?.field(`channel.${field}`)}
        autoComplete="off"
        spellCheck={false}
      />
    )
  }
  return (
    <Confirm
      opened
      title={target ? t.people.change(target.name) : t.targets.create}
      consequence={
        <Stack gap="sm">
          <TextInput
            label={t.common.name}
            description={t.common.nameHint}
            required
            data-autofocus
            disabled={target !== undefined}
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
            error={problem?.field('name')}
          />
          <Select
            label={t.targets.channel}
            data={Object.entries(t.channels).map(([value, label]) => ({ value, label }))}
            value={draft.type}
            onChange={(type) => type && setDraft((before) => ({ ...before, type: type as Kind }))}
            allowDeselect={false}
          />
          {draft.type === 'email' ? (
            <>
              {text('host', t.targets.host)}
              <NumberInput
                label={t.targets.port}
                value={draft.port}
                onChange={(port) => setDraft((before) => ({ ...before, port }))}
                hideControls
              />
              {text('from', t.targets.from)}
              {text('to', t.targets.to)}
              {text('username', t.targets.username)}
              {text('password', t.login.password, true)}
            </>
          ) : (
            <>
              {text('url', t.targets.url)}
              {draft.type === 'webhook' && text('secret', t.targets.secret, true)}
            </>
          )}
          <MultiSelect
            label={t.targets.on}
            data={KINDS.map((value) => ({ value, label: t.notices[value] }))}
            value={on}
            onChange={(kinds) => setOn(kinds as NoticeKind[])}
          />
          <Checkbox
            label={t.targets.byDefault}
            checked={byDefault}
            onChange={(event) => setByDefault(event.currentTarget.checked)}
          />
          <Checkbox
            label={t.targets.enabled}
            checked={enabled}
            onChange={(event) => setEnabled(event.currentTarget.checked)}
          />
        </Stack>
      }
      action={t.common.save}
      destroys={false}
      disabled={name.trim() === ''}
      pending={save.isPending}
      error={save.error}
      onConfirm={() => save.mutate(undefined)}
      onClose={onClose}
    />
  )
}
