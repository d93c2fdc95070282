//! The queue: what a job is as a row, and the calls that take it from `queued` to a final state.
//!
//! | call | from → to |
//! |---|---|
//! | `enqueue` | — → queued |
//! | `begin_by_hand` | — → running |
//! | `claim` | queued → running; its fence grows by one, its attempts by one |
//! | `heartbeat`, `progress`, `log` | running, under the fence |
//! | `finish` | running → succeeded, skipped, failed, cancelled, under the fence |
//! | `retry_later` | running → queued at a later time, under the fence |
//! | `release` | running → queued as if it had not been claimed, under the fence; what is never taken up again → failed |
//! | `cancel` | queued → cancelled; running: a flag that the next heartbeat answers with |
//! | `reconcile` | running with a lease that ran out → queued after a while, or failed |
//!
//! Each is one statement whose WHERE names the state (and the fence) that it expects, with its event in one transaction.
//! No more than one job runs for each concurrency key, and no more than one waits or runs for each dedup key: unique
//! indices say so, not the code.

mod claim;
mod control;
mod enqueue;
mod list;
mod reconcile;
mod row;
mod run;

pub(crate) use claim::ClaimDesk;

use jiff::Timestamp;
use pgkeep_model::job::{JobKind, JobSpec, JobState, Trigger};
use serde::{Deserialize, Serialize};

/// A job to be made.
#[derive(Debug, Clone)]
pub struct NewJob {
    pub spec: JobSpec,
    pub app: Option<String>,
    pub repository: Option<String>,
    pub policy: Option<String>,
    pub trigger: Trigger,
    pub created_by: String,
    /// 0 as a rule; higher ones first.
    pub priority: i32,
    /// Not before.
    pub run_at: Timestamp,
    /// The time of the schedule that it stands for.
    pub scheduled_for: Option<Timestamp>,
    /// One job that waits or runs for each key: another one is not made.
    pub dedup_key: Option<String>,
    /// One job that runs for each key: `app:<name>` is the app's maintenance slot.
    pub concurrency_key: Option<String>,
    pub max_attempts: u32,
    /// After so long it is cancelled; 0 is never.
    pub soft_limit_secs: u32,
    /// After so long its process is killed; 0 is never.
    pub hard_limit_secs: u32,
    /// Waits until somebody else has said yes.
    pub needs_approval: bool,
    /// The account that asks for it, whatever it is called by then: it cannot say yes itself.
    pub asked_by: Option<String>,
    /// Hash of the plan that was agreed to: the job does that or nothing.
    pub agreed_plan: Option<String>,
    /// Id of the request that asked for it, for logs.
    pub correlation: Option<String>,
}

