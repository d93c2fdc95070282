//! Looks now and then whether the repositories in folders of this machine still hold what they should: a list that was read
//! an hour ago stays green while everything is gone.
//!
//! Only names are counted. Fewer snapshots than known backups have their list read anew at once, by the job that finds out
//! which are gone; a folder that is not there, or does not answer, is written down as such.

use super::Scheduler;
use crate::jobs::draft;
use crate::status::doubts;
use jiff::{SignedDuration, Timestamp};
use pgkeep_catalog::{BackupFilter, CatalogError, NewJob};
use pgkeep_engine::storage::local_folder;
use pgkeep_model::job::{JobSpec, RepositorySpec, Trigger};
use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

/// How often it is looked.
const EVERY: SignedDuration = SignedDuration::from_mins(15);
/// A file system that does not answer within this is not there.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);
/// What the list read anew goes behind.
const PRIORITY: i32 = -10;

impl Scheduler {
    /// Ids of the jobs that it made.
    pub(super) async fn look_at_folders(
        &self,
        now: Timestamp,
    ) -> Result<Vec<String>, CatalogError> {
        {
            let mut last = self
                .folders_seen
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            // At the start all lists are read anew in any case.
            let recent = last.get_or_insert(now);
            if now.duration_since(*recent).abs() < EVERY {
                return Ok(Vec::new());
            }
            *recent = now;
        }
        let mut made = Vec::new();
        for stored in self.catalog.repositories().await? {
            let address = stored.value.address.unwrap_or_default();
            let Some(folder) = local_folder(&address).map(Path::to_owned) else {
                continue;
            };
            let known = BackupFilter {
                repository: Some(stored.name.clone()),
                ..BackupFilter::default()
            };
            let known = self.catalog.count_backups(&known).await?;
            if known == 0 {
                continue;
            }
            let looked = tokio::task::spawn_blocking(move || snapshots_in(&folder));
            let found = match tokio::time::timeout(ANSWERS_WITHIN, looked).await {
                Ok(Ok(found)) => found,
                Ok(Err(error)) => Err(format!("looking at its folder failed: {error}")),
                Err(_) => Err("its file system does not answer".to_owned()),
            };
            let (found, why) = match found {
                Ok(found) => (found, None),
                Err(why) => (known, Some(why)),
            };
            doubts::note_unreachable(&self.catalog, &stored.name, why).await?;
            if found >= known {
                continue;
            }
            let spec = JobSpec::Sync(RepositorySpec {
                repository: stored.name.clone(),
            });
            let job = NewJob {
                priority: PRIORITY,
                ..draft(spec, Trigger::Internal, "scheduler", now, &self.limits)
            };
            let job = self.catalog.enqueue(job).await?;
            if job.is_new() {
                made.push(job.job().id.clone());
            }
        }
        Ok(made)
    }
}

/// How many snapshots lie in a repository's folder; why that cannot be told.
fn snapshots_in(folder: &Path) -> Result<u64, String> {
    if !folder.join("config").exists() {
        return Err(match folder.exists() {
            true => format!("its file {} is gone", folder.join("config").display()),
            false => format!("its folder {} is not there", folder.display()),
        });
    }
    match std::fs::read_dir(folder.join("snapshots")) {
        Ok(entries) => Ok(entries.filter_map(Result::ok).count() as u64),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(format!(
            "its folder {} cannot be read: {e}",
            folder.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_tells_how_many_snapshots_it_holds_or_why_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path();
        let told = |path: &Path| snapshots_in(path);
        assert!(told(&at.join("away")).is_err_and(|why| why.contains("is not there")));
        assert!(told(at).is_err_and(|why| why.contains("config is gone")));
        std::fs::write(at.join("config"), "x").expect("written");
        assert_eq!(told(at), Ok(0));
        std::fs::create_dir(at.join("snapshots")).expect("made");
        std::fs::write(at.join("snapshots/aa"), "x").expect("written");
        assert_eq!(told(at), Ok(1));
    }
}
