//! Letting backups go: [`plan`] says what would go and why, [`execute`] deletes exactly that, [`prune`] gives the space
//! back.
//!
//! Only the files of snapshots go here, so a shared lock is enough: backups and restores run on beside it. What a backup
//! takes over from one that goes meanwhile lies in packs, which only a prune deletes, and that needs the repository for
//! itself. [`prune_after`] leaves the space for later where it cannot have that.

use crate::{
    Context, Error, ErrorCode, Result,
    catalog::{self, BackupEntry, ListFilter},
};
use jiff::{Timestamp, tz::TimeZone};
use pgkeep_model::retention::{self, Candidate, ForgetPlan, KeepPolicy};
use pgkeep_repository::{LockMode, PruneOptions, PrunePlan, PruneReport, Repository};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What to forget: by policy, or the named ones.
#[derive(Debug, Clone)]
pub enum ForgetRequest {
    Policy {
        policy: KeepPolicy,
        filter: ListFilter,
        /// Days, weeks and months begin by this zone's clock.
        zone: TimeZone,
    },
    Named(Vec<String>),
}

/// Decides what would be removed; changes nothing.
pub fn plan(
    repository: &Repository,
    request: &ForgetRequest,
    context: &Context,
) -> Result<ForgetPlan> {
    match request {
        ForgetRequest::Policy {
            policy,
            filter,
            zone,
        } => {
            let entries = catalog::list(repository, filter)?;
            let candidates: Vec<Candidate> = entries.iter().map(candidate).collect();
            let now = context.clock.now();
            let mut plan = retention::plan(&candidates, policy, now, zone);
            hold(repository, filter, &entries, now, &mut plan)?;
            Ok(plan)
        }
        ForgetRequest::Named(ids) => {
            let mut remove = Vec::new();
            for wanted in ids {
                let entry = catalog::find(repository, wanted, &ListFilter::default())?;
                if entry.pinned {
                    return Err(
                        Error::refused(format!("backup {} is pinned", entry.short_id()))
                            .hint("`pgkeep tag ID --unpin` lets it go first"),
                    );
                }
                remove.push((entry.id, "named by the user".to_string()));
            }
            let keep = catalog::list(repository, &ListFilter::default())?
                .into_iter()
                .filter(|e| remove.iter().all(|(id, _)| *id != e.id))
                .map(|e| (e.id, Vec::new()))
                .collect();
            Ok(ForgetPlan { keep, remove })
        }
    }
}

/// Lets nothing go of an app whose newest backup is in doubt, or bears a date to come: then the newest ones by date are not
/// the newest in truth.
fn hold(
    repository: &Repository,
    filter: &ListFilter,
    entries: &[BackupEntry],
    now: Timestamp,
    plan: &mut ForgetPlan,
) -> Result<()> {
    // All of the app's backups count, not only those that the rules are to be applied to.
    let all = catalog::list(
        repository,
        &ListFilter {
            app: filter.app.clone(),
            ..ListFilter::default()
        },
    )?;
    let doubts = catalog::doubts(&all);
    let mut held: BTreeMap<&str, String> = BTreeMap::new();
    for entry in entries {
        let of_app =
            |other: &&BackupEntry| other.app == entry.app && other.environment == entry.environment;
        let newest = all.iter().filter(of_app).max_by_key(|other| other.time);
        let to_come =
            newest.and_then(|newest| retention::dated_ahead(&newest.id, newest.time, now));
        let doubt = doubts.get(&(entry.app.clone(), entry.environment.clone()));
        if let Some(why) = to_come.or_else(|| Some(doubt?.hold())) {
            held.insert(&entry.id, why);
        }
    }
    plan.hold(|id| held.get(id).cloned());
    Ok(())
}

/// Safety backups, partial, damaged and unprovable ones and those in doubt are groups of their own: none of them may take a
/// whole backup's place in a rule, nor among the newest that stay.
fn group(entry: &BackupEntry) -> String {
    let apart = if entry.validity.damaged_at.is_some() {
        ", damaged"
    } else if entry.validity.drill_failed_at.is_some() {
        ", drill failed"
    } else if entry.tags.iter().any(|t| t == catalog::PRE_RESTORE) {
        ", safety backups"
    } else if entry.validity.shrunk.is_some() {
        ", in doubt"
    } else if entry.partial {
        ", partial"
    } else {
        ""
    };
    format!("{}/{}{apart}", entry.app, entry.environment)
}

