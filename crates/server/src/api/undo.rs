//! Undoing the newest replacement of a database, whoever made it, and clearing away what restores left.
//!
//! What a server keeps is known by its mark, not by the catalog: a restore that was made by hand is undone here, too.

use super::accepted::{Accepted, enqueue};
use super::definitions::app_in_field;
use super::extract::Json;
use super::problem::Problem;
use super::restores::{territory, undo_job};
use super::routes::{Routes, needs};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::state::AppState;
use axum::response::{IntoResponse, Response};
use pgkeep_engine::files::restore as files;
use pgkeep_engine::restore::{self, PHRASE, UndoPlan};
use pgkeep_model::access::Permission;
use pgkeep_model::job::UndoSpec;
use pgkeep_model::{CancelToken, Silent};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;
use utoipa_axum::routes;

/// Time for a look at the app's database server, and for dropping what has expired there.
const LOOK: Duration = Duration::from_secs(60);

pub fn routes() -> Routes {
    Routes::new("restores")
        .add(
            needs(Permission::Restore).streams_out().repeatable(),
            routes!(undo_newest),
        )
        .add(
            needs(Permission::Delete).streams_out().repeatable(),
            routes!(drop_expired),
        )
}

/// Which database goes back to what.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct UndoNewest {
    app: String,
    /// The database that a restore replaced; the app's first where absent.
    database: Option<String>,
    /// The kept database that is swapped in; the newest one where absent.
    to: Option<String>,
    /// Time that sessions are given to end by themselves; the app's where absent.
    #[schema(maximum = 3_600)]
    grace_secs: Option<u64>,
    /// Only tells what would be done.
    dry_run: bool,
    /// The exact phrase: the database that is live now is swapped out.
    confirm: Option<String>,
    /// Why; kept in the audit log.
    reason: Option<String>,
}

/// What an undo would do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PlannedUndo {
    /// The document that `pgkeep undo --dry-run --json` prints.
    #[schema(value_type = Object)]
    plan: UndoPlan,
    /// To be sent as `confirm`, exactly.
    phrase: &'static str,
}

/// Swaps back to the database that a restore replaced, by a job. With `dryRun` it only tells what would be done.
#[utoipa::path(post, path = "/restores/undo", request_body = UndoNewest, responses((status = 200, description = "What would be done", body = PlannedUndo), (status = 202, description = "The undo is a job now", body = Accepted), (status = 404, description = "nothing is kept for it", body = super::problem::ProblemBody, content_type = "application/problem+json")))]
async fn undo_newest(
    state: AppState,
    who: Principal,
    client: Client,
    Json(body): Json<UndoNewest>,
) -> Result<Response, Problem> {
    if body.grace_secs.is_some_and(|secs| secs > 3_600) {
        return Err(Problem::invalid("graceSecs", "at most an hour"));
    }
    let app = app_in_field(&state, &who, &body.app).await?;
    if let Some(database) = &body.database {
        territory(&state, &who, &body.app)
            .await?
            .may_change(database)?;
    }
    let (machine, asked) = (state.machine.clone(), body.clone());
    let plan = state
        .blocking
        .run(LOOK, move |cancel: CancelToken| {
            let context = machine.context(Some(&app), cancel, Arc::new(Silent));
            let admin = machine.admin(&asked.app, &app)?;
            let database = match asked.database {
                Some(name) => name,
                None => machine.databases(&asked.app, &app)?.swap_remove(0).dbname,
            };
            restore::plan_undo(&admin, &database, asked.to.as_deref(), &context)
        })
        .await?;
    if body.dry_run {
        let planned = PlannedUndo {
            plan,
            phrase: PHRASE,
        };
        return Ok(Json(planned).into_response());
    }
    let object = format!("database/{}", plan.database);
    let act = |act: Act| act.app(Some(&body.app)).reason(body.reason.clone());
    if body.confirm.as_deref() != Some(PHRASE) {
        let problem = Problem::invalid(
            "confirm",
            format!("this swaps out a live database: it must be exactly \"{PHRASE}\""),
        );
        act(Act::refused("restore.undo", object, problem.detail()))
            .by(&state.catalog, &who, &client)
            .await?;
        return Err(problem);
    }
    let spec = UndoSpec {
        app: body.app.clone(),
        database: Some(plan.database.clone()),
        // What was found now, not what is newest when the job's turn comes.
        to: Some(plan.kept.clone()),
        grace_secs: body.grace_secs,
        ..UndoSpec::default()
    };
    let accepted = enqueue(&state, undo_job(&state, &who, spec).await?).await?;
    act(Act::done("restore.undo", object))
        .after(&body)
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(accepted.into_response())
}

/// Where what has expired is cleared away.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct DropExpired {
    app: String,
    /// Only what was left of this database.
    database: Option<String>,
    /// Folders of files instead of databases.
    files: bool,
}

/// What was cleared away.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Dropped {
    /// Names of the databases that were dropped, or paths of the folders that were removed.
    dropped: Vec<String>,
}

/// Drops the databases that restores left on an app's server and whose time is over, or removes such folders.
/// `GET /restores/kept` marks them as expired, and lists all that this reaches.
#[utoipa::path(post, path = "/restores/kept/drop-expired", request_body = DropExpired, responses((status = 200, description = "What was dropped", body = Dropped)))]
async fn drop_expired(
    state: AppState,
    who: Principal,
    client: Client,
    Json(body): Json<DropExpired>,
) -> Result<Json<Dropped>, Problem> {
    let app = app_in_field(&state, &who, &body.app).await?;
    let territory = territory(&state, &who, &body.app).await?;
    let (machine, asked) = (state.machine.clone(), body.clone());
    let dropped: Vec<String> = state
        .blocking
        .run(LOOK, move |cancel: CancelToken| {
            let context = machine.context(Some(&app), cancel, Arc::new(Silent));
            if asked.files {
                let paths: Vec<PathBuf> = app
                    .files
                    .iter()
                    .map(|tree| tree.path.as_str().into())
                    .collect();
                let removed = files::drop_expired(&paths, &context);
                return Ok(removed
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect());
            }
            let admin = machine.admin(&asked.app, &app)?;
            let mut found = restore::leftovers(&admin, &context)?;
            found.retain(|left| territory.reaches(left));
            if let Some(name) = &asked.database {
                // Where nothing says of which database it is, its name does.
                found.retain(|left| match &left.of {
                    Some(of) => of == name,
                    None => left.name.starts_with(&format!("{name}_pgkeep_")),
                });
            }
            restore::drop_leftovers(&admin, &found, &context)
        })
        .await?;
    Act::done("restore.drop_expired", format!("app/{}", body.app))
        .app(Some(&body.app))
        .after(serde_json::json!({ "dropped": dropped }))
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(Json(Dropped { dropped }))
}
