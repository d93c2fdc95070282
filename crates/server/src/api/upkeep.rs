//! Looking after a repository: its list of backups, its structure, its space.
//!
//! What destroys is planned first: a prune tells what it would free, a repair mends what a check has found, and nothing
//! else. Letting backups go is in [`super::forget`].

use super::accepted::{Accepted, enqueue, new_job};
use super::backups::look_for;
use super::definitions::sees_everything;
use super::extract::{Id, Json, Name, OptionalJson, Path};
use super::problem::{Code, Problem};
use super::repositories;
use super::routes::{Routes, needs};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::jobs::prune_options;
use crate::state::AppState;
use pgkeep_engine::forget;
use pgkeep_model::access::Permission;
use pgkeep_model::job::{CheckSpec, JobSpec, PruneSpec, RepositorySpec};
use pgkeep_repository::{CheckReport, PrunePlan};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;
use utoipa_axum::routes;

/// Time to find out what no backup needs.
const PLAN: Duration = Duration::from_secs(120);

pub fn routes() -> Routes {
    Routes::new("repositories")
        .add(needs(Permission::Operate).repeatable(), routes!(sync))
        .add(needs(Permission::Operate).repeatable(), routes!(check))
        .add(needs(Permission::Delete).repeatable(), routes!(repair))
        .add(needs(Permission::Delete).streams_out(), routes!(prune_plan))
        .add(needs(Permission::Delete).repeatable(), routes!(prune))
}

/// Queues a job about a repository that the account sees.
pub(super) async fn upkeep(
    state: &AppState,
    who: &Principal,
    name: &Name,
    spec: impl FnOnce(String) -> JobSpec,
) -> Result<Accepted, Problem> {
    repositories::seen(state, who, name.as_str()).await?;
    let stored = state.catalog.repository(name.as_str()).await?;
    enqueue(state, new_job(state, who, spec(stored.name))).await
}

/// Makes the list of backups match the repository.
#[utoipa::path(post, path = "/repositories/{name}/sync", params(("name" = String, Path)), responses((status = 202, description = "A job looks", body = Accepted)))]
async fn sync(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
) -> Result<Accepted, Problem> {
    let accepted = upkeep(&state, &who, &name, |repository| {
        JobSpec::Sync(RepositorySpec { repository })
    })
    .await?;
    Act::done("repository.sync", format!("repository/{name}"))
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(accepted)
}

/// How much of the stored data a check reads.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct CheckBody {
    /// Share of the stored packs to read, 0 to 100.
    #[schema(minimum = 0, maximum = 100)]
    pub read_data_percent: f64,
}

/// Checks the structure of a repository, and reads as much of its data as is asked for.
#[utoipa::path(post, path = "/repositories/{name}/check", params(("name" = String, Path)), request_body(content = Option<CheckBody>), responses((status = 202, description = "A job checks", body = Accepted)))]
async fn check(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
    OptionalJson(body): OptionalJson<CheckBody>,
) -> Result<Accepted, Problem> {
    let read_data_percent = body.read_data_percent;
    if !(0.0..=100.0).contains(&read_data_percent) {
        return Err(Problem::invalid("readDataPercent", "is between 0 and 100"));
    }
    let accepted = upkeep(&state, &who, &name, |repository| {
        JobSpec::Check(CheckSpec {
            repository,
            read_data_percent,
            repair_of: None,
        })
    })
    .await?;
    Act::done("repository.check", format!("repository/{name}"))
        .after(&body)
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(accepted)
}

/// Which findings are mended.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RepairBody {
    /// Job of the check whose findings are mended; it is the plan of the repair.
    #[schema(value_type = String)]
    check: Id,
    /// Why; kept in the audit log.
    #[serde(default)]
    reason: Option<String>,
}

