//! What is done by hand stands in the catalog like any other job, where there is a catalog.
//!
//! The command does its work itself; the recorder holds the job's lease meanwhile and takes the app's maintenance slot, so
//! that the server's own jobs wait. A command that is killed leaves a lease that runs out: the job is closed as failed.

use super::{
    open_options,
    report::Reporter,
    watch::{Held, Lease, Stop, StopReason, Watch},
};
use crate::{
    jobs::Failure,
    settings::{Places, WorkSettings},
    targets::Machine,
};
use pgkeep_catalog::{CatalogError, JobError, LogLevel, NewJob, Outcome, blocking::Blocking};
use pgkeep_model::{CancelToken, Progress, cancel::CancelHook, job::JobState};
use serde_json::Value;
use std::sync::Arc;

/// Why a command cannot be recorded, which is a reason not to run it.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// Another job holds the app's maintenance slot.
    #[error("another job works on {what}: {holder}")]
    Busy { what: String, holder: String },
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("the recorder's thread cannot be started: {0}")]
    Thread(#[source] std::io::Error),
}

/// A command's job while it runs.
pub struct Recorder {
    held: Held,
    stop: Stop,
    reporter: Arc<Reporter>,
    watch: Watch,
    _interrupt: CancelHook,
}

impl Recorder {
    /// Begins the job; `None` where there is no catalog. `progress` hears what it would without a recorder; a cancelled
    /// `interrupt` stops the work.
    pub fn begin(
        places: &Places,
        machine: &Machine,
        job: NewJob,
        progress: Arc<dyn Progress>,
        interrupt: &CancelToken,
    ) -> Result<Option<Self>, RecorderError> {
        let options = open_options(places, machine.clock.clone(), false);
        let catalog = match Blocking::open(options) {
            Ok(catalog) => catalog,
            Err(CatalogError::Missing { .. }) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let length = WorkSettings::default().lease;
        let node = format!("{}-{}", machine.hostname, std::process::id());
        // Nobody but its user may begin it again.
        let job = NewJob {
            max_attempts: 1,
            ..job
        };
        let slot = job.concurrency_key.clone();
        let claim = match catalog
            .block_on(|catalog| async move { catalog.begin_by_hand(job, &node, length).await })
        {
            Ok(claim) => claim,
            Err(e) => return Err(busy(&catalog, slot, e)),
        };
        let lease = Arc::new(Lease::new(length, machine.clock.clone()));
        let reporter = Arc::new(Reporter::new(machine.clock.clone(), Some(progress)));
        let stop = Stop::without_lease(reporter.clone());
        let held = Held {
            catalog,
            job: claim.job.id,
            fence: claim.fence,
            lease,
        };
        let watch = Watch::start(held.clone(), stop.clone(), reporter.clone(), None)
            .map_err(RecorderError::Thread)?;
        let interrupted = stop.clone();
        Ok(Some(Self {
            _interrupt: interrupt.on_cancel(move || interrupted.because(StopReason::Interrupted)),
            held,
            stop,
            reporter,
            watch,
        }))
    }

    /// Id of the job, for the tags of what it makes.
    pub fn job(&self) -> &str {
        &self.held.job
    }

    /// The engine's listener.
    pub fn progress(&self) -> Arc<dyn Progress> {
        self.reporter.clone()
    }

    /// The engine's token: cancelled by the interrupt, and by somebody who cancels the job. Losing the catalog stops nothing.
    pub fn cancel(&self) -> CancelToken {
        self.stop.token()
    }

    /// Writes how it ended. Somebody who asked to cancel, and Ctrl-C, make a failure a cancellation.
    pub fn finish(self, outcome: Result<Value, &Failure>) -> Result<(), CatalogError> {
        let outcome = match outcome {
            Ok(result) => Outcome::Succeeded(result),
            Err(failure) => match self.stop.reason() {
                Some(StopReason::Asked | StopReason::Interrupted) => Outcome::Cancelled,
                _ => {
                    self.reporter.line(LogLevel::Error, failure.message.clone());
                    Outcome::Failed(failure.to_job_error())
                }
            },
        };
        self.end(outcome)
    }

    /// Ends the job as failed although the work came to its end: what it found is bad news.
    pub fn finish_found(self, error: JobError, report: Value) -> Result<(), CatalogError> {
        self.end(Outcome::Found(error, report))
    }

    fn end(self, outcome: Outcome) -> Result<(), CatalogError> {
        self.watch.end();
        let (job, fence) = (&self.held.job, self.held.fence);
        self.held
            .catalog
            .block_on(|catalog| async move { catalog.finish(job, fence, outcome).await })
            .map(drop)
    }
}

/// Says who holds the slot.
fn busy(catalog: &Blocking, slot: Option<String>, error: CatalogError) -> RecorderError {
    let Some(slot) = slot else {
        return error.into();
    };
    if !matches!(
        error,
        CatalogError::InUse { .. } | CatalogError::NotNow { .. }
    ) {
        return error.into();
    }
    let app = slot.strip_prefix("app:").unwrap_or(&slot);
    let holders = catalog
        .block_on(|catalog| async move { catalog.running_jobs_of_app(app).await })
        .unwrap_or_default();
    let holder = holders
        .iter()
        .find(|job| {
            job.state == JobState::Running && job.concurrency_key.as_deref() == Some(slot.as_str())
        })
        .map_or(error.to_string(), |job| {
            format!("a {} (job {})", job.kind.as_str(), job.id)
        });
    RecorderError::Busy {
        what: format!("app {app}"),
        holder,
    }
}
