//! Dumps that come in: into quarantine first, a backup only once a job has read them to their end.
//!
//! A file in quarantine is named by the upload's id, never by what the client calls it, and belongs to this account of
//! the machine alone. It grows only at its end: a chunk says where it belongs, and what a cut connection had brought
//! stays. What it is shows its content, not its name. Nothing stays behind: an upload that was refused goes at once, one
//! that was abandoned when its time is over.

use super::accepted::{Accepted, enqueue, new_job};
use super::definitions::app_in_field;
use super::extract::{Id, Json, Name, Path, Query};
use super::problem::{Code, Problem};
use super::routes::{Routes, needs};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::settings::ThrottleScope;
use crate::state::AppState;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use jiff::{SignedDuration, Timestamp};
use pgkeep_catalog::people::uploads::{NewUpload, Upload as Row, UploadState};
use pgkeep_model::access::Permission;
use pgkeep_model::job::{ImportSpec, JobSpec};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::io::{Read, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

/// A client that sends nothing for so long is cut off.
const SILENCE: Duration = Duration::from_secs(30);
/// The catalog learns at least this often how far an upload has come.
const STEP: u64 = 64 << 20;
const OFFSET: &str = "upload-offset";

pub fn routes() -> Routes {
    let brings_in = || needs(Permission::Upload).throttle(ThrottleScope::Upload);
    Routes::new("uploads")
        .add(brings_in(), routes!(create))
        .add(needs(Permission::Upload), routes!(list))
        .add(needs(Permission::Upload), routes!(get))
        .add(needs(Permission::Upload).streams_in(), routes!(append))
        .add(needs(Permission::Upload).streams_out(), routes!(complete))
        .add(needs(Permission::Upload), routes!(abort))
        .add(brings_in().streams_in(), routes!(whole))
        .add(brings_in().streams_in(), routes!(whole_to_restore))
}

/// The uploads that are being written at this moment: one request at a time may add to a file.
#[derive(Default)]
pub struct Writing(Mutex<HashSet<String>>);

struct WritingGuard<'a> {
    writing: &'a Writing,
    id: String,
}

