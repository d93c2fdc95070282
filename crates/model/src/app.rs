//! What a user says of an app and of a repository, as it stands in `pgkeep.toml`, in the catalog and in the API.
//!
//! Values that may be secrets are texts in one of three forms: `env:NAME`, `file:/path`, or the value itself. The
//! catalog keeps the first two as they are and encrypts the third.

mod commands;
mod fence;
mod files;
mod migrations;

pub use commands::{Commands, Hook, HookMoment};
pub use fence::Fence;
pub use files::{FileTree, References};
pub use migrations::{Framework, Migrations};

use crate::secret::SecretText;
use serde::{Deserialize, Serialize};

/// What is protected: databases and file trees of one environment, and how to read them.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppDefinition {
    /// Connection strings, or plain names of databases on the server that libpq's variables lead to. Secrets.
    pub databases: Vec<SecretText>,
    /// Privileged connection for restores and drills. A secret.
    pub admin_url: Option<SecretText>,
    /// `production`, `staging`, ...
    pub environment: Option<String>,
    /// Name of the repository that its backups go to.
    pub repository: Option<String>,
    /// Tables read at the same time.
    pub jobs: Option<u16>,
    /// zstd level.
    pub compression: Option<i32>,
    pub exclude_table_data: Vec<String>,
    pub schemas: Vec<String>,
    /// Folders of PostgreSQL's client programs.
    pub bin_dirs: Vec<String>,
    /// Folders that belong to the same recovery point as the databases: media, uploads.
    pub files: Vec<FileTree>,
    /// How the app's schema version is found out; by looking for the tables of known frameworks where absent.
    pub migrations: Option<Migrations>,
    /// The app's own programs: migrate, check, tell its version.
    pub commands: Commands,
    /// What is run, or told, at set moments of backups and restores.
    pub hooks: Vec<Hook>,
    /// What keeps the app away while its database is replaced.
    pub fence: Fence,
    /// What drills ask of a restored copy besides its evidence.
    pub drill: Drill,
    /// The servers that its databases move between.
    pub upgrade: Upgrade,
}

/// Privileged connections to the two servers of a move to a newer major.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Upgrade {
    /// To the old server; the app's privileged connection where absent. A secret.
    pub from: Option<SecretText>,
    /// To the new server. A secret.
    pub to: Option<SecretText>,
}

/// What drills look at besides the evidence, and where they run.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Drill {
    /// Privileged connection to the server that drills restore to; the app's where absent. A secret.
    pub admin_url: Option<SecretText>,
    /// SQL statements that must give one row whose first column is true.
    pub assertions: Vec<String>,
    /// Runs `check` and `migrate_check` of the app's commands against the restored copy.
    pub commands: bool,
    /// Looks through indexes with pg_amcheck where it is installed.
    pub amcheck: bool,
    /// The server drills the newest backup this often by itself, written like `7d`; never where absent.
    pub every: Option<String>,
    /// A restore that takes longer than this, written like `30m`, fails the objective that the drill measures.
    pub objective: Option<String>,
    /// Leaves the app's file trees alone.
    pub databases_only: bool,
    /// Folder below which file trees are restored for a while; the server's own where absent.
    pub scratch: Option<String>,
    /// Free space that must remain on the drill server's disk where it can be told, and on that of `scratch`, written like
    /// `10GiB`.
    pub leave_free: Option<String>,
    /// Starts only while the one-minute load per processor is below this many percent.
    pub max_load_percent: Option<u32>,
}

/// Where backups live and what opens it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RepositoryDefinition {
    /// A folder, or `s3://bucket/prefix`.
    pub address: Option<String>,
    /// The repository's key. A secret.
    pub key: Option<SecretText>,
    pub endpoint: Option<String>,
    pub region: Option<String>,
    /// A secret.
    pub access_key_id: Option<SecretText>,
    /// A secret.
    pub secret_access_key: Option<SecretText>,
    /// A secret.
    pub session_token: Option<SecretText>,
    pub server_side_encryption: Option<String>,
    pub virtual_host_style: Option<bool>,
    /// Bytes a second, written like `20MiB`.
    pub upload_limit: Option<String>,
    pub download_limit: Option<String>,
    pub retries: Option<u32>,
    pub timeout: Option<String>,
}
