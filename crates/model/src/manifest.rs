//! The manifest, `/pgkeep.json` of every backup: what it is, what proves it, and where its parts lie.
//!
//! The format is versioned by [`FORMAT`]: a reader accepts the versions it knows and refuses newer ones by number.
//! Unknown fields are ignored, so a field may be added without a new version.

mod files;
mod mark;

pub use files::{FilesManifest, OddFile, ReferenceCheck};
pub use mark::WriteMark;

use crate::{
    evidence::{DatabaseEvidence, QualifiedName},
    migrations::MigrationState,
    shrunk::Shrunk,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the manifest written by this build.
pub const FORMAT: u32 = 1;
/// Path of the manifest inside a snapshot.
pub const MANIFEST_PATH: &str = "pgkeep.json";
/// Path of the roles and tablespaces inside a snapshot.
pub const GLOBALS_PATH: &str = "globals.sql";

/// What a backup reads; never what a restore needs, for every backup is complete in itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupKind {
    /// Databases and files; everything is read.
    Full,
    /// As full, but what is provably as the newest backup holds it is not read again.
    Incremental,
    /// As incremental, measured against the newest full backup.
    Differential,
    /// Databases without roles, tablespaces and files.
    Database,
    /// File trees alone.
    Files,
    /// Taken in from a file that another tool, or an export, made.
    Import,
}

impl BackupKind {
    pub fn as_str(self) -> &'static str {
        match self {
            BackupKind::Full => "full",
            BackupKind::Incremental => "incremental",
            BackupKind::Differential => "differential",
            BackupKind::Files => "files",
            BackupKind::Database => "database",
            BackupKind::Import => "import",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// See [`FORMAT`].
    pub format: u32,
    pub pgkeep_version: String,
    pub app: String,
    /// `production`, `staging`, ...; empty when not given.
    #[serde(default)]
    pub environment: String,
    pub kind: BackupKind,
    #[serde(default)]
    pub description: String,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    /// Machine and user that ran the backup.
    pub hostname: String,
    pub username: String,
    pub compression_level: i32,
    pub jobs: usize,
    /// True when roles and tablespaces are stored in `globals.sql`.
    pub globals: bool,
    pub databases: Vec<DatabaseManifest>,
    /// SHA-256, hexadecimal, of the canonical JSON of all databases' evidence: one figure to compare by eye.
    pub evidence_digest: String,
    /// File trees of the same recovery point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FilesManifest>,
    /// Backup from which parts were taken over that are provably unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// What the app says of its own version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<Application>,
    /// What it lacks that an earlier backup of the app held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shrunk: Option<Shrunk>,
    /// What the user should know of the backup as a whole (a clock that is wrong, ...).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Versions that the app told when it was backed up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Application {
    /// A release, or a commit.
    pub version: Option<String>,
    /// Where the version is from: `command`, `file`, `environment`.
    pub version_from: Option<String>,
    /// Framework and runtime by name, such as `django 5.2.1`.
    pub runtime: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabaseManifest {
    /// Name on the server.
    pub name: String,
    /// Folder inside the snapshot, relative to its root: `databases/<name made safe>`.
    pub path: String,
    pub content: DatabaseContent,
    pub server: ServerFacts,
    pub properties: DatabaseProperties,
    pub evidence: DatabaseEvidence,
    /// The dump's members in the order in which they stand in the table of contents.
    pub members: Vec<Member>,
    /// Names of tables whose rows were left out on request.
    #[serde(default)]
    pub excluded_data: Vec<QualifiedName>,
    /// Schemas that the backup was limited to; empty means all.
    #[serde(default)]
    pub only_schemas: Vec<String>,
    /// What the user should know (unlogged tables, a collation version that differs, ...).
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Which migrations were applied, as read in the dump's own snapshot; several where several tools are at work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub migrations: Vec<MigrationState>,
    /// Id of the backup from which the whole database was taken over unread, for nothing had been written since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_over_from: Option<String>,
    /// Read before the backup began; a later one that is equal proves that nothing was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<WriteMark>,
}

/// Which format lies in the database's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseContent {
    /// pg_dump's directory format, uncompressed.
    Directory,
    /// One file `dump.sql`, as plain pg_dump writes it (imports only).
    Plain,
}

/// The server a database was read from, as found at backup time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServerFacts {
    /// `server_version_num`, for example 150020; 0 when unknown (imports).
    pub version_num: u32,
    /// `server_version` as the server words it.
    pub version: String,
    /// Version of the pg_dump that wrote the table of contents.
    pub pg_dump_version: String,
    #[serde(default)]
    pub system_identifier: String,
    #[serde(default)]
    pub in_recovery: bool,
    /// WAL position when the snapshot was taken, `pg_lsn` text.
    #[serde(default)]
    pub wal_position: String,
    /// Exported snapshot's transaction ids, `pg_current_snapshot()` text.
    #[serde(default)]
    pub snapshot: String,
    /// When the snapshot was taken, by the server's clock.
    #[serde(default)]
    pub snapshot_at: Option<Timestamp>,
    /// Settings that matter to a restore (`lc_monetary`, `default_text_search_config`, ...).
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

impl ServerFacts {
    /// Major version of the pg_dump that wrote the table of contents; 0 when unknown.
    pub fn pg_dump_major(&self) -> u32 {
        let digits: String = self
            .pg_dump_version
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        digits.parse().unwrap_or(0)
    }
}

/// What `CREATE DATABASE` and `ALTER DATABASE` need to make the same database again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DatabaseProperties {
    pub owner: String,
    pub encoding: String,
    /// `libc`, `icu` or `builtin`.
    pub locale_provider: String,
    pub collate: String,
    pub ctype: String,
    /// ICU or builtin locale.
    #[serde(default)]
    pub locale: Option<String>,
    #[serde(default)]
    pub icu_rules: Option<String>,
    #[serde(default)]
    pub collation_version: Option<String>,
    pub tablespace: String,
    pub connection_limit: i32,
    #[serde(default)]
    pub is_template: bool,
    #[serde(default = "yes")]
    pub allow_connections: bool,
    #[serde(default)]
    pub comment: Option<String>,
    /// Access privileges as `aclitem` texts; `None` means the default.
    #[serde(default)]
    pub acl: Option<Vec<String>>,
    /// `ALTER DATABASE ... SET`: role (empty for all roles) and the `name=value` settings.
    #[serde(default)]
    pub settings: Vec<RoleSettings>,
    /// Security labels on the database: provider and label.
    #[serde(default)]
    pub security_labels: Vec<(String, String)>,
}

