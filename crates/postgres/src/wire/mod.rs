//! A small blocking client for PostgreSQL's protocol 3.0: simple queries in text, and COPY at full speed.
//!
//! A [`Connection`] belongs to one thread. Whoever wants it to stop does so through a cancel token
//! ([`Connection::cancel_with`]): the server is asked to cancel the statement over a connection of its own, and if it
//! does not answer within a grace time the socket is shut down, so that no read blocks for ever. Dropping a connection
//! in the middle of a statement does the same, so no session is left working for nobody.
//!
//! Values come as text, in UTF-8; one that is not (possible only with databases in `SQL_ASCII`) is an error, never a
//! replacement character. COPY data is passed on byte by byte and never decoded.

mod authenticate;
mod cancel;
mod connection;
mod copy;
mod error;
mod input;
mod rows;
mod socket;
mod startup;
mod tls;

pub use cancel::CancelHandle;
pub use connection::{Connection, TransactionStatus};
pub use copy::{CopyBatch, CopySummary};
pub use error::PgError;
pub use rows::{Column, Row, Rows};
