//! What must be done now and then, whatever policies say.

use super::Scheduler;
use crate::jobs::draft;
use jiff::{SignedDuration, Timestamp};
use pgkeep_catalog::{CatalogError, JobFilter, NewJob, Page};
use pgkeep_model::job::{JobKind, JobSpec, RepositorySpec, Trigger};
use std::sync::PoisonError;

/// How often it is looked whether something is to be done.
const LOOK: SignedDuration = SignedDuration::from_mins(1);
/// How often the list of a repository's backups is read anew.
const SYNC: SignedDuration = SignedDuration::from_hours(1);
/// How often a copy of the catalog goes into each repository.
const CATALOG_BACKUP: SignedDuration = SignedDuration::from_hours(24);
/// For how long jobs that are over are remembered.
const JOBS: SignedDuration = SignedDuration::from_hours(24 * 90);
/// Upkeep waits behind everything that people and policies want.
const PRIORITY: i32 = -10;

impl Scheduler {
    pub(super) async fn keep_up(&self) -> Result<Vec<String>, CatalogError> {
        let now = self.catalog.now();
        let first = {
            let mut last = self.upkept.lock().unwrap_or_else(PoisonError::into_inner);
            if last.is_some_and(|last| now.duration_since(last).abs() < LOOK) {
                return Ok(Vec::new());
            }
            last.replace(now).is_none()
        };
        let mut made = Vec::new();
        for repository in self.catalog.repositories().await? {
            // Others may have written to it while this server was not there.
            let sync = match first {
                true => SignedDuration::ZERO,
                false => SYNC,
            };
            let spec = RepositorySpec {
                repository: repository.name.clone(),
            };
            let jobs = [
                (JobSpec::Sync(spec.clone()), sync),
                (JobSpec::CatalogBackup(spec), CATALOG_BACKUP),
            ];
            for (spec, every) in jobs {
                let last = self.last_made(spec.kind(), &repository.name).await?;
                if last.is_some_and(|last| now.duration_since(last).abs() < every) {
                    continue;
                }
                let job = NewJob {
                    priority: PRIORITY,
                    ..draft(spec, Trigger::Internal, "scheduler", now, &self.limits)
                };
                let job = self.catalog.enqueue(job).await?;
                if job.is_new() {
                    made.push(job.job().id.clone());
                }
            }
        }
        made.extend(self.make_drills(now).await?);
        made.extend(self.look_for_pauses(now, first).await?);
        made.extend(self.look_at_folders(now).await?);
        self.expire(now).await?;
        Ok(made)
    }

    /// When the newest job of a kind was made for a repository.
    async fn last_made(
        &self,
        kind: JobKind,
        repository: &str,
    ) -> Result<Option<Timestamp>, CatalogError> {
        let filter = JobFilter {
            kinds: vec![kind],
            repository: Some(repository.to_owned()),
            ..JobFilter::default()
        };
        let page = Page {
            limit: 1,
            ..Page::default()
        };
        let newest = self.catalog.jobs(&filter, &page).await?.items.pop();
        Ok(newest.map(|job| job.created_at))
    }

    /// Removes what has run out: sessions, keys, messages, old jobs, abandoned uploads with their files.
    async fn expire(&self, now: Timestamp) -> Result<(), CatalogError> {
        self.catalog.expire_people().await?;
        let before = now.checked_sub(JOBS).unwrap_or(Timestamp::MIN);
        self.catalog.trim_jobs(before).await?;
        for upload in self.catalog.expired_uploads().await? {
            let file = self.places.incoming().join(&upload.id);
            match tokio::fs::remove_file(&file).await {
                Ok(()) => {}
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => {
                    self.say(&format!("upload {}", upload.id), &e.to_string(), || {
                        tracing::error!("{} cannot be removed: {e}", file.display());
                    });
                    continue;
                }
            }
            self.catalog.drop_upload(&upload.id).await?;
            tracing::info!(upload = %upload.id, "removed an abandoned upload");
        }
        Ok(())
    }
}
