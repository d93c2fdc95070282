//! A clock for tests that stands still until it is moved.

use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use pgkeep_model::Clock;

/// A [`Clock`] that tells the same time until the test moves it.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<Timestamp>,
}

impl ManualClock {
    /// Starts at a time such as `2026-03-01T12:00:00Z`.
    pub fn at(time: &str) -> ManualClock {
        let time: Timestamp = time.parse().expect("a test gives a valid time");
        ManualClock {
            now: Mutex::new(time),
        }
    }

    pub fn set(&self, time: Timestamp) {
        *self.lock() = time;
    }

    /// Moves the clock on, or back by a negative duration.
    pub fn advance(&self, by: SignedDuration) {
        let mut now = self.lock();
        *now = now
            .checked_add(by)
            .expect("a test stays within the range of time");
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Timestamp> {
        self.now
            .lock()
            .expect("no user of the clock panics while it holds it")
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_only_by_hand() {
        let clock = ManualClock::at("2026-03-01T12:00:00Z");
        assert_eq!(clock.now(), clock.now());
        clock.advance(SignedDuration::from_hours(36));
        assert_eq!(clock.now().to_string(), "2026-03-03T00:00:00Z");
        clock.set(Timestamp::UNIX_EPOCH);
        assert_eq!(clock.now(), Timestamp::UNIX_EPOCH);
    }
}
