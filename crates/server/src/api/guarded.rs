//! Guarded commands that ran somewhere else: the server keeps the record, as a job that has ended.

use super::accepted::new_job;
use super::backups::load;
use super::definitions::seen;
use super::extract::{BackupId, Json, Name, Path};
use super::problem::Problem;
use super::routes::{Routes, needs};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::jobs::Failure;
use crate::state::AppState;
use axum::http::StatusCode;
use pgkeep_catalog::Outcome;
use pgkeep_engine::ErrorCode;
use pgkeep_model::access::Permission;
use pgkeep_model::job::{GuardSpec, JobSpec, Trigger};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use utoipa::ToSchema;
use utoipa_axum::routes;

pub fn routes() -> Routes {
    Routes::new("apps").add(needs(Permission::Operate), routes!(guarded))
}

/// How a guarded command went.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GuardedBody {
    /// The command and its arguments.
    command: Vec<String>,
    /// The backup that was taken before it.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    backup: Option<BackupId>,
    /// How it failed, in words; absent where it succeeded.
    #[serde(default)]
    failure: Option<String>,
    /// The document that `pgkeep guard --json` prints.
    #[schema(value_type = Object)]
    result: Value,
}

/// The record.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Recorded {
    /// Job that stands for the command.
    job_id: String,
}

/// Records a command that was guarded by `pgkeep guard` on another machine, with what it changed.
#[utoipa::path(post, path = "/apps/{name}/guarded", params(("name" = String, Path)), request_body = GuardedBody, responses((status = 201, description = "Recorded", body = Recorded)))]
async fn guarded(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
    Json(body): Json<GuardedBody>,
) -> Result<(StatusCode, Json<Recorded>), Problem> {
    seen(&who, name.as_str(), "app", name.as_str())?;
    let app = state.catalog.app(name.as_str()).await?;
    let bytes: usize = body.command.iter().map(String::len).sum();
    if body.command.is_empty() || body.command.len() > 1_000 || bytes > 100_000 {
        return Err(Problem::invalid(
            "command",
            "1 to 1000 words of 100000 bytes in all",
        ));
    }
    if !body.result.is_object() {
        return Err(Problem::invalid("result", "is an object"));
    }
    if body.failure.as_ref().is_some_and(|why| why.len() > 10_000) {
        return Err(Problem::invalid("failure", "at most 10000 bytes"));
    }
    let repository = match &body.backup {
        None => app.value.repository.clone().unwrap_or_default(),
        Some(id) => load(&state, &who, None, id).await?.repository,
    };
    let spec = JobSpec::Guard(GuardSpec {
        app: app.name.clone(),
        repository,
        command: body.command.clone(),
    });
    let mut job = new_job(&state, &who, spec);
    job.trigger = Trigger::Cli;
    // It is over already and stands in nobody's way.
    job.concurrency_key = None;
    let claim = state
        .catalog
        .begin_by_hand(job, "elsewhere", Duration::from_secs(60))
        .await?;
    let outcome = match &body.failure {
        None => Outcome::Succeeded(body.result),
        Some(why) => {
            let failure = Failure::new(ErrorCode::Failed, why.clone());
            Outcome::Found(failure.to_job_error(), body.result)
        }
    };
    state
        .catalog
        .finish(&claim.job.id, claim.fence, outcome)
        .await?;
    Act::done("app.guarded", format!("app/{}", app.name))
        .app(Some(&app.name))
        .after(serde_json::json!({ "command": body.command, "failure": body.failure }))
        .by(&state.catalog, &who, &client)
        .await?;
    let recorded = Recorded {
        job_id: claim.job.id,
    };
    Ok((StatusCode::CREATED, Json(recorded)))
}
