//! Does the tree hold what the database says is there?

use super::scan::ScannedPaths;
use pgkeep_model::{app::References, manifest::ReferenceCheck};
use pgkeep_postgres::{
    dump::{Frozen, each_text},
    wire::Connection,
};
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
    let mut ask = |each: &mut dyn FnMut(&str)| frozen.each_text(&references.sql, each);
    if let Err(e) = compare(references, &mut ask, scanned, &mut check) {
        check.error = Some(e.to_string());
    }
    check
}

/// The same of a database that nobody writes to, such as a restored copy; in a transaction of its own.
pub fn check_references_in(
    references: &References,
    database: &str,
    connection: &mut Connection,
    paths: &ScannedPaths,
) -> ReferenceCheck {
    let mut check = ReferenceCheck {
        sql: references.sql.clone(),
        database: database.into(),
        ..ReferenceCheck::default()
    };
    let asked = connection
        .execute("BEGIN READ ONLY")
        .and_then(|_| {
            let mut ask = |each: &mut dyn FnMut(&str)| each_text(connection, &references.sql, each);
            compare(references, &mut ask, paths, &mut check)
        })
        .and_then(|()| connection.execute("ROLLBACK"));
    if let Err(e) = asked {
        check.error = Some(e.to_string());
    }
    check
}

/// Hands each path that the database expects to the function given; asked twice where some are missing.
type Ask<'a> = dyn FnMut(&mut dyn FnMut(&str)) -> pgkeep_postgres::Result<()> + 'a;

fn compare(
    references: &References,
    ask: &mut Ask<'_>,
    scanned: &ScannedPaths,
    check: &mut ReferenceCheck,
) -> pgkeep_postgres::Result<()> {
    // A short hash stands for a path, so that millions of them fit. The value says whether the file is there.
    let mut expected: HashMap<[u8; 16], bool> = HashMap::new();
    ask(&mut |path| {
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
        ask(&mut |path| {
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
