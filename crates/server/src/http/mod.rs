//! The listener and what every request passes through.

pub mod client;
pub mod limits;
pub mod request_id;

pub use client::Client;
