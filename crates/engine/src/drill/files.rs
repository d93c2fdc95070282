//! The file trees of a drill: each is restored into the drill's own folder and every byte of it read again, one after the
//! other, so that the disk holds one at a time.
//!
//! What the database expects in a tree is asked of the restored copy of that database, and must be what it was when the
//! backup was made.

use super::{DrillRequest, scratch::Scratch};
use crate::{
    Context, Error, Result,
    catalog::BackupDetail,
    files::{
        ScannedPaths, check_references_in,
        restore::{self, FilesRequest},
    },
};
use pgkeep_model::{
    app::References,
    manifest::{FilesManifest, OddFile, ReferenceCheck},
};
use pgkeep_postgres::{connect::ConnectOptions, wire::Connection};
use pgkeep_repository::Repository;
use serde::{Deserialize, Serialize};
use std::{path::Path, time::Instant};

/// What was found of a tree.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DrilledTree {
    pub name: String,
    pub files: u64,
    pub bytes: u64,
    /// Writing it, and reading every byte of it from disk again.
    pub seconds: f64,
    /// It is on disk what the backup holds.
    pub proven: bool,
    /// False where only root may set owners, and the proof left them out.
    pub owners: bool,
    /// What could not be made as it was, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub odd: Vec<OddFile>,
    /// What the restored database expects in it, where a question for that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub references: Option<ReferenceCheck>,
    /// The restored database and the restored tree do not fit each other as they did in the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
}

impl DrilledTree {
    pub(super) fn is_good(&self) -> bool {
        self.proven && self.difference.is_none()
    }
}

/// A tree that was restored and is gone again, with what is still to be asked about it.
pub(super) struct Looked {
    pub(super) tree: DrilledTree,
    question: Option<Question>,
}

struct Question {
    references: References,
    database: String,
    recorded: Option<ReferenceCheck>,
    paths: ScannedPaths,
}

/// How the trees came out.
#[derive(Default)]
pub(super) struct Trees {
    pub(super) looked: Vec<Looked>,
    /// Why nothing was found out about some.
    pub(super) unproven: Vec<String>,
}

/// Restores, proves and removes every tree of the backup.
pub(super) fn drill(
    repository: &Repository,
    request: &DrillRequest,
    detail: &BackupDetail,
    scratch: &Path,
    context: &Context,
) -> Result<Trees> {
    let mut trees = Trees::default();
    for manifest in &detail.manifest.files {
        context.cancel.check()?;
        let scratch = match Scratch::make(scratch, &detail.entry.id, context) {
            Ok(scratch) => scratch,
            Err(e) => {
                let why = format!(
                    "files {}: there is no folder for drills: {e}",
                    manifest.name
                );
                trees.unproven.push(why);
                continue;
            }
        };
        let free = free_bytes(scratch.path());
        let leave = request.further.leave_free.unwrap_or(0);
        if let Some(why) = too_little(manifest, free, leave) {
            trees.unproven.push(why);
            continue;
        }
        let wanted = FilesRequest {
            backup: detail.entry.id.clone(),
            app: request.app.clone(),
            trees: vec![manifest.name.clone()],
            into: Some(scratch.path().join("files")),
            ..FilesRequest::default()
        };
        let begun = Instant::now();
        let plan = restore::plan(repository, &wanted, context)?;
        let built = restore::build(repository, &plan, context)?;
        let seconds = begun.elapsed().as_secs_f64();
        for (report, folder) in built.folders() {
            trees.looked.push(Looked {
                tree: DrilledTree {
                    name: report.name.clone(),
                    files: report.files,
                    bytes: report.bytes,
                    seconds,
                    proven: report.proven,
                    owners: report.owners,
                    odd: report.odd.clone(),
                    references: None,
                    difference: None,
                },
                question: question(request, detail, manifest, folder)?,
            });
        }
    }
    Ok(trees)
}

fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn too_little(tree: &FilesManifest, free: Option<u64>, leave: u64) -> Option<String> {
    let free = free.filter(|free| *free < tree.bytes.saturating_add(leave))?;
    let mib = |bytes: u64| bytes >> 20;
    Some(format!(
        "files {} take {} MiB, the disk for drills has {} MiB free, and {} MiB are to remain",
        tree.name,
        mib(tree.bytes),
        mib(free),
        mib(leave)
    ))
}

