//! Runs pgkeep unattended: HTTP API, queue workers, scheduler, notifications.

pub mod api;
pub mod auth;
pub mod events;
pub mod http;
pub mod jobs;
pub mod logging;
pub mod metrics;
pub mod notify;
pub mod scheduler;
pub mod settings;
pub mod state;
pub mod status;
pub mod targets;
pub mod worker;
