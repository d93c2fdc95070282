//! Long work: a job is queued, and the answer says where to look.

use super::extract::Json;
use super::idempotency::Keyed;
use super::problem::{Code, Problem};
use super::routes::BASE;
use crate::auth::Principal;
use crate::http::request_id;
use crate::jobs::draft;
use crate::state::AppState;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pgkeep_catalog::people::idempotency::Answering;
use pgkeep_catalog::{Enqueued, Job, NewJob};
use pgkeep_model::job::{JobSpec, Trigger};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The answer 202: what was asked for is a job now.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    pub job_id: String,
    /// Where the job's state is found.
    pub status_url: String,
    /// True where one that does the same waits or runs already, and this is that one.
    pub existing: bool,
}

impl Accepted {
    fn new(job: &Job) -> Self {
        Self {
            job_id: job.id.clone(),
            status_url: format!("{BASE}/jobs/{}", job.id),
            existing: false,
        }
    }

    pub fn of(enqueued: &Enqueued) -> Self {
        Self {
            existing: !enqueued.is_new(),
            ..Self::new(enqueued.job())
        }
    }
}

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        let location = HeaderValue::from_str(&self.status_url).expect("an id in a path");
        let mut response = (StatusCode::ACCEPTED, Json(self)).into_response();
        response.headers_mut().insert(header::LOCATION, location);
        response
    }
}

/// A job that does `spec` for `who`, to be refined and then given to [`enqueue`].
pub fn new_job(state: &AppState, who: &Principal, spec: JobSpec) -> NewJob {
    let limits = &state.settings.work.limits;
    let now = state.catalog.now();
    let mut job = draft(spec, Trigger::Api, &who.label(), now, limits);
    job.correlation = request_id::current();
    job.asked_by = Some(who.account());
    job
}

/// Queues a job; where the request has a key, the job and the answer are stored together. Without a live worker it would lie there unseen, so that is refused.
pub async fn enqueue(state: &AppState, job: NewJob) -> Result<Accepted, Problem> {
    if state.catalog.live_workers().await? == 0 {
        return Err(Problem::new(
            Code::NoWorker,
            "no worker is alive to do it; what is there can be read",
        )
        .retry_after(30));
    }
    let body =
        |job: &Job| serde_json::to_string(&Accepted::new(job)).expect("an answer is plain values");
    let keyed = Keyed::current();
    let request = keyed.as_ref().map(|request| Answering {
        key: &request.key,
        principal: &request.principal,
        status: StatusCode::ACCEPTED.as_u16(),
        body: &body,
    });
    let enqueued = state.catalog.enqueue_answering(job, request).await?;
    state.work.notify_waiters();
    Ok(Accepted::of(&enqueued))
}
