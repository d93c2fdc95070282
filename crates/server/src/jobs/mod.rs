//! What each kind of job does: from its specification to an engine call and a result.
//!
//! A body runs in a process of its own (see [`crate::worker`]), blocks, and gets everything it may use as a [`Work`]. It
//! returns the report of the engine as JSON: the very document that the command line prints with `--json`. After whatever
//! it did to a repository it brings the catalog's list of backups up to date.

mod application;
mod backup;
mod care;
mod catalog_backup;
mod cleanup;
mod copies;
mod draft;
pub(crate) mod drill;
mod failure;
mod files;
mod measure;
mod restore;
mod rows;
mod sync;
mod unchanged;
mod upgrade;
mod verify;

pub use application::application;
pub use care::prune_options;
pub use draft::{app_slot, draft};
pub use failure::Failure;
pub use files::{files_request, kept as kept_folders, kept_of};
pub use restore::{changes, restore_request};
pub use rows::row_of;
pub use sync::take_in;
pub use upgrade::{PlannedUpgrade, no_new_server};

use crate::{settings::Places, targets::Machine};
use pgkeep_catalog::{Catalog, Job, blocking::Blocking};
use pgkeep_engine::Context;
use pgkeep_model::{
    CancelToken, Progress,
    app::{AppDefinition, RepositoryDefinition},
    job::JobSpec,
};
use pgkeep_repository::Repository;
use serde::Serialize;
use serde_json::Value;
use std::{future::Future, sync::Arc};

/// What a job's body works with.
pub struct Work<'a> {
    pub job: &'a Job,
    pub catalog: &'a Blocking,
    pub machine: &'a Machine,
    pub places: &'a Places,
    pub cancel: CancelToken,
    pub progress: Arc<dyn Progress>,
    /// Asks the catalog whether the job is still this process's; an error where it is not.
    pub still_ours: &'a (dyn Fn() -> Result<(), Failure> + Sync),
}

/// How a job went that did not fail on the way.
#[derive(Debug, Clone)]
pub enum Done {
    Succeeded(Value),
    /// There was nothing to do.
    Skipped(Value),
    /// It ran to its end, and what it found is bad news: the report, and the failure that it amounts to.
    Found {
        report: Value,
        failure: Failure,
    },
}

/// Does what the job says.
pub fn carry_out(work: &Work<'_>) -> Result<Done, Failure> {
    match &work.job.spec {
        JobSpec::Backup(spec) => backup::run(work, spec),
        JobSpec::Verify(spec) => verify::run(work, spec),
        JobSpec::Restore(spec) => restore::run(work, spec),
        JobSpec::Undo(spec) => restore::undo(work, spec),
        JobSpec::Drill(spec) => drill::run(work, spec),
        JobSpec::Cleanup(spec) => cleanup::run(work, spec),
        JobSpec::Forget(spec) => care::forget(work, spec),
        JobSpec::Prune(spec) => care::prune(work, spec),
        JobSpec::Check(spec) => verify::check(work, spec),
        JobSpec::Export(spec) => copies::export(work, spec),
        JobSpec::Import(spec) => copies::import(work, spec),
        JobSpec::Diff(spec) => care::diff(work, spec),
        JobSpec::Doctor(spec) => care::doctor(work, spec),
        JobSpec::Sync(spec) => sync::run(work, spec),
        JobSpec::CatalogBackup(spec) => catalog_backup::run(work, spec),
        JobSpec::Guard(_) => Err(Failure::new(
            pgkeep_engine::ErrorCode::InvalidRequest,
            "a guarded command runs where it was typed, not on a worker",
        )),
        JobSpec::Upgrade(spec) => upgrade::run(work, spec),
    }
}

impl Work<'_> {
    /// Asks the catalog, and waits for its answer.
    pub fn wait<T, F>(&self, question: impl FnOnce(Catalog) -> F) -> Result<T, Failure>
    where
        F: Future<Output = pgkeep_catalog::Result<T>>,
    {
        Ok(self.catalog.block_on(question)?)
    }

    pub fn app(&self, name: &str) -> Result<AppDefinition, Failure> {
        Ok(self
            .wait(|catalog| async move { catalog.app(name).await })?
            .value)
    }

    pub fn repository_definition(&self, name: &str) -> Result<RepositoryDefinition, Failure> {
        Ok(self
            .wait(|catalog| async move { catalog.repository(name).await })?
            .value)
    }

    /// What the engine needs, with the client programs of `app` first.
    pub fn context(&self, app: Option<&AppDefinition>) -> Context {
        self.machine
            .context(app, self.cancel.clone(), self.progress.clone())
    }

    pub fn open(&self, repository: &str, context: &Context) -> Result<Repository, Failure> {
        let definition = self.repository_definition(repository)?;
        Ok(self
            .machine
            .open_repository(repository, &definition, context)?)
    }

    /// The repository that is named, else the app's, else the only one there is.
    pub fn repository_name(
        &self,
        named: Option<&str>,
        app: &AppDefinition,
    ) -> Result<String, Failure> {
        if let Some(name) = named.or(app.repository.as_deref()) {
            return Ok(name.to_owned());
        }
        let mut all = self.wait(|catalog| async move { catalog.repositories().await })?;
        match (all.pop(), all.len()) {
            (Some(only), 0) => Ok(only.name),
            (None, _) => Err(Failure::invalid("there is no repository to back up to")
                .hint("make one known with `pgkeep apply` or in the settings")),
            (Some(_), _) => Err(Failure::invalid("nothing says which repository to use")
                .hint("name one in the app's definition or in the policy")),
        }
    }

    pub fn done(&self, report: &impl Serialize) -> Result<Done, Failure> {
        Ok(Done::Succeeded(document(report)))
    }
}

/// Reports are plain values, which JSON can always hold.
fn document(report: &impl Serialize) -> Value {
    serde_json::to_value(report).expect("reports are plain values")
}

/// Tables worked on at the same time where nobody says how many.
fn usual_jobs() -> usize {
    std::thread::available_parallelism()
        .map_or(2, usize::from)
        .max(2)
}
