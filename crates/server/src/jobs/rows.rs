//! The catalog's list of backups, brought up to date after a job has changed a repository.
//!
//! The repository is the truth. Only what it does not tell of a backup without reading it (rows, bytes, seconds) comes
//! from the job that made it, and stays when the rest is written anew.

use super::{Failure, Work};
use jiff::Timestamp;
use pgkeep_catalog::{BackupRow, CatalogError};
use pgkeep_engine::{
    backup::BackupReport,
    catalog::{self, BackupEntry, ListFilter},
};
use pgkeep_model::manifest::Manifest;
use pgkeep_repository::Repository;

/// A backup as the catalog lists it, without what only its job knows. Times are as fine as the catalog keeps them, so that
/// a row that has not changed is found to be equal.
pub fn row_of(repository: &str, entry: &BackupEntry) -> BackupRow {
    BackupRow {
        repository: repository.to_owned(),
        id: entry.id.clone(),
        app: entry.app.clone(),
        environment: entry.environment.clone(),
        kind: entry.kind.clone(),
        time: to_millis(entry.time),
        databases: entry.databases.clone(),
        files: entry.files.clone(),
        schema_version: entry.schema_version.clone(),
        description: entry.description.clone(),
        tags: entry.tags.clone(),
        pinned: entry.pinned,
        partial: entry.partial,
        checked_at: entry.validity.checked_at.map(to_millis),
        proven_at: entry.validity.proven_at.map(to_millis),
        proven_seconds: entry.validity.proven_seconds,
        damaged_at: entry.validity.damaged_at.map(to_millis),
        drill_failed_at: entry.validity.drill_failed_at.map(to_millis),
        shrunk: entry.validity.shrunk.clone(),
        policy: entry.origin.policy.clone(),
        job: entry.origin.job.clone(),
        hostname: entry.hostname.clone(),
        username: entry.username.clone(),
        ..BackupRow::default()
    }
}

fn to_millis(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

/// Writes a new backup's row, with what its report tells.
pub(super) fn record_new(
    work: &Work<'_>,
    name: &str,
    repository: &Repository,
    report: &BackupReport,
) -> Result<(), Failure> {
    let entry = catalog::load(repository, &report.id)?;
    let row = BackupRow {
        rows: Some(report.databases.iter().map(|db| db.rows).sum()),
        // What was taken over unread is part of it, too.
        bytes: Some(report.bytes_read.max(report.content_bytes())),
        bytes_added: Some(report.bytes_added),
        seconds: Some(report.seconds),
        ..row_of(name, &entry)
    };
    work.wait(|catalog| async move { catalog.upsert_backup(&row).await })
}

/// Writes the rows of these backups anew from what the repository says now.
pub(super) fn refresh(
    work: &Work<'_>,
    name: &str,
    repository: &Repository,
    ids: &[&str],
) -> Result<(), Failure> {
    if ids.is_empty() {
        return Ok(());
    }
    let entries = catalog::list(repository, &ListFilter::default())?;
    for entry in entries
        .iter()
        .filter(|entry| ids.iter().any(|id| entry.id.starts_with(id)))
    {
        let known = known(work, name, &entry.id)?;
        let mut row = row_of(name, entry);
        match known {
            Some(known) => keep_facts(&mut row, &known),
            None => read_facts(&mut row, repository, entry),
        }
        work.wait(|catalog| async move { catalog.upsert_backup(&row).await })?;
    }
    Ok(())
}

fn known(work: &Work<'_>, name: &str, id: &str) -> Result<Option<BackupRow>, Failure> {
    let found = work
        .catalog
        .block_on(|catalog| async move { catalog.backup(Some(name), id).await });
    match found {
        Ok(row) => Ok(Some(row)),
        Err(CatalogError::NotFound { .. }) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

pub(super) fn remove(work: &Work<'_>, name: &str, id: &str) -> Result<(), Failure> {
    let removed = work
        .catalog
        .block_on(|catalog| async move { catalog.remove_backup(name, id).await });
    match removed {
        // It was never listed.
        Err(CatalogError::NotFound { .. }) => Ok(()),
        other => Ok(other?),
    }
}

/// Takes over what the repository does not tell.
pub(super) fn keep_facts(row: &mut BackupRow, known: &BackupRow) {
    row.rows = row.rows.or(known.rows);
    row.bytes = row.bytes.or(known.bytes);
    row.bytes_added = row.bytes_added.or(known.bytes_added);
    row.seconds = row.seconds.or(known.seconds);
}

/// Reads from the backup itself what is not known of it; one that cannot be read stays without.
pub(super) fn read_facts(row: &mut BackupRow, repository: &Repository, entry: &BackupEntry) {
    if let Ok(manifest) = catalog::manifest(repository, entry) {
        row.rows = Some(manifest.databases.iter().map(|db| db.evidence.rows()).sum());
        row.bytes = Some(manifest.bytes_with_files());
        row.seconds = Some(took(&manifest));
    }
}

fn took(manifest: &Manifest) -> f64 {
    let took = manifest.finished_at.duration_since(manifest.started_at);
    took.as_secs_f64().max(0.0)
}
