//! The end of an upload: its file is looked at, and a job reads it.

use super::taking_in::{discard, no_dump, place};
use super::{CompleteUpload, Row};
use crate::api::accepted::{Accepted, enqueue, new_job};
use crate::api::backups::bounded;
use crate::api::definitions::app_in_field;
use crate::api::problem::{Code, Problem};
use crate::api::repositories;
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::state::AppState;
use pgkeep_catalog::people::uploads::UploadState;
use pgkeep_engine::import::{BEGINNING, Foreign};
use pgkeep_engine::package;
use pgkeep_model::job::{ImportSpec, JobSpec};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Has a job make a backup of a file that is here in full; a file that is none goes at once.
pub(super) async fn finish(
    state: &AppState,
    who: &Principal,
    client: &Client,
    row: Row,
    body: CompleteUpload,
) -> Result<Accepted, Problem> {
    let app = app_in_field(state, who, &body.app).await?;
    bounded("tags", &body.tags)?;
    if body.description.len() > 1_000 {
        return Err(Problem::invalid("description", "at most 1000 bytes"));
    }
    if let Some(environment) = &body.environment {
        bounded("environment", std::slice::from_ref(environment))?;
    }
    if body
        .compression
        .is_some_and(|level| !(-7..=22).contains(&level))
    {
        return Err(Problem::invalid("compression", "-7 to 22"));
    }
    let repository =
        body.repository.clone().or(app.repository).ok_or_else(|| {
            Problem::invalid("repository", "the app has none of its own: name one")
        })?;
    state.catalog.repository(&repository).await?;
    if body.repository.is_some() {
        repositories::seen(state, who, &repository).await?;
    }
    let _writing = state.uploads.begin(&row.id)?;
    refuse_unless_whole(&row)?;
    if row.state == UploadState::Open {
        examine(state, &row).await?;
    }
    let app = body.app.clone();
    let accepted = enqueue_import(state, who, &row, repository, body).await?;
    Act::done("backup.upload", format!("upload/{}", row.id))
        .app(Some(&app))
        .after(serde_json::json!({ "fileName": row.file_name, "bytes": row.received_bytes }))
        .by(&state.catalog, who, client)
        .await?;
    Ok(accepted)
}

fn refuse_unless_whole(row: &Row) -> Result<(), Problem> {
    if row.state == UploadState::Taken {
        return Err(Problem::new(Code::WrongState, "a job has it already"));
    }
    match row.size_bytes {
        Some(size) if size != row.received_bytes => Err(Problem::new(
            Code::WrongState,
            format!("{} of {size} bytes are here", row.received_bytes),
        )),
        _ => Ok(()),
    }
}

/// Looks at the content: whether it is a dump, and the one that was announced.
async fn examine(state: &AppState, row: &Row) -> Result<(), Problem> {
    let path = place(state, &row.id);
    let looked = tokio::task::spawn_blocking(move || look_at(&path));
    let refused = match looked.await.map_err(Problem::internal)? {
        Ok(hash) if row.sha256.as_ref().is_none_or(|told| *told == hash) => {
            return Ok(state.catalog.complete_upload(&row.id, &hash).await?);
        }
        Ok(_) => Problem::invalid(
            "sha256",
            "the bytes that came are not those that were announced",
        ),
        Err(Refused::Foreign(foreign)) => no_dump(foreign),
        Err(Refused::Encrypted) => Problem::new(Code::Invalid, "the package is encrypted").hint(
            "its key stays where it is: open the package there with `age --decrypt`, and send what comes of it",
        ),
        Err(Refused::Unreadable(error)) => return Err(Problem::internal(error)),
    };
    discard(state, &row.id).await?;
    Err(refused)
}

/// Why a file is not taken.
enum Refused {
    Foreign(Foreign),
    Encrypted,
    Unreadable(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Refused::Unreadable(error)
    }
}

/// Finds out whether it may be a dump or a package, and its SHA-256.
fn look_at(path: &Path) -> Result<String, Refused> {
    let mut file = File::open(path)?;
    let mut start = Vec::new();
    (&mut file).take(BEGINNING as u64).read_to_end(&mut start)?;
    if let Some(foreign) = Foreign::tell(&start, start.len() < BEGINNING) {
        return Err(Refused::Foreign(foreign));
    }
    if package::is_encrypted(path) {
        return Err(Refused::Encrypted);
    }
    let mut hash = Sha256::new();
    hash.update(&start);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

async fn enqueue_import(
    state: &AppState,
    who: &Principal,
    row: &Row,
    repository: String,
    body: CompleteUpload,
) -> Result<Accepted, Problem> {
    let spec = JobSpec::Import(ImportSpec {
        app: body.app,
        repository,
        upload: row.id.clone(),
        file_name: row.file_name.clone(),
        max_bytes: Some(state.settings.uploads.max_expanded_bytes),
        database: body.database,
        environment: body.environment,
        compression: body.compression,
        description: body.description,
        tags: body.tags,
    });
    let accepted = enqueue(state, new_job(state, who, spec)).await?;
    state.catalog.take_upload(&row.id, &accepted.job_id).await?;
    Ok(accepted)
}
