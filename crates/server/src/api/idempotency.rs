//! Requests that make something, repeatable without making it twice: `Idempotency-Key`.
//!
//! The answer to a request with a key is kept for a day. Who sends the same request with the same key again gets that
//! answer, with `Idempotency-Replayed: true`; another request under the same key is refused. A request that failed made
//! nothing, so its key is free again. A job that the work puts into the queue is the answer, kept in the same transaction:
//! see [`super::accepted::enqueue`].
//!
//! It stands around the handlers: a route takes keys where its guard says so (`repeatable`). An answer that holds a secret
//! is not kept, only that there was one. A body that is streamed in is not read to see whether two requests are the same: its
//! address has to name its SHA-256.
//!
//! A request with a key is worked on to its end even where the client hangs up: else nobody could tell what it has made.

use super::extract::body_problem;
use super::problem::{Code, Problem};
use super::to_the_end::to_the_end;
use crate::auth::Principal;
use crate::state::AppState;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use pgkeep_catalog::Catalog;
use pgkeep_catalog::people::idempotency::Idempotency;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Answers that are kept are small.
const MOST_BYTES: usize = 1 << 20;

/// How a route keeps its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    Answers,
    /// Answers hold a secret that is shown once.
    Secrets,
}

/// The request with a key that the calling task answers.
#[derive(Debug, Clone)]
pub struct Keyed {
    pub key: String,
    pub principal: String,
}

tokio::task_local! {
    static ANSWERED: Keyed;
}

impl Keyed {
    pub fn current() -> Option<Self> {
        ANSWERED.try_with(Clone::clone).ok()
    }
}

/// The key of a request, if it has one.
fn key_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let is_key = |key: &&str| {
        (1..=200).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match value.to_str().ok().filter(is_key) {
        Some(key) => Ok(Some(key.to_owned())),
        None => Err(Problem::new(
            Code::InvalidRequest,
            "Idempotency-Key: 1 to 200 visible characters are expected",
        )),
    }
}

/// Has the request answered once for each key of an account.
pub async fn once(
    state: &AppState,
    who: &Principal,
    keeping: Keeping,
    streamed: bool,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let Some(key) = key_of(request.headers())? else {
        return Ok(next.run(request).await);
    };
    let keyed = Keyed {
        key,
        principal: who.key(),
    };
    let (request, hash) = fingerprint(request, streamed).await?;
    let catalog = state.catalog.clone();
    let work = async move {
        let begun = catalog.idempotency_begin(&keyed.key, &keyed.principal, &hash);
        if let Some(answer) = known(begun.await?, keeping)? {
            return Ok(answer);
        }
        let response = ANSWERED.scope(keyed.clone(), next.run(request)).await;
        keep(&catalog, &keyed, keeping, response).await
    };
    to_the_end(state, work).await?
}

/// The answer to a request that was sent before.
fn known(before: Idempotency, keeping: Keeping) -> Result<Option<Response>, Problem> {
    match before {
        Idempotency::New => Ok(None),
        Idempotency::Replay { .. } if keeping == Keeping::Secrets => Err(Problem::new(
            Code::Conflict,
            "the request with this Idempotency-Key was done, and its answer held a secret that is not kept",
        )
        .hint("remove what it made and make another one, with a new key")),
        Idempotency::Replay { status, body } => replay(status, body).map(Some),
        Idempotency::Mismatch => Err(Problem::new(
            Code::Conflict,
            "this Idempotency-Key was used for another request",
        )
        .hint("use a new key for each thing that is to be made")),
        Idempotency::InProgress => Err(Problem::new(
            Code::RequestInProgress,
            "the request with this Idempotency-Key is being worked on",
        )
        .retry_after(2)),
    }
}

/// Keeps an answer for whoever sends its request again.
async fn keep(
    catalog: &Catalog,
    keyed: &Keyed,
    keeping: Keeping,
    response: Response,
) -> Result<Response, Problem> {
    let Keyed { key, principal } = keyed;
    if !response.status().is_success() {
        catalog.idempotency_abandon(key, principal).await?;
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, MOST_BYTES)
        .await
        .map_err(Problem::internal)?;
    let text = match keeping {
        Keeping::Answers => std::str::from_utf8(&body).map_err(Problem::internal)?,
        Keeping::Secrets => "",
    };
    catalog
        .idempotency_finish(key, principal, parts.status.as_u16(), text)
        .await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// What makes two requests the same: address and content. Passwords are left out, for this is kept.
async fn fingerprint(request: Request, streamed: bool) -> Result<(Request, String), Problem> {
    let mut hash = Sha256::new();
    hash.update(request.method().as_str());
    hash.update([0]);
    hash.update(request.uri().to_string());
    hash.update([0]);
    if streamed {
        let query = request.uri().query().unwrap_or_default();
        if !query.split('&').any(|part| part.starts_with("sha256=")) {
            return Err(Problem::invalid(
                "sha256",
                "is needed beside an Idempotency-Key, to see whether the same file is sent again",
            ));
        }
        return Ok((request, hex::encode(hash.finalize())));
    }
    let (parts, body) = request.into_parts();
    let read = Request::from_parts(parts.clone(), body);
    let bytes = Bytes::from_request(read, &()).await.map_err(body_problem)?;
    match serde_json::from_slice::<Value>(&bytes) {
        Ok(mut content) => {
            if let Some(fields) = content.as_object_mut() {
                fields.remove("password");
            }
            hash.update(content.to_string());
        }
        Err(_) => hash.update(&bytes),
    }
    let request = Request::from_parts(parts, Body::from(bytes));
    Ok((request, hex::encode(hash.finalize())))
}

fn replay(status: u16, body: String) -> Result<Response, Problem> {
    let status = StatusCode::from_u16(status).map_err(Problem::internal)?;
    let location = serde_json::from_str::<super::accepted::Accepted>(&body)
        .ok()
        .and_then(|accepted| HeaderValue::from_str(&accepted.status_url).ok());
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    if let Some(location) = location {
        headers.insert(header::LOCATION, location);
    }
    Ok(response)
}
