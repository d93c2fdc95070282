//! One pgkeep operation at a time on a database.
//!
//! The lease is a session-level advisory lock in that database: the server drops it when the session ends, so a killed
//! process can never leave a stale one behind, and two machines see the same lock.

use crate::{Error, ErrorCode, Result};
use pgkeep_model::CancelToken;
use pgkeep_postgres::{connect::ConnectOptions, wire::Connection};
use std::time::Duration;

/// First key of the advisory lock; the bytes of `pgkp`.
const LOCK_CLASS: i32 = 0x7067_6b70;
/// How long the server may take to answer when the lease is given back.
pub(crate) const PARTING: Duration = Duration::from_secs(10);

/// Held for as long as the value lives.
#[derive(Debug)]
pub struct DatabaseLease {
    connection: Connection,
}

impl DatabaseLease {
    /// Takes the lease of the database that `options` names; `purpose` is shown to whoever is turned away. The token ends the
    /// taking, not the lease: that is given back last.
    pub fn acquire(options: &ConnectOptions, purpose: &str, cancel: &CancelToken) -> Result<Self> {
        let mut options = options.clone();
        options.application_name = format!("pgkeep {purpose}");
        let mut connection = Connection::open_with(&options, cancel)?;
        let rows = connection.query(&format!(
            "SELECT pg_catalog.pg_try_advisory_lock({LOCK_CLASS}, 1)"
        ))?;
        if rows.first().is_some_and(|row| row.is_true(0)) {
            connection.ignore_cancel();
            return Ok(Self { connection });
        }
        let holder = connection.query(&format!(
            "SELECT a.application_name, a.pid::text, a.backend_start::text, coalesce(a.client_addr::text, 'local') \
             FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
             WHERE l.locktype = 'advisory' AND l.classid = {LOCK_CLASS} AND l.objid = 1 AND l.granted \
             AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
        ))?;
        let by = holder.first().map_or("another session".into(), |row| {
            format!(
                "\"{}\" (server process {}, from {}, since {})",
                row.text(0),
                row.text(1),
                row.text(3),
                row.text(2)
            )
        });
        Err(Error::new(
            ErrorCode::Busy,
            format!(
                "another pgkeep operation works on {}: {by}",
                options.describe()
            ),
        )
        .hint("wait until it has ended; the lock goes away with its session"))
    }

    /// `server_version_num` of the server.
    pub fn server_version_num(&self) -> u32 {
        self.connection.server_version_num()
    }
}

impl Drop for DatabaseLease {
    /// Given back in so many words: the server takes its time to notice that a session is gone, and the next operation may
    /// begin at once.
    fn drop(&mut self) {
        self.connection.wait_at_most(PARTING);
        // Where the session is gone already, so is the lock.
        let _ = self.connection.query(&format!(
            "SELECT pg_catalog.pg_advisory_unlock({LOCK_CLASS}, 1)"
        ));
    }
}
