import { Anchor, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { queries } from '../../api/queries.ts'
import { dayOf, timeOfDay } from '../../format/time.ts'
import { paths } from '../../paths.ts'
import { useLocale, useTexts } from '../../texts/index.ts'
import { TextLink } from '../../ui/links.tsx'
import { Loaded } from '../../ui/loaded.tsx'
import { Mark } from '../../ui/mark.tsx'
import { Page } from '../../ui/page.tsx'
import { jobState } from '../states.ts'
import classes from './calendar.module.css'
import { byDay, byPolicy, weeks } from './month.ts'

const PAST_DAYS = 14
const COMING_DAYS = 14
/** More entries than this are counted, not listed. */
const LISTED = 3

/** Past runs with their outcome and coming runs, by day. */
export function CalendarPage() {
  const t = useTexts()
  const locale = useLocale()
  const [now] = useState(() => new Date())
  const from = new Date(now.getTime() - PAST_DAYS * 86_400_000)
  const to = new Date(now.getTime() + COMING_DAYS * 86_400_000)
  const since = new Date(new Date(from).setHours(0, 0, 0, 0)).toISOString()
  const past = useQuery(queries.recentJobs({ kind: 'backup', since }, 500))
  const coming = useQuery(queries.calendar(COMING_DAYS))
  const today = dayOf(now)
  const weekday = new Intl.DateTimeFormat(locale, { weekday: 'short' })
  const dayName = new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'short' })
  return (
    <Page
      title={t.nav.calendar}
      about={t.policies.calendarAbout}
      actions={
        <Anchor href="/api/v1/calendar.ics" size="sm">
          {t.policies.subscribe}
        </Anchor>
      }
    >
      <Loaded query={past}>
        {(jobs) => (
          <Loaded query={coming}>
            {(runs) => {
              const done = byDay(jobs, (job) => job.createdAt)
              const ahead = byDay(runs, (run) => run.start)
              return (
                <div className={classes.frame} role="group" aria-label={t.nav.calendar} tabIndex={0}>
                  <table className={classes.calendar}>
                    <thead>
                      <tr>
                        {(weeks(from, from)[0] ?? []).map((day) => (
                          <th key={day} scope="col">
                            {weekday.format(new Date(`${day}T12:00`))}
                          </th>
                        ))}
                      </tr>
                    </thead>
                    <tbody>
                      {weeks(from, to).map((week) => (
                        <tr key={week[0]}>
                          {week.map((day) => (
                            <td key={day} data-today={day === today || undefined}>
                              <Text
                                size="xs"
                                fw={day === today ? 700 : 500}
                                c={day === today ? undefined : 'dimmed'}
                              >
                                {dayName.format(new Date(`${day}T12:00`))}
                              </Text>
                              <ul>
                                {(done.get(day) ?? []).slice(0, LISTED).map((job) => (
                                  <li key={job.id}>
                                    <TextLink to={paths.job} params={{ id: job.id }} size="xs">
                                      <Mark
                                        state={{
                                          ...jobState(job, t),
                                          words: `${timeOfDay(job.createdAt, locale)} ${job.policy ?? job.app ?? ''}`,
                                        }}
                                      />
                                      <span className="visually-hidden">{jobState(job, t).words}</span>
                                    </TextLink>
                                  </li>
                                ))}
                                <Rest
                                  amount={(done.get(day) ?? []).length - LISTED}
                                  words={t.policies.moreRuns}
                                />
                                {byPolicy(ahead.get(day) ?? [])
                                  .slice(0, LISTED)
                                  .map((run) => (
                                    <li key={run.policy}>
                                      <Mark
                                        state={{
                                          tone: 'idle',
                                          icon: 'clock',
                                          words:
                                            run.times > 1
                                              ? t.policies.times(run.policy, run.times)
                                              : `${timeOfDay(run.start, locale)} ${run.policy}`,
                                        }}
                                      />
                                    </li>
                                  ))}
                                <Rest
                                  amount={byPolicy(ahead.get(day) ?? []).length - LISTED}
                                  words={t.policies.moreComing}
                                />
                              </ul>
                            </td>
                          ))}
                        </tr>
                      ))}
                    </tbody>
                  </table>
                </div>
              )
            }}
          </Loaded>
        )}
      </Loaded>
    </Page>
  )
}

function Rest({ amount, words }: { amount: number; words: (amount: number) => string }) {
  if (amount <= 0) return null
  return (
    <li>
      <Text size="xs" c="dimmed">
        {words(amount)}
      </Text>
    </li>
  )
}
