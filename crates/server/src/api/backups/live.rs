//! A backup and the live databases of its app side by side, by a job: rows and definitions, or definitions alone.

use super::super::accepted::{Accepted, enqueue, new_job};
use super::super::definitions::app_in_field;
use super::super::extract::{BackupId, OptionalJson, Path, Query};
use super::super::problem::Problem;
use super::super::routes::{Routes, needs};
use super::{Copy, load};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::state::AppState;
use pgkeep_model::access::Permission;
use pgkeep_model::job::{DiffSpec, JobSpec};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;

pub fn routes() -> Routes {
    Routes::new("backups").add(
        needs(Permission::Operate).repeatable(),
        routes!(compare_live),
    )
}

/// What is compared.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct CompareLive {
    /// App whose live databases are meant; the backup's own where absent.
    app: Option<String>,
    /// Only this database.
    database: Option<String>,
    /// Definitions alone; no row is read.
    schema: bool,
    /// The live databases come first: what the backup has more is what was added.
    backward: bool,
}

/// Compares a backup with the live databases of its app, by a job. The job ends with the document that `pgkeep diff --json`
/// prints, or `pgkeep schema diff --json`.
#[utoipa::path(post, path = "/backups/{id}/compare-live", params(("id" = String, Path, description = "the id, or its beginning"), Copy), request_body(content = Option<CompareLive>), responses((status = 202, description = "The comparison is a job now", body = Accepted)))]
async fn compare_live(
    state: AppState,
    who: Principal,
    client: Client,
    Path(id): Path<BackupId>,
    Query(copy): Query<Copy>,
    OptionalJson(body): OptionalJson<CompareLive>,
) -> Result<Accepted, Problem> {
    let row = load(&state, &who, copy.repository.as_deref(), &id).await?;
    let app = body.app.clone().unwrap_or_else(|| row.app.clone());
    app_in_field(&state, &who, &app).await?;
    let spec = JobSpec::Diff(DiffSpec {
        repository: row.repository.clone(),
        from: row.id.clone(),
        to: None,
        app: Some(app.clone()),
        database: body.database.clone(),
        schema: body.schema,
        backward: body.backward,
    });
    let accepted = enqueue(&state, new_job(&state, &who, spec)).await?;
    Act::done("backup.compare", format!("backup/{}", row.id))
        .app(Some(&app))
        .after(&body)
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(accepted)
}
