//! Drills by themselves: an app whose drills say how often has its newest good backup restored and proven that often.

use super::Scheduler;
use crate::jobs::draft;
use jiff::{SignedDuration, Timestamp};
use pgkeep_catalog::{CatalogError, JobFilter, NewJob, Page};
use pgkeep_model::app::AppDefinition;
use pgkeep_model::duration::parse_duration;
use pgkeep_model::job::{DrillSpec, JobKind, JobSpec, JobState, Trigger};

/// A drill that found the machine busy is tried again after this.
const AGAIN: SignedDuration = SignedDuration::from_hours(1);
/// Backups go first.
const PRIORITY: i32 = -5;

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
            if !self.is_drill_due(&app.name, every, now).await? {
                continue;
            }
            let spec = DrillSpec {
                app: app.name.clone(),
                repository: newest.repository,
                backup: newest.id,
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
            if job.is_new() {
                made.push(job.job().id.clone());
            }
        }
        Ok(made)
    }

    /// Whether the app's newest drill, by whomever it was asked for, is long enough ago.
    async fn is_drill_due(
        &self,
        app: &str,
        every: SignedDuration,
        now: Timestamp,
    ) -> Result<bool, CatalogError> {
        let filter = JobFilter {
            kinds: vec![JobKind::Drill],
            apps: Some(vec![app.to_owned()]),
            ..JobFilter::default()
        };
        let page = Page {
            limit: 1,
            ..Page::default()
        };
        let newest = self.catalog.jobs(&filter, &page).await?.items.pop();
        Ok(newest.is_none_or(|job| {
            let wait = match job.state {
                JobState::Skipped => every.min(AGAIN),
                _ => every,
            };
            now.duration_since(job.created_at) >= wait
        }))
    }
}

fn every(app: &AppDefinition) -> Option<SignedDuration> {
    let every = parse_duration(app.drill.every.as_deref()?).ok()?;
    SignedDuration::try_from(every)
        .ok()
        .filter(|every| !every.is_zero())
}
