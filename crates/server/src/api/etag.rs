//! Editing without overwriting what somebody else did meanwhile: every definition has a revision, sent as `ETag` and asked
//! for by `If-Match`.

use super::extract::Json;
use super::problem::{Code, Problem};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// What the client believes that it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// No condition.
    Anything,
    /// `If-None-Match: *`
    Absent,
    /// `If-Match: "7"`
    Revision(i64),
    /// `If-Match: *`
    Present,
}

impl Expected {
    /// As the catalog takes it: zero stands for absent. `Present` must be seen to by the caller, who reads before.
    pub fn revision(self) -> Option<i64> {
        match self {
            Expected::Anything | Expected::Present => None,
            Expected::Absent => Some(0),
            Expected::Revision(revision) => Some(revision),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Expected {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let text = |name| {
            parts
                .headers
                .get(name)
                .map(|value: &HeaderValue| value.to_str().unwrap_or("").trim().to_string())
        };
        match (text(header::IF_MATCH), text(header::IF_NONE_MATCH)) {
            (None, None) => Ok(Expected::Anything),
            (Some(tag), None) if tag == "*" => Ok(Expected::Present),
            (Some(tag), None) => tag
                .trim_matches('"')
                .parse()
                .ok()
                .filter(|revision| *revision > 0)
                .map(Expected::Revision)
                .ok_or_else(|| {
                    Problem::new(
                        Code::PreconditionFailed,
                        "If-Match names no revision of this resource",
                    )
                }),
            (None, Some(tag)) if tag == "*" => Ok(Expected::Absent),
            _ => Err(Problem::new(
                Code::InvalidRequest,
                "use If-Match with an ETag, or If-None-Match with '*', not both",
            )),
        }
    }
}

/// A JSON answer with its revision.
#[derive(Debug)]
pub struct Tagged<T> {
    pub status: StatusCode,
    pub revision: i64,
    pub value: T,
}

impl<T> Tagged<T> {
    pub fn ok(revision: i64, value: T) -> Self {
        Self {
            status: StatusCode::OK,
            revision,
            value,
        }
    }

    /// 201 for what was not there before, 200 for what was changed.
    pub fn put(created: bool, revision: i64, value: T) -> Self {
        Self {
            status: match created {
                true => StatusCode::CREATED,
                false => StatusCode::OK,
            },
            revision,
            value,
        }
    }
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.value)).into_response();
        response.headers_mut().insert(
            header::ETAG,
            HeaderValue::from_str(&format!("\"{}\"", self.revision)).expect("digits in quotes"),
        );
        response
    }
}
