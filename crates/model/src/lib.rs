//! The domain of pgkeep as plain values: what a backup is, what proves it, what is kept, what a restore would do.
//!
//! Everything here is pure: no threads, files, network, processes, environment or clock. Time is passed in, so each
//! decision can be tested with a table of cases in milliseconds.

pub mod access;
pub mod app;
pub mod backoff;
pub mod cancel;
pub mod clock;
pub mod duration;
pub mod evidence;
pub mod growth;
pub mod health;
pub mod job;
pub mod manifest;
pub mod migrations;
pub mod notice;
pub mod pace;
pub mod policy;
pub mod progress;
pub mod retention;
pub mod schedule;
pub mod secret;
pub mod shrunk;
pub mod status;

pub use cancel::{CancelToken, Cancelled};
pub use clock::Clock;
pub use progress::{Phase, Progress, Silent};
