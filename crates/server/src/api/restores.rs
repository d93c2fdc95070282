//! Restores: planned, confirmed, run as jobs, listed, undone.
//!
//! A plan is made again when the restore is asked for. What it would do then must be what was shown: its hash is part of
//! the plan, and a restore that names another one is refused. Replacing live data needs the exact phrase.

mod body;
mod plan;
mod undo;

pub use body::Prove;
pub use undo::{territory, undo_job};

use super::accepted::{Accepted, enqueue, new_job};
use super::backups::{Copy, load};
use super::extract::{BackupId, Id, Json, Path, Query};
use super::jobs::{Job, apps_filter};
use super::paging::{PageOf, Paging};
use super::problem::{Code, Problem};
use super::routes::{Routes, needs};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::settings::ThrottleScope;
use crate::state::AppState;
use body::RestoreBody;
use pgkeep_catalog::{CatalogError, JobFilter, Page};
use pgkeep_model::access::Permission;
use pgkeep_model::job::{JobKind, JobSpec};
use plan::Plan;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

pub fn routes() -> Routes {
    Routes::new("restores")
        .add(needs(Permission::Restore).streams_out(), routes!(plan))
        .add(
            needs(Permission::Restore)
                .throttle(ThrottleScope::Restore)
                .repeatable()
                .streams_out(),
            routes!(create),
        )
        .add(needs(Permission::View), routes!(list))
        .add(needs(Permission::View), routes!(get))
        .merge(undo::routes())
}

/// Plans a restore and changes nothing.
#[utoipa::path(post, path = "/backups/{id}/restore/plan", params(("id" = String, Path, description = "the id, or its beginning"), Copy), request_body = RestoreBody, responses((status = 200, description = "What would be done", body = Plan)))]
async fn plan(
    state: AppState,
    who: Principal,
    Path(id): Path<BackupId>,
    Query(copy): Query<Copy>,
    Json(body): Json<RestoreBody>,
) -> Result<Json<Plan>, Problem> {
    let row = load(&state, &who, copy.repository.as_deref(), &id).await?;
    let spec = body.spec(&row, &who, &state.settings.places)?;
    let planned = plan::make(&state, &who, &spec).await?;
    Ok(Json(planned.shown(&state)))
}

/// Restores a backup, by a job. Replacing a live database or folder needs the phrase of the plan.
#[utoipa::path(post, path = "/backups/{id}/restore", params(("id" = String, Path, description = "the id, or its beginning"), Copy), request_body = RestoreBody, responses((status = 202, description = "The restore is a job now", body = Accepted)))]
async fn create(
    state: AppState,
    who: Principal,
    client: Client,
    Path(id): Path<BackupId>,
    Query(copy): Query<Copy>,
    Json(body): Json<RestoreBody>,
) -> Result<Accepted, Problem> {
    let row = load(&state, &who, copy.repository.as_deref(), &id).await?;
    let spec = body.spec(&row, &who, &state.settings.places)?;
    let object = format!("backup/{}", row.id);
    let act = |act: Act| act.app(Some(&spec.app)).reason(body.reason.clone());
    let refused = async |problem: Problem| {
        let why = problem.detail().to_owned();
        let act = act(Act::refused("restore.create", object.clone(), why));
        match act.by(&state.catalog, &who, &client).await {
            Ok(_) => problem.noted(),
            Err(error) => error.into(),
        }
    };
    let planned = match plan::make(&state, &who, &spec).await {
        Err(problem) if problem.code == Code::Forbidden => return Err(refused(problem).await),
        planned => planned?,
    };
    if let Err(problem) = planned.agreed(&body) {
        return Err(refused(problem).await);
    }
    let mut job = new_job(&state, &who, JobSpec::Restore(spec.clone()));
    job.needs_approval = planned.overwrites() && state.settings.auth.two_person_restore;
    job.agreed_plan = job.needs_approval.then(|| planned.hash());
    let accepted = enqueue(&state, job).await?;
    act(Act::done("restore.create", object.clone()))
        .after(&body)
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(accepted)
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct ListQuery {
    #[param(nullable = false)]
    app: Option<String>,
}

/// Lists restores and undos, newest first, with their reports.
#[utoipa::path(get, path = "/restores", params(ListQuery, Paging), responses((status = 200, description = "The jobs that restored", body = PageOf<Job>)))]
async fn list(
    state: AppState,
    who: Principal,
    Query(query): Query<ListQuery>,
    Query(paging): Query<Paging>,
) -> Result<Json<PageOf<Job>>, Problem> {
    of_kinds(
        &state,
        &who,
        vec![JobKind::Restore, JobKind::Undo],
        query.app.as_ref(),
        &paging,
    )
    .await
}

/// Jobs of these kinds with all that they did.
pub async fn of_kinds(
    state: &AppState,
    who: &Principal,
    kinds: Vec<JobKind>,
    app: Option<&String>,
    paging: &Paging,
) -> Result<Json<PageOf<Job>>, Problem> {
    let filter = JobFilter {
        kinds,
        apps: apps_filter(who, app),
        ..JobFilter::default()
    };
    let page = Page {
        after: paging.cursor.clone(),
        limit: paging.limit()?,
        descending: true,
    };
    let found = state.catalog.jobs(&filter, &page).await?;
    Ok(Json(PageOf {
        items: found.items.into_iter().map(Job::whole).collect(),
        next_cursor: found.next,
    }))
}

/// A job of one of these kinds that the account sees.
pub async fn job_of(
    state: &AppState,
    who: &Principal,
    kinds: &[JobKind],
    what: &str,
    id: &Id,
) -> Result<pgkeep_catalog::Job, Problem> {
    let job = match state.catalog.job(id.as_str()).await {
        Err(CatalogError::NotFound { .. }) => return Err(Problem::not_found(what, id.as_str())),
        found => found?,
    };
    match kinds.contains(&job.kind) && who.sees_maybe(job.app.as_deref()) {
        true => Ok(job),
        false => Err(Problem::not_found(what, id.as_str())),
    }
}

/// Shows one restore.
#[utoipa::path(get, path = "/restores/{id}", params(("id" = String, Path, description = "id of its job")), responses((status = 200, description = "The job that restored", body = Job)))]
async fn get(state: AppState, who: Principal, Path(id): Path<Id>) -> Result<Json<Job>, Problem> {
    let kinds = [JobKind::Restore, JobKind::Undo];
    let job = job_of(&state, &who, &kinds, "restore", &id).await?;
    Ok(Json(Job::whole(job)))
}
