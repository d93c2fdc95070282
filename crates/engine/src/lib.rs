//! What pgkeep does, one operation a file. Start reading here, then [`backup::run`].
//!
//! Each operation is a short recipe over three crates: `postgres` moves the data, `repository` keeps it, `model`
//! decides. The engine knows nothing of the terminal, of HTTP or of configuration files: it takes plain requests and
//! gives plain reports, tells a [`pgkeep_model::Progress`] what it does and stops when the
//! [`pgkeep_model::CancelToken`] of its [`Context`] asks.
//!
//! Whatever destroys comes in two halves: `plan(...)` returns a value that a user can read, `execute(plan)` acts on it.

pub mod application;
pub mod backup;
pub mod catalog;
pub mod catalog_copy;
pub mod diff;
pub mod doctor;
pub mod drill;
pub mod error;
pub mod export;
pub mod fence;
pub mod files;
pub mod forget;
pub mod guard;
pub mod hooks;
pub mod import;
pub mod keys;
pub mod lease;
pub mod migrations;
pub mod package;
mod process;
pub mod program;
pub mod recovery;
pub mod restore;
pub mod schema_diff;
pub mod storage;
pub mod upgrade;
pub mod verify;

pub use error::{Error, ErrorCode, Result};
use pgkeep_model::{CancelToken, Clock, Progress};
use std::sync::Arc;

/// A time as it stands in a message: to the second, in UTC.
pub(crate) fn shown(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `3 tables`, `1 table`
pub(crate) fn counted(n: usize, noun: &str) -> String {
    match n {
        1 => format!("1 {noun}"),
        n => format!("{n} {noun}s"),
    }
}

/// What every operation needs from its caller.
#[derive(Clone)]
pub struct Context {
    pub clock: Arc<dyn Clock>,
    pub cancel: CancelToken,
    pub progress: Arc<dyn Progress>,
    /// Machine and user that run the operation, recorded in what it writes.
    pub hostname: String,
    pub username: String,
    /// Folders searched first for pg_dump and its companions.
    pub tool_dirs: Vec<std::path::PathBuf>,
}
