//! The one place that reads the system's clock.

use jiff::Timestamp;
use pgkeep_model::Clock;

/// The machine's own time.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
