//! Dumps that come in: into quarantine first, a backup only once a job has read them to their end.
//!
//! A file in quarantine is named by the upload's id, never by what the client calls it, and belongs to this account of
//! the machine alone. It grows only at its end: a chunk says where it belongs, and what a cut connection had brought
//! stays. What it is shows its content, not its name. Nothing stays behind: an upload that was refused goes at once, one
//! that was abandoned when its time is over.

mod finish;
mod taking_in;
mod whole;

use super::accepted::Accepted;
use super::extract::{Id, Json, Path};
use super::problem::{Code, Problem};
use super::routes::{Routes, needs};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::settings::ThrottleScope;
use crate::state::AppState;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use finish::finish;
use jiff::Timestamp;
use pgkeep_catalog::people::uploads::{Upload as Row, UploadState};
use pgkeep_engine::import::Foreign;
use pgkeep_model::access::Permission;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, PoisonError};
use taking_in::{begin, discard, no_dump, take_in};
use utoipa::ToSchema;
use utoipa_axum::routes;

const OFFSET: &str = "upload-offset";

pub fn routes() -> Routes {
    let brings_in = || needs(Permission::Upload).throttle(ThrottleScope::Upload);
    Routes::new("uploads")
        .add(brings_in().repeatable(), routes!(create))
        .add(needs(Permission::Upload), routes!(list))
        .add(needs(Permission::Upload), routes!(get))
        .add(needs(Permission::Upload).streams_in(), routes!(append))
        .add(
            needs(Permission::Upload).streams_out().repeatable(),
            routes!(complete),
        )
        .add(needs(Permission::Upload), routes!(abort))
        .add(brings_in().streams_in().repeatable(), routes!(whole::whole))
        .add(
            brings_in().streams_in().repeatable(),
            routes!(whole::whole_to_restore),
        )
}

/// The uploads that are being written at this moment: one request at a time may add to a file. Each with the bytes that came
/// of it beyond what the catalog knows of, neither as received nor as announced.
#[derive(Default)]
pub struct Writing(Mutex<HashMap<String, u64>>);

struct WritingGuard<'a> {
    writing: &'a Writing,
    id: String,
}

impl Writing {
    fn begin(&self, id: &str) -> Result<WritingGuard<'_>, Problem> {
        match self.uploads().entry(id.to_owned()) {
            Entry::Vacant(place) => {
                place.insert(0);
                Ok(WritingGuard {
                    writing: self,
                    id: id.to_owned(),
                })
            }
            Entry::Occupied(_) => Err(Problem::new(
                Code::RequestInProgress,
                "another request is writing to this upload",
            )
            .retry_after(2)),
        }
    }

    /// Bytes of all of them that the catalog does not know of.
    fn ahead(&self) -> u64 {
        self.uploads().values().sum()
    }

    fn uploads(&self) -> std::sync::MutexGuard<'_, HashMap<String, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WritingGuard<'_> {
    /// Says how many bytes have come beyond what the catalog knows of.
    fn is_ahead(&self, bytes: u64) {
        self.writing.uploads().insert(self.id.clone(), bytes);
    }
}

impl Drop for WritingGuard<'_> {
    fn drop(&mut self) {
        self.writing.uploads().remove(&self.id);
    }
}

/// A file on its way in.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Upload {
    id: String,
    /// As the client calls it; for people to read.
    file_name: String,
    /// As announced.
    size_bytes: Option<u64>,
    sha256: Option<String>,
    /// The next chunk belongs here.
    received_bytes: u64,
    #[schema(inline)]
    state: State,
    /// The job that reads it.
    job: Option<String>,
    created_at: Timestamp,
    /// Removed then, where nobody goes on with it.
    expires_at: Timestamp,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    Open,
    Complete,
    Taken,
}

impl From<Row> for Upload {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            file_name: row.file_name,
            size_bytes: row.size_bytes,
            sha256: row.sha256,
            received_bytes: row.received_bytes,
            state: match row.state {
                UploadState::Open => State::Open,
                UploadState::Complete => State::Complete,
                UploadState::Taken => State::Taken,
            },
            job: row.job,
            created_at: row.created_at,
            expires_at: row.expires_at,
        }
    }
}

/// An upload that is about to begin.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct CreateUpload {
    /// For people to read; it tells nothing of what the file is.
    file_name: String,
    /// Bytes, where they are known before.
    size_bytes: Option<u64>,
    /// 64 hexadecimal digits, compared at the end.
    sha256: Option<String>,
}

/// Begins an upload in chunks.
#[utoipa::path(post, path = "/backups/uploads", request_body = CreateUpload, responses((status = 201, description = "The upload; its chunks go to `PATCH /backups/uploads/{id}`", body = Upload)))]
async fn create(
    state: AppState,
    who: Principal,
    client: Client,
    Json(body): Json<CreateUpload>,
) -> Result<(StatusCode, Json<Upload>), Problem> {
    let row = begin(&state, &who, body).await?;
    Act::done("upload.begin", format!("upload/{}", row.id))
        .after(serde_json::json!({ "fileName": row.file_name, "bytes": row.size_bytes }))
        .by(&state.catalog, &who, &client)
        .await?;
    Ok((StatusCode::CREATED, Json(row.into())))
}

