//! What handlers take out of a request. Whatever does not fit is answered with a problem.

use super::problem::{Code, Problem};
use crate::auth::Principal;
use crate::http::Client;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody, PathRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

/// A JSON body. Types that it holds refuse unknown fields (`#[serde(deny_unknown_fields)]`).
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let json = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|value| value.trim().eq_ignore_ascii_case("application/json"));
        if !json {
            return Err(Problem::new(
                Code::UnsupportedMediaType,
                "the body must be JSON, sent as 'content-type: application/json'",
            ));
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(body_problem)?;
        parse(&bytes).map(Json)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// A JSON body that may be left out.
#[derive(Debug)]
pub struct OptionalJson<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if request.headers().get(header::CONTENT_TYPE).is_none() {
            let bytes = Bytes::from_request(request, state)
                .await
                .map_err(body_problem)?;
            return match bytes.is_empty() {
                true => Ok(OptionalJson(T::default())),
                false => Err(Problem::new(
                    Code::UnsupportedMediaType,
                    "the body must be JSON, sent as 'content-type: application/json'",
                )),
            };
        }
        let Json(value) = Json::from_request(request, state).await?;
        Ok(OptionalJson(value))
    }
}

/// What is wrong with a body that could not be read.
pub(super) fn body_problem(rejection: BytesRejection) -> Problem {
    match rejection {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
            Problem::new(
                Code::TooLarge,
                "the body is larger than this request may be",
            )
        }
        _ => Problem::new(
            Code::InvalidRequest,
            "the body could not be read to its end",
        ),
    }
}

/// Syntax is a bad request; a value that does not fit is named by its path.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = error.path().to_string();
        let inner = error.into_inner();
        match inner.classify() {
            serde_json::error::Category::Data => {
                let message = without_position(&inner.to_string());
                match field.as_str() {
                    "." | "" => Problem::new(Code::Invalid, message),
                    field => Problem::invalid(field, message),
                }
            }
            _ => Problem::new(Code::InvalidRequest, format!("not valid JSON: {inner}")),
        }
    })?;
    json.end()
        .map_err(|error| Problem::new(Code::InvalidRequest, format!("not valid JSON: {error}")))?;
    Ok(value)
}

fn without_position(message: &str) -> String {
    match message.rfind(" at line ") {
        Some(at) => message[..at].to_string(),
        None => message.to_string(),
    }
}

/// The query string.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        axum::extract::Query::<T>::try_from_uri(&parts.uri)
            .map(|query| Query(query.0))
            .map_err(|rejection| {
                let text = rejection.body_text();
                let reason = text
                    .split_once(": ")
                    .map_or(text.as_str(), |(_, rest)| rest);
                Problem::new(Code::InvalidRequest, format!("the query: {reason}"))
            })
    }
}

/// What stands in the path. A name that cannot be a name is not found.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(path) => Ok(Path(path.0)),
            Err(PathRejection::FailedToDeserializePathParams(_)) => Err(Problem::new(
                Code::NotFound,
                format!("there is nothing at {}", parts.uri.path()),
            )),
            Err(other) => Err(Problem::internal(other)),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts
            .extensions
            .get::<Principal>()
            .cloned()
            .ok_or_else(|| Problem::internal("a handler of a public route asked who is there"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let client = parts.extensions.get::<Client>().copied();
        client.ok_or_else(|| Problem::internal("a request came without its client"))
    }
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $holds:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }

            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let holds: fn(&str) -> bool = $holds;
                match holds(text) {
                    true => Ok(Self(text.to_string())),
                    false => Err(format!("'{}' is not {}", text.escape_debug(), $what)),
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    };
}

checked_text!(
    /// The name of an app, repository, policy, target or account.
    Name,
    "a name: 1 to 100 letters, digits, '_', '-', '.' or '@', beginning with a letter or digit",
    |text| (1..=100).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-.@".contains(&b))
);

checked_text!(
    /// The id of a job, token, session or upload.
    Id,
    "an id: 32 to 36 hexadecimal digits and '-'",
    |text| (32..=36).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
);

checked_text!(
    /// The id of a backup, or enough of its beginning to tell it apart.
    BackupId,
    "a backup's id: 4 to 64 hexadecimal digits",
    |text| (4..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
);

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only its reading is tested")]
        at: u8,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only its reading is tested")]
        schedule: Inner,
    }

    #[test]
    fn a_wrong_value_is_named_by_its_path() {
        for (text, status, detail) in [
            (
                r#"{"schedule":{"at":300}}"#,
                422,
                "schedule.at: invalid value: integer `300`, expected u8",
            ),
            (
                r#"{"schedule":{"at":3,"to":4}}"#,
                422,
                "schedule.to: unknown field `to`, expected `at`",
            ),
            (
                r#"{"schedule":"#,
                400,
                "not valid JSON: EOF while parsing a value at line 1 column 12",
            ),
            (
                r#"{"schedule":{"at":3}} x"#,
                400,
                "not valid JSON: trailing characters at line 1 column 23",
            ),
            (
                "[1,2]",
                422,
                "schedule: invalid type: integer `1`, expected struct Inner",
            ),
        ] {
            let problem = parse::<Outer>(text.as_bytes()).unwrap_err();
            assert_eq!(
                problem.code.status().as_u16(),
                status,
                "{text}: {problem:?}"
            );
            if text != "[1,2]" {
                assert_eq!(problem.detail, detail, "{text}");
            }
        }
    }

    #[test]
    fn names_and_ids_hold_nothing_that_reaches_elsewhere() {
        for name in [
            "shop",
            "shop-2",
            "a.b_c",
            "ann@example.org",
            &"a".repeat(100),
        ] {
            assert!(name.parse::<Name>().is_ok(), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "-rf",
            "a/b",
            "a\\b",
            "a b",
            "a\0",
            "ä",
            "%2e",
            &"a".repeat(101),
        ] {
            assert!(name.parse::<Name>().is_err(), "{name}");
        }
        assert!("0191f7a0-7c1b-7aaa-8000-0123456789ab".parse::<Id>().is_ok());
        assert!("../../etc/passwd".parse::<Id>().is_err());
        assert!("deadbeef".parse::<BackupId>().is_ok());
        for id in ["", "abc", "DEADBEEF", "latest", "../../x"] {
            assert!(id.parse::<BackupId>().is_err(), "{id}");
        }
    }
}
