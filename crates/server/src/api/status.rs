//! How safe everything is, and whether the server itself is well.

use super::extract::{Json, Name, Path};
use super::problem::Problem;
use super::routes::{Routes, needs, public};
use crate::auth::Principal;
use crate::metrics;
use crate::settings::ThrottleScope;
use crate::state::AppState;
use crate::status::{Answer, only_apps};
use axum::Extension;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use pgkeep_model::access::Permission;
use pgkeep_model::health::{self, HealthState};
use pgkeep_model::status as model;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;
use utoipa_axum::routes;

/// What the catalog must answer within, for the server to be ready.
const READY_WITHIN: Duration = Duration::from_secs(2);

pub fn routes() -> Routes {
    Routes::new("status")
        .add(
            needs(Permission::View).throttle(ThrottleScope::Status),
            routes!(status),
        )
        .add(
            needs(Permission::View).throttle(ThrottleScope::Status),
            routes!(of_app),
        )
        .add(public(), routes!(live))
        .add(public(), routes!(ready))
        .add(
            needs(Permission::View).open_if(|settings| settings.http.open_metrics),
            routes!(figures),
        )
}

/// How safe everything is, worst first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub time: Timestamp,
    /// The worst state of any app: `ok`, `storage_filling`, `offsite_behind`, `unproven`, `proof_stale`, `unscheduled`, `overdue`, `unheard`,
    /// `clock_wrong`, `nobody_works`, `failing`, `drill_failed`, `damaged`, `shrunk`, `vanished`, `no_backup`
    pub state: String,
    /// Whether somebody must look.
    pub alarm: bool,
    /// One sentence, about the worst.
    pub sentence: String,
    /// Worst first.
    pub apps: Vec<AppStatus>,
    pub queue_paused: bool,
    /// Jobs by state.
    pub queue: BTreeMap<String, u64>,
    /// Workers that are alive.
    pub workers: u32,
    /// A server is alive, which starts policies at their times and sends messages; workers do neither.
    #[serde(default)]
    pub scheduler: bool,
}

/// How safe an app is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppStatus {
    pub app: String,
    pub state: String,
    pub alarm: bool,
    pub sentence: String,
    /// 100 is best.
    pub score: u8,
    /// How it stands in each aspect, and what that costs of the score.
    #[serde(default)]
    pub reasons: Vec<Reason>,
    /// Worst first.
    pub findings: Vec<Finding>,
    /// What would be lost now: seconds since the newest good backup, or since the proof that nothing was written after it.
    pub rpo_seconds: Option<i64>,
    pub last_good: Option<Point>,
    pub last_good_bytes: Option<u64>,
    pub last_proven: Option<Point>,
    pub last_proven_at: Option<Timestamp>,
    /// What the proving restore took.
    pub proven_seconds: Option<f64>,
    pub backups: u64,
    /// The oldest backup that is held.
    pub oldest: Option<Timestamp>,
    pub repositories: Vec<Holding>,
    pub policies: Vec<PolicyStatus>,
}

/// How an app stands in one aspect.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    /// `fresh`, `proven`, `offsite` or `retention`.
    pub aspect: String,
    pub held: bool,
    pub sentence: String,
    /// Points of 100 that it costs.
    pub cost: u8,
}

/// One thing that is not as it should be.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// One of the states, or `no_recovery_kit`: a hint, which changes nothing of how the app stands.
    pub state: String,
    /// Whether somebody must act now.
    #[serde(default)]
    pub alarm: bool,
    /// The policy that it is about.
    pub policy: Option<String>,
    /// The repository that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Whole days: that are left, of a disk that fills; by which copies elsewhere are late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// Since when it is so: time of the newest copy, or when the repository became known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    pub sentence: String,
    /// Points of 100 that it costs.
    pub cost: u8,
}

/// A backup, by id and time.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    pub id: String,
    pub time: Timestamp,
}