impl NewJob {
    /// A job that may run at once, with its kind's own number of attempts and the usual limits, and no keys.
    pub fn new(
        spec: JobSpec,
        trigger: Trigger,
        created_by: impl Into<String>,
        run_at: Timestamp,
    ) -> NewJob {
        let max_attempts = spec.kind().max_attempts();
        NewJob {
            spec,
            app: None,
            repository: None,
            policy: None,
            trigger,
            created_by: created_by.into(),
            priority: 0,
            run_at,
            scheduled_for: None,
            dedup_key: None,
            concurrency_key: None,
            max_attempts,
            soft_limit_secs: 7_200,
            hard_limit_secs: 10_800,
            needs_approval: false,
            asked_by: None,
            agreed_plan: None,
            correlation: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Later ones sort after earlier ones.
    pub id: String,
    pub spec: JobSpec,
    pub kind: JobKind,
    pub state: JobState,
    pub app: Option<String>,
    pub repository: Option<String>,
    pub policy: Option<String>,
    pub trigger: Trigger,
    pub created_by: String,
    pub priority: i32,
    pub created_at: Timestamp,
    pub run_at: Timestamp,
    pub scheduled_for: Option<Timestamp>,
    /// Begin of the newest attempt.
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub attempts: u32,
    pub max_attempts: u32,
    /// Worker of the newest attempt.
    pub node: Option<String>,
    /// Grows with every claim.
    pub fence: i64,
    pub lease_until: Option<Timestamp>,
    pub cancel_requested: bool,
    pub held: bool,
    pub approval: Approval,
    /// The account that asked for it, where an account did.
    pub asked_by: Option<String>,
    /// Hash of the plan that was agreed to, where one was.
    pub agreed_plan: Option<String>,
    pub dedup_key: Option<String>,
    pub concurrency_key: Option<String>,
    pub phase: Option<String>,
    pub progress: Option<JobProgress>,
    /// Why it failed, or why its newest attempt did.
    pub error: Option<JobError>,
    /// The document that the command prints with `--json`.
    pub result: Option<serde_json::Value>,
    pub soft_limit_secs: u32,
    pub hard_limit_secs: u32,
    pub correlation: Option<String>,
    /// Grows with every change but heartbeats and progress.
    pub revision: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    NotNeeded,
    Needed,
    ApprovedBy(String),
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobProgress {
    pub done_bytes: u64,
    /// An estimate, where there is one.
    pub total_bytes: Option<u64>,
    /// The newest finished item.
    pub item: Option<String>,
}

/// Why a job failed. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobError {
    /// For programs: `unreachable`, `worker_lost`, ...
    pub code: String,
    pub message: String,
    #[serde(default)]
    pub hint: Option<String>,
    #[serde(default)]
    pub details: Option<String>,
}

impl JobError {
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> JobError {
        JobError {
            code: code.into(),
            message: message.into(),
            hint: None,
            details: None,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Enqueued {
    New(Job),
    /// One with the same dedup key waits or runs already, or it is the same run of a schedule.
    Existing(Job),
}

impl Enqueued {
    pub fn job(&self) -> &Job {
        match self {
            Enqueued::New(job) | Enqueued::Existing(job) => job,
        }
    }

    pub fn is_new(&self) -> bool {
        matches!(self, Enqueued::New(_))
    }
}

/// A job that is this worker's until its lease runs out.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    pub job: Job,
    /// To be named in whatever is written about the job.
    pub fence: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    pub cancel_requested: bool,
}

/// How a job ends.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Succeeded(serde_json::Value),
    /// There was nothing to do; says why.
    Skipped(serde_json::Value),
    Failed(JobError),
    /// It came to its end and found bad news: it counts as failed, and its report is kept.
    Found(JobError, serde_json::Value),
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    Info,
    Warning,
    Error,
}

impl LogLevel {
    pub fn as_str(self) -> &'static str {
        match self {
            LogLevel::Info => "info",
            LogLevel::Warning => "warning",
            LogLevel::Error => "error",
        }
    }

    fn named(name: &str) -> LogLevel {
        match name {
            "warning" => LogLevel::Warning,
            "error" => LogLevel::Error,
            _ => LogLevel::Info,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pub at: Timestamp,
    pub level: LogLevel,
    pub text: String,
}

/// A line of a job's log with its number, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLogLine {
    pub line: i64,
    pub at: Timestamp,
    pub level: LogLevel,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum CancelOutcome {
    /// It had not begun, and never will.
    Cancelled(Job),
    /// It runs; its worker has been asked to stop.
    Asked(Job),
    /// It was over before.
    AlreadyOver(Job),
}

impl CancelOutcome {
    pub fn job(&self) -> &Job {
        match self {
            CancelOutcome::Cancelled(job)
            | CancelOutcome::Asked(job)
            | CancelOutcome::AlreadyOver(job) => job,
        }
    }
}

/// What became of a job whose worker died.
#[derive(Debug, Clone, PartialEq)]
pub enum Reconciled {
    /// Queued again, at `job.run_at`.
    TakenUpAgain(Job),
    Failed(Job),
    /// Somebody had asked to cancel it.
    Cancelled(Job),
}

impl Reconciled {
    pub fn job(&self) -> &Job {
        match self {
            Reconciled::TakenUpAgain(job)
            | Reconciled::Failed(job)
            | Reconciled::Cancelled(job) => job,
        }
    }
}

/// Which jobs to list; an empty list or `None` means all.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    pub states: Vec<JobState>,
    pub kinds: Vec<JobKind>,
    /// Only jobs of these apps: `Some` of an empty list means none at all.
    pub apps: Option<Vec<String>>,
    pub repository: Option<String>,
    pub policy: Option<String>,
    pub trigger: Option<Trigger>,
    /// Made at this time or later.
    pub since: Option<Timestamp>,
    /// Made before this time.
    pub until: Option<Timestamp>,
    /// Part of the app's, policy's or creator's name, of the error, or the begin of the id.
    pub text: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueDepth {
    /// May run now.
    pub ready: u64,
    /// Wait for their time.
    pub later: u64,
    pub held: u64,
    pub waiting_for_approval: u64,
    pub running: u64,
    /// Time since which the one that has waited longest could have run.
    pub oldest_ready: Option<Timestamp>,
    /// Jobs of every state and kind.
    pub counts: Vec<(JobState, JobKind, u64)>,
}

/// Who paused the queue, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuePause {
    pub by: String,
    pub at: Timestamp,
}

/// What is known of the runs of a policy: what a scheduler and a health check need, in one question for all policies.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyRuns {
    pub policy: String,
    /// The newest time of its schedule for which a job was made.
    pub last_scheduled_for: Option<Timestamp>,
    /// Begin and end of the newest runs of its main kind (backup or export), by how they ended. A skipped run counts as good.
    pub last_success_at: Option<Timestamp>,
    pub last_failure_at: Option<Timestamp>,
    pub last_finished: Option<Job>,
    /// Waits or runs.
    pub active: Option<Job>,
}
