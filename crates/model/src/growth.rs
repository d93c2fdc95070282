//! How fast a repository grows, and when its disk is full.
//!
//! Growth is the median of the growths between any two days (Theil and Sen's slope): the first full backup and a prune are
//! each one step among many days, and decide nothing.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Older measurements tell of another time.
pub const MEASURED_OVER: SignedDuration = SignedDuration::from_hours(14 * 24);
/// A growth is told only from measurements that lie this far apart.
const LEAST_SPAN: SignedDuration = SignedDuration::from_hours(2 * 24 - 1);

/// What a repository held at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    pub at: Timestamp,
    pub stored_bytes: u64,
    /// Left on its file system.
    pub free_bytes: u64,
}

/// How a repository in a folder grows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    /// Less than zero where more is removed than added.
    pub bytes_per_day: i64,
    /// When it was last measured.
    pub free_bytes: u64,
    /// Absent where it does not grow.
    pub full_in_days: Option<f64>,
}

/// The growth at `now`, from measurements in any order; `None` while they span less than two days.
pub fn growth(sizes: &[Size], now: Timestamp) -> Option<Growth> {
    let begin = now.checked_sub(MEASURED_OVER).unwrap_or(Timestamp::MIN);
    let mut recent: Vec<&Size> = sizes.iter().filter(|s| s.at >= begin).collect();
    recent.sort_by_key(|size| size.at);
    let (first, last) = (recent.first()?, recent.last()?);
    if last.at.duration_since(first.at) < LEAST_SPAN {
        return None;
    }
    let mut slopes = Vec::new();
    for (i, early) in recent.iter().enumerate() {
        for late in &recent[i + 1..] {
            let days = late.at.duration_since(early.at).as_secs_f64() / 86_400.0;
            // Two measurements of one moment say nothing of growth.
            if days > 0.01 {
                slopes.push((late.stored_bytes as f64 - early.stored_bytes as f64) / days);
            }
        }
    }
    slopes.sort_by(f64::total_cmp);
    let per_day = match slopes.len() {
        0 => return None,
        n if n % 2 == 1 => slopes[n / 2],
        n => (slopes[n / 2 - 1] + slopes[n / 2]) / 2.0,
    };
    Some(Growth {
        bytes_per_day: per_day.round() as i64,
        free_bytes: last.free_bytes,
        full_in_days: (per_day >= 1.0).then(|| last.free_bytes as f64 / per_day),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn now() -> Timestamp {
        "2026-05-20T12:00:00Z".parse().expect("a timestamp")
    }

    /// Measured once a day, the last time today.
    #[track_caller]
    fn check(stored_gib: &[u64], free_gib: u64, expected: Option<(i64, Option<f64>)>) {
        let days = stored_gib.len() as i64;
        let sizes: Vec<Size> = stored_gib
            .iter()
            .zip(1..)
            .map(|(stored, day)| Size {
                at: now() - SignedDuration::from_hours(24 * (days - day)),
                stored_bytes: stored * GIB,
                free_bytes: free_gib * GIB,
            })
            .collect();
        let found = growth(&sizes, now());
        let told = found.map(|g| (g.bytes_per_day / GIB as i64, g.full_in_days));
        assert_eq!(told, expected, "{stored_gib:?}");
        assert!(found.is_none_or(|g| g.free_bytes == free_gib * GIB));
    }

    #[test]
    fn the_growth_of_the_last_days_says_when_the_disk_is_full() {
        check(&[], 10, None);
        check(&[5], 10, None);
        check(&[5, 6], 10, None);
        check(&[5, 6, 7], 10, Some((1, Some(10.0))));
        check(&[5, 7, 9, 11], 10, Some((2, Some(5.0))));
        check(&[5, 5, 5], 10, Some((0, None)));
        check(&[9, 7, 5], 10, Some((-2, None)));
        check(&[5, 6, 7], 0, Some((1, Some(0.0))));
    }

    #[test]
    fn one_big_step_does_not_decide() {
        // The first full backup.
        check(&[0, 100, 101, 102, 103, 104], 50, Some((1, Some(50.0))));
        // A prune.
        check(
            &[10, 11, 3, 4, 5, 6, 7, 8, 9, 10],
            50,
            Some((1, Some(50.0))),
        );
    }

    #[test]
    fn what_was_measured_long_ago_does_not_count() {
        let long_ago: Vec<u64> = (0..40)
            .map(|day| if day < 25 { day * 100 } else { 2500 })
            .collect();
        check(&long_ago, 10, Some((0, None)));
    }
}
