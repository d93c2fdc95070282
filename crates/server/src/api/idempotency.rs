//! Requests that make something, repeatable without making it twice: `Idempotency-Key`.
//!
//! The answer to a request with a key is kept for a day. Who sends the same request with the same key again gets that
//! answer, with `Idempotency-Replayed: true`; another request under the same key is refused. A request that failed made
//! nothing, so its key is free again. A job that the work puts into the queue is the answer, kept in the same transaction:
//! see [`super::accepted::enqueue`].
//!
//! It stands around the handlers: a route takes keys where its guard says so (`repeatable`). An answer that holds a secret
//! is not kept, only that there was one. A body that is streamed in is not part of what makes two requests the same; its
//! announced length is.

use super::extract::body_problem;
use super::problem::{Code, Problem};
use crate::auth::Principal;
use crate::state::AppState;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
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
    let principal = who.key();
    let (request, hash) = fingerprint(request, streamed).await?;
    match state
        .catalog
        .idempotency_begin(&key, &principal, &hash)
        .await?
    {
        Idempotency::New => {}
        Idempotency::Replay { .. } if keeping == Keeping::Secrets => {
            return Err(Problem::new(
                Code::Conflict,
                "the request with this Idempotency-Key was done, and its answer held a secret that is not kept",
            )
            .hint("remove what it made and make another one, with a new key"));
        }
        Idempotency::Replay { status, body } => return replay(status, body),
        Idempotency::Mismatch => {
            return Err(Problem::new(
                Code::Conflict,
                "this Idempotency-Key was used for another request",
            )
            .hint("use a new key for each thing that is to be made"));
        }
        Idempotency::InProgress => {
            return Err(Problem::new(
                Code::RequestInProgress,
                "the request with this Idempotency-Key is being worked on",
            )
            .retry_after(2));
        }
    }
    let keyed = Keyed {
        key: key.clone(),
        principal: principal.clone(),
    };
    let response = ANSWERED.scope(keyed, next.run(request)).await;
    if !response.status().is_success() {
        state.catalog.idempotency_abandon(&key, &principal).await?;
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
    state
        .catalog
        .idempotency_finish(&key, &principal, parts.status.as_u16(), text)
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
        let length = request.headers().get(header::CONTENT_LENGTH);
        hash.update(length.map_or(&b""[..], HeaderValue::as_bytes));
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