fn yes() -> bool {
    true
}

/// Settings of one `pg_db_role_setting` row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleSettings {
    pub role: String,
    pub settings: Vec<String>,
}

/// One file of the dump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// File name inside the database's folder.
    pub file: String,
    pub what: MemberContent,
    /// Bytes in the file.
    pub size: u64,
    /// The parts that were written side by side and lie one after the other in the file, in order.
    pub segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum MemberContent {
    /// Table of contents.
    Toc,
    /// COPY text of a table; the name is the table's, as in the evidence.
    Table {
        #[serde(flatten)]
        name: QualifiedName,
    },
    LargeObject {
        oid: u32,
    },
    /// The list of large objects.
    LargeObjectToc,
    /// A plain SQL script.
    Script,
}

/// A part of a member. Its first byte starts a row and its last byte ends one (the terminator `\.` is a part of its own).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    pub bytes: u64,
    /// Number of chunks it became; a reader can start at a segment by skipping the chunks of those before it.
    pub chunks: u32,
    /// Rows in it; `None` for what is not COPY text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// First and one-past-last block of the table that was read, when it was split by `ctid`; the last range has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<(u64, Option<u64>)>,
}

impl DatabaseManifest {
    /// True when schemas or rows were left out on request.
    pub fn is_partial(&self) -> bool {
        !self.excluded_data.is_empty() || !self.only_schemas.is_empty()
    }
}

impl Manifest {
    pub fn database(&self, name: &str) -> Option<&DatabaseManifest> {
        self.databases.iter().find(|d| d.name == name)
    }
    pub fn rows(&self) -> u64 {
        self.databases.iter().map(|d| d.evidence.rows()).sum()
    }
    pub fn tables(&self) -> usize {
        self.databases.iter().map(|d| d.evidence.tables.len()).sum()
    }
    /// Bytes of all databases and all files.
    pub fn bytes_with_files(&self) -> u64 {
        self.bytes() + self.files.iter().map(|tree| tree.bytes).sum::<u64>()
    }
    /// Bytes of all databases.
    pub fn bytes(&self) -> u64 {
        self.databases
            .iter()
            .map(|d| d.members.iter().map(|m| m.size).sum::<u64>())
            .sum()
    }
}
