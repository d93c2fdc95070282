//! The REST API below `/api/v1`, one file a noun.
//!
//! To add a noun, write `api/<noun>.rs` with handlers and a function `routes()`, and name it in [`routes`] below:
//!
//! ```ignore
//! pub fn routes() -> Routes {
//!     Routes::new("widgets")
//!         .add(needs(Permission::View), routes!(list, get))
//!         .add(needs(Permission::Configure).edits(), routes!(put))
//!         .add(needs(Permission::Operate).throttle(ThrottleScope::BackupCreate).repeatable(), routes!(create))
//! }
//!
//! /// Lists the widgets.
//! #[utoipa::path(get, path = "/widgets", params(Paging), responses((status = 200, body = PageOf<Widget>)))]
//! async fn list(state: AppState, who: Principal, Query(page): Query<Paging>) -> Result<Json<PageOf<Widget>>, Problem>
//! ```
//!
//! - A path stands without `/api/v1`. Routes of one path and several guards take several `.add`. `routes!` is
//!   `utoipa_axum::routes`. The operation's id becomes `<noun>_<function>`.
//! - The guard ([`routes::needs`], [`routes::anyone`], [`routes::public`]) is the only way to be reachable. It documents
//!   every problem that follows from it (401, 403, 404 with a path parameter, 409, 412, 413, 415, 422, 429, 500, 503);
//!   a handler documents its successes, and problems that are its own as `(status = 409, response = inline(…))` or by
//!   `#[utoipa::path(… responses((status = 507, description = "no space", body = ProblemBody,
//!   content_type = "application/problem+json")))]`.
//! - Extractors come from [`extract`] (`Json`, `OptionalJson`, `Query`, `Path`, [`extract::Name`], [`extract::Id`],
//!   [`extract::BackupId`]), never from axum, so that what does not fit is a problem. [`AppState`], [`Principal`],
//!   [`crate::http::Client`] and [`etag::Expected`] are extractors, too.
//! - Apps out of the principal's scope are answered like those that do not exist ([`Problem::not_found`]); lists are
//!   filtered by [`Principal::app_filter`].
//! - Bodies refuse unknown fields and are written in camelCase.
//! - What takes long becomes a job: [`accepted::new_job`] and [`accepted::enqueue`] answer 202, or 503 where no worker is
//!   alive. What a request can wait for runs through [`crate::state::Shared::blocking`].
//! - What changes something is written down: [`crate::auth::audit::Act`].
//!
//! [`Principal`]: crate::auth::Principal
//! [`Principal::app_filter`]: crate::auth::Principal::app_filter

pub mod accepted;
pub mod application;
mod apps;
pub mod audit;
pub mod backups;
pub mod blocking;
pub mod calendar;
mod changes;
pub mod definitions;
mod download_limit;
pub mod downloads;
pub mod drills;
pub mod etag;
pub mod events;
pub mod extract;
pub mod folders;
mod forget;
mod guarded;
pub mod idempotency;
pub mod jobs;
pub mod masks;
mod migrations;
pub mod notifications;
pub mod openapi;
mod packages;
pub mod paging;
pub mod policies;
pub mod problem;
pub mod queue;
pub mod repositories;
pub mod restores;
pub mod routes;
mod second_person;
pub mod session;
pub mod settings;
pub mod sse;
pub mod status;
pub(crate) mod streams;
mod to_the_end;
pub mod tokens;
mod undo;
mod upgrades;
mod upkeep;
pub mod uploads;
pub mod users;
pub mod words;

pub use problem::Problem;

use crate::state::AppState;
use crate::web;
use axum::Router;
use routes::{BASE, RouteEntry, Routes, unknown_method};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

/// All nouns.
fn nouns() -> Routes {
    Routes::new("api")
        .merge(apps::routes())
        .merge(migrations::routes())
        .merge(changes::routes())
        .merge(guarded::routes())
        .merge(repositories::routes())
        .merge(upkeep::routes())
        .merge(forget::routes())
        .merge(policies::routes())
        .merge(jobs::routes())
        .merge(queue::routes())
        .merge(events::routes())
        .merge(status::routes())
        .merge(calendar::routes())
        .merge(notifications::routes())
        .merge(settings::routes())
        .merge(session::routes())
        .merge(users::routes())
        .merge(tokens::routes())
        .merge(audit::routes())
        .merge(downloads::routes())
        .merge(packages::routes())
        .merge(backups::routes())
        .merge(restores::routes())
        .merge(undo::routes())
        .merge(drills::routes())
        .merge(upgrades::routes())
        .merge(uploads::routes())
}

/// The table of all routes, below `/api/v1`.
pub fn table() -> Vec<RouteEntry> {
    nouns().into_parts().1
}

/// The OpenAPI document of all routes.
pub fn document() -> OpenApi {
    assemble().1
}

fn assemble() -> (Router<AppState>, OpenApi) {
    let (router, _) = nouns().into_parts();
    OpenApiRouter::with_openapi(openapi::base())
        .merge(router)
        .split_for_parts()
}

/// Everything that is served, without the state: that travels with each request.
pub fn router(state: AppState) -> Router {
    let (router, document) = assemble();
    let document = openapi::Document::new(&document);
    router
        .route(
            &format!("{BASE}/openapi.json"),
            axum::routing::get(move || async move { document.respond() }),
        )
        .route("/api/docs", axum::routing::get(openapi::pages))
        .route("/api/docs/{*path}", axum::routing::get(openapi::pages))
        .fallback(web::serve)
        .method_not_allowed_fallback(unknown_method)
        .layer(axum::Extension(state.clone()))
        .with_state(state)
}
