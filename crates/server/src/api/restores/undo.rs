//! What restores replaced: listed, and put back.

use super::super::accepted::{Accepted, enqueue, new_job};
use super::super::definitions::app_in_field;
use super::super::extract::{Id, Json, Path, Query};
use super::super::paging::PageOf;
use super::super::problem::{Code, Problem};
use super::super::routes::{Routes, needs};
use super::job_of;
use crate::agreed;
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::jobs::{kept_folders, kept_of};
use crate::state::AppState;
use crate::territory::Territory;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use pgkeep_catalog::{Job, NewJob};
use pgkeep_engine::files::restore::KeptFolder;
use pgkeep_engine::restore::{self, PHRASE};
use pgkeep_model::access::Permission;
use pgkeep_model::app::AppDefinition;
use pgkeep_model::job::{JobKind, JobSpec, RestoreMode, UndoSpec};
use pgkeep_model::{CancelToken, Silent};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

/// Time for a look at the app's server.
const LOOK: Duration = Duration::from_secs(60);

pub fn routes() -> Routes {
    Routes::new("restores")
        .add(
            needs(Permission::Restore).streams_out().repeatable(),
            routes!(undo),
        )
        .add(needs(Permission::Restore).repeatable(), routes!(undo_files))
        .add(needs(Permission::View).streams_out(), routes!(kept))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct UndoBody {
    /// The exact phrase: what is live now is swapped out.
    confirm: String,
    reason: Option<String>,
}

/// Swaps back to the database and the folders that a restore replaced, by a job.
#[utoipa::path(post, path = "/restores/{id}/undo", params(("id" = String, Path, description = "id of the restore's job")), request_body = UndoBody, responses((status = 202, description = "The undo is a job now", body = Accepted)))]
async fn undo(
    state: AppState,
    who: Principal,
    client: Client,
    Path(id): Path<Id>,
    Json(body): Json<UndoBody>,
) -> Result<Accepted, Problem> {
    let job = job_of(&state, &who, &[JobKind::Restore], "restore", &id).await?;
    let spec = replaced_by(&job).ok_or_else(|| {
        Problem::new(
            Code::WrongState,
            "this restore replaced nothing that could be swapped back",
        )
    })?;
    confirmed(&body.confirm)?;
    let app = spec.app.clone();
    let accepted = enqueue(&state, undo_job(&state, &who, spec).await?).await?;
    Act::done("restore.undo", format!("restore/{}", job.id))
        .app(Some(&app))
        .reason(body.reason)
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(accepted)
}

/// An undo swaps out live data as the restore did, and needs the same right and the same yes of a second person.
pub async fn undo_job(
    state: &AppState,
    who: &Principal,
    spec: UndoSpec,
) -> Result<NewJob, Problem> {
    if let Some(database) = &spec.database {
        territory(state, who, &spec.app)
            .await?
            .may_change(database)?;
    }
    let spec = UndoSpec {
        beyond: who.apps.is_none(),
        ..spec
    };
    let mut job = new_job(state, who, JobSpec::Undo(spec));
    job.needs_approval = state.settings.auth.two_person_restore;
    if let Some(app) = job.app.as_deref().filter(|_| job.needs_approval) {
        let app = agreed::state_of(&state.catalog.app(app).await?);
        job.agreed_plan = Some(agreed::of_definitions(&[app]));
    }
    Ok(job)
}

/// What this account may write to on the app's server.
pub async fn territory(state: &AppState, who: &Principal, app: &str) -> Result<Territory, Problem> {
    let beyond = who.apps.is_none();
    Ok(Territory::of(&state.catalog, &state.machine, app, beyond).await?)
}

fn confirmed(phrase: &str) -> Result<(), Problem> {
    match phrase == PHRASE {
        true => Ok(()),
        false => Err(Problem::invalid(
            "confirm",
            format!("this swaps out live data: it must be exactly \"{PHRASE}\""),
        )),
    }
}

/// What an undo of this restore would put back, as far as the job's own row says.
fn replaced_by(job: &Job) -> Option<UndoSpec> {
    let JobSpec::Restore(spec) = &job.spec else {
        return None;
    };
    let report = job.result.as_ref()?;
    let files = match spec.target {
        RestoreMode::FilesOnly => report,
        _ => &report["files"],
    };
    let trees = files["trees"].as_array().into_iter().flatten();
    let undo = UndoSpec {
        app: spec.app.clone(),
        database: match &spec.target {
            RestoreMode::Replace(name) => Some(name.clone()),
            _ => None,
        },
        trees: trees
            .filter(|tree| tree["kept_as"].is_string())
            .filter_map(|tree| Some(tree["name"].as_str()?.to_owned()))
            .collect(),
        ..UndoSpec::default()
    };
    (undo.database.is_some() || !undo.trees.is_empty()).then_some(undo)
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct UndoFilesBody {
    app: String,
    /// Name of a tree; every tree of which a restore keeps a folder, where absent.
    #[schema(nullable = false)]
    tree: Option<String>,
    /// Only tells what would happen.
    dry_run: bool,
    /// The exact phrase of the plan; not needed with `dryRun`.
    confirm: String,
    reason: Option<String>,
}

/// What an undo of files would do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UndoFilesPlan {
    app: String,
    swaps: Vec<FolderSwap>,
    /// To be sent as `confirm`, exactly.
    phrase: String,
}

/// A folder that would be put back.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct FolderSwap {
    tree: String,
    /// Where it is kept now.
    folder: String,
    /// The place that it gets back; what stands there now is kept for a day.
    of: String,
    /// Backup that it was replaced by.
    replaced_by: String,
    replaced_at: Timestamp,
    kept_until: Option<Timestamp>,
}

