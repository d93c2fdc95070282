//! The process of one job: from its order on standard input to the end written in the catalog.

use super::{
    ABANDONED, has_attempts_left, next_attempt, open_options,
    order::Order,
    report::Reporter,
    watch::{Held, Lease, Stop, StopReason, Watch},
};
use crate::{
    jobs::{self, Done, Failure, Work},
    targets::Machine,
};
use pgkeep_catalog::{CatalogError, Job, JobError, LogLevel, Outcome, blocking::Blocking};
use pgkeep_engine::ErrorCode;
use pgkeep_model::job::JobState;
use std::{
    io::{self, Read},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// What the hidden command `run-job` was given.
pub struct RunJob {
    pub job: String,
    pub fence: i64,
    pub machine: Machine,
}

/// Why nothing could be written about the job. Its supervisor looks after it then.
#[derive(Debug, thiserror::Error)]
pub enum RunJobError {
    #[error("cannot read the job's order from standard input: {0}")]
    Order(#[source] io::Error),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("job {0} is no longer this process's")]
    Lost(String),
    #[error("how the job ended cannot be written: {0}")]
    Unwritten(String),
    #[error("the job's threads cannot be started: {0}")]
    Threads(#[source] io::Error),
}

/// Does the job and writes how it ended.
pub fn run_job(run: RunJob) -> Result<(), RunJobError> {
    let order = read_order()?;
    let places = order.places();
    let catalog = Blocking::open(open_options(&places, run.machine.clock.clone(), false))?;
    let id = run.job.as_str();
    let job = catalog.block_on(|catalog| async move { catalog.job(id).await })?;
    if job.fence != run.fence || job.state != JobState::Running {
        return Err(RunJobError::Lost(run.job));
    }
    let lease = Arc::new(Lease::new(order.lease(), run.machine.clock.clone()));
    let reporter = Arc::new(Reporter::new(run.machine.clock.clone(), None));
    let stop = Stop::under(lease.clone(), reporter.clone());
    end_with_the_server(stop.clone()).map_err(RunJobError::Threads)?;
    let held = Held {
        catalog,
        job: job.id.clone(),
        fence: run.fence,
        lease,
    };
    // The claim was made a moment ago, by another process; from here on the lease is ours.
    held.beat()?;
    let soft = (job.soft_limit_secs > 0).then(|| Duration::from_secs(job.soft_limit_secs.into()));
    let watch = Watch::start(held.clone(), stop.clone(), reporter.clone(), soft)
        .map_err(RunJobError::Threads)?;

    let outcome = work_caught(&Work {
        job: &job,
        catalog: &held.catalog,
        machine: &run.machine,
        places: &places,
        cancel: stop.token(),
        progress: reporter.clone(),
        still_ours: &|| held.still_ours(),
    });
    let verdict = verdict(&job, outcome, stop.reason());
    if let Some(line) = verdict.line() {
        reporter.line(LogLevel::Error, line);
    }
    watch.end();
    conclude(&held, &job, verdict)
}

fn read_order() -> Result<Order, RunJobError> {
    let mut line = String::new();
    io::stdin()
        .read_line(&mut line)
        .and_then(|_| Order::parse(&line))
        .map_err(RunJobError::Order)
}

/// Watches the pipe from the server: its end is the server's end.
fn end_with_the_server(stop: Stop) -> io::Result<()> {
    std::thread::Builder::new()
        .name("job-server".into())
        .spawn(move || {
            // Nothing more is ever sent; an error is as good as the end.
            let _ = io::stdin().read_to_end(&mut Vec::new());
            stop.because(StopReason::ServerGone);
            std::thread::sleep(ABANDONED);
            std::process::exit(1);
        })
        .map(drop)
}

/// A panic is a bug, and the job's end; what it said is kept for its row.
fn work_caught(work: &Work<'_>) -> Result<Done, Failure> {
    let said = Arc::new(Mutex::new(None));
    let heard = said.clone();
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| info.to_string());
        usual(info);
    }));
    catch_unwind(AssertUnwindSafe(|| jobs::carry_out(work))).unwrap_or_else(|_| {
        let said = said.lock().unwrap_or_else(PoisonError::into_inner).take();
        Err(Failure::new(
            ErrorCode::Failed,
            format!(
                "pgkeep has a bug: {}",
                said.unwrap_or_default().replace('\n', " ")
            ),
        )
        .word("bug")
        .hint("please report it, with the job's log")
        .for_good())
    })
}

