//! What a policy's retention would remove, and the cleanup jobs that remove it.

use super::Scheduler;
use crate::jobs::{app_slot, draft};
use crate::settings::JobLimits;
use crate::status::{doubts, facts::last_backup_job};
use jiff::Timestamp;
use pgkeep_catalog::{
    BackupFilter, BackupRow, BackupSort, Catalog, CatalogError, JobFilter, NewJob, Page,
};
use pgkeep_engine::catalog::PRE_RESTORE;
use pgkeep_model::job::{CleanupSpec, JobKind, JobSpec, JobState, Trigger};
use pgkeep_model::policy::Policy;
use pgkeep_model::retention::{Candidate, ForgetPlan, Guards, dated_ahead, plan_policy};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Cleanups wait behind backups.
const PRIORITY: i32 = -5;
/// A repository is not cleaned up while another app is backed up to it, which may take hours.
const ATTEMPTS: u32 = 8;

/// What a policy's retention would do in one repository, newest backup first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanupPlan {
    pub repository: String,
    pub keep: Vec<Kept>,
    pub remove: Vec<Removed>,
    /// Why nothing is removed at present although the rules say so.
    pub held: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub id: String,
    pub time: Timestamp,
    /// In words.
    pub reasons: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    pub id: String,
    pub time: Timestamp,
    pub why: String,
}

impl CleanupPlan {
    /// What the engine is to remove.
    pub fn to_forget(&self) -> ForgetPlan {
        ForgetPlan {
            keep: Vec::new(),
            remove: self
                .remove
                .iter()
                .map(|gone| (gone.id.clone(), gone.why.clone()))
                .collect(),
        }
    }
}

/// Plans from what the catalog knows: a preview for people. A cleanup job plans from the repository itself.
pub async fn preview(catalog: &Catalog, policy: &Policy) -> Result<Vec<CleanupPlan>, CatalogError> {
    let filter = BackupFilter {
        apps: Some(vec![policy.app.clone()]),
        policy: Some(policy.name.clone()),
        ..BackupFilter::default()
    };
    let mut by_repository: BTreeMap<String, Vec<BackupRow>> = BTreeMap::new();
    let mut page = Page {
        limit: Page::MAX,
        ..Page::default()
    };
    loop {
        let found = catalog.backups(&filter, BackupSort::Time, &page).await?;
        for row in found.items {
            by_repository
                .entry(row.repository.clone())
                .or_default()
                .push(row);
        }
        match found.next {
            Some(next) => page.after = Some(next),
            None => break,
        }
    }
    let mut plans = Vec::new();
    for (repository, rows) in by_repository {
        let guards = guards(catalog, policy, &rows).await?;
        plans.push(plan(policy, &repository, &rows, &guards, catalog.now()));
    }
    Ok(plans)
}

/// Decides what goes of these backups of a policy, all of one repository.
pub fn plan(
    policy: &Policy,
    repository: &str,
    rows: &[BackupRow],
    guards: &Guards,
    now: Timestamp,
) -> CleanupPlan {
    let candidates: Vec<Candidate> = rows.iter().map(candidate).collect();
    let zone = policy.runs().map(|runs| runs.time_zone().clone());
    let zone = zone.unwrap_or(jiff::tz::TimeZone::UTC);
    let plan = plan_policy(&candidates, &policy.retention, guards, now, &zone);
    let times: BTreeMap<&str, Timestamp> =
        rows.iter().map(|row| (row.id.as_str(), row.time)).collect();
    let time = |id: &str| times.get(id).copied().unwrap_or(now);
    let keep = plan.keep.into_iter().map(|(id, reasons)| Kept {
        time: time(&id),
        reasons: reasons.iter().map(ToString::to_string).collect(),
        id,
    });
    let remove = plan.remove.into_iter().map(|(id, why)| Removed {
        time: time(&id),
        id,
        why,
    });
    CleanupPlan {
        repository: repository.to_owned(),
        keep: keep.collect(),
        remove: remove.collect(),
        held: guards.hold.clone(),
    }
}

