//! Errors as `application/problem+json`.
//!
//! [`Code`] is the one table that joins a code, its HTTP status, its title and whether a retry helps. A handler returns
//! `Result<_, Problem>`; errors of the engine and of the catalog turn into problems here and nowhere else.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pgkeep_catalog::CatalogError;
use pgkeep_engine::ErrorCode;
use serde::Serialize;
use utoipa::ToSchema;

macro_rules! codes {
    ($($variant:ident, $status:ident, $code:literal, $title:literal, $retry:literal;)*) => {
        /// What kind of problem it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $(#[doc = $title] $variant,)* }

        impl Code {
            pub const ALL: &[Code] = &[$(Code::$variant,)*];

            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $code,)* }
            }

            pub fn status(self) -> StatusCode {
                match self { $(Code::$variant => StatusCode::$status,)* }
            }

            pub fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)* }
            }

            /// Whether the same request may succeed later.
            pub fn retry_helps(self) -> bool {
                match self { $(Code::$variant => $retry,)* }
            }
        }
    };
}

codes! {
    InvalidRequest, BAD_REQUEST, "invalid_request", "the request cannot be understood", false;
    Unauthenticated, UNAUTHORIZED, "unauthenticated", "nobody is logged in", false;
    LoginRefused, UNAUTHORIZED, "login_refused", "the login was refused", false;
    SecondFactorNeeded, UNAUTHORIZED, "second_factor_needed", "a one-time code is needed", false;
    Forbidden, FORBIDDEN, "forbidden", "this account may not do that", false;
    CsrfRefused, FORBIDDEN, "csrf_refused", "the request does not come from pgkeep's own pages", false;
    NotFound, NOT_FOUND, "not_found", "there is no such thing", false;
    MethodNotAllowed, METHOD_NOT_ALLOWED, "method_not_allowed", "the resource does not know this method", false;
    Conflict, CONFLICT, "conflict", "it is in the way of something else", false;
    Exists, CONFLICT, "exists", "there is one already", false;
    InUse, CONFLICT, "in_use", "something else needs it", false;
    WrongState, CONFLICT, "wrong_state", "its state does not allow that", false;
    RequestInProgress, CONFLICT, "request_in_progress", "the same request is being worked on", true;
    PlanChanged, CONFLICT, "plan_changed", "the plan is not what it was", false;
    PreconditionFailed, PRECONDITION_FAILED, "precondition_failed", "somebody else changed it meanwhile", false;
    TooLarge, PAYLOAD_TOO_LARGE, "too_large", "the request is too large", false;
    UnsupportedMediaType, UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "the body has the wrong type", false;
    RangeNotSatisfiable, RANGE_NOT_SATISFIABLE, "range_not_satisfiable", "there are no such bytes", false;
    Invalid, UNPROCESSABLE_ENTITY, "invalid", "the values cannot be accepted", false;
    Refused, UNPROCESSABLE_ENTITY, "refused", "refused because data would be at risk", false;
    ConfirmationNeeded, UNPROCESSABLE_ENTITY, "confirmation_needed", "the confirm phrase is missing or wrong", false;
    ProofFailed, UNPROCESSABLE_ENTITY, "proof_failed", "the restored database differs from its evidence", false;
    Damaged, UNPROCESSABLE_ENTITY, "damaged", "the repository holds damage", false;
    RepositoryAccess, UNPROCESSABLE_ENTITY, "repository_access", "the repository cannot be opened", false;
    Privilege, UNPROCESSABLE_ENTITY, "privilege", "the database server denies a privilege", false;
    Tools, UNPROCESSABLE_ENTITY, "tools", "a client program is missing or too old", false;
    Throttled, TOO_MANY_REQUESTS, "throttled", "too many requests", true;
    HeadersTooLarge, REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "the head of the request is too large", false;
    Failed, INTERNAL_SERVER_ERROR, "failed", "the server failed", true;
    Busy, SERVICE_UNAVAILABLE, "busy", "the server is busy", true;
    NoWorker, SERVICE_UNAVAILABLE, "no_worker", "no worker is alive to do it", true;
    TimedOut, SERVICE_UNAVAILABLE, "timed_out", "the request took too long", true;
    Database, SERVICE_UNAVAILABLE, "database", "the database server cannot be used", true;
    Storage, SERVICE_UNAVAILABLE, "storage", "the storage cannot be used", true;
    NoSpace, INSUFFICIENT_STORAGE, "no_space", "there is not enough space", true;
}

/// One error as the client sees it.
#[derive(Debug, Clone)]
pub struct Problem {
    pub code: Code,
    /// What failed on what.
    pub detail: String,
    /// What to do next.
    pub hint: Option<String>,
    /// Several findings where there are more than one.
    pub details: Vec<String>,
    /// Which fields of the request are wrong.
    pub fields: Vec<FieldProblem>,
    /// Seconds after which a retry makes sense.
    pub retry_after: Option<u64>,
    /// Its refusal stands in the audit log.
    pub noted: bool,
}

