//! Whether a backup holds far less than the one before: tables, rows or files that are gone without anybody having said so.
//!
//! Such a backup is faithful, so nothing else objects to it; and when the last good one is removed for its sake, what was
//! lost is lost for good. It stays in doubt until somebody accepts it, or a newer one holds again what it did not.
//!
//! Tables whose names differ in digits alone are taken together: partitions come and go with time. Tables that are small, or
//! a small part of their database, may lose what they like, except that one that held much may not become empty.

use crate::{
    evidence::QualifiedName,
    manifest::{DatabaseContent, DatabaseManifest, FilesManifest},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The word on a backup by which a person says that it may be as small as it is.
pub const ACCEPTED: &str = "accepted";

/// So many rows must be lost before a fall by half is told.
const MANY_ROWS: u64 = 1_000;
/// A database with so many rows is told when it has none any more.
const SOME_ROWS: u64 = 100;
/// Of a table that lost half, the loss must be at least this part of its database's rows.
const PART_OF_DATABASE: u64 = 100;
const MANY_FILES: u64 = 100;
const MANY_BYTES: u64 = 100 << 20;
/// More tables than these are only counted.
const NAMED_TABLES: usize = 3;
/// Longest text on a backup, in characters.
const LONGEST: usize = 400;

/// What a backup lacks that the one before held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shrunk {
    /// Id of the newest backup that held it.
    pub since: String,
    /// The time of that one.
    pub time: Timestamp,
    /// Each stands alone as a sentence.
    pub reasons: Vec<String>,
}

impl Shrunk {
    /// All of it in one sentence, short enough for a list.
    pub fn sentence(&self) -> String {
        let all = self.reasons.join("; ");
        match all.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}…", &all[..end]),
            None => all,
        }
    }
}

/// What a database lacks that it held in a backup of `time`.
pub fn database(before: &DatabaseManifest, time: Timestamp, now: &DatabaseManifest) -> Vec<String> {
    let counted = |db: &DatabaseManifest| db.content == DatabaseContent::Directory;
    if !counted(before) || !counted(now) || before.only_schemas != now.only_schemas {
        return Vec::new();
    }
    let (name, then) = (&now.name, shown(time));
    let left_out: BTreeSet<&QualifiedName> = before
        .excluded_data
        .iter()
        .chain(&now.excluded_data)
        .collect();
    let (was, is) = (rows(before, &left_out), rows(now, &left_out));
    let tables = |db: &DatabaseManifest| db.evidence.tables.len() + db.excluded_data.len();
    let (held, holds) = (tables(before), tables(now));
    let (rows_were, rows_are) = (was.values().sum::<u64>(), is.values().sum::<u64>());
    if held > 0 && holds == 0 {
        return vec![format!(
            "database {name} holds no table; the backup of {then} held {} with {} rows",
            grouped(held as u64),
            grouped(rows_were)
        )];
    }
    let emptied = rows_are == 0 && rows_were >= SOME_ROWS;
    if emptied || halved(rows_were, rows_are, MANY_ROWS) {
        return vec![format!(
            "database {name} holds {} rows; the backup of {then} held {}",
            grouped(rows_are),
            grouped(rows_were)
        )];
    }
    let mut reasons = large_objects(before, now, &then);
    reasons.extend(fallen_tables(name, &was, &is, rows_were, &then));
    reasons
}

/// Rows of what is in both selections, by table, or by family of tables whose names differ in digits alone.
fn rows(db: &DatabaseManifest, left_out: &BTreeSet<&QualifiedName>) -> BTreeMap<String, u64> {
    let mut rows = BTreeMap::new();
    for table in &db.evidence.tables {
        if left_out.contains(&table.name) {
            continue;
        }
        *rows.entry(family(&table.name.to_string())).or_default() += table.content.rows;
    }
    rows
}

/// `public.events_2024_06` is `public.events_#_#`.
fn family(name: &str) -> String {
    let mut family = String::new();
    for c in name.chars() {
        match c.is_ascii_digit() {
            true if family.ends_with('#') => {}
            true => family.push('#'),
            false => family.push(c),
        }
    }
    family
}