/// Safety backups, partial, damaged and unprovable ones and those in doubt are groups of their own: none may take a whole one's place.
fn candidate(row: &BackupRow) -> Candidate {
    let apart = if row.damaged_at.is_some() {
        ", damaged"
    } else if row.drill_failed_at.is_some() {
        ", drill failed"
    } else if row.tags.iter().any(|tag| tag == PRE_RESTORE) {
        ", safety backups"
    } else if row.shrunk.is_some() {
        ", in doubt"
    } else if row.partial {
        ", partial"
    } else {
        ""
    };
    Candidate {
        id: row.id.clone(),
        time: row.time,
        group: format!("{}/{}{apart}", row.app, row.environment),
        tags: row.tags.clone(),
        pinned: row.pinned,
        proven: row.proven_at.is_some(),
        checked: row.checked_at.is_some(),
    }
}

/// What must not be touched at this moment: backups that jobs read or are about to, and all of them while the app's
/// newest backup failed, is damaged or in doubt.
pub async fn guards(
    catalog: &Catalog,
    policy: &Policy,
    rows: &[BackupRow],
) -> Result<Guards, CatalogError> {
    let open = JobFilter {
        states: vec![JobState::Queued, JobState::Running],
        ..JobFilter::default()
    };
    let page = Page {
        limit: Page::MAX,
        ..Page::default()
    };
    let mut guards = Guards::default();
    for job in catalog.jobs(&open, &page).await?.items {
        for wanted in reads(&job.spec) {
            for row in rows.iter().filter(|row| is_meant(row, wanted, rows)) {
                let by = format!("{} {}", job.kind.as_str(), job.id);
                guards.in_use.insert(row.id.clone(), by);
            }
        }
    }
    guards.hold = hold(catalog, &policy.app).await?;
    Ok(guards)
}

