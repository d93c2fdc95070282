//! Which schema version a database is at, and how two versions stand to each other.
//!
//! A [`MigrationState`] is what a database says; [`CodeMigrations`] is what the app's code says. [`compare()`] tells how two
//! databases stand to each other, [`against_code`] how a database stands to the code. Tools differ in what they write
//! down and in what they would run: see `order`.

mod code;
mod compare;
mod order;
#[cfg(test)]
mod tests;

pub use code::{CodeMigration, CodeMigrations, against_code, compare_knowing, with_ancestors};
pub use compare::{Comparison, Relation, compare, compare_all, compare_all_knowing, overall};

use crate::app::Framework;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
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
    /// Version up to which everything counts as applied, for it was there before the tool was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// Where the tool writes down heads only: what the code knew of them and of all before them, each with its parents.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub revisions: BTreeMap<String, Vec<String>>,
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

impl MigrationState {
    /// The state with its digest.
    pub fn new(
        framework: Framework,
        table: impl Into<String>,
        applied: BTreeMap<String, Vec<AppliedMigration>>,
        unfinished: Vec<String>,
        baseline: Option<String>,
    ) -> Self {
        let digest = digest(framework, &applied, baseline.as_deref());
        Self {
            framework,
            table: table.into(),
            applied,
            unfinished,
            baseline,
            revisions: BTreeMap::new(),
            digest,
        }
    }

    /// Takes in what the code knows of the heads, so that they can be compared where there is no code.
    pub fn remember_revisions(&mut self, code: &CodeMigrations) {
        if self.framework != code.framework || self.framework.order() != order::Order::Heads {
            return;
        }
        let Some(all) = with_ancestors(self, code) else {
            return;
        };
        let known = code.migrations.iter().filter(|m| all.contains(&m.name));
        self.revisions = known.map(|m| (m.name.clone(), m.parents.clone())).collect();
    }

    /// Number of applied migrations.
    pub fn count(&self) -> usize {
        self.applied.values().map(Vec::len).sum()
    }

    /// `label.name` of every applied migration, label by label.
    pub fn names(&self) -> Vec<String> {
        self.applied
            .iter()
            .flat_map(|(label, list)| list.iter().map(|m| qualified(label, &m.name)))
            .collect()
    }

    /// The migration that was applied last, by time where times are known, else the last in the tool's order.
    pub fn newest(&self) -> Option<String> {
        let all = self
            .applied
            .iter()
            .flat_map(|(label, list)| list.iter().map(move |m| (m.applied_at, label, &m.name)));
        let (_, label, name) = all.enumerate().max_by_key(|(i, (at, ..))| (*at, *i))?.1;
        Some(qualified(label, name))
    }

    /// The version in a few words: the tool, the newest migration, and how many there are.
    pub fn describe(&self) -> String {
        let tool = self.framework.title();
        let mut words = match (self.newest(), &self.baseline) {
            (None, None) => format!("{tool}: nothing applied"),
            (None, Some(baseline)) => format!("{tool}: baseline {baseline}"),
            (Some(newest), _) if self.count() == 1 => format!("{tool}: {newest}"),
            // Each of several heads counts, and how many lie before them is not written down.
            _ if self.framework.order() == order::Order::Heads => {
                format!("{tool}: {}", listed(&self.names()))
            }
            (Some(newest), _) => format!("{tool}: {newest} ({} applied)", self.count()),
        };
        if !self.unfinished.is_empty() {
            words.push_str(&format!(", unfinished: {}", listed(&self.unfinished)));
        }
        words
    }
}

/// `label.name`, or the name alone where the tool has no labels.
pub fn qualified(label: &str, name: &str) -> String {
    match label {
        "" => name.to_owned(),
        label => format!("{label}.{name}"),
    }
}

/// Names for a sentence: the first ten, and how many more there are.
pub fn listed(names: &[String]) -> String {
    const MOST: usize = 10;
    let mut text = names[..names.len().min(MOST)].join(", ");
    if names.len() > MOST {
        text.push_str(&format!(" and {} more", names.len() - MOST));
    }
    text
}

/// Tools that run whatever is missing do not care in which order it came to be applied, so the order in which it was is not
/// part of their version.
fn digest(
    framework: Framework,
    applied: &BTreeMap<String, Vec<AppliedMigration>>,
    baseline: Option<&str>,
) -> String {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    part(framework.as_str());
    for (label, list) in applied.iter().filter(|(_, list)| !list.is_empty()) {
        part(label);
        part(&list.len().to_string());
        let mut names: Vec<&str> = list.iter().map(|m| m.name.as_str()).collect();
        if framework != Framework::Query {
            names.sort_unstable();
        }
        names.into_iter().for_each(&mut part);
    }
    if let Some(baseline) = baseline {
        part(baseline);
    }
    hex::encode(hash.finalize())
}
