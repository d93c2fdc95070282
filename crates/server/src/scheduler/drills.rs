//! Drills by themselves: the newest good backup is restored and proven as often as the app says, and the newest good one of a
//! policy as often as the policy says.

use super::Scheduler;
use crate::jobs::draft;
use jiff::{SignedDuration, Timestamp};
use pgkeep_catalog::{
    BackupFilter, BackupRow, BackupSort, CatalogError, Job, JobFilter, NewJob, Page,
};
use pgkeep_model::app::AppDefinition;
use pgkeep_model::duration::parse_duration;
use pgkeep_model::job::{DrillSpec, JobKind, JobSpec, JobState, Trigger};
use std::time::Duration;

/// A drill that found the machine busy is tried again after this.
const AGAIN: SignedDuration = SignedDuration::from_hours(1);
/// Backups go first.
const PRIORITY: i32 = -5;
/// Newest drills of an app among which the last one of a policy is looked for.
const REMEMBERED: u32 = 200;

impl Scheduler {
    /// Queues the drills that are due; their ids.
    pub(super) async fn make_drills(&self, now: Timestamp) -> Result<Vec<String>, CatalogError> {
        let mut made = Vec::new();
        for app in self.catalog.apps().await? {
            let Some(every) = every(&app.value) else {
                continue;
            };
            let Some(newest) = self.catalog.newest_good_backup(&app.name).await? else {
                continue;
            };
            let drills = self.drills_of(&app.name).await?;
            // By whomever the last one was asked for.
            if is_due(drills.first(), every, now) {
                made.extend(self.queue_drill(newest, None, now).await?);
            }
        }
        for stored in self.catalog.policies().await? {
            let policy = &stored.value;
            let Some(every) = policy.drill_interval().filter(|_| policy.enabled) else {
                continue;
            };
            let Some(newest) = self
                .newest_good_of_policy(&policy.app, &policy.name)
                .await?
            else {
                continue;
            };
            let drills = self.drills_of(&policy.app).await?;
            let of_policy = |job: &&Job| match &job.spec {
                JobSpec::Drill(spec) => {
                    spec.policy.as_ref() == Some(&policy.name) || spec.backup == newest.id
                }
                _ => false,
            };
            if is_due(drills.iter().find(of_policy), signed(every), now) {
                made.extend(self.queue_drill(newest, Some(&policy.name), now).await?);
            }
        }
        Ok(made)
    }

    async fn queue_drill(
        &self,
        backup: BackupRow,
        policy: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<String>, CatalogError> {
        let spec = DrillSpec {
            app: backup.app,
            repository: backup.repository,
            backup: backup.id,
            policy: policy.map(str::to_owned),
            ..DrillSpec::default()
        };
        let job = NewJob {
            priority: PRIORITY,
            ..draft(
                JobSpec::Drill(spec),
                Trigger::Schedule,
                "scheduler",
                now,
                &self.limits,
            )
        };
        let job = self.catalog.enqueue(job).await?;
        Ok(job.is_new().then(|| job.job().id.clone()))
    }

    /// The drills of an app, newest first.
    async fn drills_of(&self, app: &str) -> Result<Vec<Job>, CatalogError> {
        let filter = JobFilter {
            kinds: vec![JobKind::Drill],
            apps: Some(vec![app.to_owned()]),
            ..JobFilter::default()
        };
        let page = Page {
            limit: REMEMBERED,
            ..Page::default()
        };
        Ok(self.catalog.jobs(&filter, &page).await?.items)
    }

    async fn newest_good_of_policy(
        &self,
        app: &str,
        policy: &str,
    ) -> Result<Option<BackupRow>, CatalogError> {
        let filter = BackupFilter {
            apps: Some(vec![app.to_owned()]),
            policy: Some(policy.to_owned()),
            ..BackupFilter::default()
        };
        let mut page = Page::default();
        loop {
            let found = self
                .catalog
                .backups(&filter, BackupSort::Time, &page)
                .await?;
            let good = |row: &BackupRow| !row.partial && row.damaged_at.is_none();
            if let Some(row) = found.items.into_iter().find(good) {
                return Ok(Some(row));
            }
            match found.next {
                Some(next) => page.after = Some(next),
                None => return Ok(None),
            }
        }
    }
}

/// Whether the last drill is long enough ago.
fn is_due(last: Option<&Job>, every: SignedDuration, now: Timestamp) -> bool {
    last.is_none_or(|job| {
        let wait = match job.state {
            JobState::Skipped => every.min(AGAIN),
            _ => every,
        };
        now.duration_since(job.created_at) >= wait
    })
}

fn every(app: &AppDefinition) -> Option<SignedDuration> {
    let every = parse_duration(app.drill.every.as_deref()?).ok()?;
    Some(signed(every)).filter(|every| !every.is_zero())
}

fn signed(every: Duration) -> SignedDuration {
    SignedDuration::try_from(every).unwrap_or(SignedDuration::MAX)
}
