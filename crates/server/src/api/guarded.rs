//! Guarded commands that ran somewhere else: the server keeps the record, as a job that has ended.

use super::accepted::{Accepted, new_job};
use super::backups::{load, order};
use super::definitions::seen;
use super::extract::{BackupId, Json, Name, Path};
use super::problem::Problem;
use super::repositories;
use super::routes::{Routes, needs};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::jobs::Failure;
use crate::settings::ThrottleScope;
use crate::state::AppState;
use axum::http::StatusCode;
use pgkeep_catalog::Outcome;
use pgkeep_engine::ErrorCode;
use pgkeep_model::access::Permission;
use pgkeep_model::job::{BackupSpec, GuardSpec, JobSpec, Trigger};
use pgkeep_model::policy::PolicyKind;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use utoipa::ToSchema;
use utoipa_axum::routes;

pub fn routes() -> Routes {
    Routes::new("apps")
        .add(
            needs(Permission::Operate)
                .throttle(ThrottleScope::Guard)
                .repeatable(),
            routes!(guarded_backup),
        )
        .add(needs(Permission::Operate).repeatable(), routes!(guarded))
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

/// The backup before a guarded command.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct GuardBackup {
    /// The app's own where absent.
    repository: Option<String>,
    description: String,
    tags: Vec<String>,
    /// Tables read at the same time.
    jobs: Option<u16>,
    /// Only these of the app's databases; all where empty.
    databases: Vec<String>,
}

/// Takes the backup before a command that is guarded by `pgkeep guard` on another machine: the app's databases alone. It has
/// a limit of its own, for a deployment that waits for it is not to be stopped by the limit of backups by hand.
#[utoipa::path(post, path = "/apps/{name}/guarded/backup", params(("name" = String, Path)), request_body = GuardBackup, responses((status = 202, description = "The backup is a job now", body = Accepted)))]
async fn guarded_backup(
    state: AppState,
    who: Principal,
    client: Client,
    Path(name): Path<Name>,
    Json(body): Json<GuardBackup>,
) -> Result<Accepted, Problem> {
    seen(&who, name.as_str(), "app", name.as_str())?;
    let app = state.catalog.app(name.as_str()).await?.name;
    if let Some(repository) = &body.repository {
        state.catalog.repository(repository).await?;
        repositories::seen(&state, &who, repository).await?;
    }
    let spec = BackupSpec {
        app,
        repository: body.repository.clone(),
        backup_kind: PolicyKind::Database,
        description: body.description.clone(),
        tags: body.tags.clone(),
        jobs: body.jobs,
        databases: body.databases.clone(),
        ..BackupSpec::default()
    };
    order(&state, &who, &client, spec, &body).await
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
