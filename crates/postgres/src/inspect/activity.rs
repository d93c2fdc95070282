//! Who and what uses a database: sessions, prepared transactions, replication slots, subscriptions.
//!
//! Everything is asked for a database by name, from a session in any database, except subscriptions' details, which
//! an ordinary user cannot read.

use crate::{connect::ConnectOptions, error::Result, wire::Connection};
use pgkeep_model::evidence::quote_literal;
use std::fmt;

/// A session in a database, other than the one that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub pid: i32,
    pub user: String,
    pub application: String,
    /// Address, or empty for a unix socket.
    pub client: String,
    /// `active`, `idle`, `idle in transaction` …; empty when the user may not know.
    pub state: String,
    /// `client backend`, `walsender`, `autovacuum worker` …
    pub backend_type: String,
    /// Since when its state is what it is, in the server's words.
    pub since: String,
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {} user {}", self.pid, self.user)?;
        for (what, value) in [
            ("application", &self.application),
            ("from", &self.client),
            ("state", &self.state),
        ] {
            if !value.is_empty() {
                write!(f, " {what} {value}")?;
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedTransaction {
    pub gid: String,
    pub owner: String,
    pub prepared_at: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicationSlot {
    pub name: String,
    pub plugin: String,
    pub active: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalSubscription {
    pub name: String,
    pub owner: String,
    pub enabled: bool,
}

/// All of it together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Use {
    pub sessions: Vec<Session>,
    pub prepared_transactions: Vec<PreparedTransaction>,
    pub replication_slots: Vec<ReplicationSlot>,
    pub subscriptions: Vec<LogicalSubscription>,
}

impl Use {
    /// Nothing but sessions, which can be ended, stands in the way of renaming or dropping the database.
    pub fn can_be_replaced(&self) -> bool {
        self.prepared_transactions.is_empty()
            && self.replication_slots.is_empty()
            && self.subscriptions.is_empty()
    }
}

pub fn database_use(connection: &mut Connection, database: &str) -> Result<Use> {
    Ok(Use {
        sessions: sessions(connection, database)?,
        prepared_transactions: prepared_transactions(connection, database)?,
        replication_slots: replication_slots(connection, database)?,
        subscriptions: subscriptions(connection, database)?,
    })
}

/// Sessions in the database, oldest first, without the one that asks.
pub fn sessions(connection: &mut Connection, database: &str) -> Result<Vec<Session>> {
    let rows = connection.query(&format!(
        "SELECT pid, COALESCE(usename, '') AS username, COALESCE(application_name, '') AS application,
                COALESCE(pg_catalog.host(client_addr), '') AS client, COALESCE(state, '') AS state,
                COALESCE(backend_type, '') AS backend_type, COALESCE(state_change, backend_start)::text AS since
         FROM pg_catalog.pg_stat_activity
         WHERE datname = {} AND pid <> pg_catalog.pg_backend_pid() ORDER BY backend_start, pid",
        quote_literal(database)
    ))?;
    Ok(rows
        .iter()
        .map(|row| Session {
            pid: row.parse("pid").unwrap_or(0),
            user: row.text("username"),
            application: row.text("application"),
            client: row.text("client"),
            state: row.text("state"),
            backend_type: row.text("backend_type"),
            since: row.text("since"),
        })
        .collect())
}

pub fn prepared_transactions(
    connection: &mut Connection,
    database: &str,
) -> Result<Vec<PreparedTransaction>> {
    let rows = connection.query(&format!(
        "SELECT gid, owner, prepared::text AS prepared FROM pg_catalog.pg_prepared_xacts
         WHERE database = {} ORDER BY prepared, gid",
        quote_literal(database)
    ))?;
    Ok(rows
        .iter()
        .map(|row| PreparedTransaction {
            gid: row.text("gid"),
            owner: row.text("owner"),
            prepared_at: row.text("prepared"),
        })
        .collect())
}

/// Logical slots of the database, which pin it.
pub fn replication_slots(
    connection: &mut Connection,
    database: &str,
) -> Result<Vec<ReplicationSlot>> {
    let rows = connection.query(&format!(
        "SELECT slot_name, COALESCE(plugin, '') AS plugin, active FROM pg_catalog.pg_replication_slots
         WHERE database = {} ORDER BY slot_name",
        quote_literal(database)
    ))?;
    Ok(rows
        .iter()
        .map(|row| ReplicationSlot {
            name: row.text("slot_name"),
            plugin: row.text("plugin"),
            active: row.is_true("active"),
        })
        .collect())
}

/// Subscriptions into the database. The catalog is shared, and these columns of it are public.
pub fn subscriptions(
    connection: &mut Connection,
    database: &str,
) -> Result<Vec<LogicalSubscription>> {
    let rows = connection.query(&format!(
        "SELECT s.subname, pg_catalog.pg_get_userbyid(s.subowner) AS owner, s.subenabled
         FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
         WHERE d.datname = {} ORDER BY s.subname",
        quote_literal(database)
    ))?;
    Ok(rows
        .iter()
        .map(|row| LogicalSubscription {
            name: row.text("subname"),
            owner: row.text("owner"),
            enabled: row.is_true("subenabled"),
        })
        .collect())
}

/// Servers that follow this one by streaming, as `application_name from address (state)`.
pub fn replicas(connection: &mut Connection) -> Result<Vec<String>> {
    // Logical ones hold a slot of their database and are found there; base backups end by themselves.
    let rows = connection.query(
        "SELECT COALESCE(NULLIF(r.application_name, ''), 'a replica') AS name,
                COALESCE(pg_catalog.host(r.client_addr), '') AS client, COALESCE(r.state, '') AS state
         FROM pg_catalog.pg_stat_replication r
         LEFT JOIN pg_catalog.pg_replication_slots s ON s.active_pid = r.pid
         WHERE COALESCE(s.slot_type, 'physical') = 'physical' AND COALESCE(r.state, '') <> 'backup'
         ORDER BY r.pid",
    )?;
    Ok(rows
        .iter()
        .map(|row| {
            let mut words = row.text("name");
            let client = row.text("client");
            if !client.is_empty() {
                words.push_str(&format!(" from {client}"));
            }
            match row.text("state").as_str() {
                "" => words,
                state => format!("{words} ({state})"),
            }
        })
        .collect())
}

/// Publications of the database that the options name.
pub fn publications(database: &ConnectOptions) -> Result<Vec<String>> {
    let mut connection = Connection::open(database)?;
    let rows =
        connection.query("SELECT pubname FROM pg_catalog.pg_publication ORDER BY pubname")?;
    Ok(rows.iter().map(|row| row.text(0)).collect())
}
