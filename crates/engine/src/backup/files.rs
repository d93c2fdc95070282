//! The file trees of a backup: read beside the dump, compared with what the database says of them, hung into the snapshot.

use super::{BackupRequest, parent::Parent};
use crate::{
    Context, ErrorCode, Result, counted,
    files::{self, Previous, ScanOptions, Scanned, ScannedPaths},
};
use jiff::{Timestamp, Unit};
use pgkeep_model::{
    CancelToken, Phase, Progress,
    app::{FileTree, References},
    manifest::{BackupKind, FilesManifest, OddFile, ReferenceCheck},
};
use pgkeep_postgres::{dump::Frozen, wire::Connection};
use pgkeep_repository::{Repository, Writer};
use std::{path::PathBuf, sync::Arc};

/// The trees that a backup of this request reads.
pub(super) fn trees(request: &BackupRequest) -> &[FileTree] {
    match request.kind {
        BackupKind::Database | BackupKind::Import => &[],
        _ => &request.application.files,
    }
}

/// Reads all trees while `work` goes on in this thread. The first failure of either ends the other.
pub(super) fn scan_beside<T>(
    repository: &Repository,
    writer: &Writer,
    request: &BackupRequest,
    parent: Option<&Parent>,
    context: &Context,
    work: impl FnOnce(&Context) -> Result<T>,
) -> Result<(Vec<Scanned>, T)> {
    let trees = trees(request);
    if trees.is_empty() {
        return Ok((Vec::new(), work(context)?));
    }
    let outer = context.cancel.clone();
    let both = CancelToken::while_permitted(move || outer.check().is_ok());
    let passed_on = both.clone();
    let _hook = context.cancel.on_cancel(move || passed_on.cancel());
    let work_context = Context {
        cancel: both.clone(),
        ..context.clone()
    };
    let scan_context = Context {
        cancel: both.clone(),
        progress: match request.databases.is_empty() {
            true => context.progress.clone(),
            // The bar is the dump's, whose size it was told.
            false => Arc::new(WordsOnly(context.progress.clone())),
        },
        ..context.clone()
    };
    let keep_out = [PathBuf::from(repository.storage().location())];
    std::thread::scope(|scope| {
        let scanning = scope.spawn(|| {
            let scan = |tree| scan_one(tree, writer, request, parent, &keep_out, &scan_context);
            let scanned: Result<Vec<Scanned>> = trees.iter().map(scan).collect();
            if scanned.is_err() {
                both.cancel();
            }
            scanned
        });
        let worked = work(&work_context);
        if worked.is_err() {
            both.cancel();
        }
        let scanned = scanning.join().expect("a scan does not panic");
        match (scanned, worked) {
            (Ok(scanned), Ok(worked)) => Ok((scanned, worked)),
            (Err(e), Ok(_)) | (Ok(_), Err(e)) => Err(e),
            // Whoever failed second only heard that it was over.
            (Err(scan), Err(work)) => Err(match work.code {
                ErrorCode::Cancelled => scan,
                _ => work,
            }),
        }
    })
}

fn scan_one(
    tree: &FileTree,
    writer: &Writer,
    request: &BackupRequest,
    parent: Option<&Parent>,
    keep_out: &[PathBuf],
    context: &Context,
) -> Result<Scanned> {
    let parent = parent.filter(|_| !request.application.hash_files);
    let previous = parent.and_then(|parent| {
        let manifest = parent.manifest.files.iter().find(|f| f.name == tree.name)?;
        Some(Previous {
            reader: &parent.reader,
            manifest,
        })
    });
    if request.databases.is_empty() {
        context.progress.phase(Phase::Data, None);
    }
    let options = ScanOptions {
        tree,
        previous,
        keep_out,
        keep_paths: tree.references.is_some(),
    };
    let scanned = files::scan(writer, &options, context)?;
    context.progress.item(&format!("files {}", tree.name));
    warn_of_odd_files(&scanned.manifest, &*context.progress);
    Ok(scanned)
}

