//! From the rows of a framework's table to what they mean.

use super::{detect::Table, few_rows};
use crate::{
    Result,
    wire::{Connection, Row},
};
use jiff::Timestamp;
use pgkeep_model::{
    evidence::quote_ident,
    migrations::{AppliedMigration, MigrationState, qualified},
};
use std::collections::BTreeMap;

/// What a row says of its migration, in the word that the adapter's statement gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Applied,
    /// Begun, or failed.
    Unfinished,
    /// Taken back: what rows before it say of the same migration no longer holds.
    Undone,
    /// Everything up to this version was there before the tool.
    Baseline,
    /// A row that says nothing of a migration.
    Nothing,
}

impl Meaning {
    fn of(word: &str) -> Self {
        match word {
            "applied" => Meaning::Applied,
            "unfinished" => Meaning::Unfinished,
            "undone" => Meaning::Undone,
            "baseline" => Meaning::Baseline,
            _ => Meaning::Nothing,
        }
    }
}

/// Collects rows in the tool's order; the last word on a migration counts.
#[derive(Default)]
pub(super) struct Collected {
    applied: BTreeMap<String, Vec<AppliedMigration>>,
    pub unfinished: Vec<String>,
    baseline: Option<String>,
}

impl Collected {
    pub(super) fn add(&mut self, label: &str, migration: AppliedMigration, meaning: Meaning) {
        let name = qualified(label, &migration.name);
        let list = self.applied.entry(label.to_owned()).or_default();
        match meaning {
            Meaning::Nothing => return,
            Meaning::Baseline => {
                self.baseline = Some(migration.name);
                return;
            }
            Meaning::Applied | Meaning::Unfinished | Meaning::Undone => {}
        }
        list.retain(|earlier| earlier.name != migration.name);
        self.unfinished.retain(|earlier| *earlier != name);
        match meaning {
            Meaning::Applied => list.push(migration),
            Meaning::Unfinished => self.unfinished.push(name),
            _ => {}
        }
    }

    pub(super) fn state(
        mut self,
        framework: pgkeep_model::app::Framework,
        table: String,
    ) -> MigrationState {
        self.applied.retain(|_, list| !list.is_empty());
        MigrationState::new(
            framework,
            table,
            self.applied,
            self.unfinished,
            self.baseline,
        )
    }
}

/// Reads a framework's table, and its lock where it has one.
pub(super) fn read(
    connection: &mut Connection,
    table: &Table,
) -> Result<Result<MigrationState, String>> {
    let adapter = table.adapter;
    let sql = adapter.sql.replace("{table}", &table.name.quoted());
    let rows = match few_rows(connection, &sql)? {
        Ok(rows) => rows,
        Err(why) => return Ok(Err(why)),
    };
    let mut collected = Collected::default();
    for row in rows.iter() {
        let text = |i: usize| row.get(i).unwrap_or_default();
        let migration = AppliedMigration {
            name: text(1).to_owned(),
            applied_at: microseconds(row, 2),
            checksum: row.get(3).map(str::to_owned),
        };
        collected.add(text(0), migration, Meaning::of(text(4)));
    }
    if let (Some(lock), true) = (&adapter.lock, table.lock) {
        let name = format!(
            "{}.{}",
            quote_ident(&table.name.schema),
            quote_ident(lock.table)
        );
        let held = connection.query(&lock.sql.replace("{table}", &name))?;
        let words = held.iter().filter_map(|row| row.get(0).map(str::to_owned));
        collected.unfinished.extend(words);
    }
    let name = format!("{}.{}", table.name.schema, table.name.name);
    Ok(Ok(collected.state(adapter.framework, name)))
}

fn microseconds(row: Row<'_>, column: usize) -> Option<Timestamp> {
    let text = row.get(column)?;
    Timestamp::from_microsecond(text.parse().ok()?).ok()
}