/// The upload, if it is the account's own.
async fn own(state: &AppState, who: &Principal, id: &str) -> Result<Row, Problem> {
    let row = state.catalog.upload(id).await?;
    match row.owner == who.user_id {
        true => Ok(row),
        false => Err(Problem::not_found("upload", id)),
    }
}

/// Lists the account's uploads.
#[utoipa::path(get, path = "/backups/uploads", responses((status = 200, description = "The uploads", body = super::paging::PageOf<Upload>)))]
async fn list(
    state: AppState,
    who: Principal,
) -> Result<Json<super::paging::PageOf<Upload>>, Problem> {
    let rows = state.catalog.uploads(Some(&who.user_id)).await?;
    let items = rows.into_iter().map(Upload::from).collect();
    Ok(Json(super::paging::PageOf::whole(items)))
}

/// Tells how far an upload has come.
#[utoipa::path(get, path = "/backups/uploads/{id}", params(("id" = String, Path)), responses((status = 200, description = "The upload; `Upload-Offset` says where the next chunk belongs", body = Upload)))]
async fn get(state: AppState, who: Principal, Path(id): Path<Id>) -> Result<Response, Problem> {
    let row = own(&state, &who, id.as_str()).await?;
    let offset = row.received_bytes;
    Ok(([(OFFSET, offset.to_string())], Json(Upload::from(row))).into_response())
}

/// Adds a chunk at the end. What a cut connection has brought stays: ask for the offset and go on from there. Where the
/// beginning shows that the file is none that pg_dump or pgkeep writes, the upload is refused (422) and gone.
#[utoipa::path(patch, path = "/backups/uploads/{id}",
    params(("id" = String, Path), ("Upload-Offset" = u64, Header, description = "where the chunk belongs: all bytes that came before")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 204, description = "It is stored; `Upload-Offset` says where the next one belongs", headers(("Upload-Offset" = u64)))))]
async fn append(
    state: AppState,
    who: Principal,
    Path(id): Path<Id>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let row = own(&state, &who, id.as_str()).await?;
    let offset: u64 = headers
        .get(OFFSET)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Problem::new(Code::InvalidRequest, "Upload-Offset: a number is expected"))?;
    if row.state != UploadState::Open || offset != row.received_bytes {
        return Err(Problem::new(
            Code::WrongState,
            format!("the next chunk belongs at byte {}", row.received_bytes),
        ));
    }
    refuse_form(&headers)?;
    let received = take_in(&state, &row, body).await?;
    Ok((StatusCode::NO_CONTENT, [(OFFSET, received.to_string())]).into_response())
}

/// A form's parts are no file, whatever is in them.
fn refuse_form(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    match kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("multipart/")) {
        true => Err(no_dump(Foreign::Form)),
        false => Ok(()),
    }
}

/// What becomes of a complete file.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct CompleteUpload {
    /// The app that it becomes a backup of.
    app: String,
    /// The app's own where absent.
    repository: Option<String>,
    /// Name of the database; as the file says where absent.
    database: Option<String>,
    /// Environment that it is of; the app's where absent.
    environment: Option<String>,
    /// zstd level; the app's where absent.
    #[schema(minimum = -7, maximum = 22)]
    compression: Option<i32>,
    description: String,
    tags: Vec<String>,
}

/// Says that all bytes are there: the file is looked at, and a job reads it to its end and makes a backup of it.
#[utoipa::path(post, path = "/backups/uploads/{id}/complete", params(("id" = String, Path)), request_body = CompleteUpload, responses((status = 202, description = "The import is a job now", body = Accepted)))]
async fn complete(
    state: AppState,
    who: Principal,
    client: Client,
    Path(id): Path<Id>,
    Json(body): Json<CompleteUpload>,
) -> Result<Accepted, Problem> {
    let row = own(&state, &who, id.as_str()).await?;
    finish(&state, &who, &client, row, body).await
}

/// Aborts an upload and removes what has come of it.
#[utoipa::path(delete, path = "/backups/uploads/{id}", params(("id" = String, Path)), responses((status = 204, description = "Removed")))]
async fn abort(
    state: AppState,
    who: Principal,
    client: Client,
    Path(id): Path<Id>,
) -> Result<StatusCode, Problem> {
    let row = own(&state, &who, id.as_str()).await?;
    let _writing = state.uploads.begin(&row.id)?;
    if is_being_read(&state, &row).await? {
        return Err(Problem::new(
            Code::InUse,
            "a job is reading it: cancel that job",
        ));
    }
    discard(&state, &row.id).await?;
    Act::done("upload.abort", format!("upload/{}", row.id))
        .by(&state.catalog, &who, &client)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether a job has it that has not ended.
async fn is_being_read(state: &AppState, row: &Row) -> Result<bool, Problem> {
    match (&row.job, row.state) {
        (Some(job), UploadState::Taken) => Ok(!state.catalog.job(job).await?.state.is_final()),
        (_, state) => Ok(state == UploadState::Taken),
    }
}