/// The backups that a job reads, as they were named to it.
fn reads(spec: &JobSpec) -> Vec<&str> {
    match spec {
        JobSpec::Restore(spec) => vec![&spec.backup],
        JobSpec::Drill(spec) => vec![&spec.backup],
        JobSpec::Export(spec) => vec![&spec.backup],
        JobSpec::Diff(spec) => {
            let mut both = vec![spec.from.as_str()];
            both.extend(spec.to.as_deref());
            both
        }
        JobSpec::Verify(spec) => spec.backups.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is_meant(row: &BackupRow, wanted: &str, rows: &[BackupRow]) -> bool {
    let newest = || rows.iter().all(|other| other.time <= row.time);
    (wanted == "latest" && newest())
        || (!wanted.is_empty() && row.id.starts_with(&wanted.to_ascii_lowercase()))
}

async fn hold(catalog: &Catalog, app: &str) -> Result<Option<String>, CatalogError> {
    if let Some(job) = last_backup_job(catalog, app, None).await?
        && job.state == JobState::Failed
    {
        let why = job.error.map(|error| error.message).unwrap_or_default();
        return Ok(Some(format!("the newest backup of {app} failed: {why}")));
    }
    let newest = BackupFilter {
        apps: Some(vec![app.to_owned()]),
        ..BackupFilter::default()
    };
    let page = Page {
        limit: 1,
        ..Page::default()
    };
    let rows = catalog.backups(&newest, BackupSort::Time, &page).await?;
    if let Some(row) = rows.items.first()
        && let Some(why) = dated_ahead(&row.id, row.time, catalog.now())
    {
        return Ok(Some(why));
    }
    if let Some(doubt) = doubts::standing(catalog, app).await? {
        return Ok(Some(doubt.hold()));
    }
    Ok(match rows.items.first() {
        Some(row) if row.damaged_at.is_some() => {
            Some(format!("the newest backup of {app} is damaged"))
        }
        _ => None,
    })
}

/// A cleanup of a policy, of which one in the queue is enough.
pub fn cleanup_job(
    policy: &Policy,
    dry_run: bool,
    trigger: Trigger,
    created_by: &str,
    now: Timestamp,
    limits: &JobLimits,
) -> NewJob {
    let spec = CleanupSpec {
        policy: policy.name.clone(),
        dry_run,
    };
    NewJob {
        app: Some(policy.app.clone()),
        priority: PRIORITY,
        max_attempts: ATTEMPTS,
        dedup_key: Some(format!("cleanup:{}:{dry_run}", policy.name)),
        // A plan waits for nobody.
        concurrency_key: (!dry_run).then(|| app_slot(&policy.app)),
        ..draft(JobSpec::Cleanup(spec), trigger, created_by, now, limits)
    }
}

impl Scheduler {
    /// Cleanups that are missing: after each backup that a policy made, or at the times of its own clock.
    pub(super) async fn make_cleanups(&self) -> Result<Vec<String>, CatalogError> {
        let runs = self.catalog.policy_runs().await?;
        let good: BTreeMap<&str, Timestamp> = runs
            .iter()
            .filter_map(|runs| Some((runs.policy.as_str(), runs.last_success_at?)))
            .collect();
        let mut made = Vec::new();
        for stored in self.catalog.policies().await? {
            let policy = &stored.value;
            if !policy.enabled || policy.retention.is_empty() {
                continue;
            }
            let Some(good) = good.get(policy.name.as_str()) else {
                continue;
            };
            if !self.is_cleanup_due(policy, *good).await? {
                continue;
            }
            let now = self.catalog.now();
            let job = cleanup_job(
                policy,
                false,
                Trigger::Internal,
                "scheduler",
                now,
                &self.limits,
            );
            let job = self.catalog.enqueue(job).await?;
            if job.is_new() {
                made.push(job.job().id.clone());
            }
        }
        Ok(made)
    }

    /// Tells whether a policy that made a backup at `good` has not been cleaned up since it should have been.
    async fn is_cleanup_due(&self, policy: &Policy, good: Timestamp) -> Result<bool, CatalogError> {
        let filter = JobFilter {
            kinds: vec![JobKind::Cleanup],
            policy: Some(policy.name.clone()),
            trigger: Some(Trigger::Internal),
            ..JobFilter::default()
        };
        let page = Page {
            limit: 1,
            ..Page::default()
        };
        let last = self.catalog.jobs(&filter, &page).await?.items.pop();
        let last = last.map(|job| job.created_at);
        let now = self.catalog.now();
        Ok(match policy.cleanup_runs() {
            Ok(Some(clock)) => {
                // Counted from the first backup on: before that there was nothing to clean up.
                let from = last.unwrap_or(good).min(now);
                clock.newest_started(from, now).is_some()
            }
            Ok(None) => last.is_none_or(|last| last < good),
            Err(_) => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgkeep_model::job::{DiffSpec, DrillSpec, VerifySpec};

    fn row(id: &str, time: &str) -> BackupRow {
        BackupRow {
            id: id.to_owned(),
            app: "shop".to_owned(),
            time: time.parse().expect("a timestamp"),
            ..BackupRow::default()
        }
    }

    #[test]
    fn backups_are_found_as_they_were_named_to_a_job() {
        let rows = [
            row("aa11", "2026-05-01T00:00:00Z"),
            row("ab22", "2026-05-02T00:00:00Z"),
        ];
        let meant = |wanted: &str| -> Vec<&str> {
            let found = rows.iter().filter(|row| is_meant(row, wanted, &rows));
            found.map(|row| row.id.as_str()).collect()
        };
        assert_eq!(meant("latest"), ["ab22"]);
        assert_eq!(meant("AA1"), ["aa11"]);
        assert_eq!(meant("a"), ["aa11", "ab22"]);
        assert!(meant("").is_empty());
        assert!(meant("ff").is_empty());
    }

    #[test]
    fn jobs_say_which_backups_they_read() {
        let drill = JobSpec::Drill(DrillSpec {
            backup: "aa".into(),
            ..DrillSpec::default()
        });
        let diff = JobSpec::Diff(DiffSpec {
            from: "aa".into(),
            to: Some("bb".into()),
            ..DiffSpec::default()
        });
        let verify = JobSpec::Verify(VerifySpec {
            backups: vec!["aa".into(), "cc".into()],
            ..VerifySpec::default()
        });
        assert_eq!(reads(&drill), ["aa"]);
        assert_eq!(reads(&diff), ["aa", "bb"]);
        assert_eq!(reads(&verify), ["aa", "cc"]);
    }

    #[test]
    fn what_is_not_whole_counts_apart() {
        let mut safety = row("a", "2026-05-01T00:00:00Z");
        safety.tags.push(PRE_RESTORE.to_owned());
        let mut partial = row("b", "2026-05-01T00:00:00Z");
        partial.partial = true;
        let mut damaged = row("c", "2026-05-01T00:00:00Z");
        damaged.damaged_at = Some(damaged.time);
        let mut failed = row("d", "2026-05-01T00:00:00Z");
        failed.drill_failed_at = Some(failed.time);
        let whole = row("e", "2026-05-01T00:00:00Z");
        let groups: std::collections::BTreeSet<String> =
            [&safety, &partial, &damaged, &failed, &whole]
                .map(|row| candidate(row).group)
                .into();
        assert_eq!(groups.len(), 5);
    }
}
