//! Restores: planned, confirmed, run as jobs, listed, undone.
//!
//! A plan is made again when the restore is asked for. What it would do then must be what was shown: its hash is part of
//! the plan, and a restore that names another one is refused. Replacing a live database needs the exact phrase.

use super::accepted::{Accepted, enqueue, new_job};
use super::backups::{Copy, load, look};
use super::definitions::app_in_field;
use super::extract::{BackupId, Id, Json, Path, Query};
use super::idempotency::{self, Key};
use super::jobs::{Job, apps_filter};
use super::paging::{PageOf, Paging};
use super::problem::{Code, Problem};
use super::routes::{Routes, needs};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::jobs::restore_request;
use crate::settings::ThrottleScope;
use crate::state::AppState;
use axum::response::Response;
use jiff::Timestamp;
use pgkeep_catalog::{BackupRow, JobFilter, Page};
use pgkeep_engine::restore::{self, PHRASE, PlanSummary};
use pgkeep_model::access::Permission;
use pgkeep_model::job::{JobKind, JobSpec, ProveLevel, RestoreMode, RestoreSpec, UndoSpec};
use pgkeep_model::{CancelToken, Silent};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

/// Time for a look at the server that a restore goes to.
const PLAN: Duration = Duration::from_secs(60);

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
        .add(needs(Permission::Restore).streams_out(), routes!(undo))
        .add(needs(Permission::View).streams_out(), routes!(kept))
}

/// Where a restore writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// A new database beside the others.
    Into,
    /// In the place of a live database, by swap.
    Replace,
    /// Inside a live database.
    InPlace,
}

/// How the restored database is compared with the backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prove {
    None,
    Counts,
    #[default]
    Full,
}

impl From<Prove> for ProveLevel {
    fn from(prove: Prove) -> Self {
        match prove {
            Prove::None => ProveLevel::None,
            Prove::Counts => ProveLevel::Counts,
            Prove::Full => ProveLevel::Full,
        }
    }
}

/// A restore as it is asked for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RestoreBody {
    #[schema(inline)]
    mode: Mode,
    /// Name of the database that is written: new with `into`, live with the others.
    name: String,
    /// App whose privileged connection is used; the backup's own where absent.
    #[serde(default)]
    app: Option<String>,
    /// Which database of the backup, where it holds several.
    #[serde(default)]
    database: Option<String>,
    /// Only these tables, `schema.name`; patterns as pg_dump takes them.
    #[serde(default)]
    #[schema(default = json!([]))]
    tables: Vec<String>,
    #[serde(default)]
    #[schema(default = json!([]))]
    schemas: Vec<String>,
    #[serde(default)]
    #[schema(default = false)]
    schema_only: bool,
    #[serde(default)]
    #[schema(default = false)]
    data_only: bool,
    #[serde(default)]
    #[schema(inline)]
    prove: Prove,
    #[serde(default)]
    jobs: Option<u16>,
    /// Everything belongs to the privileged account.
    #[serde(default)]
    #[schema(default = false)]
    no_owner: bool,
    /// Waives the backup of what is overwritten.
    #[serde(default)]
    #[schema(default = false)]
    skip_safety_backup: bool,
    /// Runs the app's own migrations against the restored database before it is used.
    #[serde(default)]
    #[schema(default = false)]
    migrate: bool,
    /// Runs the app's own checks against it.
    #[serde(default)]
    #[schema(default = false)]
    check: bool,
    /// How long the replaced database is kept; a day where absent.
    #[serde(default)]
    keep_old_secs: Option<u64>,
    /// The exact phrase of the plan, where data is overwritten.
    #[serde(default)]
    confirm: Option<String>,
    /// The hash of the plan that was shown: the restore is refused where it would do something else now.
    #[serde(default)]
    plan_hash: Option<String>,
    /// Why; kept in the audit log.
    #[serde(default)]
    reason: Option<String>,
}

impl RestoreBody {
    fn spec(&self, row: &BackupRow) -> Result<RestoreSpec, Problem> {
        if self.name.is_empty() || self.name.len() > 63 {
            return Err(Problem::invalid("name", "1 to 63 bytes"));
        }
        super::backups::bounded("tables", &self.tables)?;
        super::backups::bounded("schemas", &self.schemas)?;
        if self.jobs.is_some_and(|jobs| !(1..=256).contains(&jobs)) {
            return Err(Problem::invalid("jobs", "1 to 256"));
        }
        let keep = self.keep_old_secs.unwrap_or(86_400);
        if keep > 365 * 86_400 {
            return Err(Problem::invalid("keepOldSecs", "at most a year"));
        }
        Ok(RestoreSpec {
            app: self.app.clone().unwrap_or_else(|| row.app.clone()),
            repository: row.repository.clone(),
            backup: row.id.clone(),
            database: self.database.clone(),
            target: match self.mode {
                Mode::Into => RestoreMode::Into(self.name.clone()),
                Mode::Replace => RestoreMode::Replace(self.name.clone()),
                Mode::InPlace => RestoreMode::InPlace(self.name.clone()),
            },
            tables: self.tables.clone(),
            schemas: self.schemas.clone(),
            schema_only: self.schema_only,
            data_only: self.data_only,
            prove: self.prove.into(),
            jobs: self.jobs,
            no_owner: self.no_owner,
            skip_safety_backup: self.skip_safety_backup,
            keep_old_secs: keep,
            migrate: self.migrate,
            check: self.check,
        })
    }
}

