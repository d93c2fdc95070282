//! What a manifest says of a file tree. The files themselves, with their attributes, stand in the snapshot's trees.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One file tree of a backup.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FilesManifest {
    pub name: String,
    /// Folder inside the snapshot, relative to its root: `files/<name>`.
    pub path: String,
    /// Where it was read from, on the machine that the manifest names.
    pub source: String,
    pub files: u64,
    pub folders: u64,
    pub symlinks: u64,
    /// Sockets, pipes and devices; they are recorded, their content is not.
    pub others: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Files whose content was taken over unread from the parent, for size, times and inode are the same.
    pub files_unchanged: u64,
    /// SHA-256, hexadecimal, over name, kind, mode, owner, size, target and content of every entry, in order of name; of a
    /// folder the digest of what is in it counts.
    pub digest: String,
    /// When the scan began and ended.
    pub scanned_from: Option<Timestamp>,
    pub scanned_to: Option<Timestamp>,
    /// Seconds between the first database's snapshot and the end of the scan; `None` where no database was read.
    pub skew_secs: Option<f64>,
    /// Could not be read; left out. The first thousand of `unreadable_count`.
    pub unreadable: Vec<OddFile>,
    pub unreadable_count: u64,
    /// Changed while they were read, each time they were read; stored as last seen. The first thousand of
    /// `changing_count`.
    pub changing: Vec<OddFile>,
    pub changing_count: u64,
    pub references: Option<ReferenceCheck>,
}

/// A file that is not quite as it should be, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OddFile {
    /// Relative to the tree.
    pub path: String,
    pub reason: String,
}

/// Paths that the database expects, compared with those in the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReferenceCheck {
    pub sql: String,
    pub database: String,
    /// The live database was asked, after the scan: what was written meanwhile counts as missing or orphaned.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub live: bool,
    /// Distinct paths that the database named.
    pub expected: u64,
    /// Named by the database, absent from the tree; the first hundred.
    pub missing: Vec<String>,
    pub missing_count: u64,
    /// In the tree, unknown to the database; the first hundred.
    pub orphaned: Vec<String>,
    pub orphaned_count: u64,
    /// Why the question could not be asked.
    pub error: Option<String>,
}