impl Writing {
    fn begin(&self, id: &str) -> Result<WritingGuard<'_>, Problem> {
        match self.ids().insert(id.to_owned()) {
            true => Ok(WritingGuard {
                writing: self,
                id: id.to_owned(),
            }),
            false => Err(Problem::new(
                Code::RequestInProgress,
                "another request is writing to this upload",
            )
            .retry_after(2)),
        }
    }

    fn ids(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WritingGuard<'_> {
    fn drop(&mut self) {
        self.writing.ids().remove(&self.id);
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
    Json(body): Json<CreateUpload>,
) -> Result<(StatusCode, Json<Upload>), Problem> {
    let row = begin(&state, &who, body).await?;
    Ok((StatusCode::CREATED, Json(row.into())))
}

async fn begin(state: &AppState, who: &Principal, body: CreateUpload) -> Result<Row, Problem> {
    let limits = &state.settings.uploads;
    if body.file_name.len() > 255 || body.file_name.chars().any(char::is_control) {
        return Err(Problem::invalid(
            "fileName",
            "at most 255 bytes, no control characters",
        ));
    }
    let is_hash = |text: &String| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if body.sha256.as_ref().is_some_and(|text| !is_hash(text)) {
        return Err(Problem::invalid("sha256", "64 hexadecimal digits"));
    }
    let size = body.size_bytes.unwrap_or(0);
    if size > limits.max_file_bytes {
        return Err(Problem::new(
            Code::TooLarge,
            format!("at most {} bytes are taken", limits.max_file_bytes),
        ));
    }
    let totals = state.catalog.upload_totals(&who.user_id).await?;
    if totals.of_owner >= u64::from(limits.max_per_user) {
        return Err(Problem::new(
            Code::Conflict,
            format!("you have {} uploads already", totals.of_owner),
        )
        .hint("finish or abort one of them"));
    }
    if totals.bytes.saturating_add(size) > limits.max_total_bytes {
        return Err(Problem::new(Code::Busy, "the room for uploads is taken").retry_after(600));
    }
    let new = NewUpload {
        owner: who.user_id.clone(),
        app: None,
        file_name: body.file_name,
        size_bytes: body.size_bytes,
        sha256: body.sha256.map(|text| text.to_lowercase()),
        expires_at: expiry(state),
    };
    let folder = state.settings.places.incoming();
    let made = tokio::task::spawn_blocking(move || {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        let free = rustix::fs::statvfs(&folder)?;
        Ok::<_, std::io::Error>(free.f_bavail.saturating_mul(free.f_frsize))
    });
    let free = made
        .await
        .map_err(Problem::internal)?
        .map_err(Problem::internal)?;
    if free < size.saturating_add(256 << 20) {
        return Err(Problem::new(
            Code::NoSpace,
            "there is no room for it on the server's disk",
        )
        .retry_after(600));
    }
    Ok(state.catalog.create_upload(&new).await?)
}

fn expiry(state: &AppState) -> Timestamp {
    let time = SignedDuration::try_from(state.settings.uploads.expire)
        .unwrap_or(SignedDuration::from_hours(24));
    state.catalog.now() + time
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

/// Adds a chunk at the end. What a cut connection has brought stays: ask for the offset and go on from there.
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
    let received = take_in(&state, &row, body).await?;
    Ok((StatusCode::NO_CONTENT, [(OFFSET, received.to_string())]).into_response())
}

fn place(state: &AppState, id: &str) -> PathBuf {
    state.settings.places.incoming().join(id)
}

/// Writes a body at the end of an upload's file; gives how long that is then.
async fn take_in(state: &AppState, row: &Row, body: Body) -> Result<u64, Problem> {
    let _writing = state.uploads.begin(&row.id)?;
    // Another request may have added to it before this one had the file for itself.
    if state.catalog.upload(&row.id).await?.received_bytes != row.received_bytes {
        return Err(Problem::new(
            Code::WrongState,
            "another request has added to this upload",
        ));
    }
    let most = row.size_bytes.unwrap_or(u64::MAX);
    let most = most.min(state.settings.uploads.max_file_bytes);
    let mut options = std::fs::OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits() as i32);
    let mut file = tokio::fs::OpenOptions::from(options)
        .open(place(state, &row.id))
        .await
        .map_err(Problem::internal)?;
    file.set_len(row.received_bytes)
        .await
        .map_err(Problem::internal)?;
    file.seek(SeekFrom::Start(row.received_bytes))
        .await
        .map_err(Problem::internal)?;
    let mut stream = body.into_data_stream();
    let (mut known, mut received) = (row.received_bytes, row.received_bytes);
    let ended = loop {
        let piece = match tokio::time::timeout(SILENCE, stream.next()).await {
            Err(_) => break Err(Problem::new(Code::TimedOut, "nothing came for too long")),
            Ok(None) => break Ok(()),
            Ok(Some(Err(_))) => {
                break Err(Problem::new(Code::InvalidRequest, "the body broke off"));
            }
            Ok(Some(Ok(piece))) => piece,
        };
        if received + piece.len() as u64 > most {
            break Err(Problem::new(
                Code::TooLarge,
                format!("the file may have {most} bytes"),
            ));
        }
        file.write_all(&piece).await.map_err(Problem::internal)?;
        received += piece.len() as u64;
        if received - known >= STEP {
            stored(state, &mut file, &row.id, known, received).await?;
            known = received;
        }
    };
    if received > known {
        stored(state, &mut file, &row.id, known, received).await?;
    }
    ended.map(|()| received)
}

