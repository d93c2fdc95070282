//! The way to what a server keeps: over HTTP to another machine, or to the same handlers in this process where the
//! catalog is here.
//!
//! Both ways take the same requests and give the same answers, so a command is written once. Over HTTP the caller is
//! whoever the token says; in this process it is the account of the machine, which may open the catalog anyway. Answers
//! come with the keys that the command line uses everywhere ([`wire`]).

mod backups;
mod follow;
mod http;
mod problem;
mod trust;
mod wire;

pub use backups::Found;
pub use follow::JobView;
pub use http::{Http, ServerAddress};
pub use problem::job_failure;

use crate::error::{CliError, CliResult};
use crate::exit::Exit;
use pgkeep_server::local::Local;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Where requests go.
pub enum Api {
    Here(Box<Local>),
    There(Http),
}

/// One request, below `/api/v1`.
#[derive(Debug, Clone, Default)]
pub struct Call {
    pub method: Method,
    /// Begins with a slash; names in it are encoded.
    pub path: String,
    pub query: Vec<(&'static str, String)>,
    /// With the command line's keys.
    pub body: Option<Value>,
    /// Revision that is changed, as its `ETag` says it.
    pub if_match: Option<String>,
    /// Only where nothing is there yet.
    pub if_absent: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Method {
    #[default]
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }
}

/// What came back, whatever the status.
pub struct Reply {
    pub status: u16,
    pub etag: Option<String>,
    pub content_type: String,
    pub body: Vec<u8>,
}

impl Call {
    pub fn get(path: impl Into<String>) -> Self {
        Self::of(Method::Get, path)
    }

    pub fn post(path: impl Into<String>) -> Self {
        Self::of(Method::Post, path)
    }

    pub fn put(path: impl Into<String>) -> Self {
        Self::of(Method::Put, path)
    }

    pub fn patch(path: impl Into<String>) -> Self {
        Self::of(Method::Patch, path)
    }

    pub fn delete(path: impl Into<String>) -> Self {
        Self::of(Method::Delete, path)
    }

    fn of(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            ..Self::default()
        }
    }

    pub fn query(mut self, name: &'static str, value: impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    pub fn maybe(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    pub fn if_match(mut self, etag: Option<String>) -> Self {
        self.if_match = etag;
        self
    }

    pub fn if_absent(mut self) -> Self {
        self.if_absent = true;
        self
    }

    /// Path and query as they stand in the first line of a request.
    fn target(&self) -> String {
        let mut target = format!("/api/v1{}", self.path);
        for (at, (name, value)) in self.query.iter().enumerate() {
            target.push(if at == 0 { '?' } else { '&' });
            target.push_str(&format!("{name}={}", encoded(value)));
        }
        target
    }

    /// The body as it is sent.
    fn bytes(&self) -> Option<Vec<u8>> {
        let body = self.body.clone()?;
        Some(serde_json::to_vec(&wire::camel(body)).expect("requests are plain values"))
    }
}

/// A name as one segment of a path.
pub fn encoded(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

impl Api {
    /// Whether requests go to another process.
    pub fn is_remote(&self) -> bool {
        matches!(self, Api::There(_))
    }

    /// Sends one request; an answer that is a problem is an error.
    pub fn send(&self, call: &Call) -> CliResult<Reply> {
        let reply = match self {
            Api::Here(local) => here(local, call)?,
            Api::There(http) => http.send(call)?,
        };
        match reply.status {
            200..300 => Ok(reply),
            _ => Err(problem::error_of(&reply)),
        }
    }

    /// The document that answers, with the command line's keys; null where the answer is empty.
    pub fn document(&self, call: &Call) -> CliResult<Value> {
        let reply = self.send(call)?;
        if reply.body.is_empty() {
            return Ok(Value::Null);
        }
        let value = serde_json::from_slice(&reply.body).map_err(|e| unreadable(call, &e))?;
        Ok(wire::snake(value))
    }

    /// A document of the command line itself, which the API hands on as it is.
    pub fn raw(&self, call: &Call) -> CliResult<Value> {
        serde_json::from_slice(&self.send(call)?.body).map_err(|e| unreadable(call, &e))
    }

    /// The same as a type of the caller's.
    pub fn ask<T: DeserializeOwned>(&self, call: &Call) -> CliResult<T> {
        let document = self.document(call)?;
        serde_json::from_value(document).map_err(|e| unreadable(call, &e))
    }

    /// A document together with its `ETag`.
    pub fn with_etag(&self, call: &Call) -> CliResult<(Value, Option<String>)> {
        let reply = self.send(call)?;
        let value = serde_json::from_slice(&reply.body).map_err(|e| unreadable(call, &e))?;
        Ok((wire::snake(value), reply.etag))
    }

    /// The items of a list that is always given whole.
    pub fn all(&self, call: &Call) -> CliResult<Vec<Value>> {
        match self.document(call)?["items"].take() {
            Value::Array(items) => Ok(items),
            _ => Err(unreadable(call, &"it holds no list")),
        }
    }

    /// All items of a list, page by page, up to `most`.
    pub fn list(&self, call: &Call, most: usize) -> CliResult<Vec<Value>> {
        const PAGE: usize = 500;
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = call
                .clone()
                .query("limit", (most - items.len()).clamp(1, PAGE))
                .maybe("cursor", cursor.take());
            let mut answer = self.document(&page)?;
            match answer["items"].take() {
                Value::Array(page) => items.extend(page),
                _ => return Err(unreadable(call, &"it holds no list")),
            }
            items.truncate(most);
            match answer["next_cursor"].as_str() {
                Some(next) if items.len() < most => cursor = Some(next.to_owned()),
                _ => return Ok(items),
            }
        }
    }

    /// [`Api::list`] as a type of the caller's.
    pub fn list_of<T: DeserializeOwned>(&self, call: &Call, most: usize) -> CliResult<Vec<T>> {
        self.list(call, most)?
            .into_iter()
            .map(|item| serde_json::from_value(item).map_err(|e| unreadable(call, &e)))
            .collect()
    }
}

fn here(local: &Local, call: &Call) -> CliResult<Reply> {
    let request = pgkeep_server::local::Request {
        method: call.method.as_str(),
        target: call.target(),
        body: call.bytes(),
        if_match: call.if_match.clone(),
        if_absent: call.if_absent,
    };
    let reply = local
        .call(request)
        .map_err(|e| CliError::new(Exit::Failed, e))?;
    Ok(Reply {
        status: reply.status,
        etag: reply.etag,
        content_type: reply.content_type,
        body: reply.body,
    })
}

fn unreadable(call: &Call, why: &dyn std::fmt::Display) -> CliError {
    CliError::new(
        Exit::Server,
        format!(
            "the answer to {} {} cannot be read: {why}",
            call.method.as_str(),
            call.path
        ),
    )
    .with_hint("the server may be of another version: compare `pgkeep --version` on both machines")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_hold_names_and_queries_encoded() {
        let call = Call::get(format!("/policies/{}", encoded("a/b ä")))
            .query("since", "2026-11-21T00:00:00Z")
            .maybe("app", None::<String>)
            .maybe("text", Some("x&y"));
        assert_eq!(
            call.target(),
            "/api/v1/policies/a%2Fb%20%C3%A4?since=2026-11-21T00%3A00%3A00Z&text=x%26y"
        );
    }
}
