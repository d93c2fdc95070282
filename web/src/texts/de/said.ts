import type { PolicyDefinition, Weekday } from '../../api/types.ts'
import type { said as english } from '../en/said.ts'
import { words } from './words.ts'

const n = (amount: number, one: string, many: string) => (amount === 1 ? `1 ${one}` : `${amount} ${many}`)

/** Wann ein Plan läuft, in Worten. */
function schedule(rule: NonNullable<PolicyDefinition['schedule']>): string {
  const at = rule.at ?? '02:00'
  const day = (name: Weekday) => words.weekdays[name]
  const when = {
    on_demand: 'nur von Hand',
    hourly: `stündlich zur Minute ${rule.at?.split(':')[1] ?? '00'}`,
    daily: `täglich um ${at}`,
    weekly: `jede Woche am ${day(rule.weekday ?? 'sunday')} um ${at}`,
    monthly:
      rule.day === 31 ? `am letzten Tag des Monats um ${at}` : `am ${rule.day ?? 1}. des Monats um ${at}`,
    cron: `cron ${rule.cron ?? ''}`,
  }[rule.frequency ?? 'daily']
  if (rule.frequency === 'on_demand') return when
  const late = rule.jitterSecs ? [`bis zu ${rule.jitterSecs} s später`] : []
  const never = (rule.blackout ?? []).map(({ from, to, days }) =>
    days?.length
      ? `nie zwischen ${from} und ${to} (${days.map(day).join(', ')})`
      : `nie zwischen ${from} und ${to}`,
  )
  return [`${when} (${rule.timeZone ?? 'UTC'})`, ...late, ...never].join(', ')
}

/** Was ein Plan behält, in Worten. */
function retention({ days, maxBackups, keep = {} }: NonNullable<PolicyDefinition['retention']>): string {
  const ever = 4_294_967_295
  const counts: [number | undefined, string, string][] = [
    [keep.last, 'das letzte', 'letzte'],
    [keep.hourly, 'ein stündliches', 'stündliche'],
    [keep.daily, 'ein tägliches', 'tägliche'],
    [keep.weekly, 'ein wöchentliches', 'wöchentliche'],
    [keep.monthly, 'ein monatliches', 'monatliche'],
    [keep.yearly, 'ein jährliches', 'jährliche'],
  ]
  const words = [
    days ? n(days, 'Tag', 'Tage') : undefined,
    maxBackups ? `höchstens ${n(maxBackups, 'Backup', 'Backups')}` : undefined,
    ...counts.map(([amount, one, many]) =>
      amount === ever
        ? `alle ${many.replace(/e$/, 'en')}`
        : amount
          ? amount === 1
            ? one
            : `${amount} ${many}`
          : undefined,
    ),
    keep.within ? `alle aus ${keep.within}` : undefined,
    ...(keep.keepTags ?? []).map((tag) => `mit Tag ${tag}`),
  ].filter((each) => each !== undefined)
  return words.length === 0 ? 'alles bleibt' : words.join(', ')
}

