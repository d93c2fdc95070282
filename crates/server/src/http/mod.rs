//! The listener and what every request passes through.

pub mod client;
pub mod front;
pub mod limits;
pub mod listener;
pub mod request_id;
mod stall;
pub mod tls;

pub use client::Client;
pub use front::Front;
pub use listener::Listener;
