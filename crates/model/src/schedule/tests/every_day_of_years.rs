//! The rules against a second opinion, which looks at the zone's clock minute by minute.

use super::*;
use jiff::civil::DateTime;
use std::collections::BTreeSet;

const ZONES: [&str; 18] = [
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Santiago",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Beirut",
    "Asia/Tokyo",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Atlantic/Azores",
];

/// Every minute of the years, with what the clock shows.
fn minutes(zone: &TimeZone) -> Vec<(Timestamp, DateTime)> {
    let (begin, end) = (time("2027-09-01T00:00:00Z"), time("2028-12-01T00:00:00Z"));
    let count = end.duration_since(begin).as_mins();
    (0..count)
        .map(|minute| {
            let at = begin + SignedDuration::from_mins(minute);
            (at, zone.to_datetime(at))
        })
        .collect()
}

/// The first minute at which the clock has reached each of the wanted readings, without those at the edges.
fn reached(minutes: &[(Timestamp, DateTime)], mut wanted: Vec<DateTime>) -> Vec<Timestamp> {
    wanted.sort();
    let mut wanted = wanted.into_iter().peekable();
    let mut found = BTreeSet::new();
    let mut furthest = minutes[0].1;
    while wanted.next_if(|reading| *reading <= furthest).is_some() {}
    for (at, reading) in minutes {
        furthest = furthest.max(*reading);
        while wanted.next_if(|wanted| *wanted <= furthest).is_some() {
            found.insert(*at);
        }
    }
    found.into_iter().collect()
}

fn runs(line: &str, from: Timestamp, count: usize) -> Vec<Timestamp> {
    let runs = resolved(line).next(count, from);
    runs.into_iter().map(|run| run.start).collect()
}

#[test]
fn daily_runs_agree_in_all_zones() {
    for name in ZONES {
        let zone = TimeZone::get(name).expect("a zone");
        let minutes = minutes(&zone);
        let mut dates: Vec<_> = minutes.iter().map(|(_, reading)| reading.date()).collect();
        dates.dedup();
        for at in [
            "00:00", "00:30", "01:15", "01:59", "02:00", "02:15", "02:30", "03:00", "12:00",
            "23:45",
        ] {
            let clock = rule::parse_time("at", at).expect("a time");
            let wanted = dates.iter().map(|date| date.to_datetime(clock)).collect();
            let expected = reached(&minutes, wanted);
            assert!(expected.len() > 450);
            let line = format!("daily {at} {name}");
            assert_eq!(
                runs(&line, minutes[0].0, expected.len()),
                expected,
                "{line}"
            );
        }
    }
}

#[test]
fn weekly_and_monthly_runs_agree_in_all_zones() {
    for name in ZONES {
        let zone = TimeZone::get(name).expect("a zone");
        let minutes = minutes(&zone);
        let mut dates: Vec<_> = minutes.iter().map(|(_, reading)| reading.date()).collect();
        dates.dedup();
        let check = |line: String, at: &str, wanted: &dyn Fn(jiff::civil::Date) -> bool| {
            let clock = rule::parse_time("at", at).expect("a time");
            let days = dates.iter().filter(|date| wanted(**date));
            let expected = reached(&minutes, days.map(|date| date.to_datetime(clock)).collect());
            assert_eq!(
                runs(&line, minutes[0].0, expected.len()),
                expected,
                "{line}"
            );
        };
        for at in ["00:30", "02:30"] {
            check(format!("weekly sunday {at} {name}"), at, &|date| {
                date.weekday() == jiff::civil::Weekday::Sunday
            });
            for day in [1, 28, 29, 30, 31] {
                check(format!("monthly {day} {at} {name}"), at, &|date| {
                    date.day() == day || (date.day() < day && date == date.last_of_month())
                });
            }
        }
    }
}

#[test]
fn hourly_runs_come_whenever_the_clock_shows_their_minute() {
    for name in ZONES {
        let zone = TimeZone::get(name).expect("a zone");
        let minutes = minutes(&zone);
        for minute in [0, 15, 30, 59] {
            let shown = minutes.iter().skip(1).filter(|(_, r)| r.minute() == minute);
            let expected: Vec<Timestamp> = shown.map(|(at, _)| *at).collect();
            let line = format!("hourly :{minute:02} {name}");
            assert_eq!(
                runs(&line, minutes[0].0, expected.len()),
                expected,
                "{line}"
            );
            let line = format!("cron {minute} * * * * @ {name}");
            assert_eq!(
                runs(&line, minutes[0].0, expected.len()),
                expected,
                "{line}"
            );
        }
    }
}

/// A generator of numbers that needs no crate: the cases are the same at every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        hash(&self.0.to_string()) % limit
    }

    fn clock(&mut self) -> String {
        format!("{:02}:{:02}", self.below(24), self.below(4) * 15)
    }
}

#[test]
fn runs_of_any_schedule_increase_keep_out_of_blackouts_and_within_the_jitter() {
    let mut numbers = Numbers(7);
    for case in 0..600 {
        let zone = ZONES[numbers.below(ZONES.len() as u64) as usize];
        let at = numbers.clock();
        let mut line = match numbers.below(5) {
            0 => format!("daily {at} {zone}"),
            1 => format!("weekly sunday {at} {zone}"),
            2 => format!("monthly {} {at} {zone}", 1 + numbers.below(31)),
            3 => format!("hourly :{} {zone}", 10 + numbers.below(50)),
            _ => format!(
                "cron */{} */{} * * * @ {zone}",
                1 + numbers.below(30),
                1 + numbers.below(5)
            ),
        };
        for _ in 0..numbers.below(3) {
            line.push_str(&format!(" !{}-{}", numbers.clock(), numbers.clock()));
        }
        let jitter_secs = [0, 600, 40_000][numbers.below(3) as usize];
        let schedule = Schedule {
            jitter_secs,
            ..schedule(&line)
        };
        let Ok(resolved) = schedule.resolve(&format!("policy {case}")) else {
            continue; // blackouts that leave no time, or of no length
        };
        let mut previous =
            time("2026-03-20T00:00:00Z") + SignedDuration::from_hours(numbers.below(9000) as i64);
        let mut scheduled = Timestamp::MIN;
        for run in resolved.next(60, previous) {
            let what = format!("{line}, jitter {jitter_secs}: {run:?}");
            assert!(run.start > previous && run.scheduled > scheduled, "{what}");
            assert!(run.start >= run.scheduled, "{what}");
            let delay = run.start.duration_since(run.scheduled).as_secs();
            assert!(delay <= i64::from(jitter_secs), "{what}");
            assert_eq!(resolved.blacked_out_until(run.start), None, "{what}");
            assert_eq!(resolved.next_after(previous), Some(run.start), "{what}");
            (previous, scheduled) = (run.start, run.scheduled);
        }
    }
}
