//! Jobs: what runs, waits, and was done; their log, and what people do to them.

use super::definitions::sees_everything;
use super::etag::Tagged;
use super::extract::{Id, Json, Path, Query};
use super::paging::{PageOf, Paging};
use super::problem::{Code, Problem};
use super::restores::territory;
use super::routes::{Routes, needs};
use super::second_person::objection;
use super::sse;
use super::words::{JobKind, JobState, LogLevel, Trigger};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::settings::ThrottleScope;
use crate::state::AppState;
use axum::http::HeaderMap;
use axum::response::Response;
use jiff::Timestamp;
use pgkeep_catalog::{self as catalog, CancelOutcome, JobFilter, Page};
use pgkeep_model::access::Permission;
use pgkeep_model::job::{self as model, JobSpec};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

pub fn routes() -> Routes {
    Routes::new("jobs")
        .add(
            needs(Permission::View).throttle(ThrottleScope::Status),
            routes!(list),
        )
        .add(needs(Permission::View), routes!(get))
        .add(needs(Permission::View), routes!(log))
        .add(needs(Permission::View).streams_out(), routes!(log_stream))
        .add(needs(Permission::ManageJobs), routes!(cancel))
        .add(needs(Permission::ManageJobs), routes!(hold))
        .add(needs(Permission::ManageJobs), routes!(unhold))
        .add(needs(Permission::ManageJobs), routes!(priority))
        .add(needs(Permission::ApproveRestore), routes!(approve))
}

/// One unit of work.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    pub id: String,
    pub kind: JobKind,
    pub state: JobState,
    pub app: Option<String>,
    pub repository: Option<String>,
    pub policy: Option<String>,
    pub trigger: Trigger,
    pub created_by: String,
    /// 0 as a rule; higher ones first.
    pub priority: i32,
    pub created_at: Timestamp,
    /// Not before.
    pub run_at: Timestamp,
    /// The time of the schedule that it stands for.
    pub scheduled_for: Option<Timestamp>,
    /// Begin of the newest attempt.
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub attempts: u32,
    pub max_attempts: u32,
    /// The worker of the newest attempt.
    pub node: Option<String>,
    pub cancel_requested: bool,
    pub held: bool,
    pub approval: Approval,
    /// Hash of the plan that a second person agrees to; where the job would do something else, it does nothing.
    pub plan_hash: Option<String>,
    pub phase: Option<String>,
    pub progress: Option<Progress>,
    /// Why it failed, or why its newest attempt did.
    pub error: Option<JobError>,
    /// What it did: the document that the command prints with `--json`. Not in lists.
    #[schema(value_type = Option<Object>)]
    pub result: Option<Value>,
    /// What it is to do. Not in lists.
    #[schema(value_type = Option<Object>)]
    pub spec: Option<Value>,
    pub soft_limit_secs: u32,
    pub hard_limit_secs: u32,
    /// Id of the request that asked for it.
    pub request_id: Option<String>,
    pub revision: i64,
}

/// Whether a second person must say yes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    pub state: ApprovalState,
    /// Who said yes.
    pub by: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    NotNeeded,
    Needed,
    Approved,
}

/// How far a job is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = JobProgress)]
pub struct Progress {
    pub done_bytes: u64,
    /// An estimate, where there is one.
    pub total_bytes: Option<u64>,
    /// The newest finished item.
    pub item: Option<String>,
}

/// Why a job failed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobError {
    /// Stable, for programs.
    pub code: String,
    pub message: String,
    pub hint: Option<String>,
    pub details: Option<String>,
}

impl Job {
    /// With everything.
    pub fn whole(job: catalog::Job) -> Self {
        let spec = serde_json::to_value(&job.spec).ok();
        let result = job.result.clone();
        Self {
            result,
            spec,
            ..Self::brief(job)
        }
    }

