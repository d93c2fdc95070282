//! Making, labelling, verifying and removing backups.

use super::super::accepted::{Accepted, enqueue, new_job};
use super::super::definitions::app_in_field;
use super::super::etag::{Expected, Tagged};
use super::super::extract::{BackupId, Json, OptionalJson, Path, Query};
use super::super::problem::{Code, Problem};
use super::super::repositories::known_in_field;
use super::super::routes::{Routes, needs};
use super::super::words::BackupKind;
use super::{Backup, Copy, bounded, load, look};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::settings::ThrottleScope;
use crate::state::AppState;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use pgkeep_catalog::BackupRow;
use pgkeep_engine::catalog::{self as engine, Relabel};
use pgkeep_model::access::Permission;
use pgkeep_model::job::{BackupSpec, ForgetSpec, JobSpec, VerifySpec};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

pub fn routes() -> Routes {
    Routes::new("backups")
        .add(
            needs(Permission::Operate)
                .throttle(ThrottleScope::BackupCreate)
                .repeatable(),
            routes!(create),
        )
        .add(
            needs(Permission::Operate).edits().streams_out(),
            routes!(patch),
        )
        .add(
            needs(Permission::Delete)
                .throttle(ThrottleScope::BackupDelete)
                .edits(),
            routes!(delete),
        )
        .add(needs(Permission::Operate).repeatable(), routes!(verify))
}

/// What to back up, and how.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct CreateBackup {
    app: String,
    /// The app's own where absent.
    repository: Option<String>,
    #[schema(inline)]
    kind: Option<BackupKind>,
    description: String,
    tags: Vec<String>,
    /// Keep it whatever retention says.
    pinned: bool,
    /// zstd level.
    compression: Option<i32>,
    /// Tables read at the same time.
    jobs: Option<u16>,
    /// Read every stored byte back.
    read_back_all: bool,
    /// Only these of the app's databases; all where empty.
    databases: Vec<String>,
    /// Environment that the backup is of; the app's where absent.
    environment: Option<String>,
    /// Only schemas that match; as the app's definition says where empty.
    schemas: Vec<String>,
    /// Leaves out the rows of tables that match; as the app's definition says where empty.
    exclude_table_data: Vec<String>,
    /// How long a locked table is waited for before letting go and trying again.
    #[schema(minimum = 1, maximum = 86_400)]
    lock_timeout_secs: Option<u64>,
}

/// Takes a backup. To let a policy run now, see `POST /policies/{name}/run-now`.
#[utoipa::path(post, path = "/backups", request_body = CreateBackup, responses((status = 202, description = "The backup is a job now", body = Accepted)))]
async fn create(
    state: AppState,
    who: Principal,
    client: Client,
    Json(body): Json<CreateBackup>,
) -> Result<Accepted, Problem> {
    app_in_field(&state, &who, &body.app).await?;
    if let Some(name) = &body.repository {
        known_in_field(&state, &who, "repository", name).await?;
    }
    let kind = body.kind.unwrap_or(BackupKind::Full);
    let spec = BackupSpec {
        app: body.app.clone(),
        repository: body.repository.clone(),
        backup_kind: kind.into(),
        description: body.description.clone(),
        tags: body.tags.clone(),
        pinned: body.pinned,
        compression: body.compression,
        jobs: body.jobs,
        read_back_all: body.read_back_all,
        databases: body.databases.clone(),
        environment: body.environment.clone(),
        schemas: body.schemas.clone(),
        exclude_table_data: body.exclude_table_data.clone(),
        lock_timeout_secs: body.lock_timeout_secs,
        ..BackupSpec::default()
    };
    order(&state, &who, &client, spec, &body).await
}

