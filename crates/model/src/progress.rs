//! How long work tells what it does, without knowing who listens: a terminal bar, plain lines, a job's event stream.

use serde::{Deserialize, Serialize};

/// One named stage of an operation, in the order a user sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Check,
    Freeze,
    Schema,
    Data,
    Publish,
    ReadBack,
    SafetyBackup,
    Create,
    Indexes,
    Analyze,
    Prove,
    /// The app's own migrations and checks.
    Migrate,
    Hook,
    Swap,
    Cleanup,
}

impl Phase {
    /// The words shown to a user.
    pub fn label(self) -> &'static str {
        match self {
            Phase::Check => "checking",
            Phase::Freeze => "taking the snapshot",
            Phase::Schema => "schema",
            Phase::Data => "data",
            Phase::Publish => "publishing",
            Phase::ReadBack => "reading back",
            Phase::SafetyBackup => "safety backup",
            Phase::Create => "creating database",
            Phase::Indexes => "indexes and constraints",
            Phase::Analyze => "statistics",
            Phase::Prove => "proving",
            Phase::Migrate => "the app's own programs",
            Phase::Hook => "hooks",
            Phase::Swap => "swapping",
            Phase::Cleanup => "cleaning up",
        }
    }
}

/// Listens to an operation. Calls may come from several threads and must be cheap.
pub trait Progress: Send + Sync {
    /// A phase begins; `total_bytes` is an estimate of its work where one exists.
    fn phase(&self, phase: Phase, total_bytes: Option<u64>);
    /// More bytes of the current phase are done.
    fn bytes(&self, done: u64);
    /// A finished item (a table, an index), for a log line.
    fn item(&self, _name: &str) {}
    /// A line that a program of the app printed.
    fn output(&self, _line: &str) {}
    /// Something the user must see although the operation goes on.
    fn warn(&self, message: &str);
}

/// Listens to nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn phase(&self, _: Phase, _: Option<u64>) {}
    fn bytes(&self, _: u64) {}
    fn warn(&self, _: &str) {}
}