/// Completes the manifests of the trees and hangs the trees into the snapshot. `frozen` are the databases in the moment that
/// is backed up, each with its name, and when they were frozen.
pub(super) fn take_files(
    scanned: Vec<Scanned>,
    writer: &Writer,
    request: &BackupRequest,
    frozen: &[(&str, &Frozen)],
    frozen_at: Timestamp,
    context: &Context,
) -> Vec<FilesManifest> {
    let mut manifests = Vec::new();
    for (scanned, tree) in scanned.into_iter().zip(trees(request)) {
        let mut manifest = scanned.manifest;
        if !frozen.is_empty() {
            let span = manifest.scanned_to.map(|end| end - frozen_at);
            manifest.skew_secs = span.and_then(|span| span.total(Unit::Second).ok());
        }
        let check = match (&tree.references, frozen.first()) {
            (None, _) => None,
            (Some(references), Some((first, _))) => {
                Some(check_frozen(references, first, frozen, &scanned.paths))
            }
            (Some(references), None) => check_live(references, request, &scanned.paths, context),
        };
        if let Some(check) = check {
            warn_of_references(&tree.name, &check, &*context.progress);
            manifest.references = Some(check);
        }
        writer.graft(&manifest.path, scanned.node);
        manifests.push(manifest);
    }
    manifests
}

fn check_frozen(
    references: &References,
    first: &str,
    frozen: &[(&str, &Frozen)],
    paths: &ScannedPaths,
) -> ReferenceCheck {
    let asked = references.database.as_deref().unwrap_or(first);
    match frozen.iter().find(|(name, _)| *name == asked) {
        Some((name, frozen)) => files::check_references(references, name, frozen, paths),
        None => ReferenceCheck {
            sql: references.sql.clone(),
            database: asked.into(),
            error: Some("this database is not part of the backup".into()),
            ..ReferenceCheck::default()
        },
    }
}

/// A backup of files alone freezes no database: the live one is asked after the scan. `None` where the app has none.
fn check_live(
    references: &References,
    request: &BackupRequest,
    paths: &ScannedPaths,
    context: &Context,
) -> Option<ReferenceCheck> {
    let own = request.application.database.as_ref()?;
    let asked = references.database.as_deref().unwrap_or(&own.dbname);
    let check = match Connection::open_with(&own.with_dbname(asked), &context.cancel) {
        Ok(mut connection) => files::check_references_in(references, asked, &mut connection, paths),
        Err(e) => ReferenceCheck {
            sql: references.sql.clone(),
            database: asked.into(),
            error: Some(e.to_string()),
            ..ReferenceCheck::default()
        },
    };
    Some(ReferenceCheck {
        live: true,
        ..check
    })
}

fn warn_of_odd_files(manifest: &FilesManifest, progress: &dyn Progress) {
    let name = &manifest.name;
    let entries = |n: u64| counted(n as usize, "entry").replace("entrys", "entries");
    if manifest.unreadable_count > 0 {
        progress.warn(&format!(
            "files {name}: {} could not be read and {} not in this backup: {}",
            entries(manifest.unreadable_count),
            if manifest.unreadable_count == 1 {
                "is"
            } else {
                "are"
            },
            some_of(&manifest.unreadable, manifest.unreadable_count)
        ));
    }
    if manifest.changing_count > 0 {
        progress.warn(&format!(
            "files {name}: {} changed whenever it was read, and may be stored half changed: {}",
            entries(manifest.changing_count),
            some_of(&manifest.changing, manifest.changing_count)
        ));
    }
}

fn warn_of_references(name: &str, check: &ReferenceCheck, progress: &dyn Progress) {
    if let Some(error) = &check.error {
        progress.warn(&format!(
            "files {name}: which files the database expects could not be asked: {error}"
        ));
    }
    if check.missing_count > 0 {
        progress.warn(&format!(
            "files {name}: {} that database {} names {} missing, such as {}",
            counted(check.missing_count as usize, "file"),
            check.database,
            if check.missing_count == 1 {
                "is"
            } else {
                "are"
            },
            check.missing.first().map_or("", String::as_str)
        ));
    }
}

/// The first three with their reasons.
fn some_of(odd: &[OddFile], count: u64) -> String {
    let mut words: Vec<String> = odd
        .iter()
        .take(3)
        .map(|odd| format!("{} ({})", odd.path, odd.reason))
        .collect();
    if count > words.len() as u64 {
        words.push(format!("and {} more", count - words.len() as u64));
    }
    words.join(", ")
}

/// Passes on what is said, and not how far the work is.
struct WordsOnly(Arc<dyn Progress>);

impl Progress for WordsOnly {
    fn phase(&self, _: Phase, _: Option<u64>) {}
    fn bytes(&self, _: u64) {}
    fn item(&self, name: &str) {
        self.0.item(name);
    }
    fn warn(&self, message: &str) {
        self.0.warn(message);
    }
}
