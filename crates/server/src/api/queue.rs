//! The queue as a whole, and the workers that take from it.

use super::definitions::sees_everything;
use super::extract::Json;
use super::paging::PageOf;
use super::problem::Problem;
use super::routes::{Routes, needs};
use super::words::{JobKind, JobState};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::state::AppState;
use jiff::Timestamp;
use pgkeep_model::access::Permission;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

pub fn routes() -> Routes {
    Routes::new("queue")
        .add(needs(Permission::View), routes!(get))
        .add(needs(Permission::View), routes!(workers))
        .add(needs(Permission::ManageJobs), routes!(pause))
        .add(needs(Permission::ManageJobs), routes!(resume))
}

/// How much waits and runs.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    pub paused: bool,
    pub paused_by: Option<String>,
    pub paused_at: Option<Timestamp>,
    /// May run now.
    pub ready: u64,
    /// Wait for their time.
    pub later: u64,
    pub held: u64,
    pub waiting_for_approval: u64,
    pub running: u64,
    /// Time since which the one that has waited longest could have run.
    pub oldest_ready: Option<Timestamp>,
    pub counts: Vec<QueueCount>,
    /// Workers that are alive.
    pub workers: u32,
}

/// How many jobs of a kind are in a state.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueCount {
    pub state: JobState,
    pub kind: JobKind,
    pub count: u64,
}

/// A process that runs jobs.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Worker {
    pub node: String,
    pub host: String,
    pub pid: u32,
    /// How many jobs it runs at once.
    pub slots: u32,
    /// Kinds of jobs that it takes; all where empty.
    pub kinds: Vec<String>,
    pub version: String,
    pub started_at: Timestamp,
    pub seen_at: Timestamp,
    pub alive: bool,
}

async fn look(state: &AppState) -> Result<Queue, Problem> {
    let depth = state.catalog.queue_depth().await?;
    let pause = state.catalog.queue_paused().await?;
    Ok(Queue {
        paused: pause.is_some(),
        paused_at: pause.as_ref().map(|pause| pause.at),
        paused_by: pause.map(|pause| pause.by),
        ready: depth.ready,
        later: depth.later,
        held: depth.held,
        waiting_for_approval: depth.waiting_for_approval,
        running: depth.running,
        oldest_ready: depth.oldest_ready,
        counts: depth
            .counts
            .into_iter()
            .map(|(state, kind, count)| QueueCount {
                state: state.into(),
                kind: kind.into(),
                count,
            })
            .collect(),
        workers: state.catalog.live_workers().await?,
    })
}

/// Shows the queue.
#[utoipa::path(get, path = "/queue", responses((status = 200, description = "The queue", body = Queue)))]
async fn get(state: AppState) -> Result<Json<Queue>, Problem> {
    look(&state).await.map(Json)
}

/// Lists the workers of the last day.
#[utoipa::path(get, path = "/workers", responses((status = 200, description = "The workers", body = PageOf<Worker>)))]
async fn workers(state: AppState) -> Result<Json<PageOf<Worker>>, Problem> {
    let nodes = state.catalog.nodes().await?;
    let items = nodes
        .into_iter()
        .map(|node| Worker {
            node: node.node,
            host: node.host,
            pid: node.pid,
            slots: node.slots,
            kinds: node.kinds,
            version: node.version,
            started_at: node.started_at,
            seen_at: node.seen_at,
            alive: node.alive,
        })
        .collect();
    Ok(Json(PageOf::whole(items)))
}

/// Keeps all waiting jobs from starting; what runs goes on.
#[utoipa::path(post, path = "/queue/pause", responses((status = 200, description = "Nothing starts any more", body = Queue)))]
async fn pause(state: AppState, who: Principal, client: Client) -> Result<Json<Queue>, Problem> {
    sees_everything(&who)?;
    state.catalog.pause_queue(&who.label()).await?;
    Act::done("queue.pause", "queue")
        .by(&state.catalog, &who, &client)
        .await?;
    look(&state).await.map(Json)
}

/// Lets waiting jobs start again.
#[utoipa::path(post, path = "/queue/resume", responses((status = 200, description = "Jobs start again", body = Queue)))]
async fn resume(state: AppState, who: Principal, client: Client) -> Result<Json<Queue>, Problem> {
    sees_everything(&who)?;
    state.catalog.resume_queue().await?;
    state.work.notify_one();
    Act::done("queue.resume", "queue")
        .by(&state.catalog, &who, &client)
        .await?;
    look(&state).await.map(Json)
}
