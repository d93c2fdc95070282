//! Takes jobs from the queue and runs each in a process of its own.
//!
//! The [`Supervisor`] claims a job and starts this same binary with `run-job`. That process (`run_job`) opens the catalog
//! itself, keeps the lease alive, does the work on blocking threads, and writes how it ended. What may happen to it:
//!
//! | what | who notices | what follows |
//! |---|---|---|
//! | soft limit | the process | it cancels cleanly; the job fails |
//! | hard limit | the supervisor | the process is killed; the job fails |
//! | asked to cancel | the process, by its heartbeat | it cancels cleanly; the job is cancelled |
//! | the process dies | the supervisor | the job is taken up again, or fails where it must not be |
//! | the supervisor dies | the process: its standard input ends | it cancels cleanly and hands the job back; ten seconds later it ends hard |
//! | both die, or the machine | any supervisor: the lease runs out | as when the process dies |
//! | the lease runs out although both live | the process, before it publishes | it stops and writes nothing: the job is another one's |
//!
//! A process that was stopped and wakes after its lease must not publish. So the permission to go on is a question of time
//! that is asked right before the snapshot is written, and after it the lease is asked for once more: a backup that came
//! too late is withdrawn.

mod child;
mod order;
pub mod recorder;
mod report;
mod run_job;
mod supervisor;
mod watch;

pub use run_job::{RunJob, RunJobError, run_job};
pub use supervisor::{Supervisor, run_worker};

use crate::settings::{CatalogPlace, Places};
use pgkeep_catalog::{Job, KeySource, Location, OpenOptions};
use pgkeep_model::{Clock, backoff};
use std::{sync::Arc, time::Duration};

/// Time that a job's process has to end by itself once its server is gone.
const ABANDONED: Duration = Duration::from_secs(10);

/// How to open the catalog that `places` name.
pub fn open_options(places: &Places, clock: Arc<dyn Clock>, create: bool) -> OpenOptions {
    let location = match &places.catalog {
        CatalogPlace::Sqlite(path) => Location::Sqlite(path.clone()),
        CatalogPlace::Postgres(url) => Location::Postgres(url.clone()),
    };
    OpenOptions {
        create,
        ..OpenOptions::new(location, KeySource::File(places.catalog_key.clone()), clock)
    }
}

/// Whether a job that failed now may be tried once more.
fn has_attempts_left(job: &Job) -> bool {
    job.kind.is_taken_up_again() && job.attempts < job.max_attempts
}

/// When a job that failed now is tried again.
fn next_attempt(job: &Job, now: jiff::Timestamp) -> jiff::Timestamp {
    now.checked_add(backoff::delay(&job.id, job.attempts))
        .unwrap_or(now)
}