    /// As in lists.
    pub fn brief(job: catalog::Job) -> Self {
        let (state, by) = match job.approval {
            catalog::Approval::NotNeeded => (ApprovalState::NotNeeded, None),
            catalog::Approval::Needed => (ApprovalState::Needed, None),
            catalog::Approval::ApprovedBy(by) => (ApprovalState::Approved, Some(by)),
        };
        Self {
            id: job.id,
            kind: job.kind.into(),
            state: job.state.into(),
            app: job.app,
            repository: job.repository,
            policy: job.policy,
            trigger: job.trigger.into(),
            created_by: job.created_by,
            priority: job.priority,
            created_at: job.created_at,
            run_at: job.run_at,
            scheduled_for: job.scheduled_for,
            started_at: job.started_at,
            finished_at: job.finished_at,
            attempts: job.attempts,
            max_attempts: job.max_attempts,
            node: job.node,
            cancel_requested: job.cancel_requested,
            held: job.held,
            approval: Approval { state, by },
            plan_hash: job.agreed_plan,
            phase: job.phase,
            progress: job.progress.map(|progress| Progress {
                done_bytes: progress.done_bytes,
                total_bytes: progress.total_bytes,
                item: progress.item,
            }),
            error: job.error.map(|error| JobError {
                code: error.code,
                message: error.message,
                hint: error.hint,
                details: error.details,
            }),
            result: None,
            spec: None,
            soft_limit_secs: job.soft_limit_secs,
            hard_limit_secs: job.hard_limit_secs,
            request_id: job.correlation,
            revision: job.revision,
        }
    }
}

/// Which jobs are listed. Lists of words are separated by commas.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// `queued`, `running`, `succeeded`, `failed`, `cancelled`, `skipped`
    #[param(nullable = false)]
    state: Option<String>,
    /// `backup`, `restore`, `verify`, ...
    #[param(nullable = false)]
    kind: Option<String>,
    #[param(nullable = false)]
    app: Option<String>,
    #[param(nullable = false)]
    repository: Option<String>,
    #[param(nullable = false)]
    policy: Option<String>,
    #[param(nullable = false, inline)]
    trigger: Option<Trigger>,
    /// Made at this time or later.
    #[param(nullable = false)]
    since: Option<Timestamp>,
    /// Made before this time.
    #[param(nullable = false)]
    until: Option<Timestamp>,
    /// Part of the app's, policy's or creator's name, of the error, or the begin of the id.
    #[param(nullable = false)]
    text: Option<String>,
    /// Oldest first.
    #[param(nullable = false)]
    ascending: Option<bool>,
}

/// The words of a list, each known to `named`.
fn words<T>(
    field: &str,
    text: Option<&str>,
    named: impl Fn(&str) -> Option<T>,
    known: &[&str],
) -> Result<Vec<T>, Problem> {
    text.into_iter()
        .flat_map(|text| text.split(','))
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(|word| {
            named(word).ok_or_else(|| {
                Problem::new(
                    Code::InvalidRequest,
                    format!("{field}: '{}' is not known", word.escape_debug()),
                )
                .hint(format!("known are {}", known.join(", ")))
            })
        })
        .collect()
}

/// The apps that a list is cut down to: those that the account sees, and of them the one that was asked for.
pub fn apps_filter(who: &Principal, asked: Option<&String>) -> Option<Vec<String>> {
    match asked {
        Some(app) => Some(who.sees(app).then(|| app.clone()).into_iter().collect()),
        None => who.app_filter(),
    }
}

/// Lists jobs, newest first.
#[utoipa::path(get, path = "/jobs", params(ListQuery, Paging), responses((status = 200, description = "A page of jobs", body = PageOf<Job>)))]
async fn list(
    state: AppState,
    who: Principal,
    Query(query): Query<ListQuery>,
    Query(paging): Query<Paging>,
) -> Result<Json<PageOf<Job>>, Problem> {
    let filter = JobFilter {
        states: words(
            "state",
            query.state.as_deref(),
            model::JobState::named,
            &model::JobState::ALL.map(model::JobState::as_str),
        )?,
        kinds: words(
            "kind",
            query.kind.as_deref(),
            model::JobKind::named,
            &model::JobKind::ALL.map(model::JobKind::as_str),
        )?,
        apps: apps_filter(&who, query.app.as_ref()),
        repository: query.repository,
        policy: query.policy,
        trigger: query.trigger.map(Into::into),
        since: query.since,
        until: query.until,
        text: query.text,
    };
    let page = Page {
        limit: paging.limit()?,
        after: paging.cursor,
        descending: !query.ascending.unwrap_or(false),
    };
    let jobs = state.catalog.jobs(&filter, &page).await?;
    Ok(Json(PageOf {
        items: jobs.items.into_iter().map(Job::brief).collect(),
        next_cursor: jobs.next,
    }))
}

