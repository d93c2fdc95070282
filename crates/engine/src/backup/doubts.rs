//! What speaks against a backup although it is faithful: far less in it than in the one before, or a clock that is wrong.
//!
//! Nothing is refused: a backup in doubt is better than none. It is told, and written down with the backup, so that nothing
//! older goes for its sake before somebody has looked.

use super::BackupRequest;
use crate::{
    Context, Result,
    catalog::{self, BackupEntry, ListFilter, PRE_RESTORE},
};
use jiff::{SignedDuration, Timestamp};
use pgkeep_model::{
    manifest::{BackupKind, Manifest},
    shrunk::{self, Shrunk},
};
use pgkeep_repository::Repository;

/// Clocks of two machines may differ by so much.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(5);

/// Writes down what speaks against a new backup that is not published yet, and tells it.
pub(super) fn note(
    repository: &Repository,
    request: &BackupRequest,
    manifest: &mut Manifest,
    frozen_at: Timestamp,
    context: &Context,
) -> Result<()> {
    let filter = ListFilter {
        app: Some(request.app.clone()),
        ..ListFilter::default()
    };
    let mut entries = catalog::list(repository, &filter)?;
    entries.retain(|entry| entry.environment == request.environment);
    manifest.warnings = clock(manifest, frozen_at, &entries);
    // A restore's safety backup holds what the restore is to get rid of.
    if !request.tags.iter().any(|tag| tag == PRE_RESTORE) {
        manifest.shrunk = shrunk(repository, manifest, &entries, context);
    }
    for warning in &manifest.warnings {
        context.progress.warn(warning);
    }
    if let Some(shrunk) = &manifest.shrunk {
        context.progress.warn(&format!(
            "this backup holds far less than an earlier one: {}. Nothing older is removed by rules until a backup holds it again, or `pgkeep tag BACKUP --add {}` says that it is right so",
            shrunk.sentence(),
            shrunk::ACCEPTED
        ));
    }
    Ok(())
}

/// Clocks that disagree: with the database's server, and with the backups that are there.
fn clock(manifest: &Manifest, frozen_at: Timestamp, entries: &[BackupEntry]) -> Vec<String> {
    let mut warnings = Vec::new();
    // The server's clock was asked when the first database was frozen, ours once all were; what was taken over was not asked.
    let asked = manifest
        .databases
        .iter()
        .filter(|database| database.taken_over_from.is_none())
        .find_map(|database| Some((&database.name, database.server.snapshot_at?)));
    if let Some((name, theirs)) = asked {
        let within = |time: Timestamp| {
            time >= manifest
                .started_at
                .saturating_sub(CLOCKS_DIFFER)
                .unwrap_or(Timestamp::MIN)
                && time
                    <= frozen_at
                        .saturating_add(CLOCKS_DIFFER)
                        .unwrap_or(Timestamp::MAX)
        };
        if !within(theirs) {
            let by = frozen_at.duration_since(theirs);
            let side = if by.is_negative() {
                "behind"
            } else {
                "ahead of"
            };
            warnings.push(format!(
                "the clock of this machine is {} {side} that of the server of database {name}: set it right, for the order of backups decides which are kept",
                words(by.abs())
            ));
        }
    }
    let newest = entries.iter().map(|entry| entry.time).max();
    let ahead = newest.map(|newest| newest.duration_since(manifest.finished_at));
    if let Some(ahead) = ahead.filter(|ahead| *ahead > CLOCKS_DIFFER) {
        warnings.push(format!(
            "this backup is dated {} before one that is there already: this clock is behind, or was ahead when that one was made; `latest` and the rules of retention go by the date",
            words(ahead)
        ));
    }
    warnings
}

/// Compares each database and folder with the newest backup that holds it and that nobody doubts.
fn shrunk(
    repository: &Repository,
    manifest: &Manifest,
    entries: &[BackupEntry],
    context: &Context,
) -> Option<Shrunk> {
    let mut databases: Vec<_> = manifest.databases.iter().collect();
    let mut files: Vec<_> = manifest.files.iter().collect();
    let mut found: Option<Shrunk> = None;
    for entry in entries.iter().rev().filter(|entry| is_measure(entry)) {
        let holds_database = databases
            .iter()
            .any(|db| entry.databases.contains(&db.name));
        let holds_files = files.iter().any(|tree| entry.files.contains(&tree.name));
        if !holds_database && !holds_files {
            if databases.is_empty() && files.is_empty() {
                break;
            }
            continue;
        }
        let before = match catalog::manifest(repository, entry) {
            Ok(before) => before,
            Err(e) => {
                context.progress.warn(&format!(
                    "backup {} is not compared with, for it cannot be read: {e}",
                    entry.short_id()
                ));
                continue;
            }
        };
        let mut reasons = Vec::new();
        databases.retain(|now| {
            let before = before.database(&now.name);
            reasons.extend(
                before
                    .into_iter()
                    .flat_map(|db| shrunk::database(db, entry.time, now)),
            );
            before.is_none()
        });
        files.retain(|now| {
            let before = before.files.iter().find(|tree| tree.name == now.name);
            reasons.extend(before.and_then(|tree| shrunk::files(tree, entry.time, now)));
            before.is_none()
        });
        if reasons.is_empty() {
            continue;
        }
        let found = found.get_or_insert_with(|| Shrunk {
            since: entry.id.clone(),
            time: entry.time,
            reasons: Vec::new(),
        });
        found.reasons.extend(reasons);
    }
    found
}

/// Whether a new backup is measured against it.
fn is_measure(entry: &BackupEntry) -> bool {
    entry.validity.shrunk.is_none()
        && entry.validity.damaged_at.is_none()
        && entry.kind != BackupKind::Import.as_str()
        && !entry.tags.iter().any(|tag| tag == PRE_RESTORE)
}

/// `10 days`, in the largest unit that fits.
fn words(span: SignedDuration) -> String {
    let secs = span.as_secs();
    let (count, unit) = match secs {
        ..60 => (secs, "second"),
        60..3600 => (secs / 60, "minute"),
        3600..172_800 => (secs / 3600, "hour"),
        _ => (secs / 86_400, "day"),
    };
    match count {
        1 => format!("1 {unit}"),
        count => format!("{count} {unit}s"),
    }
}