fn candidate(entry: &BackupEntry) -> Candidate {
    Candidate {
        id: entry.id.clone(),
        time: entry.time,
        group: group(entry),
        tags: entry.tags.clone(),
        pinned: entry.pinned,
        proven: entry.validity.proven_at.is_some(),
        checked: entry.validity.checked_at.is_some(),
    }
}

/// What was removed; one failed removal does not stop the others.
#[derive(Debug, Serialize, Deserialize)]
pub struct ForgetReport {
    pub removed: Vec<String>,
    pub failed: Vec<(String, String)>,
}

/// Deletes the snapshots that the plan names. The space comes back with [`prune`].
///
/// The plan may be older than the lock: a backup that was pinned since stays, and one that is gone already is as good as
/// removed. One whose tags are changed at the same moment may be written anew behind our back; it is reported as failed.
pub fn execute(
    repository: &Repository,
    plan: &ForgetPlan,
    context: &Context,
) -> Result<ForgetReport> {
    let lock = repository.lock(LockMode::Shared, "forget")?;
    let mut report = ForgetReport {
        removed: Vec::new(),
        failed: Vec::new(),
    };
    let stored = by_id(repository)?;
    for (id, _reason) in &plan.remove {
        context.cancel.check()?;
        // Without the lock a prune elsewhere may be at work on what it counted.
        lock.confirm()?;
        match remove(repository, stored.get(id)) {
            Ok(()) => report.removed.push(id.clone()),
            Err(e) => report.failed.push((id.clone(), e.to_string())),
        }
    }
    let left = by_id(repository)?;
    let (removed, back): (Vec<_>, Vec<_>) = report
        .removed
        .into_iter()
        .partition(|id| !left.contains_key(id));
    report.removed = removed;
    let why = "its tags were changed at the same moment; the next time removes it";
    report
        .failed
        .extend(back.into_iter().map(|id| (id, why.to_owned())));
    Ok(report)
}

/// All backups by their lasting ids. Two changes of tags at one moment leave two files of one backup.
fn by_id(repository: &Repository) -> Result<BTreeMap<String, Vec<BackupEntry>>> {
    let mut all: BTreeMap<String, Vec<BackupEntry>> = BTreeMap::new();
    for entry in catalog::list(repository, &ListFilter::default())? {
        all.entry(entry.id.clone()).or_default().push(entry);
    }
    Ok(all)
}

fn remove(repository: &Repository, files: Option<&Vec<BackupEntry>>) -> Result<()> {
    let files = files.map(Vec::as_slice).unwrap_or_default();
    if files.iter().any(|entry| entry.pinned) {
        return Err(Error::refused("it was pinned since the plan was made"));
    }
    for entry in files {
        repository.delete_snapshot(&entry.snapshot.id)?;
    }
    Ok(())
}

/// Decides which packs hold nothing that is needed; changes nothing.
pub fn plan_prune(repository: &Repository, options: &PruneOptions) -> Result<PrunePlan> {
    Ok(repository.plan_prune(options)?)
}

/// Deletes and repacks what the plan names.
pub fn prune(repository: &Repository, plan: PrunePlan, context: &Context) -> Result<PruneReport> {
    Ok(repository.execute_prune(plan, &*context.progress, &context.cancel)?)
}

/// Gives the space of forgotten backups back. Where somebody else works with the repository this is told, and left to a
/// later prune: what was forgotten stays so.
pub fn prune_after(
    repository: &Repository,
    options: &PruneOptions,
    context: &Context,
) -> Result<Option<PruneReport>> {
    let pruned = plan_prune(repository, options).and_then(|plan| prune(repository, plan, context));
    match pruned {
        Ok(report) => Ok(Some(report)),
        Err(e) if e.code == ErrorCode::Busy => {
            context.progress.warn(&format!(
                "the space comes back with a later prune, for {}",
                e.message
            ));
            Ok(None)
        }
        Err(e) => Err(e),
    }
}
