//! Numbers, sizes, durations and times as people read them.

use jiff::{Timestamp, tz::TimeZone};

/// `1,234,567`
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `3 tables`, `1 table`
pub fn counted(n: u64, noun: &str) -> String {
    let plural = match noun {
        _ if n == 1 => noun.to_owned(),
        _ if noun.ends_with("ex") => format!("{noun}es"),
        _ if noun.ends_with('y') => format!("{}ies", &noun[..noun.len() - 1]),
        _ => format!("{noun}s"),
    };
    format!("{} {plural}", count(n))
}

/// `512 B`, `1.5 KiB`, `2.61 GiB`
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let places = if unit >= 2 && value < 100.0 { 2 } else { 1 };
    format!("{value:.places$} {}", UNITS[unit])
}

/// `420 ms`, `3.4 s`, `2 min 05 s`, `1 h 02 min`, `3 d 04 h`
pub fn seconds(secs: f64) -> String {
    if secs < 0.9995 {
        return format!("{:.0} ms", secs * 1000.0);
    }
    if secs < 59.95 {
        return format!("{secs:.1} s");
    }
    let whole = secs.round() as u64;
    match whole {
        0..3_600 => format!("{} min {:02} s", whole / 60, whole % 60),
        3_600..86_400 => format!("{} h {:02} min", whole / 3_600, whole / 60 % 60),
        _ => format!("{} d {:02} h", whole / 86_400, whole / 3_600 % 24),
    }
}

/// `2026-11-21 09:43:19 +01:00`, in `zone`.
pub fn time_in(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone())
        .strftime("%Y-%m-%d %H:%M:%S %:z")
        .to_string()
}

/// A time in the machine's own zone.
pub fn time(at: Timestamp) -> String {
    time_in(at, &TimeZone::system())
}

/// `5 min`, `3 h`, `2 d`: the age of something, coarsely.
pub fn age(at: Timestamp, now: Timestamp) -> String {
    let secs = now.duration_since(at).as_secs().max(0);
    match secs {
        0..60 => format!("{secs} s"),
        60..3_600 => format!("{} min", secs / 60),
        3_600..172_800 => format!("{} h", secs / 3_600),
        _ => format!("{} d", secs / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [0, 999, 1000, 1234567].map(count),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [(1, "table"), (2, "index"), (0, "entry")].map(|(n, w)| counted(n, w)),
            ["1 table", "2 indexes", "0 entries"]
        );
        let sizes = [
            0,
            1023,
            1024,
            1536,
            (1 << 20) - 1,
            1 << 20,
            2_800_000_000,
            u64::MAX,
        ]
        .map(bytes);
        assert_eq!(
            sizes,
            [
                "0 B",
                "1023 B",
                "1.0 KiB",
                "1.5 KiB",
                "1.0 MiB",
                "1.0 MiB",
                "2.61 GiB",
                "16384.0 PiB"
            ]
        );
        let times = [0.0, 0.42, 0.9999, 3.44, 59.96, 125.0, 3_720.0, 273_600.0].map(seconds);
        assert_eq!(
            times,
            [
                "0 ms",
                "420 ms",
                "1.0 s",
                "3.4 s",
                "1 min 00 s",
                "2 min 05 s",
                "1 h 02 min",
                "3 d 04 h"
            ]
        );
    }

    #[test]
    fn times_carry_their_offset() {
        let zone = TimeZone::fixed(jiff::tz::offset(-3));
        let at: Timestamp = "2026-11-21T08:43:19Z".parse().unwrap();
        assert_eq!(time_in(at, &zone), "2026-11-21 05:43:19 -03:00");
        let now: Timestamp = "2026-11-21T11:43:19Z".parse().unwrap();
        assert_eq!(age(at, now), "3 h");
    }
}
