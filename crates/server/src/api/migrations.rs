//! At which schema version the databases of an app, its code on this machine and a backup are. The code may be asked by a
//! program of the app's.

use super::backups::load;
use super::definitions::seen;
use super::extract::{BackupId, Json, Name, Path, Query};
use super::problem::{Code, Problem};
use super::routes::{Routes, needs};
use crate::auth::Principal;
use crate::jobs::application;
use crate::state::AppState;
use pgkeep_engine::migrations::{self, MigrationsRequest, WantedBackup};
use pgkeep_model::access::Permission;
use pgkeep_model::{CancelToken, Silent};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use utoipa::IntoParams;
use utoipa_axum::routes;

/// Time for a look at the databases.
const LOOK: Duration = Duration::from_secs(60);

pub fn routes() -> Routes {
    Routes::new("apps").add(
        needs(Permission::Operate).streams_out(),
        routes!(migrations),
    )
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct MigrationsQuery {
    /// Compares with this backup.
    #[param(nullable = false, value_type = String)]
    backup: Option<BackupId>,
    /// Which copy of it, where several repositories hold one.
    #[param(nullable = false)]
    repository: Option<String>,
}

/// Tells which migrations are applied in an app's live databases, and how they stand to its code and to a backup.
#[utoipa::path(get, path = "/apps/{name}/migrations", params(("name" = String, Path), MigrationsQuery), responses((status = 200, description = "The document that `pgkeep migrations --json` prints", body = Object), (status = 422, description = "the app's connections cannot be resolved, or its server denies a privilege", body = super::problem::ProblemBody, content_type = "application/problem+json")))]
async fn migrations(
    state: AppState,
    who: Principal,
    Path(name): Path<Name>,
    Query(query): Query<MigrationsQuery>,
) -> Result<Json<Value>, Problem> {
    seen(&who, name.as_str(), "app", name.as_str())?;
    let app = state.catalog.app(name.as_str()).await?;
    let backup = match &query.backup {
        None => None,
        Some(id) => {
            let row = load(&state, &who, query.repository.as_deref(), id).await?;
            if row.app != app.name {
                return Err(Problem::new(
                    Code::InvalidRequest,
                    format!("backup {} is of another app", &row.id[..8]),
                ));
            }
            let definition = state.catalog.repository(&row.repository).await?.value;
            Some((row, definition))
        }
    };
    let machine = state.machine.clone();
    let report = state
        .blocking
        .run(LOOK, move |cancel: CancelToken| {
            let context = machine.context(Some(&app.value), cancel, Arc::new(Silent));
            let request = MigrationsRequest {
                databases: machine.databases(&app.name, &app.value)?,
                application: application(&machine, &app.name, &app.value, None)?,
            };
            let Some((row, definition)) = backup else {
                return migrations::run(&request, None, &context);
            };
            let repository = machine.open_repository(&row.repository, &definition, &context)?;
            let wanted = WantedBackup {
                repository: &repository,
                backup: &row.id,
                app: Some(app.name.clone()),
            };
            migrations::run(&request, Some(&wanted), &context)
        })
        .await?;
    serde_json::to_value(report)
        .map(Json)
        .map_err(Problem::internal)
}