/// Marks an answer whose refusal stands in the audit log already.
#[derive(Debug, Clone, Copy)]
pub struct Noted;

/// A field that cannot be accepted.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FieldProblem {
    /// Path of the field: `schedule.at`.
    pub field: String,
    pub message: String,
}

/// The body of every error.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Names the kind of problem: `urn:pgkeep:problem:` and the code.
    #[serde(rename = "type")]
    type_: String,
    title: &'static str,
    status: u16,
    /// Stable, for programs.
    code: &'static str,
    /// What failed on what.
    detail: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    details: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    fields: Vec<FieldProblem>,
    /// The request's id in the server's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<String>,
}

impl Code {
    /// What to do about every problem of the kind, where nothing better is known.
    pub fn usual_hint(self) -> &'static str {
        match self {
            Code::InvalidRequest | Code::UnsupportedMediaType | Code::Invalid => {
                "/api/docs describes what the request may hold"
            }
            Code::Unauthenticated => "log in, or send 'authorization: Bearer pgk_…'",
            Code::LoginRefused => {
                "try again; whoever manages accounts can set a new password or remove a second factor"
            }
            Code::SecondFactorNeeded => {
                "send the code of your authenticator app, or a recovery code, as `code`"
            }
            Code::Forbidden => "ask somebody who manages accounts for it",
            Code::CsrfRefused => "send the session's `csrfToken` as the header X-CSRF-Token",
            Code::NotFound => "check the name; /api/docs lists all paths",
            Code::MethodNotAllowed => "`Allow` in the answer names the methods that it knows",
            Code::Conflict => "look at what is there, and make room for it or leave it",
            Code::Exists => "take another name, or change the one that is there",
            Code::InUse => "change or remove first what uses it",
            Code::WrongState => "read it again: what can be done with it depends on its state",
            Code::RequestInProgress => {
                "wait, and send it again: the answer to the first one is kept"
            }
            Code::PlanChanged => "make a new plan, and look at it",
            Code::PreconditionFailed => "read it again, and send the `ETag` of that as `If-Match`",
            Code::TooLarge => "send less at once, or raise the server's limit for it",
            Code::RangeNotSatisfiable => {
                "ask for bytes within the file, or without `Range` for all of it"
            }
            Code::Refused => "make a plan of it: that names the reasons, and what to do about each",
            Code::ConfirmationNeeded => "send the phrase that the plan asks for as `confirm`",
            Code::ProofFailed => {
                "the details name what differs; restore another backup beside it, and compare"
            }
            Code::Damaged => {
                "check the repository: that names the damage and what of it can be repaired"
            }
            Code::RepositoryAccess => "check its address and its key",
            Code::Privilege => "grant it, or let pgkeep connect as a role that has it",
            Code::Tools => {
                "install PostgreSQL's client programs of the server's major version or a newer one"
            }
            Code::Throttled => "wait as long as `Retry-After` says",
            Code::HeadersTooLarge => "send fewer or shorter headers and cookies",
            Code::Failed => "the server's log says why, under the request's id",
            Code::Busy => "try again in a moment",
            Code::NoWorker => {
                "start `pgkeep serve`, or `pgkeep worker` where the server has no workers of its own"
            }
            Code::TimedOut => "try again, or ask for less at once",
            Code::Database => "check that the database server runs and can be reached from here",
            Code::Storage => "check that the storage can be reached, and its credentials",
            Code::NoSpace => "make room on that disk, or name another place",
        }
    }
}

