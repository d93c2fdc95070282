//! What tells a living fence or pause from one that a dead process left: a lock that its session holds, beside the database.

use crate::{Result, lease::PARTING};
use pgkeep_model::evidence::quote_literal;
use pgkeep_postgres::{connect::ConnectOptions, restore::connect_beside, wire::Connection};

/// What is claimed of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Fence,
    Pause,
}

/// Held for as long as the value lives.
pub(super) struct Claim(Connection);

impl Claim {
    /// Takes it; `None` when somebody else holds it.
    pub fn take(admin: &ConnectOptions, what: What, database: &str) -> Result<Option<Self>> {
        let mut connection = connect_beside(admin, &[database])?;
        let held = connection.query_value(&format!(
            "SELECT pg_catalog.pg_try_advisory_lock({})",
            key(what, database)
        ))?;
        Ok((held.as_deref() == Some("t")).then_some(Self(connection)))
    }

    /// Whether somebody holds it; disturbs nobody.
    pub fn is_held(admin: &ConnectOptions, what: What, database: &str) -> Result<bool> {
        let mut connection = connect_beside(admin, &[database])?;
        let (class, object) = halves(what, database);
        let held = connection.query_value(&format!(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted \
               AND classid = {class}::pg_catalog.oid AND objid = {object}::pg_catalog.oid \
               AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))"
        ))?;
        Ok(held.as_deref() == Some("t"))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.wait_at_most(PARTING);
        // The end of the session does the same, a little later; whoever takes it next need not wait for that.
        let _ = self.0.execute("SELECT pg_catalog.pg_advisory_unlock_all()");
    }
}

fn key(what: What, database: &str) -> String {
    let (class, object) = halves(what, database);
    format!("{class}, {object}")
}

/// The two numbers of the lock, as the server reckons them.
fn halves(what: What, database: &str) -> (String, String) {
    let class = match what {
        What::Fence => "pgkeep fence",
        What::Pause => "pgkeep pause",
    };
    let hash = |text: &str| format!("pg_catalog.hashtext({})", quote_literal(text));
    (hash(class), hash(database))
}