/// Mends what a check has found, by a job: what is good of damaged packs is saved, the rest is taken out of the index, so
/// that the next backup stores it again. No stored data is deleted. Afterwards the repository is looked at once more.
#[utoipa::path(post, path = "/repositories/{name}/repair", params(("name" = String, Path)), request_body = RepairBody, responses((status = 202, description = "A job mends", body = Accepted)))]
async fn repair(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
    Json(body): Json<RepairBody>,
) -> Result<Accepted, Problem> {
    sees_everything(&who)?;
    repositories::seen(&state, &who, name.as_str()).await?;
    let stored = state.catalog.repository(name.as_str()).await?;
    let check = body.check.as_str().to_owned();
    let no_check = || Problem::invalid("check", "is no check of this repository that has ended");
    let job = state.catalog.job(&check).await.map_err(|_| no_check())?;
    match &job.spec {
        JobSpec::Check(spec) if spec.repository == stored.name && spec.repair_of.is_none() => {}
        _ => return Err(no_check()),
    }
    job.result
        .and_then(|found| serde_json::from_value::<CheckReport>(found).ok())
        .ok_or_else(no_check)?;
    let spec = JobSpec::Check(CheckSpec {
        repository: stored.name.clone(),
        read_data_percent: 0.0,
        repair_of: Some(job.id),
    });
    let accepted = enqueue(&state, new_job(&state, &who, spec)).await?;
    Act::done("repository.repair", format!("repository/{name}"))
        .reason(body.reason)
        .after(serde_json::json!({ "check": check }))
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(accepted)
}

/// How a prune goes about it; what is absent is as usual.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct PruneBody {
    /// Time between marking what nothing needs and deleting it; a day where absent.
    #[schema(maximum = 31_536_000)]
    grace_secs: Option<u64>,
    /// Unused share of the repository that is tolerated before packs are rewritten; 5 where absent.
    #[schema(minimum = 0, maximum = 100)]
    max_unused_percent: Option<f64>,
}

impl PruneBody {
    fn spec(self, repository: String) -> Result<PruneSpec, Problem> {
        if self.grace_secs.is_some_and(|secs| secs > 365 * 86_400) {
            return Err(Problem::invalid("graceSecs", "at most a year"));
        }
        if self
            .max_unused_percent
            .is_some_and(|share| !(0.0..=100.0).contains(&share))
        {
            return Err(Problem::invalid("maxUnusedPercent", "is between 0 and 100"));
        }
        Ok(PruneSpec {
            repository,
            grace_secs: self.grace_secs,
            max_unused_percent: self.max_unused_percent,
        })
    }
}

/// What a prune would do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PlannedPrune {
    /// The document that `pgkeep prune --dry-run --json` prints.
    #[schema(value_type = Object)]
    plan: PrunePlan,
    /// There is nothing to do.
    is_empty: bool,
}

fn may_prune(who: &Principal) -> Result<(), Problem> {
    match who.apps {
        None => Ok(()),
        Some(_) => Err(Problem::new(
            Code::Forbidden,
            "pruning is for accounts that see all apps",
        )),
    }
}

/// Tells what a prune would free, and changes nothing.
#[utoipa::path(post, path = "/repositories/{name}/prune/plan", params(("name" = String, Path)), request_body(content = Option<PruneBody>), responses((status = 200, description = "What would be done", body = PlannedPrune)))]
async fn prune_plan(
    state: AppState,
    who: Principal,
    Path(name): Path<Name>,
    OptionalJson(body): OptionalJson<PruneBody>,
) -> Result<Json<PlannedPrune>, Problem> {
    may_prune(&who)?;
    let spec = body.spec(name.as_str().to_owned())?;
    let plan = look_for(&state, name.as_str(), PLAN, move |repository, context| {
        forget::plan_prune(repository, &prune_options(&spec, context))
    })
    .await?;
    Ok(Json(PlannedPrune {
        is_empty: plan.is_empty(),
        plan,
    }))
}

/// Frees the space of what no backup needs any more.
#[utoipa::path(post, path = "/repositories/{name}/prune", params(("name" = String, Path)), request_body(content = Option<PruneBody>), responses((status = 202, description = "A job prunes", body = Accepted)))]
async fn prune(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
    OptionalJson(body): OptionalJson<PruneBody>,
) -> Result<Accepted, Problem> {
    may_prune(&who)?;
    let object = format!("repository/{name}");
    let spec = body.spec(name.as_str().to_owned())?;
    let accepted = upkeep(&state, &who, &name, |_| JobSpec::Prune(spec)).await?;
    Act::done("repository.prune", object)
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(accepted)
}
