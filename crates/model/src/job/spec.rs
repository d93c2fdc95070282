//! What each kind of job is told: names of apps, repositories and backups, and what is to be done with them.

use crate::policy::PolicyKind;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupSpec {
    pub app: String,
    /// The app's where absent.
    pub repository: Option<String>,
    pub backup_kind: PolicyKind,
    pub description: String,
    pub tags: Vec<String>,
    pub pinned: bool,
    pub compression: Option<i32>,
    pub jobs: Option<u16>,
    pub read_back_all: bool,
    /// Only these of the app's databases; all where empty.
    pub databases: Vec<String>,
    /// The app's where absent.
    pub environment: Option<String>,
    /// Patterns of schemas; as the app says where empty.
    pub schemas: Vec<String>,
    /// Patterns of tables whose rows are left out; as the app says where empty.
    pub exclude_table_data: Vec<String>,
    /// How long a locked table is waited for before letting go and trying again.
    pub lock_timeout_secs: Option<u64>,
    pub policy: Option<String>,
    pub skip_if_unchanged: bool,
    /// Of an `export` policy: a folder, or `s3://bucket/folder`.
    pub export_to: Option<String>,
    pub export_recipients: Vec<String>,
    pub export_zstd: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VerifySpec {
    pub repository: String,
    /// Ids; every backup of `app` (or of the repository) where empty.
    pub backups: Vec<String>,
    pub app: Option<String>,
    pub read_data: bool,
}

/// How a restored database is compared with the evidence of its backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProveLevel {
    None,
    Counts,
    #[default]
    Full,
}

/// Where a restore writes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", content = "name", rename_all = "snake_case")]
pub enum RestoreMode {
    /// A new database of this name.
    Into(String),
    /// In place of the live database of this name, by swap.
    Replace(String),
    /// Inside the live database of this name.
    InPlace(String),
    /// No database: the files alone.
    FilesOnly,
}

impl RestoreMode {
    /// Name of the database that is written.
    pub fn database(&self) -> Option<&str> {
        match self {
            RestoreMode::Into(name) | RestoreMode::Replace(name) | RestoreMode::InPlace(name) => {
                Some(name)
            }
            RestoreMode::FilesOnly => None,
        }
    }
}

/// Which files of a backup a restore brings back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RestoreFiles {
    /// Names of trees; all where empty.
    pub trees: Vec<String>,
    /// Only what matches, as .gitignore writes patterns; everything where empty.
    pub globs: Vec<String>,
    /// A new folder on the machine of the worker; in the place of the live trees, by swap, where absent.
    pub into: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreSpec {
    /// App whose privileged connection is used.
    pub app: String,
    pub repository: String,
    pub backup: String,
    /// Which database of the backup; needed where it holds several.
    #[serde(default)]
    pub database: Option<String>,
    pub target: RestoreMode,
    #[serde(default)]
    pub tables: Vec<String>,
    #[serde(default)]
    pub schemas: Vec<String>,
    #[serde(default)]
    pub schema_only: bool,
    #[serde(default)]
    pub data_only: bool,
    #[serde(default)]
    pub prove: ProveLevel,
    #[serde(default)]
    pub jobs: Option<u16>,
    #[serde(default)]
    pub no_owner: bool,
    #[serde(default)]
    pub skip_safety_backup: bool,
    /// How long what is replaced is kept.
    #[serde(default = "one_day")]
    pub keep_old_secs: u64,
    /// Runs the app's own migrations against the restored database before it is used.
    #[serde(default)]
    pub migrate: bool,
    /// Runs the app's own checks against it.
    #[serde(default)]
    pub check: bool,
    /// Role to act as while restoring.
    #[serde(default)]
    pub role: Option<String>,
    /// Runs VACUUM as well as ANALYZE at the end.
    #[serde(default)]
    pub vacuum: bool,
    /// Leaves a restored database that fails its migrations or checks.
    #[serde(default)]
    pub keep_failed: bool,
    /// Lets the live database refuse writes from the safety backup until the swap.
    #[serde(default)]
    pub read_only: bool,
    /// Time that sessions are given to end by themselves; the app's where absent.
    #[serde(default)]
    pub grace_secs: Option<u64>,
    /// Files are brought back, too; always there with [`RestoreMode::FilesOnly`].
    #[serde(default)]
    pub files: Option<RestoreFiles>,
    /// Asked for by somebody who sees all apps: it may write to other databases than the app's, and to folders elsewhere.
    #[serde(default)]
    pub beyond: bool,
}

impl RestoreSpec {
    /// The whole of a database, proven, with everything else as it usually is.
    pub fn new(
        app: impl Into<String>,
        repository: impl Into<String>,
        backup: impl Into<String>,
        target: RestoreMode,
    ) -> Self {
        Self {
            app: app.into(),
            repository: repository.into(),
            backup: backup.into(),
            database: None,
            files: (target == RestoreMode::FilesOnly).then(RestoreFiles::default),
            target,
            tables: Vec::new(),
            schemas: Vec::new(),
            schema_only: false,
            data_only: false,
            prove: ProveLevel::Full,
            jobs: None,
            no_owner: false,
            skip_safety_backup: false,
            keep_old_secs: one_day(),
            migrate: false,
            check: false,
            role: None,
            vacuum: false,
            keep_failed: false,
            read_only: false,
            grace_secs: None,
            beyond: false,
        }
    }
}

