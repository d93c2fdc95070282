//! Which schema version a database is at, and how two versions stand to each other.

use crate::app::Framework;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The applied migrations of one tool in one database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MigrationState {
    pub framework: Framework,
    /// Table that the tool keeps, as `schema.table`.
    pub table: String,
    /// Applied migrations in the tool's order, by app label; under the empty label where the tool has none.
    pub applied: BTreeMap<String, Vec<AppliedMigration>>,
    /// Begun and not finished, or marked as failed by the tool.
    #[serde(default)]
    pub unfinished: Vec<String>,
    /// SHA-256, hexadecimal, over framework, labels and names in order: equal for equal versions.
    pub digest: String,
}

/// A migration that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedMigration {
    /// The tool's own name or number of it.
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_at: Option<Timestamp>,
    /// The tool's checksum of its text, where it keeps one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
}
