//! What health needs to know, gathered from the catalog.

use crate::scheduler::since;
use jiff::Timestamp;
use pgkeep_catalog::{Catalog, CatalogError, Job, JobFilter, Page, PolicyRuns, Stored};
use pgkeep_model::health::{self, Failure, PolicyFacts};
use pgkeep_model::job::{JobKind, JobState};
use pgkeep_model::policy::Policy;
use std::collections::BTreeMap;

/// How many of a policy's newest runs tell what it usually takes, and how often it failed in a row.
const RUNS: u32 = 20;

/// All policies whose schedule can be followed, with their facts.
pub async fn of_policies(catalog: &Catalog) -> Result<Vec<(Policy, PolicyFacts)>, CatalogError> {
    let settings = catalog.settings().await?;
    let paused = catalog.queue_paused().await?.is_some();
    let runs = catalog.policy_runs().await?;
    let runs: BTreeMap<&str, &PolicyRuns> = runs
        .iter()
        .map(|runs| (runs.policy.as_str(), runs))
        .collect();
    let mut all = Vec::new();
    for stored in catalog.policies().await? {
        let runs = runs.get(stored.name.as_str()).copied();
        let since = since(&stored, &settings);
        if let Some(facts) = of_policy(catalog, &stored, runs, since, paused).await? {
            all.push((stored.value, facts));
        }
    }
    Ok(all)
}

async fn of_policy(
    catalog: &Catalog,
    stored: &Stored<Policy>,
    runs: Option<&PolicyRuns>,
    since: Timestamp,
    paused: bool,
) -> Result<Option<PolicyFacts>, CatalogError> {
    let policy = &stored.value;
    let Ok(schedule) = policy.runs() else {
        return Ok(None);
    };
    let recent = match runs {
        Some(_) => recent_runs(catalog, &policy.name).await?,
        None => Vec::new(),
    };
    let durations: Vec<f64> = recent
        .iter()
        .filter(|job| job.state == JobState::Succeeded)
        .filter_map(|job| {
            let took = job.finished_at?.duration_since(job.started_at?);
            Some(took.as_secs_f64())
        })
        .collect();
    let load_limit = policy.load_limit.as_ref();
    Ok(Some(PolicyFacts {
        name: policy.name.clone(),
        enabled: policy.enabled,
        schedule,
        since,
        last_ok: runs.and_then(|runs| runs.last_success_at),
        failure: failure(&recent),
        running: runs
            .and_then(|runs| runs.active.as_ref())
            .is_some_and(|job| is_at_work(job, paused)),
        usual_secs: health::usual_secs(&durations),
        may_wait_secs: load_limit.map_or(0, |limit| limit.deadline_secs),
        at_least_every_secs: policy
            .adaptive
            .as_ref()
            .map(|adaptive| adaptive.at_least_every_secs),
    }))
}

/// Tells whether a run gets on. One that waits for a person, as all do in a queue that is paused, does not.
fn is_at_work(job: &Job, paused: bool) -> bool {
    job.state == JobState::Running || !(paused || job.held)
}

/// The newest runs that are over, newest first.
async fn recent_runs(catalog: &Catalog, policy: &str) -> Result<Vec<Job>, CatalogError> {
    let filter = JobFilter {
        states: vec![JobState::Succeeded, JobState::Skipped, JobState::Failed],
        kinds: vec![JobKind::Backup],
        policy: Some(policy.to_owned()),
        ..JobFilter::default()
    };
    let page = Page {
        limit: RUNS,
        ..Page::default()
    };
    Ok(catalog.jobs(&filter, &page).await?.items)
}

/// How the newest run failed, if it did, and how many before it.
fn failure(recent: &[Job]) -> Option<Failure> {
    let failed = recent
        .iter()
        .take_while(|job| job.state == JobState::Failed);
    let count = u32::try_from(failed.count()).unwrap_or(u32::MAX);
    recent.first().filter(|_| count > 0).map(|job| Failure {
        at: job.finished_at.unwrap_or(job.created_at),
        message: message(job),
        count,
    })
}

fn message(job: &Job) -> String {
    let error = job.error.as_ref();
    error.map_or_else(|| "no reason is known".to_owned(), |e| e.message.clone())
}

/// The newest backup job of an app that is over, whoever asked for it, of one repository or of any; one that was cancelled
/// says nothing.
pub async fn last_backup_job(
    catalog: &Catalog,
    app: &str,
    repository: Option<&str>,
) -> Result<Option<Job>, CatalogError> {
    let over = JobFilter {
        states: vec![JobState::Succeeded, JobState::Skipped, JobState::Failed],
        kinds: vec![JobKind::Backup],
        apps: Some(vec![app.to_owned()]),
        repository: repository.map(str::to_owned),
        ..JobFilter::default()
    };
    let page = Page {
        limit: 1,
        ..Page::default()
    };
    Ok(catalog.jobs(&over, &page).await?.items.pop())
}

/// How one job failed, if it did.
pub fn failure_of(job: &Job) -> Option<Failure> {
    (job.state == JobState::Failed).then(|| Failure {
        at: job.finished_at.unwrap_or(job.created_at),
        message: message(job),
        count: 1,
    })
}

/// When a run proved that nothing had been written since this backup, if it did.
pub fn proved_unchanged(job: &Job, backup: &str) -> Option<Timestamp> {
    let skipped = job.state == JobState::Skipped;
    let same = job.result.as_ref()?.get("backup")?.as_str()? == backup;
    job.started_at.filter(|_| skipped && same)
}

/// How the newest backup of an app failed, where no policy had asked for it.
pub async fn failure_by_hand(
    catalog: &Catalog,
    app: &str,
) -> Result<Option<Failure>, CatalogError> {
    let newest = last_backup_job(catalog, app, None).await?;
    Ok(newest
        .filter(|job| job.policy.is_none())
        .and_then(|job| failure_of(&job)))
}

/// How the app's newest finished cleanup failed, if it did.
pub async fn cleanup_failure(
    catalog: &Catalog,
    app: &str,
) -> Result<Option<Failure>, CatalogError> {
    let filter = JobFilter {
        states: vec![JobState::Succeeded, JobState::Skipped, JobState::Failed],
        kinds: vec![JobKind::Cleanup],
        apps: Some(vec![app.to_owned()]),
        ..JobFilter::default()
    };
    let page = Page {
        limit: 1,
        ..Page::default()
    };
    let newest = catalog.jobs(&filter, &page).await?.items.pop();
    Ok(newest.and_then(|job| failure_of(&job)))
}

/// When the newest run of the app proved that nothing had been written since this backup.
pub async fn unchanged_at(
    catalog: &Catalog,
    app: &str,
    backup: &str,
) -> Result<Option<Timestamp>, CatalogError> {
    let newest = last_backup_job(catalog, app, None).await?;
    Ok(newest.and_then(|job| proved_unchanged(&job, backup)))
}
