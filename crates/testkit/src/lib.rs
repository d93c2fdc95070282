//! What the tests of every crate stand on: throwaway PostgreSQL clusters of any supported major, sample databases, and a clock
//! that is moved by hand. Only tests, benches and `xtask` depend on this crate.
//!
//! Nothing here skips: what a test asks for and the machine does not have is a panic that says how to get it.

// Starting servers and client programs is what this crate is for.
#![allow(clippy::disallowed_methods)]

mod client;
mod clock;
mod cluster;
mod http_receiver;
mod installed;
pub mod object_store;
mod oidc;
mod pgbouncer;
mod port;
mod samples;
mod smtp;
mod template;
mod tls;
mod watchdog;

pub use clock::ManualClock;
pub use cluster::{TestPostgres, TestPostgresBuilder};
pub use http_receiver::{HttpAnswer, HttpReceiver, ReceivedRequest};
pub use installed::{Installation, cache_dir};
pub use object_store::ObjectStore;
pub use oidc::OidcProvider;
pub use pgbouncer::PgBouncer;
pub use samples::ShopSize;
pub use smtp::{ReceivedMail, SmtpProtection, SmtpServer, SmtpServerBuilder};
pub use tls::{ServerIdentity, TlsFiles, self_signed, server_identity};
