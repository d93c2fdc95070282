//! A schedule is written in one line here: `daily 02:30 Europe/Berlin`, `weekly sunday 03:00 UTC`, `monthly 31 04:00
//! Asia/Tokyo`, `hourly :15 UTC`, `cron 30 2 * * 1-5 @ Europe/Berlin`, each with ` !22:00-06:00` for blackouts.

mod blackouts;
mod due;
mod every_day_of_years;
mod refused;
mod rules;

use super::*;
use crate::policy::Blackout;

fn weekday(text: &str) -> Weekday {
    serde_json::from_value(text.into()).expect("a weekday")
}

fn schedule(line: &str) -> Schedule {
    let mut parts = line.split(" !");
    let rule = parts.next().expect("a rule");
    let mut schedule = Schedule::default();
    if let Some(cron) = rule.strip_prefix("cron ") {
        let (cron, zone) = cron.split_once(" @ ").expect("a zone");
        schedule.frequency = Frequency::Cron;
        schedule.cron = Some(cron.to_owned());
        schedule.time_zone = Some(zone.to_owned());
    } else {
        let words: Vec<&str> = rule.split_whitespace().collect();
        schedule.frequency = serde_json::from_value(words[0].into()).expect("a frequency");
        match schedule.frequency {
            Frequency::Weekly => schedule.weekday = Some(weekday(words[1])),
            Frequency::Monthly => schedule.day = Some(words[1].parse().expect("a day")),
            _ => {}
        }
        let at = words[words.len() - 2];
        schedule.at = Some(match at.strip_prefix(':') {
            Some(minute) => format!("00:{minute}"),
            None => at.to_owned(),
        });
        schedule.time_zone = Some(words[words.len() - 1].to_owned());
    }
    schedule.blackout = parts.map(blackout).collect();
    schedule
}

/// `22:00-06:00` or `22:00-06:00 monday,friday`
fn blackout(text: &str) -> Blackout {
    let (times, days) = text.split_once(' ').unwrap_or((text, ""));
    let (from, to) = times.split_once('-').expect("two times");
    Blackout {
        from: from.to_owned(),
        to: to.to_owned(),
        days: days
            .split(',')
            .filter(|day| !day.is_empty())
            .map(weekday)
            .collect(),
    }
}

fn resolved(line: &str) -> ResolvedSchedule {
    let resolved = schedule(line).resolve("nightly");
    resolved.unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn time(text: &str) -> Timestamp {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The runs after `after` must start exactly at `expected`, which are written as the zone's clock shows them.
#[track_caller]
fn check(line: &str, after: &str, expected: &[&str]) {
    let schedule = resolved(line);
    let shown = |time: Timestamp| {
        let zoned = time.to_zoned(schedule.time_zone().clone());
        zoned.strftime("%Y-%m-%dT%H:%M%:z").to_string()
    };
    let runs: Vec<String> = schedule
        .next(expected.len(), time(after))
        .iter()
        .map(|run| shown(run.start))
        .collect();
    assert_eq!(runs, expected, "{line} after {after}");
    // Asking again from any run leads to the same next one.
    for pair in schedule.next(expected.len(), time(after)).windows(2) {
        assert_eq!(schedule.next_after(pair[0].start), Some(pair[1].start));
        let just_before = pair[1].start - SignedDuration::from_nanos(1);
        assert_eq!(schedule.next_after(just_before), Some(pair[1].start));
    }
}