/// Refuses what is out of bounds, makes a job of the rest, and writes down what was asked for.
pub(in crate::api) async fn order(
    state: &AppState,
    who: &Principal,
    client: &Client,
    spec: BackupSpec,
    asked: &impl Serialize,
) -> Result<Accepted, Problem> {
    if spec
        .compression
        .is_some_and(|level| !(-7..=22).contains(&level))
    {
        return Err(Problem::invalid("compression", "-7 to 22"));
    }
    if spec.jobs.is_some_and(|jobs| !(1..=256).contains(&jobs)) {
        return Err(Problem::invalid("jobs", "1 to 256"));
    }
    if spec.description.len() > 1_000 {
        return Err(Problem::invalid("description", "at most 1000 bytes"));
    }
    bounded("tags", &spec.tags)?;
    bounded("databases", &spec.databases)?;
    bounded("schemas", &spec.schemas)?;
    bounded("excludeTableData", &spec.exclude_table_data)?;
    if let Some(environment) = &spec.environment {
        bounded("environment", std::slice::from_ref(environment))?;
    }
    if spec
        .lock_timeout_secs
        .is_some_and(|secs| !(1..=86_400).contains(&secs))
    {
        return Err(Problem::invalid("lockTimeoutSecs", "1 to 86400"));
    }
    let app = spec.app.clone();
    let accepted = enqueue(state, new_job(state, who, JobSpec::Backup(spec))).await?;
    Act::done("backup.create", format!("app/{app}"))
        .app(Some(&app))
        .after(asked)
        .by(&state.catalog, who, client)
        .await?;
    Ok(accepted)
}

/// What people say of a backup.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct PatchBackup {
    description: Option<String>,
    /// Keep it whatever retention says.
    pinned: Option<bool>,
    add_tags: Vec<String>,
    remove_tags: Vec<String>,
}

/// Changes description, pin and tags of a backup.
#[utoipa::path(patch, path = "/backups/{id}", params(("id" = String, Path, description = "the id, or its beginning"), Copy), request_body = PatchBackup, responses((status = 200, description = "The backup as it is now", body = Backup)))]
async fn patch(
    state: AppState,
    who: Principal,
    client: Client,
    expected: Expected,
    Path(id): Path<BackupId>,
    Query(copy): Query<Copy>,
    Json(body): Json<PatchBackup>,
) -> Result<Tagged<Backup>, Problem> {
    bounded("addTags", &body.add_tags)?;
    bounded("removeTags", &body.remove_tags)?;
    if body
        .description
        .as_ref()
        .is_some_and(|text| text.len() > 1_000)
    {
        return Err(Problem::invalid("description", "at most 1000 bytes"));
    }
    let row = load(&state, &who, copy.repository.as_deref(), &id).await?;
    meets(&row, expected)?;
    let change = Relabel {
        description: body.description.clone(),
        pinned: body.pinned,
        add_tags: body.add_tags.clone(),
        remove_tags: body.remove_tags.clone(),
    };
    let id = row.id.clone();
    let entry = look(&state, &row.repository, move |repository, _| {
        engine::relabel(repository, &id, &change)
    })
    .await?;
    let now = BackupRow {
        description: entry.description,
        tags: entry.tags,
        pinned: entry.pinned,
        shrunk: entry.validity.shrunk,
        ..row.clone()
    };
    state.catalog.upsert_backup(&now).await?;
    Act::done("backup.label", format!("backup/{}", row.id))
        .app(Some(&row.app))
        .before(serde_json::json!({ "description": row.description, "pinned": row.pinned, "tags": row.tags }))
        .after(serde_json::json!({ "description": now.description, "pinned": now.pinned, "tags": now.tags }))
        .by(&state.catalog, &who, &client)
        .await?;
    let now = state.catalog.backup(Some(&row.repository), &row.id).await?;
    Ok(Tagged::ok(now.revision, now.into()))
}

