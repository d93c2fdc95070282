//! What a restore did.

use super::{ProofReport, migrate::MigrateReport};
use crate::hooks::HookReport;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub struct RestoreReport {
    pub backup: String,
    /// Database that holds the restored data now.
    pub database: String,
    pub tables: usize,
    pub rows: u64,
    pub bytes: u64,
    /// Creating, loading, indexing, analyzing.
    pub restore_seconds: f64,
    pub prove_seconds: f64,
    pub total_seconds: f64,
    pub proof: ProofReport,
    /// Id of the backup taken of the live database first.
    pub safety_backup: Option<String>,
    /// Name under which the replaced database is kept.
    pub kept_as: Option<String>,
    pub kept_until: Option<jiff::Timestamp>,
    /// Milliseconds in which nobody could connect, when a database was replaced.
    pub blocked_ms: Option<u64>,
    /// How the app's own migrations and checks went, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrated: Option<MigrateReport>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookReport>,
    pub warnings: Vec<String>,
}