/// The job, if the account sees it.
async fn load(state: &AppState, who: &Principal, id: &Id) -> Result<catalog::Job, Problem> {
    let job = state.catalog.job(id.as_str()).await?;
    match who.sees_maybe(job.app.as_deref()) {
        true => Ok(job),
        false => Err(Problem::not_found("job", id.as_str())),
    }
}

fn tagged(job: catalog::Job) -> Tagged<Job> {
    Tagged::ok(job.revision, Job::whole(job))
}

/// Shows a job.
#[utoipa::path(get, path = "/jobs/{id}", params(("id" = String, Path)), responses((status = 200, description = "The job", body = Job)))]
async fn get(state: AppState, who: Principal, Path(id): Path<Id>) -> Result<Tagged<Job>, Problem> {
    Ok(tagged(load(&state, &who, &id).await?))
}

/// A line of a job's log.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LogLine {
    /// From 1.
    pub line: i64,
    pub at: Timestamp,
    pub level: LogLevel,
    pub text: String,
}

impl From<catalog::StoredLogLine> for LogLine {
    fn from(line: catalog::StoredLogLine) -> Self {
        Self {
            line: line.line,
            at: line.at,
            level: line.level.into(),
            text: line.text,
        }
    }
}

/// Which lines of a log.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct LogQuery {
    /// Number of the last line that is known; 0 where absent.
    #[param(nullable = false, minimum = 0)]
    after: Option<i64>,
    /// 1 to 1000, 500 where absent.
    #[param(nullable = false, minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// Reads a job's log.
#[utoipa::path(get, path = "/jobs/{id}/log", params(("id" = String, Path), LogQuery), responses((status = 200, description = "Lines after the one that is known; `nextCursor` is the number to go on after", body = PageOf<LogLine>)))]
async fn log(
    state: AppState,
    who: Principal,
    Path(id): Path<Id>,
    Query(query): Query<LogQuery>,
) -> Result<Json<PageOf<LogLine>>, Problem> {
    let job = load(&state, &who, &id).await?;
    let limit = query.limit.unwrap_or(500);
    let after = query.after.unwrap_or(0);
    if !(1..=1_000).contains(&limit) || after < 0 {
        return Err(Problem::new(
            Code::InvalidRequest,
            "limit is between 1 and 1000, after is not below 0",
        ));
    }
    let lines = state.catalog.job_log(&job.id, after, limit).await?;
    let next_cursor = (lines.len() == limit as usize)
        .then(|| lines.last().map(|line| line.line.to_string()))
        .flatten();
    Ok(Json(PageOf {
        items: lines.into_iter().map(Into::into).collect(),
        next_cursor,
    }))
}

/// Follows a job's log as server-sent events: `line` events with the line's number as id, then `end` with the job once it is
/// over.
#[utoipa::path(get, path = "/jobs/{id}/log/stream", params(("id" = String, Path), ("Last-Event-ID" = Option<String>, Header, description = "Number of the last line that is known")), responses((status = 200, description = "The lines as they come", content_type = "text/event-stream", body = String)))]
async fn log_stream(
    state: AppState,
    who: Principal,
    headers: HeaderMap,
    Path(id): Path<Id>,
) -> Result<Response, Problem> {
    let job = load(&state, &who, &id).await?;
    let after = sse::last_event_id(&headers)?.unwrap_or(0);
    sse::follow_log(&state, &who, &headers, job.id, after)
}

fn about(job: &catalog::Job, action: &'static str) -> Act {
    Act::done(action, format!("job/{}", job.id)).app(job.app.as_deref())
}

/// Ends a job that waits; asks one that runs to stop. One that is over stays as it is.
#[utoipa::path(post, path = "/jobs/{id}/cancel", params(("id" = String, Path)), responses((status = 200, description = "The job; one that runs is asked to stop", body = Job)))]
async fn cancel(
    state: AppState,
    who: Principal,
    client: Client,
    Path(id): Path<Id>,
) -> Result<Tagged<Job>, Problem> {
    let job = load(&state, &who, &id).await?;
    match state.catalog.cancel(&job.id).await? {
        CancelOutcome::AlreadyOver(job) => Ok(tagged(job)),
        CancelOutcome::Cancelled(job) | CancelOutcome::Asked(job) => {
            about(&job, "job.cancel")
                .by(&state.catalog, &who, &client)
                .await?;
            Ok(tagged(job))
        }
    }
}

