//! The status of everything, as the API and the command line show it.

use crate::health::{AppHealth, HealthState, Overdue, Point};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How safe everything is, worst first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    pub time: Timestamp,
    /// The worst state of any app.
    pub state: HealthState,
    /// One sentence, about the worst.
    pub sentence: String,
    /// Worst first.
    pub apps: Vec<AppStatus>,
    pub queue: QueueStatus,
    pub workers: u32,
    /// A server is there, which starts policies at their times and sends messages.
    pub scheduler: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AppStatus {
    #[serde(flatten)]
    pub health: AppHealth,
    pub last_good: Option<Point>,
    /// Bytes of its dump.
    pub last_good_bytes: Option<u64>,
    pub last_proven: Option<Point>,
    pub last_proven_at: Option<Timestamp>,
    /// What the proving restore took.
    pub proven_seconds: Option<f64>,
    pub backups: u64,
    /// The oldest backup that is held.
    pub oldest: Option<Timestamp>,
    /// Backups in each repository.
    pub repositories: Vec<RepositoryHolding>,
    pub policies: Vec<PolicyStatus>,
}

/// What one repository holds of an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RepositoryHolding {
    pub repository: String,
    pub backups: u64,
    pub newest: Option<Timestamp>,
    /// It is object storage, somewhere else than the machine.
    pub offsite: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyStatus {
    pub name: String,
    pub enabled: bool,
    /// In words.
    pub schedule: String,
    pub next_run: Option<Timestamp>,
    /// When the newest run that succeeded was started.
    pub last_success: Option<Timestamp>,
    /// Id and state of its newest run.
    pub last_job: Option<String>,
    pub last_state: Option<String>,
    pub overdue: Option<Overdue>,
    /// In words.
    pub retention: String,
    pub backups: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    pub paused: bool,
    /// Jobs by state.
    pub depth: BTreeMap<String, u64>,
}
