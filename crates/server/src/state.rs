//! What all requests share.

use crate::events::EventHub;
use crate::http::limits::Limits;
use crate::settings::ServerSettings;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use pgkeep_catalog::Catalog;
use pgkeep_model::Clock;
use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The server's state; cheap to clone. Handlers take it as an argument.
#[derive(Clone)]
pub struct AppState(Arc<Shared>);

/// The parts of the state. An area that keeps something between requests adds one field of a type of its own.
pub struct Shared {
    pub settings: ServerSettings,
    pub catalog: Catalog,
    pub clock: Arc<dyn Clock>,
    /// Counts requests by scope.
    pub limits: Limits,
    /// What happens, for those who listen.
    pub events: EventHub,
    /// Poked when a job was queued here, so that a worker of this process need not wait for its timer.
    pub work: Arc<Notify>,
    /// Ends when the server shuts down: streams end, loops leave.
    pub shutdown: CancellationToken,
    /// Every task that outlives a request is started through this.
    pub tasks: TaskTracker,
}

impl AppState {
    pub fn new(settings: ServerSettings, catalog: Catalog, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared {
            limits: Limits::new(&settings.throttles),
            events: EventHub::new(catalog.clone()),
            work: Arc::new(Notify::new()),
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
            settings,
            catalog,
            clock,
        }))
    }
}

impl Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl FromRequestParts<AppState> for AppState {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        Ok(state.clone())
    }
}