fn fallen_tables(
    database: &str,
    was: &BTreeMap<String, u64>,
    is: &BTreeMap<String, u64>,
    of_all: u64,
    then: &str,
) -> Vec<String> {
    // A table under another name is not lost: what came with about as many rows stands for what went.
    let mut new: Vec<u64> = is
        .iter()
        .filter(|(name, _)| !was.contains_key(*name))
        .map(|(_, rows)| *rows)
        .collect();
    let mut fallen = Vec::new();
    for (name, before) in was {
        let now = is.get(name).copied();
        if now.is_none()
            && let Some(at) = new.iter().position(|rows| !halved(*before, *rows, 1))
        {
            new.swap_remove(at);
            continue;
        }
        let rows = now.unwrap_or(0);
        let lost = before.saturating_sub(rows);
        let emptied = rows == 0 && *before >= MANY_ROWS;
        let weighs = lost >= of_all / PART_OF_DATABASE;
        if emptied || (halved(*before, rows, MANY_ROWS) && weighs) {
            fallen.push((lost, name, now, *before));
        }
    }
    fallen.sort_by_key(|(lost, ..)| std::cmp::Reverse(*lost));
    let mut reasons: Vec<String> = fallen
        .iter()
        .take(NAMED_TABLES)
        .map(|(_, table, now, before)| {
            let before = grouped(*before);
            match now {
                None => format!("table {table} of {database} is not there; the backup of {then} held {before} rows of it"),
                Some(now) => format!(
                    "table {table} of {database} holds {} rows; the backup of {then} held {before}",
                    grouped(*now)
                ),
            }
        })
        .collect();
    match fallen.len().saturating_sub(NAMED_TABLES) {
        0 => {}
        1 => reasons.push("1 more table lost as much".to_owned()),
        more => reasons.push(format!("{more} more tables lost as much")),
    }
    reasons
}

fn large_objects(before: &DatabaseManifest, now: &DatabaseManifest, then: &str) -> Vec<String> {
    let count = |db: &DatabaseManifest| db.evidence.large_objects.count;
    let (was, is) = (count(before), count(now));
    let emptied = is == 0 && was >= SOME_ROWS;
    match emptied || halved(was, is, MANY_ROWS) {
        false => Vec::new(),
        true => vec![format!(
            "database {} holds {} large objects; the backup of {then} held {}",
            now.name,
            grouped(is),
            grouped(was)
        )],
    }
}

/// What a file tree lacks that it held in a backup of `time`.
pub fn files(before: &FilesManifest, time: Timestamp, now: &FilesManifest) -> Option<String> {
    let emptied = before.files > 0 && now.files == 0;
    let fallen =
        halved(before.files, now.files, MANY_FILES) || halved(before.bytes, now.bytes, MANY_BYTES);
    let words = |tree: &FilesManifest| match tree.files {
        0 => "no file".to_owned(),
        1 => format!("1 file of {} bytes", grouped(tree.bytes)),
        files => format!("{} files of {} bytes", grouped(files), grouped(tree.bytes)),
    };
    (emptied || fallen).then(|| {
        format!(
            "folder {} holds {}; the backup of {} held {}",
            now.name,
            words(now),
            shown(time),
            words(before)
        )
    })
}

/// Fell by half or more, and by at least `least`.
fn halved(before: u64, now: u64, least: u64) -> bool {
    now <= before / 2 && before.saturating_sub(now) >= least
}

fn shown(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// `1,204,331`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A backup, as far as doubts about it and its successors are concerned.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub id: &'a str,
    pub time: Timestamp,
    pub databases: &'a [String],
    /// Names of its file trees.
    pub files: &'a [String],
    /// In doubt, and why; `None` once it is accepted.
    pub shrunk: Option<&'a str>,
}

/// A doubt that nothing has settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    pub id: String,
    pub time: Timestamp,
    pub reason: String,
}

impl Doubt {
    /// What is told where nothing may be removed because of it.
    pub fn hold(&self) -> String {
        let short = self.id.get(..8).unwrap_or(&self.id);
        format!(
            "backup {short} holds far less than the one before ({}); `pgkeep tag {short} --add {ACCEPTED}` accepts it",
            self.reason
        )
    }
}

/// The newest doubt about the backups of one app in one repository, which come newest first: one is settled where a newer
/// backup that nobody doubts holds the same databases and folders.
pub fn standing<'a>(backups: impl IntoIterator<Item = Seen<'a>>) -> Option<Doubt> {
    let (mut databases, mut files) = (BTreeSet::new(), BTreeSet::new());
    for backup in backups {
        let Some(reason) = backup.shrunk else {
            databases.extend(backup.databases);
            files.extend(backup.files);
            continue;
        };
        let settled = backup.databases.iter().all(|name| databases.contains(name))
            && backup.files.iter().all(|name| files.contains(name));
        if !settled {
            return Some(Doubt {
                id: backup.id.to_owned(),
                time: backup.time,
                reason: reason.to_owned(),
            });
        }
    }
    None
}

#[cfg(test)]
mod tests;