/// Where those that there are can be seen. `what` is a noun as it stands in a message.
fn listed_at(what: &str) -> Option<&'static str> {
    Some(match what {
        "app" => "/apps",
        "policy" => "/policies",
        "repository" => "/repositories",
        "target" => "/notifications/targets",
        "user" | "account" => "/users",
        "token" => "/tokens",
        "session" => "/sessions",
        "job" => "/jobs",
        "backup" => "/backups",
        "restore" => "/restores",
        "drill" => "/drills",
        "upload" => "/backups/uploads",
        _ => return None,
    })
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            hint: None,
            details: Vec::new(),
            fields: Vec::new(),
            retry_after: None,
            noted: false,
        }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn details(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }

    pub fn field(mut self, field: impl Into<String>, message: impl Into<String>) -> Self {
        self.fields.push(FieldProblem {
            field: field.into(),
            message: message.into(),
        });
        self
    }

    /// The handler has written its refusal down, in more words than others could.
    pub fn noted(mut self) -> Self {
        self.noted = true;
        self
    }

    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// `what` is a noun, `name` what was looked for. Also the answer for what the account may not see.
    pub fn not_found(what: &str, name: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no {what} '{name}'")).see_all(what)
    }

    /// Says where those that there are can be seen, where they can.
    pub fn see_all(self, what: &str) -> Self {
        match listed_at(what) {
            Some(path) => self.hint(format!("GET /api/v1{path} lists those that there are")),
            None => self,
        }
    }

    /// One field of the request is wrong.
    pub fn invalid(field: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::new(Code::Invalid, format!("{field}: {message}")).field(field, message)
    }

    /// What failed on what.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(Code::Forbidden, detail)
    }

    /// A failure that is nobody's fault but the server's. The reason goes to the log, not to the client.
    pub fn internal(reason: impl std::fmt::Display) -> Self {
        tracing::error!(reason = %reason, "a request failed inside the server");
        Self::new(Code::Failed, "the server could not do it")
    }

    pub fn body(&self) -> ProblemBody {
        ProblemBody {
            type_: format!("urn:pgkeep:problem:{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            code: self.code.as_str(),
            detail: self.detail.clone(),
            hint: (self.hint.clone()).or_else(|| Some(self.code.usual_hint().to_owned())),
            details: self.details.clone(),
            fields: self.fields.clone(),
            request_id: crate::http::request_id::current(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.body()).expect("texts and numbers always serialise");
        let mut response = (self.code.status(), body).into_response();
        if self.noted {
            response.extensions_mut().insert(Noted);
        }
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        let retry_after = self
            .retry_after
            .or((self.code.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(5));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if matches!(self.code, Code::Unauthenticated) {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"pgkeep\""),
            );
        }
        response
    }
}

impl From<ErrorCode> for Code {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::Failed => Code::Failed,
            ErrorCode::InvalidRequest => Code::Invalid,
            ErrorCode::NotFound => Code::NotFound,
            ErrorCode::ProofFailed => Code::ProofFailed,
            ErrorCode::Damaged => Code::Damaged,
            ErrorCode::Busy => Code::Busy,
            ErrorCode::RepositoryAccess => Code::RepositoryAccess,
            ErrorCode::Database => Code::Database,
            ErrorCode::Privilege => Code::Privilege,
            ErrorCode::Tools => Code::Tools,
            ErrorCode::Refused => Code::Refused,
            ErrorCode::Storage => Code::Storage,
            ErrorCode::Cancelled => Code::TimedOut,
        }
    }
}

impl From<pgkeep_engine::Error> for Problem {
    fn from(error: pgkeep_engine::Error) -> Self {
        Problem {
            code: error.code.into(),
            detail: error.message,
            hint: error.hint,
            details: error.details,
            fields: Vec::new(),
            noted: false,
            retry_after: None,
        }
    }
}

impl From<CatalogError> for Problem {
    fn from(error: CatalogError) -> Self {
        use CatalogError as C;
        let code = match &error {
            C::NotFound { .. } => Code::NotFound,
            C::Exists { .. } => Code::Exists,
            C::Conflict { .. } => Code::PreconditionFailed,
            C::NotNow { .. } | C::Fenced { .. } => Code::WrongState,
            C::InUse { .. } => Code::InUse,
            C::Busy(_) | C::Collision(_) | C::Unreachable(_) => Code::Busy,
            C::Invalid(_) | C::BadCursor => Code::InvalidRequest,
            C::Unwritable(_) => Code::Storage,
            _ => return Problem::internal(error),
        };
        let mut problem = Problem::new(code, error.to_string());
        problem.hint = error.hint().map(str::to_string);
        match &error {
            C::NotFound { what, .. } => problem.see_all(what),
            C::Exists { what, .. } if problem.hint.is_none() => problem.hint(format!(
                "take another name, or change the {what} that is there"
            )),
            _ => problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
    }

    #[test]
    fn what_is_not_there_leads_to_a_list_that_is() {
        for what in [
            "app",
            "policy",
            "repository",
            "target",
            "user",
            "account",
            "token",
            "session",
            "job",
            "backup",
            "restore",
            "drill",
            "upload",
        ] {
            let hint = Problem::not_found(what, "x").hint.expect(what);
            let path = hint.strip_prefix("GET /api/v1").expect("a path");
            let path = path
                .strip_suffix(" lists those that there are")
                .expect("words");
            let found = |route: &crate::api::routes::RouteEntry| {
                route.method == "GET" && route.path == path
            };
            assert!(crate::api::table().iter().any(found), "{what}: {path}");
        }
    }

    #[test]
    fn only_errors_are_problems() {
        for code in Code::ALL {
            assert!(
                code.status().is_client_error() || code.status().is_server_error(),
                "{code:?}"
            );
        }
    }
}