/// What one repository holds of an app.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Holding {
    pub repository: String,
    pub backups: u64,
    pub newest: Option<Timestamp>,
    /// It is somewhere else than the machine.
    pub offsite: bool,
}

/// How a policy does.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    pub name: String,
    pub enabled: bool,
    /// In words.
    pub schedule: String,
    pub next_run: Option<Timestamp>,
    pub last_success: Option<Timestamp>,
    pub last_job: Option<String>,
    pub last_state: Option<String>,
    /// A run that should have succeeded by now.
    pub overdue: Option<Overdue>,
    /// In words.
    pub retention: String,
    pub backups: u64,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Overdue {
    /// When it was to start.
    pub due: Timestamp,
    /// Since when it is late.
    pub since: Timestamp,
}

impl From<&model::StatusReport> for Status {
    fn from(report: &model::StatusReport) -> Self {
        Self {
            time: report.time,
            state: report.state.as_str().to_string(),
            alarm: report.apps.iter().any(|app| app.health.is_alarm()),
            sentence: report.sentence.clone(),
            apps: report.apps.iter().map(Into::into).collect(),
            queue_paused: report.queue.paused,
            queue: report.queue.depth.clone(),
            workers: report.workers,
            scheduler: report.scheduler,
        }
    }
}

impl From<&model::AppStatus> for AppStatus {
    fn from(app: &model::AppStatus) -> Self {
        let words = |state: HealthState| state.as_str().to_string();
        Self {
            app: app.health.app.clone(),
            state: words(app.health.state),
            alarm: app.health.is_alarm(),
            sentence: app.health.sentence.clone(),
            score: app.health.score,
            reasons: app
                .health
                .reasons
                .iter()
                .map(|reason| Reason {
                    aspect: reason.aspect.as_str().to_owned(),
                    held: reason.held,
                    sentence: reason.sentence.clone(),
                    cost: reason.cost,
                })
                .collect(),
            findings: app
                .health
                .findings
                .iter()
                .map(|finding| Finding {
                    state: words(finding.state),
                    alarm: finding.is_alarm(),
                    policy: finding.policy.clone(),
                    repository: finding.repository.clone(),
                    days: finding.days,
                    since: finding.since,
                    sentence: finding.sentence.clone(),
                    cost: finding.cost,
                })
                .collect(),
            rpo_seconds: app.health.rpo_seconds,
            last_good: app.last_good.as_ref().map(Into::into),
            last_good_bytes: app.last_good_bytes,
            last_proven: app.last_proven.as_ref().map(Into::into),
            last_proven_at: app.last_proven_at,
            proven_seconds: app.proven_seconds,
            backups: app.backups,
            oldest: app.oldest,
            repositories: app
                .repositories
                .iter()
                .map(|holding| Holding {
                    repository: holding.repository.clone(),
                    backups: holding.backups,
                    newest: holding.newest,
                    offsite: holding.offsite,
                })
                .collect(),
            policies: app.policies.iter().map(Into::into).collect(),
        }
    }
}

impl From<&health::Point> for Point {
    fn from(point: &health::Point) -> Self {
        Self {
            id: point.id.clone(),
            time: point.time,
        }
    }
}

impl From<&model::PolicyStatus> for PolicyStatus {
    fn from(policy: &model::PolicyStatus) -> Self {
        Self {
            name: policy.name.clone(),
            enabled: policy.enabled,
            schedule: policy.schedule.clone(),
            next_run: policy.next_run,
            last_success: policy.last_success,
            last_job: policy.last_job.clone(),
            last_state: policy.last_state.clone(),
            overdue: policy.overdue.map(|overdue| Overdue {
                due: overdue.due,
                since: overdue.since,
            }),
            retention: policy.retention.clone(),
            backups: policy.backups,
        }
    }
}

