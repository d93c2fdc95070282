//! A policy's retention, carried out: plan, remove, prune. One removal that fails does not stop the others.
//!
//! The plan is made from the repository itself. Backups go first, then the files that `export` runs wrote for them, then
//! the space: what dies in between leaves nothing that the next cleanup does not find. Backups go beside whatever else
//! runs; the space needs the repository for itself, so it is tried again later, and in the end left to the next cleanup.

use super::{Done, Failure, Work, care, document, rows};
use crate::scheduler::retention::{self, CleanupPlan};
use pgkeep_catalog::BackupRow;
use pgkeep_engine::{
    ErrorCode, backup,
    catalog::{self, ListFilter},
    forget,
};
use pgkeep_model::{job::CleanupSpec, policy::Policy};
use pgkeep_repository::PruneReport;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What a cleanup did; the plan alone where it was only to plan.
#[derive(Debug, Serialize)]
struct Cleaned {
    policy: String,
    app: String,
    dry_run: bool,
    repositories: Vec<CleanedRepository>,
}

#[derive(Debug, Default, Serialize)]
struct CleanedRepository {
    #[serde(flatten)]
    plan: Option<CleanupPlan>,
    /// Ids.
    removed: Vec<String>,
    /// Ids, with the reason.
    failed: Vec<(String, String)>,
    /// Exported files of removed backups.
    files_removed: Vec<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pruned: Option<PruneReport>,
    /// The space was to be given back, and somebody else works with the repository.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    space_waits: bool,
}

pub(super) fn run(work: &Work<'_>, spec: &CleanupSpec) -> Result<Done, Failure> {
    let policy = work
        .wait(|catalog| async move { catalog.policy(&spec.policy).await })?
        .value;
    let app = work.app(&policy.app)?;
    let repositories = match policy.repositories.as_slice() {
        [] => vec![work.repository_name(None, &app)?],
        named => named.to_vec(),
    };
    let mut cleaned = Cleaned {
        policy: policy.name.clone(),
        app: policy.app.clone(),
        dry_run: spec.dry_run,
        repositories: Vec::new(),
    };
    let mut failures = Vec::new();
    let attempts_left = work.job.attempts < work.job.max_attempts;
    let mut again = None;
    for name in repositories {
        work.cancel.check()?;
        match clean(work, &policy, &name, spec.dry_run) {
            Ok(one) => {
                let failed = one.failed.iter();
                failures.extend(failed.map(|(id, why)| format!("{}: {why}", short(id))));
                if one.space_waits {
                    again.get_or_insert_with(|| space_waits(&name, one.removed.len()));
                }
                cleaned.repositories.push(one);
            }
            // A repository that cannot be reached is no reason to leave the others full.
            Err(failure) if !failure.fenced && !work.cancel.is_cancelled() => {
                failures.push(format!("repository {name}: {}", failure.message));
                again = again.or(Some(failure).filter(|failure| failure.may_pass));
            }
            Err(failure) => return Err(failure),
        }
    }
    // What was removed stays so, and the rest is tried later.
    if let Some(failure) = again.filter(|_| attempts_left) {
        return Err(failure);
    }
    if failures.is_empty() {
        return work.done(&cleaned);
    }
    let mut failure = Failure::new(
        ErrorCode::Storage,
        format!("not everything could be removed: {}", failures[0]),
    );
    failure.details = failures;
    Ok(Done::Found {
        report: document(&cleaned),
        failure,
    })
}

/// Why a cleanup is taken up again although all that was to go is gone.
fn space_waits(repository: &str, removed: usize) -> Failure {
    let backups = match removed {
        1 => "1 backup is removed".to_owned(),
        n => format!("{n} backups are removed"),
    };
    Failure::new(
        ErrorCode::Busy,
        format!(
            "repository {repository}: {backups}, the space is given back once nobody else works with it"
        ),
    )
}

fn clean(
    work: &Work<'_>,
    policy: &Policy,
    name: &str,
    dry_run: bool,
) -> Result<CleanedRepository, Failure> {
    let context = work.context(None);
    let repository = work.open(name, &context)?;
    let filter = ListFilter {
        app: Some(policy.app.clone()),
        ..ListFilter::default()
    };
    let entries = catalog::list(&repository, &filter)?;
    let own: Vec<BackupRow> = entries
        .iter()
        .filter(|entry| entry.origin.policy.as_deref() == Some(&policy.name))
        .map(|entry| rows::row_of(name, entry))
        .collect();
    let rows = own.as_slice();
    let guards =
        work.wait(|catalog| async move { retention::guards(&catalog, policy, rows).await })?;
    let plan = retention::plan(policy, name, &own, &guards, context.clock.now());
    let mut cleaned = CleanedRepository::default();
    if let Some(why) = &plan.held {
        work.progress.warn(&format!("nothing is removed: {why}"));
    }
    if !dry_run && !plan.remove.is_empty() {
        (work.still_ours)()?;
        let report = forget::execute(&repository, &plan.to_forget(), &context)?;
        for id in &report.removed {
            if let Some(row) = own.iter().find(|row| row.id == *id) {
                cleaned
                    .files_removed
                    .extend(remove_exports(work, policy, row));
            }
            rows::remove(work, name, id)?;
        }
        cleaned.removed = report.removed;
        cleaned.failed = report.failed;
    }
    // An attempt before this one may have removed some, and left the space.
    if !dry_run && (!cleaned.removed.is_empty() || work.job.attempts > 1) {
        (work.still_ours)()?;
        cleaned.pruned = care::prune_now(&repository, &context)?;
        cleaned.space_waits = cleaned.pruned.is_none();
    }
    cleaned.plan = Some(plan);
    Ok(cleaned)
}

/// Removes the files that were exported together with a backup, as its job wrote them down. Only files in the folder of
/// exports are touched, and only those on this machine. Where the catalog does not tell which they are, they stay, and that is
/// told: nothing else knows of them once the backup's row is gone.
fn remove_exports(work: &Work<'_>, policy: &Policy, row: &BackupRow) -> Vec<PathBuf> {
    let Some(job) = &row.job else {
        return Vec::new();
    };
    let job = match work.wait(|catalog| async move { catalog.job(job).await }) {
        Ok(job) => job,
        // Jobs are forgotten in the end, and what they exported with them.
        Err(failure) if failure.code == ErrorCode::NotFound => return Vec::new(),
        Err(failure) => {
            work.progress.warn(&format!(
                "the files exported with backup {} stay: {}",
                short(&row.id),
                failure.message
            ));
            return Vec::new();
        }
    };
    let folder = match &policy.export_to {
        Some(folder) => PathBuf::from(folder),
        None => work.places.exports().join(backup::safe_name(&policy.app)),
    };
    let result = job.result.unwrap_or_default();
    let files = result["exports"].as_array().into_iter().flatten();
    let mut removed = Vec::new();
    // What lies in a bucket is left to the bucket's own rules.
    let paths = files.filter_map(|file| file.as_str().filter(|file| file.starts_with('/')));
    for file in paths.map(PathBuf::from) {
        if file.parent() != Some(folder.as_path()) {
            continue;
        }
        for path in [with_suffix(&file, ".meta.json"), file] {
            match std::fs::remove_file(&path) {
                Ok(()) => removed.push(path),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => work
                    .progress
                    .warn(&format!("{} cannot be removed: {e}", path.display())),
            }
        }
    }
    removed
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn short(id: &str) -> &str {
    &id[..id.len().min(8)]
}