export const said: typeof english = {
  schedule,
  retention,
  findings: {
    no_backup: ({ app }) => `Von ${app} gibt es kein gutes Backup.`,
    damaged: ({ app }) => `Das neueste Backup von ${app} ist beschädigt.`,
    drill_failed: ({ app }) => `Das neueste Backup von ${app} hat seine Probe nicht bestanden.`,
    failing: ({ app, policy }) =>
      policy
        ? `Der letzte Lauf des Plans ${policy} von ${app} ist fehlgeschlagen.`
        : `Das letzte Backup von ${app} ist fehlgeschlagen.`,
    overdue: ({ app, policy }) =>
      policy
        ? `Der Plan ${policy} von ${app} ist überfällig.`
        : `Kein Plan sichert ${app} mehr von selbst, und das letzte gute Backup ist alt.`,
    unscheduled: ({ app }) => `Kein Plan sichert ${app} von selbst.`,
    unproven: ({ app }) => `Kein Backup von ${app} wurde je durch eine Wiederherstellung bewiesen.`,
    proof_stale: ({ app }) => `Der letzte Beweis durch eine Wiederherstellung von ${app} ist zu lange her.`,
    offsite_behind: ({ app, repository, days }) =>
      `Die Kopie von ${app} in ${repository} hinkt ${days === undefined ? '' : `${n(days, 'Tag', 'Tage')} `}nach.`,
    storage_filling: ({ repository, days }) =>
      days === undefined
        ? `Der Speicher von ${repository} füllt sich.`
        : `Der Speicher von ${repository} ist in ${n(days, 'Tag', 'Tagen')} voll, wenn es so weitergeht.`,
    shrunk: ({ app }) => `Das neueste Backup von ${app} enthält viel weniger als das davor.`,
    vanished: ({ app, repository }) =>
      `Backups von ${app} sind aus ${repository} verschwunden oder nicht zu erreichen.`,
    nobody_works: ({ app }) => `Kein Server oder kein Worker ist da, der ${app} sichert.`,
    clock_wrong: ({ app }) =>
      `Wie alt das neueste Backup von ${app} ist, lässt sich nicht sagen: eine Uhr geht falsch.`,
    unheard: () => 'Nachrichten kommen bei einem Empfänger nicht an.',
    no_recovery_kit: ({ repository }) =>
      `Niemand hat bestätigt, dass das Notfallblatt von ${repository} verwahrt ist.`,
  },
  problems: {
    invalid_request: 'Die Anfrage ist unverständlich.',
    unauthenticated: 'Niemand ist angemeldet.',
    login_refused: 'Die Anmeldung wurde abgelehnt.',
    second_factor_needed: 'Es fehlt der Einmalcode.',
    forbidden: 'Das darf dieses Konto nicht.',
    csrf_refused: 'Die Anfrage kommt nicht von den Seiten dieses Servers.',
    not_found: 'Das gibt es nicht.',
    conflict: 'Das ist etwas anderem im Weg.',
    exists: 'Das gibt es schon.',
    in_use: 'Etwas anderes braucht es noch.',
    wrong_state: 'In diesem Zustand geht das nicht.',
    request_in_progress: 'Dieselbe Anfrage wird gerade bearbeitet.',
    plan_changed: 'Der Plan ist nicht mehr, was er war.',
    precondition_failed: 'Jemand anderes hat es inzwischen geändert.',
    too_large: 'Das ist zu groß.',
    invalid: 'Diese Werte gehen so nicht.',
    refused: 'Abgelehnt, weil Daten in Gefahr wären.',
    confirmation_needed: 'Der Bestätigungssatz fehlt oder stimmt nicht.',
    proof_failed: 'Die wiederhergestellte Datenbank weicht vom Backup ab.',
    damaged: 'Das Repository ist beschädigt.',
    repository_access: 'Das Repository lässt sich nicht öffnen.',
    privilege: 'Dem Datenbankkonto fehlt ein Recht.',
    tools: 'Ein Programm von PostgreSQL fehlt oder ist zu alt.',
    throttled: 'Zu viele Anfragen in kurzer Zeit.',
    failed: 'Das ist fehlgeschlagen.',
    busy: 'Gerade zu beschäftigt.',
    no_worker: 'Kein Worker läuft, der das tun könnte.',
    timed_out: 'Das hat zu lange gedauert.',
    database: 'Der Datenbankserver ist nicht zu gebrauchen.',
    storage: 'Der Speicher ist nicht zu gebrauchen.',
    no_space: 'Der Platz reicht nicht.',
    // Those of jobs alone.
    cancelled: 'Es wurde abgebrochen.',
    time_limit: 'Die Zeitgrenze ist überschritten.',
    worker_lost: 'Der Worker ist mitten im Auftrag verschwunden.',
    shut_down: 'Der Server wurde beendet, während der Auftrag lief.',
    catalog_restored: 'Der Katalog wurde inzwischen wiederhergestellt.',
    unreachable: 'Das Ziel ist nicht zu erreichen.',
  },
}
