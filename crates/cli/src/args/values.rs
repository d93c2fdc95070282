//! Values that need more than a plain parse: durations, moments, percentages.

use jiff::{Timestamp, civil, tz::TimeZone};
pub use pgkeep_model::duration::parse_duration as human_duration;
use std::time::Duration;

/// A point in time given as a timestamp, a date, or a time ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    At(Timestamp),
    Local(civil::DateTime),
    Ago(Duration),
}

impl Moment {
    /// Parses `2026-11-21T08:30:00Z`, `2026-11-21 08:30`, `2026-11-21`, or `7d` for seven days ago.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(at) = text.parse() {
            return Ok(Moment::At(at));
        }
        if let Ok(local) = text.parse() {
            return Ok(Moment::Local(local));
        }
        if let Ok(date) = text.parse::<civil::Date>() {
            return Ok(Moment::Local(date.at(0, 0, 0, 0)));
        }
        human_duration(text)
            .map(Moment::Ago)
            .map_err(|_| format!("'{text}' is neither a time such as 2026-11-21T08:30:00Z, a date, nor a time ago such as 7d"))
    }

    /// The moment as a timestamp; local times are in `zone`.
    pub fn resolve(self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Moment::At(at) => Some(at),
            Moment::Local(local) => zone.to_timestamp(local).ok(),
            Moment::Ago(ago) => now.checked_sub(ago).ok(),
        }
    }
}

/// A time of the day, written `HH:MM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock(pub String);

impl Clock {
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not a time of the day such as 02:00");
        let (hour, minute) = text.trim().split_once(':').ok_or_else(wrong)?;
        let number = |digits: &str, below: u8| match digits.parse::<u8>() {
            Ok(n) if n < below && digits.bytes().all(|b| b.is_ascii_digit()) => Ok(n),
            _ => Err(wrong()),
        };
        let (hour, minute) = (number(hour, 24)?, number(minute, 60)?);
        Ok(Clock(format!("{hour:02}:{minute:02}")))
    }
}

/// A share, `5%` or `5`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percent(pub f64);

impl Percent {
    pub fn parse(text: &str) -> Result<Self, String> {
        let number = text.trim().trim_end_matches('%').trim();
        match number.parse::<f64>() {
            Ok(share) if (0.0..=100.0).contains(&share) => Ok(Percent(share)),
            _ => Err(format!("'{text}' is not a percentage between 0% and 100%")),
        }
    }
}

/// How many days, weeks and months have a backup that stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    pub daily: u32,
    pub weekly: u32,
    pub monthly: u32,
}

/// Parses `7/4/12`.
pub fn keep(text: &str) -> Result<Keep, String> {
    let numbers: Result<Vec<u32>, _> = text.split('/').map(|n| n.trim().parse()).collect();
    match numbers.as_deref() {
        Ok(&[daily, weekly, monthly]) => Ok(Keep {
            daily,
            weekly,
            monthly,
        }),
        _ => Err(format!(
            "'{text}' is not three numbers for days, weeks and months such as 7/4/12"
        )),
    }
}

/// Parses a machine's load, `1.5`, into hundredths.
pub fn load(text: &str) -> Result<u32, String> {
    match text.trim().parse::<f64>() {
        Ok(load) if (0.0..=10_000.0).contains(&load) => Ok((load * 100.0).round() as u32),
        _ => Err(format!("'{text}' is not a load such as 1.5")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_units_and_sums() {
        for (text, secs) in [
            ("90s", 90),
            ("15m", 900),
            ("24h", 86_400),
            ("7d", 604_800),
            ("1d12h", 129_600),
            ("0", 0),
        ] {
            assert_eq!(
                human_duration(text).map(|d| d.as_secs()),
                Ok(secs),
                "{text}"
            );
        }
        for wrong in [
            "",
            "12",
            "h",
            "3x",
            "-1h",
            "1.5h",
            "1d12",
            "99999999999999999999d",
        ] {
            assert!(human_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn moments_are_absolute_local_or_relative() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        for (text, want) in [
            ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z"),
            ("2026-11-20 10:00", "2026-11-20T08:00:00Z"),
            ("2026-11-20", "2026-11-19T22:00:00Z"),
            ("36h", "2026-11-20T00:00:00Z"),
        ] {
            let moment = Moment::parse(text).unwrap();
            assert_eq!(
                moment.resolve(now, &zone),
                Some(want.parse().unwrap()),
                "{text}"
            );
        }
        assert!(Moment::parse("yesterday").is_err());
    }

    #[test]
    fn times_of_the_day_are_written_in_one_way() {
        assert_eq!(Clock::parse("2:05"), Ok(Clock("02:05".into())));
        assert_eq!(Clock::parse("23:59"), Ok(Clock("23:59".into())));
        for wrong in ["24:00", "12:60", "12", "1:2:3", "+1:00", "noon", ""] {
            assert!(Clock::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ready_choices_are_three_numbers_and_a_load_is_one() {
        let kept = keep("7/4/12").map(|kept| (kept.daily, kept.weekly, kept.monthly));
        assert_eq!(kept, Ok((7, 4, 12)));
        for wrong in ["", "7", "7/4", "7/4/12/1", "a/b/c", "-1/4/12"] {
            assert!(keep(wrong).is_err(), "{wrong}");
        }
        assert_eq!(load("1.5"), Ok(150));
        assert_eq!(load("0"), Ok(0));
        for wrong in ["", "-1", "NaN", "much"] {
            assert!(load(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn percentages_stay_between_zero_and_a_hundred() {
        assert_eq!(Percent::parse("5%"), Ok(Percent(5.0)));
        assert_eq!(Percent::parse("2.5"), Ok(Percent(2.5)));
        assert!(Percent::parse("101").is_err());
        assert!(Percent::parse("-1").is_err());
        assert!(Percent::parse("NaN").is_err());
    }
}
