//! The moments that a schedule names, before blackouts and jitter.

use super::ScheduleError;
use crate::policy::{Frequency, Schedule, Weekday};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::{self, DateTime, Time};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Span, Timestamp};

pub(super) const DEFAULT_TIME: &str = "02:00";
pub(super) const DEFAULT_WEEKDAY: Weekday = Weekday::Sunday;

#[derive(Debug, Clone)]
pub(super) enum Rule {
    Hourly {
        minute: i8,
    },
    Daily {
        at: Time,
    },
    Weekly {
        at: Time,
        weekday: civil::Weekday,
    },
    Monthly {
        at: Time,
        day: i8,
    },
    Cron {
        cron: Box<Cron>,
        /// Names every hour of the day, so it follows elapsed hours.
        every_hour: bool,
    },
}

/// Reads `HH:MM`.
pub(super) fn parse_time(field: &'static str, text: &str) -> Result<Time, ScheduleError> {
    let parsed = text.split_once(':').and_then(|(hour, minute)| {
        let number = |text: &str| {
            let plain = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| text.parse::<i8>().ok()).flatten()
        };
        (minute.len() == 2)
            .then(|| Time::new(number(hour)?, number(minute)?, 0, 0).ok())
            .flatten()
    });
    let message = || format!("\"{text}\" is not a time of day: write it like 02:30");
    parsed.ok_or_else(|| ScheduleError::new(field, message()))
}

impl Rule {
    /// Reads the rule of a schedule; there is none where it runs on demand.
    pub(super) fn parse(schedule: &Schedule) -> Result<Option<Rule>, ScheduleError> {
        let at = schedule.at.as_deref();
        let time = || parse_time("at", at.unwrap_or(DEFAULT_TIME));
        Ok(Some(match schedule.frequency {
            Frequency::OnDemand => return Ok(None),
            Frequency::Hourly => Rule::Hourly {
                minute: at.map_or(Ok(0), |at| parse_time("at", at).map(Time::minute))?,
            },
            Frequency::Daily => Rule::Daily { at: time()? },
            Frequency::Weekly => Rule::Weekly {
                at: time()?,
                weekday: schedule.weekday.unwrap_or(DEFAULT_WEEKDAY).civil(),
            },
            Frequency::Monthly => {
                let day = schedule.day.unwrap_or(1);
                if !(1..=31).contains(&day) {
                    return Err(ScheduleError::new("day", "is 1 to 31"));
                }
                Rule::Monthly {
                    at: time()?,
                    day: day as i8,
                }
            }
            Frequency::Cron => {
                let text = schedule.cron.as_deref().unwrap_or_default();
                let cron = parse_cron(text)?;
                let every_hour =
                    (0..24).all(|hour| cron.pattern.hour_match(hour).unwrap_or_default());
                let cron = Box::new(cron);
                Rule::Cron { cron, every_hour }
            }
        }))
    }