impl FolderSwap {
    fn of(tree: String, kept: KeptFolder) -> Self {
        Self {
            tree,
            folder: kept.path.display().to_string(),
            of: kept.of.display().to_string(),
            replaced_by: kept.backup,
            replaced_at: kept.replaced_at,
            kept_until: kept.kept_until,
        }
    }
}

/// Puts back folders of an app that restores replaced, the newest of each, by a job. With `dryRun` it only tells which.
#[utoipa::path(post, path = "/restores/files/undo", request_body = UndoFilesBody, responses((status = 200, description = "What would happen", body = UndoFilesPlan), (status = 202, description = "The undo is a job now", body = Accepted), (status = 404, description = "nothing is kept there", body = crate::api::problem::ProblemBody, content_type = "application/problem+json")))]
async fn undo_files(
    state: AppState,
    who: Principal,
    client: Client,
    Json(body): Json<UndoFilesBody>,
) -> Result<Response, Problem> {
    let app = app_in_field(&state, &who, &body.app).await?;
    let wanted = body.tree.clone();
    let swaps = state
        .blocking
        .run(LOOK, move |_| newest(&app, wanted))
        .await?;
    if body.dry_run {
        let plan = UndoFilesPlan {
            app: body.app,
            swaps,
            phrase: PHRASE.to_owned(),
        };
        return Ok(Json(plan).into_response());
    }
    confirmed(&body.confirm)?;
    let spec = UndoSpec {
        app: body.app.clone(),
        database: None,
        trees: swaps.into_iter().map(|swap| swap.tree).collect(),
        ..UndoSpec::default()
    };
    let object = format!("app/{}/files/{}", body.app, spec.trees.join(","));
    let accepted = enqueue(&state, undo_job(&state, &who, spec).await?).await?;
    Act::done("restore.undo_files", object)
        .app(Some(&body.app))
        .reason(body.reason)
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(accepted.into_response())
}