fn one_day() -> u64 {
    24 * 60 * 60
}

/// What restores replaced is put back: a database, folders of files, or both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UndoSpec {
    pub app: String,
    /// Name of the live database that a restore replaced.
    pub database: Option<String>,
    /// The kept database that is swapped in; the newest one where absent.
    pub to: Option<String>,
    /// Time that sessions are given to end by themselves; the app's where absent.
    pub grace_secs: Option<u64>,
    /// Names of the app's trees whose replaced folders are put back; or paths, where it was done by hand.
    pub trees: Vec<String>,
    /// Asked for by somebody who sees all apps: it may swap other databases than the app's.
    pub beyond: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DrillSpec {
    pub app: String,
    pub repository: String,
    /// An id, or `latest`.
    pub backup: String,
    pub database: Option<String>,
    pub prove: ProveLevel,
    /// Statements that must answer true.
    pub assertions: Vec<String>,
    /// The policy whose interval asked for it.
    pub policy: Option<String>,
    /// Tables and indexes restored at once; the app's where absent.
    pub jobs: Option<u16>,
    /// Everything belongs to the restoring role.
    pub no_owner: bool,
    /// Leaves the throwaway database.
    pub keep: bool,
    /// Looks through indexes and tables with amcheck as well, whatever the app's drills do.
    pub amcheck: bool,
    /// Runs the app's check commands against the copy, whatever its drills do.
    pub app_checks: bool,
    /// Leaves the file trees alone.
    pub databases_only: bool,
    /// Longest time that restoring and proving may take; the app's where absent.
    pub objective_secs: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CleanupSpec {
    pub policy: String,
    /// Plans only.
    pub dry_run: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ForgetSpec {
    pub repository: String,
    pub backups: Vec<String>,
    pub prune: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RepositorySpec {
    pub repository: String,
}

/// A prune; what is absent is as usual.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PruneSpec {
    pub repository: String,
    /// Time between marking an object and deleting it.
    pub grace_secs: Option<u64>,
    /// Unused share of the repository that is tolerated, in percent.
    pub max_unused_percent: Option<f64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckSpec {
    pub repository: String,
    /// Share of the stored packs to read, 0 to 100.
    pub read_data_percent: f64,
    /// Mends what this job, a check, has found, and looks again.
    pub repair_of: Option<String>,
}

/// The forms of a file that stock PostgreSQL tools read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DumpFormat {
    #[default]
    Custom,
    Plain,
    Directory,
    Tar,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExportSpec {
    pub repository: String,
    pub backup: String,
    pub database: Option<String>,
    pub format: DumpFormat,
    /// Folder on the server's machine, or `s3://bucket/folder` for a package; the server's own folder where empty.
    pub to: String,
    /// The whole backup as one portable file, instead of one database.
    pub package: bool,
    /// Public keys of age that a package is encrypted for.
    pub recipients: Vec<String>,
    /// Compress a package with zstd.
    pub zstd: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImportSpec {
    pub app: String,
    pub repository: String,
    /// Id of a finished upload.
    pub upload: String,
    /// The name that the file had where it came from.
    pub file_name: String,
    /// What the file may grow to when it is unpacked.
    pub max_bytes: Option<u64>,
    pub database: Option<String>,
    /// The app's where absent.
    pub environment: Option<String>,
    pub compression: Option<i32>,
    pub description: String,
    pub tags: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiffSpec {
    pub repository: String,
    pub from: String,
    /// A backup; the live databases of `app` where absent.
    pub to: Option<String>,
    pub app: Option<String>,
    pub database: Option<String>,
    /// Definitions alone, as SQL; no row is read.
    pub schema: bool,
    /// The live databases come first.
    pub backward: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GuardSpec {
    pub app: String,
    pub repository: String,
    pub command: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpgradeSpec {
    pub app: String,
    pub repository: String,
    /// The old server, in words and without a password.
    pub from: String,
    /// The new server.
    pub to: String,
    /// What moves, or goes back, as the plan found it.
    pub databases: Vec<String>,
    /// The way back.
    pub rollback: bool,
    pub step: UpgradeStep,
    /// Only these databases were asked for; all where empty.
    pub only: Vec<String>,
    /// Tables and indexes worked on at once; the app's where absent.
    pub jobs: Option<u16>,
    pub prove: ProveLevel,
    /// Makes the old databases read-only before the backup.
    pub fence: bool,
    /// Everything belongs to the restoring role.
    pub no_owner: bool,
    /// The way back leaves the new databases.
    pub keep_new: bool,
    /// The way back drops what was written to since as well.
    pub force: bool,
    /// The plan that was shown: anything else is refused.
    pub plan_hash: Option<String>,
}

/// Which part of an upgrade a job is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpgradeStep {
    /// Says what would be done, of the move or of the way back.
    Plan,
    /// Does it.
    #[default]
    Run,
    /// Compares both servers.
    Verify,
    /// Makes the new databases ordinary ones.
    Accept,
}

impl UpgradeStep {
    /// Whether it leaves both servers as they are.
    pub fn only_reads(self) -> bool {
        matches!(self, UpgradeStep::Plan | UpgradeStep::Verify)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppSpec {
    pub app: String,
}
