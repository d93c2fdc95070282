//! Requests that make something, repeatable without making it twice: `Idempotency-Key`.
//!
//! The answer to a request with a key is kept for a day. Who sends the same request with the same key again gets that
//! answer, with `Idempotency-Replayed: true`; another request under the same key is refused. A request that failed made
//! nothing, so its key is free again. A job that the work puts into the queue is the answer, kept in the same transaction:
//! see [`super::accepted::enqueue`].

use super::problem::{Code, Problem};
use crate::auth::Principal;
use crate::state::AppState;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pgkeep_catalog::people::idempotency::Idempotency;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::future::Future;

/// Answers that are kept are small.
const MOST_BYTES: usize = 1 << 20;

/// The key of a request, if it has one.
#[derive(Debug, Clone)]
pub struct Key(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("idempotency-key") else {
            return Ok(Key(None));
        };
        value
            .to_str()
            .ok()
            .filter(|key| {
                (1..=200).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic())
            })
            .map(|key| Key(Some(key.to_string())))
            .ok_or_else(|| {
                Problem::new(
                    Code::InvalidRequest,
                    "Idempotency-Key: 1 to 200 visible characters are expected",
                )
            })
    }
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

/// Does `work` once for each key of an account. `what` names the operation, `request` is all that it depends on. The work
/// queues one job at most, and its answer then is that it did.
pub async fn once<R: IntoResponse>(
    state: &AppState,
    who: &Principal,
    key: Key,
    what: &str,
    request: &impl Serialize,
    work: impl Future<Output = Result<R, Problem>>,
) -> Result<Response, Problem> {
    let Some(key) = key.0 else {
        return work.await.map(IntoResponse::into_response);
    };
    let principal = who.key();
    let hash = fingerprint(what, request)?;
    match state
        .catalog
        .idempotency_begin(&key, &principal, &hash)
        .await?
    {
        Idempotency::New => {}
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
    let response = match ANSWERED.scope(keyed, work).await {
        Ok(response) => response.into_response(),
        Err(problem) => {
            state.catalog.idempotency_abandon(&key, &principal).await?;
            return Err(problem);
        }
    };
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, MOST_BYTES)
        .await
        .map_err(Problem::internal)?;
    let text = std::str::from_utf8(&body).map_err(Problem::internal)?;
    state
        .catalog
        .idempotency_finish(&key, &principal, parts.status.as_u16(), text)
        .await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn fingerprint(what: &str, request: &impl Serialize) -> Result<String, Problem> {
    let mut hash = Sha256::new();
    hash.update(what.as_bytes());
    hash.update([0]);
    hash.update(serde_json::to_vec(request).map_err(Problem::internal)?);
    Ok(hex::encode(hash.finalize()))
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