    /// The first moment after `time` that the rule names.
    pub(super) fn next_after(&self, time: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Rule::Hourly { .. }
            | Rule::Cron {
                every_hour: true, ..
            } => self.next_elapsed(time, zone),
            _ => self.next_by_clock(time, zone),
        }
    }

    /// Every wall-clock time that the rule names is one moment, even where the clock skips or repeats it.
    fn next_by_clock(&self, time: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        // Nothing named up to the clock's present reading lies in the future.
        let mut reading = zone.to_datetime(time);
        loop {
            reading = self.next_reading(reading)?;
            let moment = first_moment(reading, zone)?;
            if moment > time {
                return Some(moment);
            }
        }
    }

    /// Each stretch of time between two changes of the clock is looked at with its own offset, so that hours which are
    /// skipped name nothing and hours which are repeated count twice.
    fn next_elapsed(&self, time: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut offset = zone.to_offset(time);
        let mut reading = offset.to_datetime(time);
        let mut changes = zone.following(time);
        loop {
            let change = changes.next();
            if let Some(found) = self.next_reading(reading) {
                let moment = offset.to_timestamp(found).ok()?;
                if change.as_ref().is_none_or(|c| moment < c.timestamp()) {
                    return Some(moment);
                }
            }
            let change = change?;
            offset = change.offset();
            let just_before = change.timestamp() - SignedDuration::from_nanos(1);
            reading = offset.to_datetime(just_before);
        }
    }

    /// The first wall-clock time after `reading` that the rule names.
    fn next_reading(&self, reading: DateTime) -> Option<DateTime> {
        match self {
            Rule::Hourly { minute } => {
                let hour = reading.time().with().minute(*minute).second(0);
                let this = reading
                    .date()
                    .to_datetime(hour.subsec_nanosecond(0).build().ok()?);
                if this > reading {
                    return Some(this);
                }
                this.checked_add(Span::new().hours(1)).ok()
            }
            Rule::Daily { at } => {
                let today = reading.date().to_datetime(*at);
                if today > reading {
                    return Some(today);
                }
                Some(reading.date().tomorrow().ok()?.to_datetime(*at))
            }
            Rule::Weekly { at, weekday } => {
                let today = reading.date().to_datetime(*at);
                if reading.weekday() == *weekday && today > reading {
                    return Some(today);
                }
                Some(
                    reading
                        .date()
                        .nth_weekday(1, *weekday)
                        .ok()?
                        .to_datetime(*at),
                )
            }
            Rule::Monthly { at, day } => {
                let in_month = |first: civil::Date| {
                    let last = first.days_in_month();
                    let date = first.with().day((*day).min(last)).build().ok()?;
                    Some(date.to_datetime(*at))
                };
                let first = reading.date().first_of_month();
                let this = in_month(first)?;
                if this > reading {
                    return Some(this);
                }
                in_month(first.checked_add(Span::new().months(1)).ok()?)
            }
            Rule::Cron { cron, .. } => cron.find_next_occurrence(&reading, false).ok(),
        }
    }
}

fn parse_cron(text: &str) -> Result<Cron, ScheduleError> {
    let wrong = |why: String| {
        let message = format!(
            "\"{text}\" is not a cron expression{why}: write five fields, minute hour day month weekday, \
             like 30 2 * * 1-5"
        );
        ScheduleError::new("cron", message)
    };
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    let cron = parser.parse(text).map_err(|error| {
        use croner::errors::CronError;
        wrong(match error {
            CronError::ComponentError(why) | CronError::IllegalCharacters(why) => {
                format!(" ({})", why.trim_end_matches('.').to_lowercase())
            }
            _ => String::new(),
        })
    })?;
    // The 30th of February parses, and never comes; what comes at all comes within eight years.
    let start = civil::date(2096, 1, 1).at(0, 0, 0, 0);
    match cron.find_next_occurrence(&start, true) {
        Ok(found) if found.year() <= 2104 => Ok(cron),
        _ => Err(ScheduleError::new(
            "cron",
            format!("\"{text}\" names a day that never comes"),
        )),
    }
}

/// The first moment at which the clock shows `reading`, or, where it jumps over it, at which it has jumped.
pub(super) fn first_moment(reading: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let earlier = |offset: Offset| offset.to_timestamp(reading).ok();
    match zone.to_ambiguous_timestamp(reading).offset() {
        AmbiguousOffset::Unambiguous { offset } => earlier(offset),
        AmbiguousOffset::Fold { before, .. } => earlier(before),
        AmbiguousOffset::Gap { before, .. } => {
            let after_jump = earlier(before)? + SignedDuration::from_nanos(1);
            Some(zone.preceding(after_jump).next()?.timestamp())
        }
    }
}

/// The last moment at which the clock shows `reading`, or at which it has jumped over it.
pub(super) fn last_moment(reading: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(reading).offset() {
        AmbiguousOffset::Fold { after, .. } => after.to_timestamp(reading).ok(),
        _ => first_moment(reading, zone),
    }
}
