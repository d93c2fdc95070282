//! One stream of everything that changes.

use super::extract::Query;
use super::problem::Problem;
use super::routes::{Routes, needs};
use super::sse;
use crate::auth::Principal;
use crate::state::AppState;
use axum::http::HeaderMap;
use axum::response::Response;
use pgkeep_model::access::Permission;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::routes;

pub fn routes() -> Routes {
    Routes::new("events").add(needs(Permission::View).streams_out(), routes!(stream))
}

/// What is listened to.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct StreamQuery {
    /// Topics, separated by commas: `job`, `progress`, `log`, `queue`, `backup`, `policy`, `app`, ...; all where absent.
    #[param(nullable = false)]
    topics: Option<String>,
    /// Like the header `Last-Event-ID`, which counts before it.
    #[param(nullable = false, minimum = 0)]
    after: Option<i64>,
}

/// Tells of everything that changes, as server-sent events. `change` events carry an `Event`; `missed` says that older ones
/// are gone and what is shown must be loaded anew. Who comes back with `Last-Event-ID` misses nothing.
#[utoipa::path(get, path = "/events", params(StreamQuery, ("Last-Event-ID" = Option<String>, Header, description = "Number of the last event that was seen")), responses((status = 200, description = "Events as they come", content_type = "text/event-stream", body = String)))]
async fn stream(
    state: AppState,
    who: Principal,
    headers: HeaderMap,
    Query(query): Query<StreamQuery>,
) -> Result<Response, Problem> {
    let after = sse::last_event_id(&headers)?.or(query.after);
    let topics = query
        .topics
        .iter()
        .flat_map(|topics| topics.split(','))
        .map(|topic| topic.trim().to_string())
        .filter(|topic| !topic.is_empty())
        .collect();
    sse::everything(&state, who, &headers, topics, after)
}
