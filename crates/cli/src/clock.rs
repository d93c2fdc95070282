//! The one place that reads the system's clock.

use jiff::Timestamp;
use pgkeep_model::Clock;

/// The machine's own time.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
