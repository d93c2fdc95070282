//! All that talks to PostgreSQL: connections, catalogs, client programs, dumps and restores.
//!
//! Everything is blocking: a connection belongs to one thread, and what must stop from outside goes through a
//! [`pgkeep_model::CancelToken`]. This is the only crate that starts processes. It knows nothing of repositories; data
//! leaves and enters through the traits of [`dump`] and [`restore`].
//!
//! Where to look: [`connect`] turns URLs and libpq's environment into [`connect::ConnectOptions`]; [`wire`] speaks the
//! protocol; [`inspect`] reads catalogs; [`tools`] finds and runs `pg_dump` and its kin; [`archive`] reads and writes
//! pg_dump's formats; [`dump`], [`restore`] and [`prove`] are built on them.

pub mod archive;
pub mod connect;
pub mod dump;
mod error;
pub mod inspect;
pub mod migrations;
mod nearest;
pub mod prove;
pub mod read_only;
pub mod restore;
pub mod structure;
pub mod throwaway;
pub mod tools;
pub mod unchanged;
pub mod wire;

pub use error::{Error, Result};