async fn stored(
    state: &AppState,
    file: &mut tokio::fs::File,
    id: &str,
    from: u64,
    to: u64,
) -> Result<(), Problem> {
    file.flush().await.map_err(Problem::internal)?;
    file.sync_data().await.map_err(Problem::internal)?;
    let expires = expiry(state);
    Ok(state.catalog.advance_upload(id, from, to, expires).await?)
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

async fn finish(
    state: &AppState,
    who: &Principal,
    client: &Client,
    row: Row,
    body: CompleteUpload,
) -> Result<Accepted, Problem> {
    let app = app_in_field(state, who, &body.app).await?;
    super::backups::bounded("tags", &body.tags)?;
    if body.description.len() > 1_000 {
        return Err(Problem::invalid("description", "at most 1000 bytes"));
    }
    let repository =
        body.repository.clone().or(app.repository).ok_or_else(|| {
            Problem::invalid("repository", "the app has none of its own: name one")
        })?;
    state.catalog.repository(&repository).await?;
    let _writing = state.uploads.begin(&row.id)?;
    if row.state == UploadState::Taken {
        return Err(Problem::new(Code::WrongState, "a job has it already"));
    }
    if row
        .size_bytes
        .is_some_and(|size| size != row.received_bytes)
    {
        return Err(Problem::new(
            Code::WrongState,
            format!(
                "{} of {} bytes are here",
                row.received_bytes,
                row.size_bytes.unwrap_or_default()
            ),
        ));
    }
    if row.state == UploadState::Open {
        let path = place(state, &row.id);
        let looked = tokio::task::spawn_blocking(move || look_at(&path));
        let hash = match looked.await.map_err(Problem::internal)? {
            Ok(hash) if row.sha256.as_ref().is_none_or(|told| *told == hash) => hash,
            Ok(_) => {
                discard(state, &row.id).await?;
                return Err(Problem::invalid(
                    "sha256",
                    "the bytes that came are not those that were announced",
                ));
            }
            Err(error) => {
                discard(state, &row.id).await?;
                return Err(Problem::new(
                    Code::Invalid,
                    "the file is none that pg_dump or pgkeep writes",
                )
                .hint(error.hint.unwrap_or_default()));
            }
        };
        state.catalog.complete_upload(&row.id, &hash).await?;
    }
    let spec = JobSpec::Import(ImportSpec {
        app: body.app.clone(),
        repository,
        upload: row.id.clone(),
        file_name: row.file_name.clone(),
        max_bytes: Some(state.settings.uploads.max_expanded_bytes),
        database: body.database,
        description: body.description,
        tags: body.tags,
    });
    let accepted = enqueue(state, new_job(state, who, spec)).await?;
    state.catalog.take_upload(&row.id, &accepted.job_id).await?;
    Act::done("backup.upload", format!("upload/{}", row.id))
        .app(Some(&body.app))
        .after(serde_json::json!({ "fileName": row.file_name, "bytes": row.received_bytes }))
        .by(&state.catalog, who, client)
        .await?;
    Ok(accepted)
}

/// Finds out what kind of dump it is, and its SHA-256.
fn look_at(path: &std::path::Path) -> pgkeep_engine::Result<String> {
    pgkeep_engine::import::detect(path)?;
    let mut file = std::fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

/// Removes an upload and its file.
async fn discard(state: &AppState, id: &str) -> Result<(), Problem> {
    match tokio::fs::remove_file(place(state, id)).await {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Problem::internal(e)),
        _ => {}
    }
    state.catalog.drop_upload(id).await?;
    Ok(())
}

/// Aborts an upload and removes what has come of it.
#[utoipa::path(delete, path = "/backups/uploads/{id}", params(("id" = String, Path)), responses((status = 204, description = "Removed")))]
async fn abort(state: AppState, who: Principal, Path(id): Path<Id>) -> Result<StatusCode, Problem> {
    let row = own(&state, &who, id.as_str()).await?;
    let _writing = state.uploads.begin(&row.id)?;
    if row.state == UploadState::Taken {
        return Err(Problem::new(
            Code::InUse,
            "a job is reading it: cancel that job",
        ));
    }
    discard(&state, &row.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WholeQuery {
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

async fn all_at_once(
    state: &AppState,
    who: &Principal,
    client: &Client,
    query: WholeQuery,
    body: Body,
) -> Result<Accepted, Problem> {
    app_in_field(state, who, query.app.as_str()).await?;
    let new = CreateUpload {
        file_name: query.file_name.unwrap_or_default(),
        size_bytes: None,
        sha256: query.sha256,
    };
    let row = begin(state, who, new).await?;
    let id = row.id.clone();
    let complete = CompleteUpload {
        app: query.app.into_string(),
        repository: query.repository.map(Name::into_string),
        database: query.database,
        description: query.description.unwrap_or_default(),
        tags: Vec::new(),
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

/// Uploads a dump in one request; a job reads it to its end and makes a backup of it.
#[utoipa::path(post, path = "/backups/upload", params(WholeQuery), request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses((status = 202, description = "The import is a job now", body = Accepted)))]
async fn whole(
    state: AppState,
    who: Principal,
    client: Client,
    Query(query): Query<WholeQuery>,
    body: Body,
) -> Result<Accepted, Problem> {
    all_at_once(&state, &who, &client, query, body).await
}

/// Uploads a dump that is to be restored. Restoring stays a step of its own: the job's result names the backup, and
/// `POST /backups/{id}/restore/plan` shows what a restore of it would do.
#[utoipa::path(post, path = "/backups/upload-restore", params(WholeQuery), request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses((status = 202, description = "The import is a job now", body = Accepted)))]
async fn whole_to_restore(
    state: AppState,
    who: Principal,
    client: Client,
    Query(query): Query<WholeQuery>,
    body: Body,
) -> Result<Accepted, Problem> {
    if !who.may(Permission::Restore) {
        return Err(Problem::forbidden("this account may not restore"));
    }
    all_at_once(&state, &who, &client, query, body).await
}
