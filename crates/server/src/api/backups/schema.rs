//! What differs between the schemas of two backups.

use super::super::extract::{BackupId, Json, Path, Query};
use super::super::problem::Problem;
use super::super::routes::{Routes, needs};
use super::{Copy, compared};
use crate::auth::Principal;
use crate::state::AppState;
use pgkeep_engine::schema_diff;
use pgkeep_model::access::Permission;
use serde_json::Value;
use utoipa_axum::routes;

pub fn routes() -> Routes {
    Routes::new("backups").add(needs(Permission::View).streams_out(), routes!(schema_diff))
}

/// Compares the schemas of two backups object by object and column by column; no row is read.
#[utoipa::path(get, path = "/backups/{id}/schema-diff/{other}", params(("id" = String, Path, description = "the id of the older one, or its beginning"), ("other" = String, Path, description = "the id of the newer one, in the same repository"), Copy), responses((status = 200, description = "The document that `pgkeep schema diff --json` prints: objects that were added, removed or changed, each with its SQL and its columns", body = Object)))]
async fn schema_diff(
    state: AppState,
    who: Principal,
    Path((id, other)): Path<(BackupId, BackupId)>,
    Query(copy): Query<Copy>,
) -> Result<Json<Value>, Problem> {
    let repository = copy.repository.as_deref();
    compared(&state, &who, repository, (&id, &other), schema_diff::run).await
}
