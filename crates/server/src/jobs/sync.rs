//! Makes the catalog's list of a repository's backups be what the repository says.
//!
//! Other jobs add and change backups meanwhile. So a row goes only when its backup was listed by the catalog before the
//! repository was read, and two readings of the repository did not show it; a listing that fails removes nothing. What is
//! gone and was not removed by a job that the catalog knows is a loss, and told as one.

use super::{Done, Failure, Work, measure, rows};
use crate::status::doubts::{self, Gone};
use pgkeep_catalog::blocking::Blocking;
use pgkeep_catalog::{BackupFilter, BackupRow, BackupSort, Job, JobFilter, Page};
use pgkeep_engine::catalog::{self, BackupEntry, ListFilter};
use pgkeep_model::CancelToken;
use pgkeep_model::job::{JobKind, JobSpec, RepositorySpec};
use pgkeep_repository::Repository;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Backups of which nothing but their tags is known are read, so many at a time; the next run reads more.
const READ_AT_ONCE: usize = 200;

#[derive(Debug, Serialize)]
struct Synced {
    repository: String,
    backups: usize,
    added: usize,
    changed: usize,
    removed: usize,
    /// Ids of those that are gone although pgkeep did not remove them.
    vanished: Vec<String>,
    /// Snapshots that cannot be read; each may be a backup.
    unreadable: Vec<String>,
}

pub(super) fn run(work: &Work<'_>, spec: &RepositorySpec) -> Result<Done, Failure> {
    let context = work.context(None);
    let repository = work.open(&spec.repository, &context)?;
    let known = known_rows(work.catalog, &spec.repository)?;
    let entries = catalog::list(&repository, &ListFilter::default())?;
    let mut synced = Synced {
        repository: spec.repository.clone(),
        backups: entries.len(),
        added: 0,
        changed: 0,
        removed: 0,
        vanished: Vec::new(),
        unreadable: catalog::unreadable(&repository)?,
    };
    let fresh = fresh_rows(
        &spec.repository,
        &repository,
        &entries,
        &known,
        &work.cancel,
    )?;
    let is_known = |row: &&BackupRow| known.contains_key(&row.id);
    synced.changed = fresh.iter().filter(is_known).count();
    synced.added = fresh.len() - synced.changed;
    work.wait(|catalog| async move { catalog.upsert_backups(&fresh).await })?;
    let gone = gone(&repository, &known, &entries)?;
    let vanished = vanished(work, &known, &gone)?;
    for lost in &vanished {
        let short = lost.id.get(..8).unwrap_or(&lost.id);
        work.progress.warn(&format!(
            "backup {short} of {} is no longer in {}, and pgkeep did not remove it",
            lost.app, spec.repository
        ));
    }
    // Written down before the rows go: a job that dies in between finds them gone once more.
    synced.vanished = vanished.iter().map(|lost| lost.id.clone()).collect();
    let there: BTreeSet<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
    let (name, there) = (&spec.repository, &there);
    work.wait(|catalog| async move {
        doubts::note_unreachable(&catalog, name, None).await?;
        doubts::note_vanished(&catalog, name, vanished, |id| there.contains(id)).await
    })?;
    for id in gone {
        rows::remove(work, &spec.repository, &id)?;
        synced.removed += 1;
    }
    measure::record(work, &spec.repository);
    work.done(&synced)
}

/// Adds to the catalog's list what the repository holds and it does not list, and what has changed. Removes nothing: that is
/// a job's, which knows what other jobs do.
pub fn take_in(
    name: &str,
    repository: &Repository,
    catalog: &Blocking,
    cancel: &CancelToken,
) -> Result<(), Failure> {
    let known = known_rows(catalog, name)?;
    let entries = catalog::list(repository, &ListFilter::default())?;
    let fresh = fresh_rows(name, repository, &entries, &known, cancel)?;
    catalog.block_on(|catalog| async move { catalog.upsert_backups(&fresh).await })?;
    Ok(())
}

