//! A PgBouncer that a killed restore left paused makes every client wait. So an app with a PgBouncer is examined when the
//! server starts, and after each restore or undo of it that did not succeed: the examination finds such a pause and ends it.

use super::Scheduler;
use crate::jobs::draft;
use jiff::Timestamp;
use pgkeep_catalog::{CatalogError, JobFilter, NewJob, Page};
use pgkeep_model::job::{AppSpec, JobKind, JobSpec, JobState, Trigger};

impl Scheduler {
    /// Queues the examinations that are due; their ids. `first` is true for the first look after the start.
    pub(super) async fn look_for_pauses(
        &self,
        now: Timestamp,
        first: bool,
    ) -> Result<Vec<String>, CatalogError> {
        let mut made = Vec::new();
        for app in self.catalog.apps().await? {
            if app.value.fence.pgbouncer.is_none() {
                continue;
            }
            if !first && !self.has_failed_since_looked(&app.name).await? {
                continue;
            }
            let spec = AppSpec {
                app: app.name.clone(),
            };
            let job = NewJob {
                // Clients may be waiting.
                priority: 10,
                dedup_key: Some(format!("pause:{}", app.name)),
                ..draft(
                    JobSpec::Doctor(spec),
                    Trigger::Internal,
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

    /// Whether the app's newest restore or undo ended badly and nobody has examined the app since.
    async fn has_failed_since_looked(&self, app: &str) -> Result<bool, CatalogError> {
        let page = Page {
            limit: 1,
            ..Page::default()
        };
        let newest = async |kinds: Vec<JobKind>| {
            let filter = JobFilter {
                kinds,
                apps: Some(vec![app.to_owned()]),
                ..JobFilter::default()
            };
            let jobs = self.catalog.jobs(&filter, &page).await?;
            Ok::<_, CatalogError>(jobs.items.into_iter().next())
        };
        let Some(restore) = newest(vec![JobKind::Restore, JobKind::Undo]).await? else {
            return Ok(false);
        };
        let ended_badly = matches!(restore.state, JobState::Failed | JobState::Cancelled);
        let Some(ended) = restore.finished_at.filter(|_| ended_badly) else {
            return Ok(false);
        };
        let looked = newest(vec![JobKind::Doctor]).await?;
        Ok(looked.is_none_or(|job| job.created_at < ended))
    }
}
