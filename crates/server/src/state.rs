//! What all requests share.

use crate::api::blocking::BlockingRoom;
use crate::api::downloads::DownloadRoom;
use crate::api::streams::StreamRoom;
use crate::api::uploads::Writing;
use crate::auth::Auth;
use crate::events::EventHub;
use crate::http::limits::Limits;
use crate::metrics::Requests;
use crate::settings::ServerSettings;
use crate::status::StatusCache;
use crate::targets::Machine;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use pgkeep_catalog::Catalog;
use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Calls into the engine that requests wait for, at the same time.
const BLOCKING_CALLS: usize = 4;

/// The server's state; cheap to clone. Handlers take it as an argument.
#[derive(Clone)]
pub struct AppState(Arc<Shared>);

/// The parts of the state. An area that keeps something between requests adds one field of a type of its own.
pub struct Shared {
    pub settings: ServerSettings,
    pub catalog: Catalog,
    /// This machine: clock, environment, tools.
    pub machine: Machine,
    /// Recognises who asks.
    pub auth: Auth,
    /// Room for calls into the engine that requests wait for.
    pub blocking: BlockingRoom,
    /// Room for downloads.
    pub downloads: DownloadRoom,
    /// Room for streams of events.
    pub streams: StreamRoom,
    /// Uploads that are being written to.
    pub uploads: Writing,
    /// Counts requests by scope.
    pub limits: Limits,
    /// What happens, for those who listen.
    pub events: EventHub,
    /// Poked when a job was queued here, so that a worker of this process need not wait for its timer.
    pub work: Arc<Notify>,
    /// Poked when a policy was changed, so that the scheduler looks at once.
    pub schedule: Arc<Notify>,
    /// The newest judgement on everything.
    pub status: Arc<StatusCache>,
    /// Counts answered requests, for the figures.
    pub requests: Arc<Requests>,
    /// Ends when the server shuts down: streams end, loops leave.
    pub shutdown: CancellationToken,
    /// Every task that outlives a request is started through this.
    pub tasks: TaskTracker,
}

impl AppState {
    pub fn new(settings: ServerSettings, catalog: Catalog, machine: Machine) -> Self {
        Self(Arc::new(Shared {
            auth: Auth::new(catalog.clone(), &settings),
            limits: Limits::new(&settings.throttles),
            events: EventHub::new(catalog.clone()),
            streams: StreamRoom::new(settings.http.max_connections),
            work: Arc::new(Notify::new()),
            schedule: Arc::new(Notify::new()),
            status: Arc::default(),
            requests: Arc::default(),
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
            settings,
            catalog,
            machine,
            blocking: BlockingRoom::new(BLOCKING_CALLS),
            downloads: DownloadRoom::default(),
            uploads: Writing::default(),
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