/// What is to be written about the job.
#[derive(Debug, PartialEq)]
enum Verdict {
    End(Outcome),
    Retry(JobError),
    HandBack,
    /// Nothing: it is another worker's.
    Lost,
}

impl Verdict {
    /// Its line in the job's log.
    fn line(&self) -> Option<String> {
        match self {
            Verdict::End(Outcome::Failed(e) | Outcome::Found(e, _)) => Some(e.message.clone()),
            Verdict::Retry(e) => Some(format!("{}; it will be tried again", e.message)),
            Verdict::End(Outcome::Cancelled) => Some("cancelled".into()),
            Verdict::HandBack => Some("the server is going; the job is handed back".into()),
            Verdict::End(_) | Verdict::Lost => None,
        }
    }
}

/// Whatever broke after the job was stopped broke because of it.
fn verdict(job: &Job, outcome: Result<Done, Failure>, stopped: Option<StopReason>) -> Verdict {
    let failure = match outcome {
        Ok(Done::Succeeded(result)) => return Verdict::End(Outcome::Succeeded(result)),
        Ok(Done::Skipped(result)) => return Verdict::End(Outcome::Skipped(result)),
        Ok(Done::Found { report, failure }) => {
            return Verdict::End(Outcome::Found(failure.to_job_error(), report));
        }
        Err(failure) => failure,
    };
    match stopped {
        _ if failure.fenced => Verdict::Lost,
        Some(StopReason::LeaseLost) => Verdict::Lost,
        Some(StopReason::Asked) => Verdict::End(Outcome::Cancelled),
        Some(StopReason::ServerGone | StopReason::Interrupted) => Verdict::HandBack,
        Some(StopReason::SoftLimit) => Verdict::End(Outcome::Failed(JobError {
            hint: Some(
                "find out what made it slow, or raise the limit for jobs of this kind".into(),
            ),
            ..JobError::new(
                "time_limit",
                format!("cancelled at the soft limit of {} s", job.soft_limit_secs),
            )
        })),
        // A signal to this process alone: somebody wants it gone, not the job.
        None if failure.code == ErrorCode::Cancelled => Verdict::HandBack,
        None if failure.may_pass && has_attempts_left(job) => {
            Verdict::Retry(failure.to_job_error())
        }
        None => Verdict::End(Outcome::Failed(failure.to_job_error())),
    }
}

