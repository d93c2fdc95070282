//! A dump in one request: begun, taken in and finished at once.

use super::finish::finish;
use super::taking_in::{begin, discard, read_on, take_in};
use super::{CompleteUpload, CreateUpload, refuse_form};
use crate::api::accepted::Accepted;
use crate::api::definitions::app_in_field;
use crate::api::extract::{Name, Query};
use crate::api::idempotency::Keyed;
use crate::api::problem::Problem;
use crate::api::to_the_end::to_the_end;
use crate::auth::Principal;
use crate::http::Client;
use crate::state::AppState;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use pgkeep_model::access::Permission;
use serde::Deserialize;
use utoipa::IntoParams;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WholeQuery {
    /// The app that it becomes a backup of.
    #[param(value_type = String)]
    app: Name,
    /// The app's own where absent.
    #[param(nullable = false, value_type = Option<String>)]
    repository: Option<Name>,
    /// Name of the database; as the file says where absent.
    #[param(nullable = false)]
    database: Option<String>,
    #[param(nullable = false)]
    file_name: Option<String>,
    #[param(nullable = false)]
    description: Option<String>,
    /// 64 hexadecimal digits.
    #[param(nullable = false)]
    sha256: Option<String>,
}

/// One that hangs up, or a server that stops, must not leave a file that nobody knows the id of: this goes on to its end. With
/// an `Idempotency-Key` the whole request does so already.
async fn all_at_once(
    state: AppState,
    who: Principal,
    client: Client,
    query: WholeQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Accepted, Problem> {
    let work = {
        let state = state.clone();
        async move { take_and_finish(&state, &who, &client, query, &headers, body).await }
    };
    match Keyed::current() {
        Some(_) => work.await,
        None => to_the_end(&state, work).await?,
    }
}

async fn take_and_finish(
    state: &AppState,
    who: &Principal,
    client: &Client,
    query: WholeQuery,
    headers: &HeaderMap,
    body: Body,
) -> Result<Accepted, Problem> {
    app_in_field(state, who, query.app.as_str()).await?;
    if let Err(problem) = refuse_form(headers) {
        read_on(body.into_data_stream()).await;
        return Err(problem);
    }
    let new = CreateUpload {
        file_name: query.file_name.unwrap_or_default(),
        size_bytes: announced(headers),
        sha256: query.sha256,
    };
    let row = match begin(state, who, new).await {
        Ok(row) => row,
        Err(problem) => {
            read_on(body.into_data_stream()).await;
            return Err(problem);
        }
    };
    let id = row.id.clone();
    let complete = CompleteUpload {
        app: query.app.into_string(),
        repository: query.repository.map(Name::into_string),
        database: query.database,
        description: query.description.unwrap_or_default(),
        ..CompleteUpload::default()
    };
    let accepted = async {
        take_in(state, &row, body).await?;
        let row = state.catalog.upload(&row.id).await?;
        finish(state, who, client, row, complete).await
    };
    match accepted.await {
        Ok(accepted) => Ok(accepted),
        Err(problem) => {
            // Nobody knows the id of such an upload, so nobody could go on with it.
            discard(state, &id).await?;
            Err(problem)
        }
    }
}

/// The length of the body, where the client says it.
fn announced(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// Uploads a dump in one request; a job reads it to its end and makes a backup of it. The body is the file as it is, not a
/// form; what begins as no dump and no package does is refused (422) before it is stored.
#[utoipa::path(post, path = "/backups/upload", params(WholeQuery), request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses((status = 202, description = "The import is a job now", body = Accepted), (status = 404, description = "no app or repository of that name", body = crate::api::problem::ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn whole(
    state: AppState,
    who: Principal,
    client: Client,
    Query(query): Query<WholeQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Accepted, Problem> {
    all_at_once(state, who, client, query, headers, body).await
}

/// Uploads a dump that is to be restored. Restoring stays a step of its own: the job's result names the backup, and
/// `POST /backups/{id}/restore/plan` shows what a restore of it would do.
#[utoipa::path(post, path = "/backups/upload-restore", params(WholeQuery), request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses((status = 202, description = "The import is a job now", body = Accepted), (status = 404, description = "no app or repository of that name", body = crate::api::problem::ProblemBody, content_type = "application/problem+json")))]
pub(super) async fn whole_to_restore(
    state: AppState,
    who: Principal,
    client: Client,
    Query(query): Query<WholeQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Accepted, Problem> {
    if !who.may(Permission::Restore) {
        return Err(Problem::forbidden("this account may not restore"));
    }
    all_at_once(state, who, client, query, headers, body).await
}