/// The question of the app as it is configured, else that of the backup.
fn question(
    request: &DrillRequest,
    detail: &BackupDetail,
    manifest: &FilesManifest,
    folder: &Path,
) -> Result<Option<Question>> {
    let configured = request.further.trees.iter();
    let configured = configured
        .filter(|tree| tree.name == manifest.name)
        .find_map(|tree| tree.references.clone());
    let recorded = manifest.references.clone();
    let references = configured.or_else(|| {
        recorded.as_ref().map(|check| References {
            sql: check.sql.clone(),
            database: Some(check.database.clone()),
            ignore_orphans: false,
        })
    });
    let first = detail.manifest.databases.first().map(|d| d.name.clone());
    let Some((references, database)) =
        references.and_then(|r| Some((r.clone(), r.database.clone().or(first)?)))
    else {
        return Ok(None);
    };
    let paths =
        ScannedPaths::below(folder).map_err(|e| Error::from(e).context(folder.display()))?;
    Ok(Some(Question {
        recorded: recorded.filter(|check| check.sql == references.sql && check.error.is_none()),
        references,
        database,
        paths,
    }))
}

/// Asks the restored copy of a database about the trees that it speaks of.
pub(super) fn ask(
    looked: &mut [Looked],
    database: &str,
    copy: &ConnectOptions,
    context: &Context,
) -> Result<()> {
    let about = |looked: &&mut Looked| {
        let question = looked.question.as_ref();
        question.is_some_and(|question| question.database == database)
    };
    let mut connection = None;
    for looked in looked.iter_mut().filter(about) {
        let Some(question) = looked.question.take() else {
            continue;
        };
        let connection = match &mut connection {
            Some(connection) => connection,
            none => none.insert(Connection::open_with(copy, &context.cancel)?),
        };
        let found =
            check_references_in(&question.references, database, connection, &question.paths);
        looked.tree.difference = question
            .recorded
            .as_ref()
            .and_then(|recorded| difference(recorded, &found));
        looked.tree.references = Some(found);
    }
    Ok(())
}

fn difference(recorded: &ReferenceCheck, found: &ReferenceCheck) -> Option<String> {
    if let Some(error) = &found.error {
        return Some(format!("the restored database cannot be asked: {error}"));
    }
    let counts =
        |check: &ReferenceCheck| (check.expected, check.missing_count, check.orphaned_count);
    let told = |check: &ReferenceCheck| {
        let (expected, missing, orphaned) = counts(check);
        format!("{expected} expected, {missing} missing, {orphaned} unknown to the database")
    };
    (counts(recorded) != counts(found))
        .then(|| format!("backed up {}; restored {}", told(recorded), told(found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_that_would_fill_the_disk_is_not_restored() {
        let tree = FilesManifest {
            name: "media".into(),
            bytes: 5 << 20,
            ..FilesManifest::default()
        };
        const MIB: u64 = 1 << 20;
        assert_eq!(too_little(&tree, Some(8 * MIB), 3 * MIB), None);
        assert_eq!(too_little(&tree, None, 3 * MIB), None);
        assert_eq!(
            too_little(&tree, Some(7 * MIB), 3 * MIB).as_deref(),
            Some(
                "files media take 5 MiB, the disk for drills has 7 MiB free, and 3 MiB are to remain"
            )
        );
    }

    #[test]
    fn what_the_database_expected_must_be_as_it_was() {
        let check = |expected, missing_count| ReferenceCheck {
            expected,
            missing_count,
            ..ReferenceCheck::default()
        };
        assert_eq!(difference(&check(5, 1), &check(5, 1)), None);
        let told = difference(&check(5, 1), &check(5, 2)).expect("a difference");
        assert!(told.contains("backed up 5 expected, 1 missing"), "{told}");
        let broken = ReferenceCheck {
            error: Some("no such table".into()),
            ..check(5, 1)
        };
        assert!(
            difference(&check(5, 1), &broken).is_some_and(|told| told.contains("no such table"))
        );
    }
}
