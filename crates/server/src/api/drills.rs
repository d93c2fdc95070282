//! Drills: restores that are rehearsed and thrown away.

use super::accepted::{Accepted, enqueue, new_job};
use super::definitions::app_in_field;
use super::extract::{BackupId, Id, Json, Path, Query};
use super::jobs::Job;
use super::paging::{PageOf, Paging};
use super::problem::Problem;
use super::restores::{Prove, job_of, of_kinds};
use super::routes::{Routes, needs};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::state::AppState;
use pgkeep_model::access::Permission;
use pgkeep_model::job::{DrillSpec, JobKind, JobSpec};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

pub fn routes() -> Routes {
    Routes::new("drills")
        .add(needs(Permission::View), routes!(list))
        .add(needs(Permission::View), routes!(get))
        .add(needs(Permission::Operate).repeatable(), routes!(create))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct ListQuery {
    #[param(nullable = false)]
    app: Option<String>,
}

/// Lists drills, newest first, with their reports.
#[utoipa::path(get, path = "/drills", params(ListQuery, Paging), responses((status = 200, description = "The jobs that drilled", body = PageOf<Job>)))]
async fn list(
    state: AppState,
    who: Principal,
    Query(query): Query<ListQuery>,
    Query(paging): Query<Paging>,
) -> Result<Json<PageOf<Job>>, Problem> {
    let kinds = vec![JobKind::Drill];
    of_kinds(&state, &who, kinds, query.app.as_ref(), &paging).await
}

/// Shows one drill.
#[utoipa::path(get, path = "/drills/{id}", params(("id" = String, Path, description = "id of its job")), responses((status = 200, description = "The job that drilled", body = Job)))]
async fn get(state: AppState, who: Principal, Path(id): Path<Id>) -> Result<Json<Job>, Problem> {
    let job = job_of(&state, &who, &[JobKind::Drill], "drill", &id).await?;
    Ok(Json(Job::whole(job)))
}

/// Which backup is rehearsed, and how closely it is looked at.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateDrill {
    app: String,
    /// The newest one of the app where absent.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    backup: Option<BackupId>,
    #[serde(default)]
    repository: Option<String>,
    /// Only this database of the backup.
    #[serde(default)]
    database: Option<String>,
    #[serde(default)]
    #[schema(inline)]
    prove: Prove,
    /// SQL statements that must answer true in the restored database.
    #[serde(default)]
    #[schema(default = json!([]))]
    assertions: Vec<String>,
    /// Tables and indexes restored at once; the app's where absent.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 256)]
    jobs: Option<u16>,
    /// Everything belongs to the restoring role.
    #[serde(default)]
    #[schema(default = false)]
    no_owner: bool,
    /// Leaves the throwaway database for a look at it.
    #[serde(default)]
    #[schema(default = false)]
    keep: bool,
    /// Looks through indexes and tables with amcheck as well, whatever the app's drills do.
    #[serde(default)]
    #[schema(default = false)]
    amcheck: bool,
    /// Runs the app's check commands against the copy, whatever its drills do.
    #[serde(default)]
    #[schema(default = false)]
    app_checks: bool,
    /// Leaves the file trees alone.
    #[serde(default)]
    #[schema(default = false)]
    databases_only: bool,
    /// Longest time that restoring and proving may take; the app's where absent.
    #[serde(default)]
    objective_secs: Option<u64>,
}

/// Restores a backup into a throwaway database and proves it, by a job.
#[utoipa::path(post, path = "/drills", request_body = CreateDrill, responses((status = 202, description = "The drill is a job now", body = Accepted)))]
async fn create(
    state: AppState,
    who: Principal,
    client: Client,
    Json(body): Json<CreateDrill>,
) -> Result<Accepted, Problem> {
    app_in_field(&state, &who, &body.app).await?;
    if body.assertions.len() > 50 || body.assertions.iter().any(|sql| sql.len() > 10_000) {
        return Err(Problem::invalid(
            "assertions",
            "at most 50 statements of 10000 bytes",
        ));
    }
    // They run with all rights of the privileged connection, and their answers are read.
    let may_ask = who.may(Permission::Configure) && who.apps.is_none();
    if !body.assertions.is_empty() && !may_ask {
        return Err(Problem::forbidden(
            "SQL of one's own is for accounts that may configure and see all apps",
        )
        .hint("assertions that the app's definition holds are asked by every drill of it")
        .field("assertions", "not for this account"));
    }
    if body.jobs.is_some_and(|jobs| !(1..=256).contains(&jobs)) {
        return Err(Problem::invalid("jobs", "1 to 256"));
    }
    let row = match &body.backup {
        Some(id) => super::backups::load(&state, &who, body.repository.as_deref(), id).await?,
        None => state
            .catalog
            .newest_good_backup(&body.app)
            .await?
            .ok_or_else(|| Problem::not_found("good backup of app", &body.app))?,
    };
    let spec = JobSpec::Drill(DrillSpec {
        app: body.app.clone(),
        repository: row.repository.clone(),
        backup: row.id.clone(),
        database: body.database.clone(),
        prove: body.prove.into(),
        assertions: body.assertions.clone(),
        policy: None,
        jobs: body.jobs,
        no_owner: body.no_owner,
        keep: body.keep,
        amcheck: body.amcheck,
        app_checks: body.app_checks,
        databases_only: body.databases_only,
        objective_secs: body.objective_secs,
    });
    let accepted = enqueue(&state, new_job(&state, &who, spec)).await?;
    Act::done("drill.create", format!("backup/{}", row.id))
        .app(Some(&body.app))
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(accepted)
}