/// The newest kept folder of the tree, or of every tree that has one.
fn newest(app: &AppDefinition, tree: Option<String>) -> pgkeep_engine::Result<Vec<FolderSwap>> {
    let trees: Vec<String> = match tree {
        Some(tree) => vec![tree],
        None => {
            let mut kept: Vec<String> = kept_folders(app)
                .into_iter()
                .map(|(tree, _)| tree)
                .collect();
            kept.sort();
            kept.dedup();
            kept
        }
    };
    if trees.is_empty() {
        return Err(
            pgkeep_engine::Error::not_found("no restore keeps a folder of this app")
                .hint("a replaced folder is kept for the time that its restore was given"),
        );
    }
    let folders = kept_of(app, &trees)?;
    Ok(trees
        .into_iter()
        .zip(folders)
        .map(|(tree, folder)| FolderSwap::of(tree, folder))
        .collect())
}

/// What a restore left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum KeptKind {
    /// A database on the app's server.
    Database,
    /// A folder on the server's machine.
    Files,
}

/// A database or a folder that a restore left.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Kept {
    #[schema(inline)]
    kind: KeptKind,
    /// Of the database, or the path of the folder.
    name: String,
    /// Null for a folder, which nobody has counted.
    size_bytes: Option<u64>,
    /// What it is, and how long it stays.
    why: String,
    /// Its time is over.
    expired: bool,
    /// Name of the tree that the folder was.
    tree: Option<String>,
    /// The place that the folder had.
    of: Option<String>,
    /// Backup that the folder was replaced by.
    backup: Option<String>,
    /// When the folder was replaced.
    replaced_at: Option<Timestamp>,
    /// Until when the folder is kept; for good where null.
    kept_until: Option<Timestamp>,
}

impl Kept {
    fn database(left: restore::Leftover) -> Self {
        Self {
            kind: KeptKind::Database,
            name: left.name,
            size_bytes: Some(left.size_bytes),
            why: left.why,
            expired: left.expired,
            tree: None,
            of: None,
            backup: None,
            replaced_at: None,
            kept_until: None,
        }
    }

    fn files(tree: String, folder: KeptFolder, now: Timestamp) -> Self {
        let of = folder.of.display().to_string();
        let said = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
        let until = match folder.kept_until {
            Some(until) => format!("kept until {}", said(until)),
            None => "kept".to_owned(),
        };
        Self {
            kind: KeptKind::Files,
            name: folder.path.display().to_string(),
            size_bytes: None,
            why: format!("was {of} until {}, {until}", said(folder.replaced_at)),
            expired: folder.kept_until.is_some_and(|until| until <= now),
            tree: Some(tree),
            of: Some(of),
            backup: Some(folder.backup),
            replaced_at: Some(folder.replaced_at),
            kept_until: folder.kept_until,
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct KeptQuery {
    app: String,
}

/// Lists what restores left of an app: databases on its server, kept for an undo or unfinished, and replaced folders. An
/// account that sees some apps only is told of databases of this app alone.
#[utoipa::path(get, path = "/restores/kept", params(KeptQuery), responses((status = 200, description = "Databases, then folders", body = PageOf<Kept>)))]
async fn kept(
    state: AppState,
    who: Principal,
    Query(query): Query<KeptQuery>,
) -> Result<Json<PageOf<Kept>>, Problem> {
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
    let territory = territory(&state, &who, &query.app).await?;
    let found = state
        .blocking
        .run(LOOK, move |cancel: CancelToken| {
            let context = machine.context(Some(&app), cancel, Arc::new(Silent));
            let databases = match app.databases.is_empty() && app.admin_url.is_none() {
                true => Vec::new(),
                false => restore::leftovers(&machine.admin(&query.app, &app)?, &context)?,
            };
            let now = context.clock.now();
            let folders = kept_folders(&app)
                .into_iter()
                .map(|(tree, folder)| Kept::files(tree, folder, now));
            let reached = databases.into_iter().filter(|left| territory.reaches(left));
            let found = reached.map(Kept::database).chain(folders);
            Ok::<Vec<Kept>, pgkeep_engine::Error>(found.collect())
        })
        .await?;
    Ok(Json(PageOf::whole(found)))
}
