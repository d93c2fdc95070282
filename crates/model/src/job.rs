//! A job: one queued unit of work. What it is to do ([`JobSpec`]), and the states that it goes through.

mod spec;
mod state;

pub use spec::{
    AppSpec, BackupSpec, CheckSpec, CleanupSpec, DiffSpec, DrillSpec, DumpFormat, ExportSpec,
    ForgetSpec, GuardSpec, ImportSpec, ProveLevel, PruneSpec, RepositorySpec, RestoreFiles,
    RestoreMode, RestoreSpec, UndoSpec, UpgradeSpec, UpgradeStep, VerifySpec,
};
pub use state::JobState;

use serde::{Deserialize, Serialize};

/// What a job does, with all that a worker needs to know besides apps and repositories, which it finds by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobSpec {
    Backup(BackupSpec),
    Verify(VerifySpec),
    Restore(RestoreSpec),
    Undo(UndoSpec),
    Drill(DrillSpec),
    /// Retention of a policy, then prune.
    Cleanup(CleanupSpec),
    /// Removes named backups.
    Forget(ForgetSpec),
    Prune(PruneSpec),
    Check(CheckSpec),
    Export(ExportSpec),
    /// Takes in an uploaded file.
    Import(ImportSpec),
    Diff(DiffSpec),
    Doctor(AppSpec),
    /// Makes the catalog's list of backups match the repository.
    Sync(RepositorySpec),
    /// Stores a copy of the catalog in a repository.
    CatalogBackup(RepositorySpec),
    /// A backup before a command, run by hand. Recorded, never queued.
    Guard(GuardSpec),
    /// The move of databases to a server of another major, or its way back.
    Upgrade(UpgradeSpec),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    Backup,
    Verify,
    Restore,
    Undo,
    Drill,
    Cleanup,
    Forget,
    Prune,
    Check,
    Export,
    Import,
    Diff,
    Doctor,
    Sync,
    CatalogBackup,
    Guard,
    Upgrade,
}

impl JobSpec {
    pub fn kind(&self) -> JobKind {
        match self {
            JobSpec::Backup(_) => JobKind::Backup,
            JobSpec::Verify(_) => JobKind::Verify,
            JobSpec::Restore(_) => JobKind::Restore,
            JobSpec::Undo(_) => JobKind::Undo,
            JobSpec::Drill(_) => JobKind::Drill,
            JobSpec::Cleanup(_) => JobKind::Cleanup,
            JobSpec::Forget(_) => JobKind::Forget,
            JobSpec::Prune(_) => JobKind::Prune,
            JobSpec::Check(_) => JobKind::Check,
            JobSpec::Export(_) => JobKind::Export,
            JobSpec::Import(_) => JobKind::Import,
            JobSpec::Diff(_) => JobKind::Diff,
            JobSpec::Doctor(_) => JobKind::Doctor,
            JobSpec::Sync(_) => JobKind::Sync,
            JobSpec::CatalogBackup(_) => JobKind::CatalogBackup,
            JobSpec::Guard(_) => JobKind::Guard,
            JobSpec::Upgrade(_) => JobKind::Upgrade,
        }
    }
}

impl JobKind {
    pub const ALL: [JobKind; 17] = [
        JobKind::Backup,
        JobKind::Verify,
        JobKind::Restore,
        JobKind::Undo,
        JobKind::Drill,
        JobKind::Cleanup,
        JobKind::Forget,
        JobKind::Prune,
        JobKind::Check,
        JobKind::Export,
        JobKind::Import,
        JobKind::Diff,
        JobKind::Doctor,
        JobKind::Sync,
        JobKind::CatalogBackup,
        JobKind::Guard,
        JobKind::Upgrade,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            JobKind::Backup => "backup",
            JobKind::Verify => "verify",
            JobKind::Restore => "restore",
            JobKind::Undo => "undo",
            JobKind::Drill => "drill",
            JobKind::Cleanup => "cleanup",
            JobKind::Forget => "forget",
            JobKind::Prune => "prune",
            JobKind::Check => "check",
            JobKind::Export => "export",
            JobKind::Import => "import",
            JobKind::Diff => "diff",
            JobKind::Doctor => "doctor",
            JobKind::Sync => "sync",
            JobKind::CatalogBackup => "catalog_backup",
            JobKind::Guard => "guard",
            JobKind::Upgrade => "upgrade",
        }
    }

    pub fn named(name: &str) -> Option<JobKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether a job whose worker died is taken up again. A restore or undo is not: a person must look first.
    pub fn is_taken_up_again(self) -> bool {
        !matches!(
            self,
            JobKind::Restore | JobKind::Undo | JobKind::Import | JobKind::Guard | JobKind::Upgrade
        )
    }

    /// How many times it is tried in all.
    pub fn max_attempts(self) -> u32 {
        match self {
            JobKind::Restore
            | JobKind::Undo
            | JobKind::Import
            | JobKind::Diff
            | JobKind::Doctor
            | JobKind::Guard
            | JobKind::Upgrade => 1,
            _ => 3,
        }
    }
}

/// Who or what asked for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    Schedule,
    /// Through the API or the web UI.
    Api,
    /// A command run by hand.
    Cli,
    /// The server's own upkeep.
    Internal,
}
