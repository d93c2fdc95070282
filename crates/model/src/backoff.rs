//! How long a failed job waits before it is tried again.

use crate::schedule::hash;
use jiff::SignedDuration;

/// Waits after the first, second, ... failed attempt; the last one repeats.
const WAITS_SECS: [i64; 4] = [60, 5 * 60, 15 * 60, 60 * 60];

/// The wait after `attempts` failed attempts of the job with this id.
///
/// A tenth either way depends on the id, so that jobs which failed together do not come back together.
pub fn delay(job: &str, attempts: u32) -> SignedDuration {
    let step = (attempts.max(1) as usize - 1).min(WAITS_SECS.len() - 1);
    let millis = WAITS_SECS[step] * 1000;
    let spread = millis / 5;
    let share = (hash(&format!("{job}/{attempts}")) >> 33) as i64 % (spread + 1);
    SignedDuration::from_millis(millis - spread / 2 + share)
}

/// The wait after a job's worker died in its attempt number `attempts`: short at first, for what killed it was most
/// likely no fault of the job; as after failures where it happens again.
pub fn after_loss(job: &str, attempts: u32) -> SignedDuration {
    match attempts {
        ..=1 => SignedDuration::from_secs(1),
        _ => delay(job, attempts - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_within_a_tenth() {
        for (attempts, secs) in [(0, 60), (1, 60), (2, 300), (3, 900), (4, 3600), (50, 3600)] {
            for job in ["a", "b", "0192-77", ""] {
                let millis = delay(job, attempts).as_millis() as i64;
                let (low, high) = (secs * 900, secs * 1100);
                assert!((low..=high).contains(&millis), "{job} {attempts}: {millis}");
            }
        }
    }

    #[test]
    fn a_job_whose_worker_died_comes_back_soon_but_not_for_ever() {
        assert_eq!(after_loss("one", 1), SignedDuration::from_secs(1));
        assert_eq!(after_loss("one", 2), delay("one", 1));
        assert_eq!(after_loss("one", 3), delay("one", 2));
    }

    #[test]
    fn the_same_job_always_waits_the_same_and_others_differ() {
        assert_eq!(delay("one", 1), delay("one", 1));
        let waits: std::collections::BTreeSet<_> =
            (0..50).map(|n| delay(&format!("job {n}"), 1)).collect();
        assert!(waits.len() > 40, "{waits:?}");
    }
}