fn conclude(held: &Held, job: &Job, verdict: Verdict) -> Result<(), RunJobError> {
    let (id, fence) = (&held.job, held.fence);
    let written = held.insist(|| {
        held.catalog.block_on(|catalog| {
            let verdict = &verdict;
            async move {
                match verdict {
                    Verdict::End(outcome) => catalog.finish(id, fence, outcome.clone()).await,
                    Verdict::Retry(error) => {
                        let at = next_attempt(job, catalog.now());
                        catalog.retry_later(id, fence, error.clone(), at).await
                    }
                    Verdict::HandBack => catalog.release(id, fence).await,
                    Verdict::Lost => Err(CatalogError::Fenced { job: id.clone() }),
                }
            }
        })
    });
    match written {
        Ok(_) => Ok(()),
        Err(e) if e.fenced => Err(RunJobError::Lost(id.clone())),
        Err(e) => Err(RunJobError::Unwritten(e.message)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use pgkeep_catalog::Approval;
    use pgkeep_model::job::{BackupSpec, JobKind, JobSpec, Trigger};
    use serde_json::json;

    fn job(kind: JobKind, attempts: u32) -> Job {
        let now = Timestamp::UNIX_EPOCH;
        Job {
            id: "0199".into(),
            spec: JobSpec::Backup(BackupSpec::default()),
            kind,
            state: JobState::Running,
            app: None,
            repository: None,
            policy: None,
            trigger: Trigger::Schedule,
            created_by: String::new(),
            priority: 0,
            created_at: now,
            run_at: now,
            scheduled_for: None,
            started_at: Some(now),
            finished_at: None,
            attempts,
            max_attempts: 3,
            node: None,
            fence: 1,
            lease_until: None,
            cancel_requested: false,
            held: false,
            approval: Approval::NotNeeded,
            asked_by: None,
            agreed_plan: None,
            dedup_key: None,
            concurrency_key: None,
            phase: None,
            progress: None,
            error: None,
            result: None,
            soft_limit_secs: 7_200,
            hard_limit_secs: 10_800,
            correlation: None,
            revision: 1,
        }
    }

    fn words(verdict: &Verdict) -> String {
        match verdict {
            Verdict::End(Outcome::Failed(e)) => format!("failed {}", e.code),
            Verdict::End(Outcome::Found(e, _)) => format!("found {}", e.code),
            Verdict::End(Outcome::Succeeded(_)) => "succeeded".into(),
            Verdict::End(Outcome::Skipped(_)) => "skipped".into(),
            Verdict::End(Outcome::Cancelled) => "cancelled".into(),
            Verdict::Retry(e) => format!("retry {}", e.code),
            Verdict::HandBack => "handed back".into(),
            Verdict::Lost => "lost".into(),
        }
    }

    #[test]
    fn what_is_written_depends_on_what_broke_and_why() {
        use StopReason::{Asked, LeaseLost, ServerGone, SoftLimit};
        let broken = |code| Err(Failure::new(code, "x"));
        let away = || broken(ErrorCode::Database);
        let cancelled = || broken(ErrorCode::Cancelled);
        let fenced = || {
            Err(Failure {
                fenced: true,
                ..Failure::new(ErrorCode::Failed, "x")
            })
        };
        let good = || Ok(Done::Succeeded(json!({})));
        let bad_news = || {
            Ok(Done::Found {
                report: json!({}),
                failure: Failure::new(ErrorCode::Damaged, "x"),
            })
        };
        for (kind, attempts, outcome, stopped, expected) in [
            (JobKind::Backup, 1, good(), None, "succeeded"),
            // It was done before the wish to stop came.
            (JobKind::Backup, 1, good(), Some(Asked), "succeeded"),
            (JobKind::Verify, 1, bad_news(), None, "found damaged"),
            (JobKind::Backup, 1, away(), None, "retry database"),
            (JobKind::Backup, 3, away(), None, "failed database"),
            (JobKind::Restore, 1, away(), None, "failed database"),
            (
                JobKind::Backup,
                1,
                broken(ErrorCode::NotFound),
                None,
                "failed not_found",
            ),
            (JobKind::Backup, 1, cancelled(), Some(Asked), "cancelled"),
            (JobKind::Backup, 1, away(), Some(Asked), "cancelled"),
            (
                JobKind::Backup,
                1,
                cancelled(),
                Some(SoftLimit),
                "failed time_limit",
            ),
            (
                JobKind::Backup,
                1,
                cancelled(),
                Some(ServerGone),
                "handed back",
            ),
            (
                JobKind::Restore,
                1,
                cancelled(),
                Some(ServerGone),
                "handed back",
            ),
            (JobKind::Backup, 1, cancelled(), Some(LeaseLost), "lost"),
            (JobKind::Backup, 1, fenced(), None, "lost"),
            (JobKind::Backup, 1, cancelled(), None, "handed back"),
        ] {
            let told = format!("{kind:?} {attempts} {outcome:?} {stopped:?}");
            let verdict = verdict(&job(kind, attempts), outcome, stopped);
            assert_eq!(words(&verdict), expected, "{told}");
        }
    }
}
