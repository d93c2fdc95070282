//! Does the tree hold what the database says is there?

use super::scan::ScannedPaths;
use pgkeep_model::{app::References, manifest::ReferenceCheck};
use pgkeep_postgres::dump::Frozen;
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};

/// Paths that are named of those missing, and of those orphaned.
const NAMED: usize = 100;

/// Asks the database, in the very snapshot that is backed up, which paths it expects, and compares them with what was
/// scanned. A question that cannot be asked is no failure of the backup; it is told.
pub fn check_references(
    references: &References,
    database: &str,
    frozen: &Frozen,
    scanned: &ScannedPaths,
) -> ReferenceCheck {
    let mut check = ReferenceCheck {
        sql: references.sql.clone(),
        database: database.into(),
        ..ReferenceCheck::default()
    };
    if let Err(e) = compare(references, frozen, scanned, &mut check) {
        check.error = Some(e.to_string());
    }
    check
}

fn compare(
    references: &References,
    frozen: &Frozen,
    scanned: &ScannedPaths,
    check: &mut ReferenceCheck,
) -> pgkeep_postgres::Result<()> {
    // A short hash stands for a path, so that millions of them fit. The value says whether the file is there.
    let mut expected: HashMap<[u8; 16], bool> = HashMap::new();
    frozen.each_text(&references.sql, |path| {
        if !relative(path).is_empty() {
            expected.insert(key(path), false);
        }
    })?;
    check.expected = expected.len() as u64;
    let mut orphaned = Names::default();
    for path in scanned.iter() {
        match expected.get_mut(&hash(path)) {
            Some(there) => *there = true,
            None => {
                check.orphaned_count += 1;
                if !references.ignore_orphans {
                    orphaned.add(path);
                }
            }
        }
    }
    check.orphaned = orphaned.finish();
    expected.retain(|_, there| !*there);
    check.missing_count = expected.len() as u64;
    if !expected.is_empty() {
        let mut missing = Names::default();
        frozen.each_text(&references.sql, |path| {
            if expected.contains_key(&key(path)) {
                missing.add(relative(path).as_bytes());
            }
        })?;
        check.missing = missing.finish();
    }
    Ok(())
}

/// What applications write for a path relative to the tree.
fn relative(path: &str) -> &str {
    let path = path.trim_start_matches('/');
    path.strip_prefix("./").unwrap_or(path)
}

fn key(path: &str) -> [u8; 16] {
    hash(relative(path).as_bytes())
}

fn hash(path: &[u8]) -> [u8; 16] {
    let digest = Sha256::digest(path);
    digest[..16].try_into().expect("a digest has 32 bytes")
}

/// The first names in alphabetical order, whatever the order in which they come.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Names {
    fn add(&mut self, name: &[u8]) {
        self.0.insert(String::from_utf8_lossy(name).into_owned());
        if self.0.len() > NAMED {
            self.0.pop_last();
        }
    }

    fn finish(self) -> Vec<String> {
        self.0.into_iter().collect()
    }
}