/// What a restore would do, and what stands in its way.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Plan {
    backup: String,
    backup_time: Timestamp,
    app: String,
    /// Seconds between the backup and now: what a replacement loses.
    age_secs: i64,
    /// The document that `pgkeep restore --dry-run --json` prints.
    #[schema(value_type = Object)]
    summary: PlanSummary,
    steps: Vec<String>,
    warnings: Vec<String>,
    refusals: Vec<Refusal>,
    /// Live data is overwritten.
    overwrites: bool,
    /// To be sent as `confirm`, exactly; absent where nothing is overwritten.
    phrase: Option<String>,
    /// A second person must say yes.
    needs_approval: bool,
    /// To be sent as `planHash`.
    hash: String,
}

/// A reason to stop, and the way out.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Refusal {
    message: String,
    remedy: String,
}

impl Plan {
    fn of(state: &AppState, summary: PlanSummary) -> Self {
        Self {
            backup: summary.backup.clone(),
            backup_time: summary.backup_time,
            app: summary.app.clone(),
            age_secs: summary.age_secs,
            steps: summary.steps.clone(),
            warnings: summary.warnings.clone(),
            refusals: summary
                .refusals
                .iter()
                .map(|refusal| Refusal {
                    message: refusal.message.clone(),
                    remedy: refusal.remedy.clone(),
                })
                .collect(),
            overwrites: summary.overwrites,
            phrase: summary.overwrites.then(|| PHRASE.to_owned()),
            needs_approval: summary.overwrites && state.settings.auth.two_person_restore,
            hash: hash(&summary),
            summary,
        }
    }
}

/// Equal for plans that do the same to the same database: what only the passing time changes is left out.
fn hash(summary: &PlanSummary) -> String {
    let told = serde_json::json!({
        "backup": summary.backup,
        "target": summary.database.target,
        "server": summary.database.target_server,
        "selection": summary.database.selection,
        "steps": summary.steps,
        "refusals": summary.refusals,
        "overwrites": summary.overwrites,
    });
    hex::encode(Sha256::digest(told.to_string()))
}

/// Makes the plan on a thread where blocking is allowed.
async fn make_plan(
    state: &AppState,
    who: &Principal,
    spec: &RestoreSpec,
) -> Result<PlanSummary, Problem> {
    if !who.sees(&spec.app) {
        return Err(Problem::not_found("app", &spec.app));
    }
    let app = state.catalog.app(&spec.app).await?.value;
    let (machine, spec) = (state.machine.clone(), spec.clone());
    look(
        state,
        &spec.repository.clone(),
        move |repository, context| {
            let context = machine.context(Some(&app), context.cancel.clone(), Arc::new(Silent));
            let request = restore_request(&spec, &app, &machine)?;
            Ok(restore::plan(repository, &request, &context)?.summary)
        },
    )
    .await
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
    let summary = make_plan(&state, &who, &body.spec(&row)?).await?;
    Ok(Json(Plan::of(&state, summary)))
}

/// Restores a backup, by a job. Replacing a live database needs the phrase of the plan.
#[utoipa::path(post, path = "/backups/{id}/restore", params(("id" = String, Path, description = "the id, or its beginning"), Copy), request_body = RestoreBody, responses((status = 202, description = "The restore is a job now", body = Accepted)))]
async fn create(
    state: AppState,
    who: Principal,
    client: Client,
    key: Key,
    Path(id): Path<BackupId>,
    Query(copy): Query<Copy>,
    Json(body): Json<RestoreBody>,
) -> Result<Response, Problem> {
    let row = load(&state, &who, copy.repository.as_deref(), &id).await?;
    let spec = body.spec(&row)?;
    let summary = make_plan(&state, &who, &spec).await?;
    let object = format!("backup/{}", row.id);
    let act = |act: Act| act.app(Some(&spec.app)).reason(body.reason.clone());
    if let Err(problem) = agreed(&summary, &body) {
        let why = problem.detail().to_owned();
        act(Act::refused("restore.create", object, why))
            .by(&state.catalog, &who, &client)
            .await?;
        return Err(problem);
    }
    let request = (&row.id, &body);
    idempotency::once(&state, &who, key, "restore.create", &request, async {
        let mut job = new_job(&state, &who, JobSpec::Restore(spec.clone()));
        job.needs_approval = summary.overwrites && state.settings.auth.two_person_restore;
        let accepted = enqueue(&state, job).await?;
        act(Act::done("restore.create", object.clone()))
            .after(&body)
            .by(&state.catalog, &who, &client)
            .await?;
        Ok(accepted)
    })
    .await
}

