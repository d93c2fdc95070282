//! The seam through which every other crate reads the time.

use jiff::Timestamp;

/// Tells the time. The binary uses the system's clock; tests move one by hand.
pub trait Clock: Send + Sync + std::fmt::Debug {
    fn now(&self) -> Timestamp;
}
