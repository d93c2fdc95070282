//! Stretches of the day in which nothing starts.

use super::ScheduleError;
use super::rule::{first_moment, last_moment, parse_time};
use crate::policy::Blackout;
use jiff::civil::{Date, Time, Weekday};
use jiff::{Span, Timestamp, tz::TimeZone};

#[derive(Debug, Clone, Default)]
pub(super) struct Blackouts(Vec<Stretch>);

#[derive(Debug, Clone)]
struct Stretch {
    from: Time,
    to: Time,
    /// Days on which it begins; every day where empty.
    days: Vec<Weekday>,
}

const MINUTES_OF_WEEK: usize = 7 * 24 * 60;

impl Blackouts {
    pub(super) fn parse(blackouts: &[Blackout]) -> Result<Self, ScheduleError> {
        let mut stretches = Vec::new();
        for blackout in blackouts {
            let from = parse_time("blackout", &blackout.from)?;
            let to = parse_time("blackout", &blackout.to)?;
            if from == to {
                let message = format!(
                    "from {} to {} is either nothing or the whole day: say which",
                    blackout.from, blackout.to
                );
                return Err(ScheduleError::new("blackout", message));
            }
            let days = blackout.days.iter().map(|day| day.civil()).collect();
            stretches.push(Stretch { from, to, days });
        }
        let blackouts = Self(stretches);
        match blackouts.cover_the_week() {
            true => Err(ScheduleError::new("blackout", "leaves no time to start at")),
            false => Ok(blackouts),
        }
    }

    fn cover_the_week(&self) -> bool {
        let minute = |time: Time| time.hour() as usize * 60 + time.minute() as usize;
        let mut covered = vec![false; MINUTES_OF_WEEK];
        for stretch in &self.0 {
            let length = (minute(stretch.to) + 1440 - minute(stretch.from)) % 1440;
            for day in 0..7 {
                let weekday = Weekday::from_monday_zero_offset(day).expect("seven days");
                if stretch.begins_on(weekday) {
                    let begin = day as usize * 1440 + minute(stretch.from);
                    for at in begin..begin + length {
                        covered[at % MINUTES_OF_WEEK] = true;
                    }
                }
            }
        }
        covered.into_iter().all(|covered| covered)
    }

    /// The first moment from `time` on that lies in no blackout.
    pub(super) fn free_from(&self, time: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        self.walk(time, zone, |(_, end)| end)
    }

    /// Where the blackouts that hold `time` begin, if any does.
    pub(super) fn begin_of(&self, time: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let begin = self.walk(time, zone, |(begin, _)| {
            // Another one may end just where this one begins.
            Timestamp::from_nanosecond(begin.as_nanosecond() - 1).unwrap_or(begin)
        })?;
        (begin != time).then(|| Timestamp::from_nanosecond(begin.as_nanosecond() + 1).ok())?
    }

    /// Follows `step` out of the blackout that holds a moment until none does.
    fn walk(
        &self,
        mut time: Timestamp,
        zone: &TimeZone,
        step: impl Fn((Timestamp, Timestamp)) -> Timestamp,
    ) -> Option<Timestamp> {
        if self.0.is_empty() {
            return Some(time);
        }
        // Not every minute of a week is covered, so few steps lead out; changes of the clock may add a week.
        for _ in 0..=self.0.len() * 21 {
            let date = zone.to_datetime(time).date();
            let holding = self
                .around(date, 1, 1, zone)
                .find(|(begin, end)| *begin <= time && time < *end);
            match holding {
                None => return Some(time),
                Some(stretch) => time = step(stretch),
            }
        }
        None
    }

    /// Where the first blackout begins that begins after `time` and before `limit`.
    pub(super) fn next_begin(
        &self,
        time: Timestamp,
        limit: Timestamp,
        zone: &TimeZone,
    ) -> Option<Timestamp> {
        let date = zone.to_datetime(time).date();
        self.around(date, 1, 2, zone)
            .map(|(begin, _)| begin)
            .filter(|begin| *begin > time && *begin < limit)
            .min()
    }

    /// The blackouts that begin on the days around `date`.
    fn around<'a>(
        &'a self,
        date: Date,
        before: i32,
        after: i32,
        zone: &'a TimeZone,
    ) -> impl Iterator<Item = (Timestamp, Timestamp)> + 'a {
        let dates = (-before..=after).filter_map(move |days| {
            let date = date.checked_add(Span::new().days(days)).ok()?;
            Some(date)
        });
        dates.flat_map(move |date| {
            let stretches = self.0.iter();
            stretches.filter_map(move |stretch| stretch.on(date, zone))
        })
    }
}

impl Stretch {
    fn begins_on(&self, weekday: Weekday) -> bool {
        self.days.is_empty() || self.days.contains(&weekday)
    }

    /// The moments of the stretch that begins on `date`: of equal readings of the clock, all.
    fn on(&self, date: Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        if !self.begins_on(date.weekday()) {
            return None;
        }
        let end = match self.to > self.from {
            true => date,
            false => date.tomorrow().ok()?,
        };
        let begin = first_moment(date.to_datetime(self.from), zone)?;
        let end = last_moment(end.to_datetime(self.to), zone)?;
        (begin < end).then_some((begin, end))
    }
}