fn agreed(summary: &PlanSummary, body: &RestoreBody) -> Result<(), Problem> {
    if let Some(first) = summary.refusals.first() {
        return Err(Problem::new(
            Code::Conflict,
            format!("cannot restore as asked: {}", first.message),
        )
        .hint(first.remedy.clone()));
    }
    if let Some(shown) = &body.plan_hash
        && *shown != hash(summary)
    {
        return Err(Problem::new(
            Code::PlanChanged,
            "the restore would do something else than the plan that was shown",
        )
        .hint("look at a new plan"));
    }
    if summary.overwrites && body.confirm.as_deref() != Some(PHRASE) {
        return Err(Problem::invalid(
            "confirm",
            format!("this overwrites live data: it must be exactly \"{PHRASE}\""),
        ));
    }
    Ok(())
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
    let job = state.catalog.job(id.as_str()).await?;
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

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct UndoBody {
    /// The exact phrase: the database that is live now is swapped out.
    confirm: String,
    reason: Option<String>,
}

/// Swaps back to the database that a restore replaced, by a job.
#[utoipa::path(post, path = "/restores/{id}/undo", params(("id" = String, Path, description = "id of the restore's job")), request_body = UndoBody, responses((status = 202, description = "The undo is a job now", body = Accepted)))]
async fn undo(
    state: AppState,
    who: Principal,
    client: Client,
    Path(id): Path<Id>,
    Json(body): Json<UndoBody>,
) -> Result<Accepted, Problem> {
    let job = job_of(&state, &who, &[JobKind::Restore], "restore", &id).await?;
    let JobSpec::Restore(spec) = &job.spec else {
        return Err(Problem::not_found("restore", id.as_str()));
    };
    let RestoreMode::Replace(database) = &spec.target else {
        return Err(Problem::new(
            Code::WrongState,
            "this restore replaced nothing that could be swapped back",
        ));
    };
    if body.confirm != PHRASE {
        return Err(Problem::invalid(
            "confirm",
            format!("this swaps out a live database: it must be exactly \"{PHRASE}\""),
        ));
    }
    let undo = JobSpec::Undo(UndoSpec {
        app: spec.app.clone(),
        database: database.clone(),
    });
    let accepted = enqueue(&state, new_job(&state, &who, undo)).await?;
    Act::done("restore.undo", format!("restore/{}", job.id))
        .app(Some(&spec.app))
        .reason(body.reason)
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(accepted)
}

/// A database that a restore left on a server.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct KeptDatabase {
    name: String,
    size_bytes: u64,
    /// What it is, and how long it stays.
    why: String,
    /// Its time is over.
    expired: bool,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct KeptQuery {
    app: String,
}

/// Lists the databases that restores left on an app's server: kept for an undo, or unfinished.
#[utoipa::path(get, path = "/restores/kept", params(KeptQuery), responses((status = 200, description = "The databases", body = PageOf<KeptDatabase>)))]
async fn kept(
    state: AppState,
    who: Principal,
    Query(query): Query<KeptQuery>,
) -> Result<Json<PageOf<KeptDatabase>>, Problem> {
    // Where the rest of the request is a query, what it says wrongly is a request that cannot be understood.
    let app = app_in_field(&state, &who, &query.app)
        .await
        .map_err(|problem| match problem.code {
            Code::Invalid => Problem {
                code: Code::InvalidRequest,
                ..problem
            },
            _ => problem,
        })?;
    let machine = state.machine.clone();
    let found = state
        .blocking
        .run(PLAN, move |cancel: CancelToken| {
            let context = machine.context(Some(&app), cancel, Arc::new(Silent));
            restore::leftovers(&machine.admin(&query.app, &app)?, &context)
        })
        .await?;
    Ok(Json(PageOf::whole(
        found
            .into_iter()
            .map(|left| KeptDatabase {
                name: left.name,
                size_bytes: left.size_bytes,
                why: left.why,
                expired: left.expired,
            })
            .collect(),
    )))
}
