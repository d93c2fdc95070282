//! The states that a job goes through.

use serde::{Deserialize, Serialize};

/// Where a job stands. The last four are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for its time, its turn, a worker, or an approval.
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
    /// There was nothing to do: the server proved that nothing had changed.
    Skipped,
}

impl JobState {
    pub const ALL: [JobState; 6] = [
        JobState::Queued,
        JobState::Running,
        JobState::Succeeded,
        JobState::Failed,
        JobState::Cancelled,
        JobState::Skipped,
    ];

    pub fn is_final(self) -> bool {
        !matches!(self, JobState::Queued | JobState::Running)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            JobState::Queued => "queued",
            JobState::Running => "running",
            JobState::Succeeded => "succeeded",
            JobState::Failed => "failed",
            JobState::Cancelled => "cancelled",
            JobState::Skipped => "skipped",
        }
    }

    pub fn named(name: &str) -> Option<JobState> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}
