//! File trees of an app.

use serde::{Deserialize, Serialize};

/// A folder that is backed up with the databases.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileTree {
    /// Unique within the app; letters, digits, `_`, `-` and `.`. Its folder in a backup is `files/<name>`.
    pub name: String,
    /// Absolute path on the machine that makes the backup.
    pub path: String,
    /// Patterns as `.gitignore` writes them, relative to `path`: what matches is left out.
    pub exclude: Vec<String>,
    /// Does not descend into other file systems.
    pub one_file_system: bool,
    /// Which paths the database expects in this tree.
    pub references: Option<References>,
}

/// A question to a database of the app whose answer is paths that must be there.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct References {
    /// One column of paths relative to the tree, such as `SELECT file FROM documents`; nulls and empty texts are skipped.
    pub sql: String,
    /// Name of the database that is asked; the first where absent.
    pub database: Option<String>,
    /// Files that the database does not know are no fault and are only counted.
    pub ignore_orphans: bool,
}
