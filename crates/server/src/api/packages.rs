//! Whole backups as portable files, streamed out of the repository while they are made.
//!
//! What the file is stands in a header before it; its size and sum are known to whoever has read it to its end. A package
//! holds the time when it was made, so that no two are equal and none goes on by `Range`.

use super::backups::load;
use super::downloads::{Out, Pieces, Span, header_value};
use super::extract::{BackupId, Path, Query};
use super::problem::{Code, Problem};
use super::routes::{Routes, count, needs};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::settings::ThrottleScope;
use crate::state::AppState;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use pgkeep_engine::package::{self, PackageReport, PackageRequest};
use pgkeep_model::access::Permission;
use pgkeep_model::{CancelToken, Silent};
use serde::Deserialize;
use std::io;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use utoipa::IntoParams;
use utoipa_axum::routes;

/// The report of the package without size and sum, as JSON with `\u` escapes.
pub const REPORT: HeaderName = HeaderName::from_static("x-pgkeep-package");
/// A package may be for so many readers.
const MOST_RECIPIENTS: usize = 50;

pub fn routes() -> Routes {
    Routes::new("downloads").add(
        needs(Permission::Download)
            .throttle_answered(ThrottleScope::BackupDownload)
            .streams_out(),
        routes!(package),
    )
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PackageQuery {
    /// Public keys of age that it is encrypted for, with commas between them.
    #[serde(default)]
    recipients: String,
    /// Compress it with zstd.
    #[serde(default)]
    zstd: bool,
    /// Which repository, where copies of the backup lie in several.
    repository: Option<String>,
}

/// Streams a whole backup as one portable file: every database, files, evidence, checksums.
#[utoipa::path(get, path = "/backups/{id}/package",
    params(("id" = String, Path, description = "id of the backup, or its beginning"), PackageQuery),
    responses(
        (status = 200, description = "the package", content_type = "application/octet-stream", body = Vec<u8>,
            headers(("X-Pgkeep-Package" = String, description = "what `pgkeep export --package --json` prints, without size and sum"))),
        (status = 422, description = "a recipient is no public key of age, or the repository cannot be opened", body = super::problem::ProblemBody, content_type = "application/problem+json"),
    ))]
async fn package(
    state: AppState,
    who: Principal,
    client: Client,
    Path(id): Path<BackupId>,
    Query(query): Query<PackageQuery>,
) -> Result<Response, Problem> {
    let row = load(&state, &who, query.repository.as_deref(), &id).await?;
    let recipients: Vec<String> = query
        .recipients
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    if recipients.len() > MOST_RECIPIENTS {
        return Err(Problem::new(
            Code::InvalidRequest,
            format!("recipients: at most {MOST_RECIPIENTS}"),
        ));
    }
    let place = state.downloads.place()?;
    let standing = match count(&state, ThrottleScope::BackupDownload, &who) {
        Ok(standing) => standing,
        Err(refusal) => return Ok(refusal),
    };
    Act::done("backup.download", format!("backup/{}", row.id))
        .app(Some(&row.app))
        .after(serde_json::json!({ "format": "package", "recipients": recipients }))
        .by(&state.catalog, &who, &client)
        .await?;
    let request = PackageRequest {
        backup: row.id,
        app: None,
        recipients,
        compress: query.zstd,
    };
    let (report, stream) = start(&state, row.repository, request, place).await?;
    let mut response = Body::from_stream(stream).into_response();
    let headers = response.headers_mut();
    if let Some(standing) = standing {
        standing.write(headers);
    }
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    // A name made of letters, digits, `.`, `_` and `-` needs no quoting rules.
    let disposition = format!("attachment; filename=\"{}\"", report.name);
    headers.insert(header::CONTENT_DISPOSITION, header_value(&disposition)?);
    headers.insert(REPORT, header_value(&ascii_json(&report)?)?);
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'"),
    );
    Ok(response)
}

/// Makes the package on a thread of its own; answers once its first byte is to be written.
async fn start(
    state: &AppState,
    repository: String,
    request: PackageRequest,
    place: OwnedSemaphorePermit,
) -> Result<(PackageReport, Pieces), Problem> {
    let (mut out, stream) = Out::channel(Span::ALL);
    let (opened, open) = oneshot::channel();
    let definition = state.catalog.repository(&repository).await?.value;
    let machine = state.machine.clone();
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let mut opened = Some(opened);
        let context = machine.context(None, CancelToken::new(), Arc::new(Silent));
        let written = machine
            .open_repository(&repository, &definition, &context)
            .and_then(|repository| {
                let begun = |report: &PackageReport| {
                    if let Some(opened) = opened.take() {
                        // The client may be gone already; the first write tells.
                        let _ = opened.send(Ok(report.clone()));
                    }
                };
                package::stream(&repository, &request, &mut out, begun, &context)?;
                Ok(out.finish()?)
            });
        match (written, opened) {
            (Ok(()), _) => {}
            (Err(error), Some(opened)) => {
                let _ = opened.send(Err(Problem::from(error)));
            }
            (Err(error), None) => {
                tracing::warn!(%error, "a download broke off");
                out.fail(io::Error::other("the download broke off"));
            }
        }
    });
    let report = open.await.map_err(Problem::internal)??;
    Ok((report, stream))
}

/// JSON in the characters that a header may hold.
fn ascii_json(report: &PackageReport) -> Result<String, Problem> {
    let json = serde_json::to_string(report).map_err(Problem::internal)?;
    let mut ascii = String::with_capacity(json.len());
    for c in json.chars() {
        match c.is_ascii_graphic() || c == ' ' {
            true => ascii.push(c),
            false => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    ascii.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    Ok(ascii)
}