/// Keeps a job that waits from starting.
#[utoipa::path(post, path = "/jobs/{id}/hold", params(("id" = String, Path)), responses((status = 200, description = "The job waits", body = Job)))]
async fn hold(
    state: AppState,
    who: Principal,
    client: Client,
    Path(id): Path<Id>,
) -> Result<Tagged<Job>, Problem> {
    let job = load(&state, &who, &id).await?;
    let job = state.catalog.hold(&job.id).await?;
    about(&job, "job.hold")
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(tagged(job))
}

/// Lets a job start that was held.
#[utoipa::path(post, path = "/jobs/{id}/release", params(("id" = String, Path)), responses((status = 200, description = "The job may start", body = Job)))]
async fn unhold(
    state: AppState,
    who: Principal,
    client: Client,
    Path(id): Path<Id>,
) -> Result<Tagged<Job>, Problem> {
    let job = load(&state, &who, &id).await?;
    let job = state.catalog.unhold(&job.id).await?;
    state.work.notify_one();
    about(&job, "job.release")
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(tagged(job))
}

/// Where a job stands among others.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PriorityBody {
    /// -100 to 100; higher ones first.
    #[schema(minimum = -100, maximum = 100)]
    priority: i32,
}

/// Moves a job that waits before or behind others.
#[utoipa::path(put, path = "/jobs/{id}/priority", params(("id" = String, Path)), request_body = PriorityBody, responses((status = 200, description = "The job", body = Job)))]
async fn priority(
    state: AppState,
    who: Principal,
    client: Client,
    Path(id): Path<Id>,
    Json(body): Json<PriorityBody>,
) -> Result<Tagged<Job>, Problem> {
    if !(-100..=100).contains(&body.priority) {
        return Err(Problem::invalid("priority", "is between -100 and 100"));
    }
    let before = load(&state, &who, &id).await?;
    let job = state
        .catalog
        .set_priority(&before.id, body.priority)
        .await?;
    about(&job, "job.priority")
        .before(before.priority)
        .after(job.priority)
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(tagged(job))
}

/// Says yes to a job that needs a second person. The one who asked for it cannot, nor can a token that another account made,
/// nor, for a day, an account whose password or second factor another one changed.
#[utoipa::path(post, path = "/jobs/{id}/approve", params(("id" = String, Path)), responses((status = 200, description = "The job may start", body = Job)))]
async fn approve(
    state: AppState,
    who: Principal,
    client: Client,
    Path(id): Path<Id>,
) -> Result<Tagged<Job>, Problem> {
    let job = load(&state, &who, &id).await?;
    match written(&job.spec) {
        Some((app, Some(database))) => territory(&state, &who, app).await?.may_change(database)?,
        Some((_, None)) => {}
        None => sees_everything(&who)?,
    }
    if job.state.is_final() {
        return Err(Problem::new(
            Code::WrongState,
            "the job has ended, so nobody needs to say yes to it",
        ));
    }
    if let Some(problem) = objection(&state, &who, &job).await? {
        Act::refused(
            "job.approve",
            format!("job/{}", job.id),
            problem.detail.clone(),
        )
        .app(job.app.as_deref())
        .by(&state.catalog, &who, &client)
        .await?;
        return Err(problem.noted());
    }
    let job = state
        .catalog
        .approve(&job.id, &who.account(), &who.label())
        .await?;
    state.work.notify_one();
    about(&job, "job.approve")
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(tagged(job))
}

/// The app of a restore or an undo, and the database that it writes to, where it writes to one.
fn written(spec: &JobSpec) -> Option<(&str, Option<&str>)> {
    match spec {
        JobSpec::Restore(spec) => Some((&spec.app, spec.target.database())),
        JobSpec::Undo(spec) => Some((&spec.app, spec.database.as_deref())),
        _ => None,
    }
}
