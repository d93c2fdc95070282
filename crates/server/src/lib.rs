//! Runs pgkeep unattended: HTTP API, queue workers, scheduler, notifications.

mod agreed;
pub mod api;
pub mod auth;
mod catalog_file;
pub mod events;
pub mod http;
pub mod jobs;
mod leftovers;
pub mod local;
pub mod logging;
pub mod metrics;
pub mod notify;
mod own_folder;
pub mod scheduler;
pub mod settings;
mod start;
pub mod state;
pub mod status;
pub mod targets;
mod territory;
mod unset;
mod web;
pub mod worker;

pub use catalog_file::left_behind;
pub use start::{Ready, Server, StartError, be_alone, run};
pub use worker::run_worker;