/// Rows that are new, or not what the catalog has.
fn fresh_rows(
    name: &str,
    repository: &Repository,
    entries: &[BackupEntry],
    known: &BTreeMap<String, BackupRow>,
    cancel: &CancelToken,
) -> Result<Vec<BackupRow>, Failure> {
    let mut fresh = Vec::new();
    let mut to_read = READ_AT_ONCE;
    for entry in entries.iter().rev() {
        cancel.check()?;
        let mut row = rows::row_of(name, entry);
        let known = known.get(&entry.id);
        if let Some(known) = known {
            rows::keep_facts(&mut row, known);
        }
        if row.bytes.is_none() && to_read > 0 {
            to_read -= 1;
            rows::read_facts(&mut row, repository, entry);
        }
        if known.is_none_or(|known| !same(&row, known)) {
            fresh.push(row);
        }
    }
    Ok(fresh)
}

fn known_rows(
    catalog: &Blocking,
    repository: &str,
) -> Result<BTreeMap<String, BackupRow>, Failure> {
    let filter = BackupFilter {
        repository: Some(repository.to_owned()),
        ..BackupFilter::default()
    };
    let all = catalog.block_on(|catalog| async move {
        let mut all = BTreeMap::new();
        let mut page = Page {
            limit: Page::MAX,
            ..Page::default()
        };
        loop {
            let found = catalog.backups(&filter, BackupSort::Time, &page).await?;
            all.extend(found.items.into_iter().map(|row| (row.id.clone(), row)));
            match found.next {
                Some(next) => page.after = Some(next),
                None => return Ok::<_, pgkeep_catalog::CatalogError>(all),
            }
        }
    });
    Ok(all?)
}

/// Those that are gone and that no job removed. A command that knew of no catalog cannot be told from an accident.
fn vanished(
    work: &Work<'_>,
    known: &BTreeMap<String, BackupRow>,
    gone: &[String],
) -> Result<Vec<Gone>, Failure> {
    if gone.is_empty() {
        return Ok(Vec::new());
    }
    let filter = JobFilter {
        kinds: vec![JobKind::Forget, JobKind::Cleanup],
        ..JobFilter::default()
    };
    let page = Page {
        limit: Page::MAX,
        ..Page::default()
    };
    let jobs = work.wait(|catalog| async move { catalog.jobs(&filter, &page).await })?;
    let removed_by = |job: &Job, id: &str| match &job.spec {
        JobSpec::Forget(spec) => spec.backups.iter().any(|wanted| id.starts_with(wanted)),
        // One that died after it had removed a backup has no result.
        _ => {
            job.app.as_deref() == known.get(id).map(|row| row.app.as_str())
                && job.finished_at.is_none_or(|_| named(&job.result, id))
        }
    };
    let lost = |id: &&String| !jobs.items.iter().any(|job| removed_by(job, id));
    Ok(gone
        .iter()
        .filter(lost)
        .filter_map(|id| known.get(id))
        .map(|row| Gone {
            id: row.id.clone(),
            app: row.app.clone(),
            time: row.time,
        })
        .collect())
}

/// Whether the result of a cleanup names the backup as removed.
fn named(result: &Option<serde_json::Value>, id: &str) -> bool {
    let removed = |repository: &serde_json::Value| {
        let ids = repository["removed"].as_array();
        ids.is_some_and(|ids| ids.iter().any(|one| one == id))
    };
    let repositories = result
        .as_ref()
        .and_then(|result| result["repositories"].as_array());
    repositories.is_some_and(|all| all.iter().any(removed))
}

fn same(row: &BackupRow, known: &BackupRow) -> bool {
    let known = BackupRow {
        revision: row.revision,
        ..known.clone()
    };
    *row == known
}

/// A change of tags replaces a snapshot's file, so one reading can miss both the old and the new.
fn gone(
    repository: &Repository,
    known: &BTreeMap<String, BackupRow>,
    listed: &[BackupEntry],
) -> Result<Vec<String>, Failure> {
    let ids = |entries: &[BackupEntry]| -> BTreeSet<String> {
        entries.iter().map(|entry| entry.id.clone()).collect()
    };
    let listed = ids(listed);
    let missing: Vec<&String> = known.keys().filter(|id| !listed.contains(*id)).collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let again = ids(&catalog::list(repository, &ListFilter::default())?);
    Ok(missing
        .into_iter()
        .filter(|id| !again.contains(*id))
        .cloned()
        .collect())
}