/// The report, cut down to what the account sees.
async fn report(state: &AppState, who: Option<&Principal>) -> Result<Seen, Problem> {
    let answer = state.status.report(&state.catalog).await?;
    Ok(match who.and_then(Principal::app_filter) {
        Some(apps) => Seen::Part(only_apps(&answer.report, &apps)),
        None => Seen::All(answer),
    })
}

enum Seen {
    All(Arc<Answer>),
    Part(model::StatusReport),
}

impl Deref for Seen {
    type Target = model::StatusReport;

    fn deref(&self) -> &model::StatusReport {
        match self {
            Self::All(answer) => &answer.report,
            Self::Part(report) => report,
        }
    }
}

/// Tells how safe everything is: the worst in one sentence, and each app.
#[utoipa::path(get, path = "/status", responses((status = 200, description = "The status", body = Status)))]
async fn status(state: AppState, who: Principal) -> Result<Response, Problem> {
    // A wall of screens asks for this all the time: it is written once for all of them.
    let write = |report: &model::StatusReport| {
        Bytes::from(serde_json::to_vec(&Status::from(report)).expect("its keys are text"))
    };
    let text = match report(&state, Some(&who)).await? {
        Seen::All(answer) => answer.wire(write),
        Seen::Part(report) => write(&report),
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

/// Tells how safe one app is.
#[utoipa::path(get, path = "/status/{app}", params(("app" = String, Path)), responses((status = 200, description = "The status", body = AppStatus)))]
async fn of_app(
    state: AppState,
    who: Principal,
    Path(name): Path<Name>,
) -> Result<Json<AppStatus>, Problem> {
    let report = report(&state, Some(&who)).await?;
    report
        .apps
        .iter()
        .find(|app| app.health.app == name.as_str())
        .map(|app| Json(app.into()))
        .ok_or_else(|| Problem::not_found("app", name.as_str()))
}

/// Whether the server is well.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// `ok` or what is wrong.
    pub status: String,
    pub version: String,
}

impl Health {
    fn new(status: &str) -> Self {
        Self {
            status: status.to_string(),
            version: env!("CARGO_PKG_VERSION").to_string(),
        }
    }
}

/// Tells that the process answers.
#[utoipa::path(get, path = "/health/live", responses((status = 200, description = "It does", body = Health)))]
async fn live() -> Json<Health> {
    Json(Health::new("ok"))
}

/// Tells whether the server can do its work: the catalog answers and takes what is written, and it is not shutting down. Also
/// 503 where it cannot.
#[utoipa::path(get, path = "/health/ready", responses((status = 200, description = "It can", body = Health)))]
async fn ready(state: AppState) -> Result<Json<Health>, Problem> {
    let not_ready =
        |why: &str| Err(Problem::new(super::problem::Code::Busy, why.to_string()).retry_after(2));
    if state.shutdown.is_cancelled() {
        return not_ready("the server is shutting down");
    }
    if let Some(why) = state.catalog.unwritable() {
        return not_ready(&format!("the catalog cannot be written to: {why}"));
    }
    match tokio::time::timeout(READY_WITHIN, state.catalog.newest_event_id()).await {
        Ok(Ok(_)) => Ok(Json(Health::new("ok"))),
        Ok(Err(_)) => not_ready("the catalog cannot be read"),
        Err(_) => not_ready("the catalog does not answer"),
    }
}

/// Gives the figures for Prometheus.
#[utoipa::path(get, path = "/metrics", responses((status = 200, description = "Text format 0.0.4", content_type = "text/plain", body = String)))]
async fn figures(state: AppState, who: Option<Extension<Principal>>) -> Result<Response, Problem> {
    let report = report(&state, who.as_ref().map(|Extension(who)| who)).await?;
    let data_dir = &state.settings.places.data_dir;
    let text = metrics::render(&state.requests, &state.catalog, &report, data_dir).await?;
    Ok((
        StatusCode::OK,
        [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)],
        text,
    )
        .into_response())
}
