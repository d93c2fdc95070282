//! What keeps an app away from a database that is being replaced.
//!
//! Order of effects: the lock file first, so that the app can say why; then the database refuses writes, before the safety
//! backup is taken, so that nothing is written that neither backup nor restored database holds. Both go away when the
//! operation ends, however it ends. After a crash the lock file grows stale, and the database's fence is recognised by its
//! spelling and lifted by the next restore, by an undo, or by `pgkeep undo --drop-expired`.

mod claim;
mod lock_file;
mod pooler;

pub use lock_file::{LockFile, LockKind};
pub use pooler::{
    PausedFor, PooledDatabase, Pooler, left_over as left_paused, pooled, resume_left_over,
};

use crate::{Context, Error, ErrorCode, Result, application::Application};
use claim::{Claim, What};
use pgkeep_model::evidence::quote_literal;
use pgkeep_postgres::{
    connect::ConnectOptions,
    inspect,
    read_only::{self, Reason},
    restore::connect_beside,
    wire::Connection,
};
use std::time::{Duration, Instant};

/// The fence around one live database, for as long as the value lives.
pub struct Fence<'a> {
    _lock: Option<LockFile>,
    read_only: Option<ReadOnly<'a>>,
}

impl<'a> Fence<'a> {
    /// Puts up what the app asks for. `writes_refused` is false where the restore itself writes to that database.
    pub fn raise(
        app: &Application,
        admin: &'a ConnectOptions,
        database: &str,
        holder: &str,
        writes_refused: bool,
        grace: Duration,
        context: &'a Context,
    ) -> Result<Self> {
        let lock = match &app.fence.lock_dir {
            Some(dir) => Some(LockFile::take(
                dir,
                LockKind::Restore,
                holder,
                database,
                context,
            )?),
            None => None,
        };
        let read_only = match app.fence.read_only && writes_refused {
            true => Some(ReadOnly::raise(admin, database, grace, context)?),
            false => None,
        };
        Ok(Self {
            _lock: lock,
            read_only,
        })
    }

    /// The restored database is in place; `kept` is the name of the fenced one now. Takes the fence off it.
    pub fn lower_after_swap(&mut self, kept: Option<&str>) -> Result<()> {
        if let Some(read_only) = self.read_only.take() {
            read_only.lower(kept)?;
        }
        Ok(())
    }
}

/// A database that refuses writes of new sessions.
struct ReadOnly<'a> {
    admin: &'a ConnectOptions,
    database: String,
    context: &'a Context,
    up: bool,
    /// Holds the claim by which a living fence is told from one that was left.
    _claim: Claim,
}

impl<'a> ReadOnly<'a> {
    fn raise(
        admin: &'a ConnectOptions,
        database: &str,
        grace: Duration,
        context: &'a Context,
    ) -> Result<Self> {
        let mut connection = connect_beside(admin, &[database])?;
        let claim = Claim::take(admin, What::Fence, database)?.ok_or_else(|| {
            Error::new(
                ErrorCode::Busy,
                format!("another restore has its fence around database {database}"),
            )
            .hint("wait until it has ended")
        })?;
        let overriding = overriding_roles(&mut connection, database)?;
        if !overriding.is_empty() {
            context.progress.warn(&format!(
                "{} may write to {database} all the same: default_transaction_read_only is set for it",
                overriding.join(", ")
            ));
        }
        wait_for_transactions(&mut connection, database, grace, context)?;
        // Made before the fence, so that it is taken off whatever happens in between.
        let fence = Self {
            admin,
            database: database.to_owned(),
            context,
            up: true,
            _claim: claim,
        };
        let ended = read_only::fence_for(&mut connection, database, Reason::Restore)?;
        if ended > 0 {
            context.progress.item(&format!(
                "{database} is read-only; {} ended",
                crate::counted(ended, "session")
            ));
        }
        Ok(fence)
    }

    fn lower(mut self, now_called: Option<&str>) -> Result<()> {
        let name = now_called.unwrap_or(&self.database).to_owned();
        self.up = false;
        lift(self.admin, &name)?;
        Ok(())
    }
}

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        if !self.up {
            return;
        }
        if let Err(e) = lift(self.admin, &self.database) {
            self.context.progress.warn(&format!(
                "database {} is still read-only ({e}); `pgkeep undo --drop-expired` lets it be written to again",
                self.database
            ));
        }
    }
}

/// Takes a fence off a database, also one that a killed restore left; false where there is none.
pub fn lift(admin: &ConnectOptions, database: &str) -> Result<bool> {
    let mut connection = connect_beside(admin, &[database])?;
    Ok(read_only::lift_for(
        &mut connection,
        database,
        Reason::Restore,
    )?)
}

/// True when nobody lives any more who put the fence up.
pub fn is_left_over(admin: &ConnectOptions, database: &str) -> Result<bool> {
    Ok(!Claim::is_held(admin, What::Fence, database)?)
}

/// Databases that the fence of a restore is on, by name.
pub fn fenced(connection: &mut Connection) -> Result<Vec<String>> {
    let all = pgkeep_postgres::inspect::databases(connection)?;
    Ok(all
        .into_iter()
        .filter(|database| {
            database
                .settings
                .iter()
                .any(|s| read_only::is_fence_for(s, Reason::Restore))
        })
        .map(|database| database.name)
        .collect())
}

/// Roles whose own setting of the same name wins over the database's.
fn overriding_roles(connection: &mut Connection, database: &str) -> Result<Vec<String>> {
    let rows = connection.query(&format!(
        "SELECT DISTINCT r.rolname FROM pg_catalog.pg_db_role_setting s \
           JOIN pg_catalog.pg_roles r ON r.oid = s.setrole \
           LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase \
         WHERE (s.setdatabase = 0 OR d.datname = {}) \
           AND EXISTS (SELECT 1 FROM pg_catalog.unnest(s.setconfig) c WHERE c LIKE 'default_transaction_read_only=%') \
         ORDER BY 1",
        quote_literal(database)
    ))?;
    Ok(rows
        .iter()
        .map(|row| format!("role {}", row.text(0)))
        .collect())
}

/// Gives running transactions time to end by themselves: the sessions that the fence ends are told by nobody before.
fn wait_for_transactions(
    connection: &mut Connection,
    database: &str,
    grace: Duration,
    context: &Context,
) -> Result<()> {
    let end = Instant::now() + grace;
    let busy = |session: &inspect::Session| {
        session.backend_type == "client backend" && !["", "idle"].contains(&session.state.as_str())
    };
    while Instant::now() < end && inspect::sessions(connection, database)?.iter().any(busy) {
        context.cancel.check()?;
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Tells whoever listens on the channel `pgkeep` of a database that its sessions will be ended. PostgreSQL has no way to
/// send a notice to another session; this is the nearest to it.
pub fn announce(admin: &ConnectOptions, database: &str, grace_secs: u64) -> Result<()> {
    let mut connection = Connection::open(&admin.with_dbname(database))?;
    let message =
        serde_json::json!({ "event": "swap", "database": database, "in_secs": grace_secs });
    connection.execute(&format!(
        "SELECT pg_catalog.pg_notify('pgkeep', {})",
        quote_literal(&message.to_string())
    ))?;
    Ok(())
}