fn meets(row: &BackupRow, expected: Expected) -> Result<(), Problem> {
    match expected.revision() {
        Some(revision) if revision != row.revision => Err(Problem::new(
            Code::PreconditionFailed,
            "the backup was changed by somebody else in the meantime",
        )),
        _ => Ok(()),
    }
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DeleteQuery {
    #[param(nullable = false)]
    repository: Option<String>,
    /// Only tells what would happen.
    #[param(nullable = false)]
    dry_run: Option<bool>,
    /// Also the newest good or newest proven backup of its app; needs a reason.
    #[param(nullable = false)]
    force: Option<bool>,
    /// Why; kept in the audit log.
    #[param(nullable = false)]
    reason: Option<String>,
}

/// What removing a backup means.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DeletePlan {
    backup: Backup,
    /// What speaks against it; each must be dealt with first, or overruled by `force` where it says so.
    objections: Vec<Objection>,
    /// What happens, in words.
    steps: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Objection {
    pub message: String,
    /// Whether `force` overrules it.
    pub can_be_forced: bool,
}

/// Removes a backup, by a job. With `dryRun` it only tells what would happen.
#[utoipa::path(delete, path = "/backups/{id}", params(("id" = String, Path, description = "the id, or its beginning"), DeleteQuery), responses((status = 200, description = "What would happen", body = DeletePlan), (status = 202, description = "The removal is a job now", body = Accepted)))]
async fn delete(
    state: AppState,
    who: Principal,
    client: Client,
    expected: Expected,
    Path(id): Path<BackupId>,
    Query(query): Query<DeleteQuery>,
) -> Result<Response, Problem> {
    let row = load(&state, &who, query.repository.as_deref(), &id).await?;
    meets(&row, expected)?;
    let objections = objections(&state, &row).await?;
    if query.dry_run.unwrap_or(false) {
        let plan = DeletePlan {
            steps: vec![
                format!(
                    "remove backup {} from repository {}",
                    &row.id[..8],
                    row.repository
                ),
                "free the space that no other backup needs".into(),
            ],
            objections,
            backup: row.into(),
        };
        return Ok(Json(plan).into_response());
    }
    let forced = query.force.unwrap_or(false);
    let act = |act: Act| act.app(Some(&row.app)).reason(query.reason.clone());
    let object = format!("backup/{}", row.id);
    if let Some(objection) = objections.iter().find(|o| !(o.can_be_forced && forced)) {
        act(Act::refused(
            "backup.delete",
            object,
            objection.message.clone(),
        ))
        .by(&state.catalog, &who, &client)
        .await?;
        let problem = Problem::new(Code::Conflict, objection.message.clone());
        return Err(match objection.can_be_forced {
            true => problem.hint("repeat it with force=true and a reason"),
            false => problem.hint("leave it until that has changed"),
        });
    }
    if forced
        && query
            .reason
            .as_deref()
            .is_none_or(|why| why.trim().is_empty())
    {
        return Err(Problem::invalid("reason", "say why, where force is used"));
    }
    let spec = JobSpec::Forget(ForgetSpec {
        repository: row.repository.clone(),
        backups: vec![row.id.clone()],
        prune: true,
    });
    let mut job = new_job(&state, &who, spec);
    job.app = Some(row.app.clone());
    let accepted = enqueue(&state, job).await?;
    act(Act::done("backup.delete", object))
        .before(Backup::from(row.clone()))
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(accepted.into_response())
}

/// What speaks against removing a backup.
pub async fn objections(state: &AppState, row: &BackupRow) -> Result<Vec<Objection>, Problem> {
    let mut objections = Vec::new();
    let mut add = |message: String, can_be_forced| {
        objections.push(Objection {
            message,
            can_be_forced,
        });
    };
    let short = &row.id[..8];
    if row.pinned {
        add(format!("backup {short} is pinned: unpin it first"), false);
    }
    for job in state.catalog.running_jobs_of_app(&row.app).await? {
        let spec = serde_json::to_string(&job.spec).map_err(Problem::internal)?;
        if spec.contains(short) {
            add(
                format!("job {} is working with backup {short}", job.id),
                false,
            );
        }
    }
    let is = |newest: Option<BackupRow>| newest.is_some_and(|newest| newest.id == row.id);
    if is(state.catalog.newest_proven_backup(&row.app).await?) {
        add(
            format!("backup {short} is the newest proven one of app {}", row.app),
            true,
        );
    }
    if is(state.catalog.newest_good_backup(&row.app).await?) {
        add(
            format!("backup {short} is the newest good one of app {}", row.app),
            true,
        );
    }
    Ok(objections)
}

#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct VerifyBackup {
    /// Read every byte, not only presence and size.
    read_data: bool,
}

/// Verifies that a backup is stored whole, by a job.
#[utoipa::path(post, path = "/backups/{id}/verify", params(("id" = String, Path, description = "the id, or its beginning"), Copy), request_body(content = VerifyBackup, description = "Optional"), responses((status = 202, description = "The verification is a job now", body = Accepted)))]
async fn verify(
    state: AppState,
    who: Principal,
    client: Client,
    Path(id): Path<BackupId>,
    Query(copy): Query<Copy>,
    OptionalJson(body): OptionalJson<VerifyBackup>,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let row = load(&state, &who, copy.repository.as_deref(), &id).await?;
    let spec = JobSpec::Verify(VerifySpec {
        repository: row.repository.clone(),
        backups: vec![row.id.clone()],
        app: Some(row.app.clone()),
        read_data: body.read_data,
    });
    let accepted = enqueue(&state, new_job(&state, &who, spec)).await?;
    Act::done("backup.verify", format!("backup/{}", row.id))
        .app(Some(&row.app))
        .by(&state.catalog, &who, &client)
        .await?;
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}
