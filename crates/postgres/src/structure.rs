//! Looking at a database's structure with the extension `amcheck`: are B-trees in order, can every row be read.
//!
//! Where the extension is not in the database it is put into a schema of its own for as long as the look takes, so this is
//! for databases that nobody uses yet: restored copies. Without the extension, or the right to create it, nothing is
//! looked at, and that is said.

use crate::{
    Error, Result, connect::ConnectOptions, restore::workers::share_out, wire::Connection,
};
use pgkeep_model::{
    CancelToken,
    evidence::{quote_ident, quote_literal},
};
use serde::{Deserialize, Serialize};
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

/// Schema that holds the extension for the time of the look.
const OWN_SCHEMA: &str = "pgkeep_amcheck";
/// So many problems of one table are told.
const TOLD: usize = 5;

/// What the look found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StructureReport {
    /// Why nothing was looked at; `None` when it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_looked_at: Option<String>,
    pub indexes: u64,
    pub tables: u64,
    /// What is not in order, in words; empty is good.
    pub problems: Vec<String>,
}

impl StructureReport {
    /// `amcheck found 3 tables and 5 indexes in order`
    pub fn words(&self) -> String {
        match (&self.not_looked_at, self.problems.len()) {
            (Some(why), _) => format!("not looked at: {why}"),
            (None, 0) => format!(
                "{} tables and {} indexes are in order",
                self.tables, self.indexes
            ),
            (None, n) => format!("{n} problems found"),
        }
    }
}

/// Looks at every B-tree and every table of the database at `target`.
pub fn look(target: &ConnectOptions, jobs: usize, cancel: &CancelToken) -> Result<StructureReport> {
    let mut leader = open(target, cancel)?;
    let Some(place) = provide(&mut leader)? else {
        return Ok(StructureReport {
            not_looked_at: Some(why_not(&mut leader)?),
            ..StructureReport::default()
        });
    };
    let found = pieces(&mut leader).and_then(|pieces| {
        let looking = Looking {
            schema: quote_ident(&place.schema),
            problems: Mutex::default(),
            indexes: AtomicU64::new(0),
            tables: AtomicU64::new(0),
        };
        share_out(
            jobs,
            pieces,
            cancel,
            |stop| open(target, stop),
            |connection, piece| looking.look_at(connection, &piece),
        )?;
        Ok(looking.report())
    });
    if place.own {
        leader.ignore_cancel();
        leader.execute(&format!(
            "DROP EXTENSION amcheck; DROP SCHEMA {}",
            quote_ident(OWN_SCHEMA)
        ))?;
    }
    found
}

fn open(target: &ConnectOptions, cancel: &CancelToken) -> Result<Connection> {
    let mut connection = Connection::open_with(target, cancel)?;
    connection.execute(
        "SET statement_timeout = 0; SET lock_timeout = 0; SET default_transaction_read_only = off;
         SET client_min_messages = warning; SELECT pg_catalog.set_config('search_path', '', false)",
    )?;
    Ok(connection)
}

/// Where the extension's functions are.
struct Place {
    schema: String,
    /// Created by us, and to be dropped again.
    own: bool,
}

fn provide(leader: &mut Connection) -> Result<Option<Place>> {
    let superuser = leader
        .query_value("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user")?;
    if superuser.as_deref() != Some("t") {
        return Ok(None);
    }
    let installed = leader.query(
        "SELECT n.nspname FROM pg_catalog.pg_extension e
           JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'",
    )?;
    if let Some(row) = installed.first() {
        return Ok(Some(Place {
            schema: row.text(0),
            own: false,
        }));
    }
    if !is_offered(leader)? {
        return Ok(None);
    }
    let schema = quote_ident(OWN_SCHEMA);
    // Event triggers of the database have no say in this.
    leader.execute(&format!(
        "SET session_replication_role = replica; CREATE SCHEMA {schema}; CREATE EXTENSION amcheck SCHEMA {schema}"
    ))?;
    Ok(Some(Place {
        schema: OWN_SCHEMA.into(),
        own: true,
    }))
}

fn is_offered(leader: &mut Connection) -> Result<bool> {
    let rows =
        leader.query("SELECT 1 FROM pg_catalog.pg_available_extensions WHERE name = 'amcheck'")?;
    Ok(!rows.is_empty())
}

fn why_not(leader: &mut Connection) -> Result<String> {
    Ok(match is_offered(leader)? {
        false => "the server does not offer the extension amcheck".into(),
        true => "amcheck needs a superuser".into(),
    })
}

/// A relation to look at.
struct Piece {
    oid: u32,
    name: String,
    index: bool,
}

/// The largest first. Unlogged, invalid and temporary relations, and other kinds of storage, are none of amcheck's.
fn pieces(leader: &mut Connection) -> Result<Vec<Piece>> {
    let rows = leader.query(
        "SELECT c.oid, pg_catalog.format('%s.%s', n.nspname, c.relname) AS name, c.relkind = 'i' AS is_index
         FROM pg_catalog.pg_class c
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
           JOIN pg_catalog.pg_am a ON a.oid = c.relam
           LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
         WHERE c.oid >= 16384 AND c.relpersistence = 'p'
           AND (c.relkind = 'i' AND a.amname = 'btree' AND i.indisvalid AND i.indisready
                OR c.relkind IN ('r', 'm') AND a.amname = 'heap')
         ORDER BY c.relpages DESC, c.oid",
    )?;
    Ok(rows
        .iter()
        .map(|row| Piece {
            oid: row.parse("oid").unwrap_or(0),
            name: row.text("name"),
            index: row.is_true("is_index"),
        })
        .collect())
}

struct Looking {
    schema: String,
    problems: Mutex<Vec<String>>,
    indexes: AtomicU64,
    tables: AtomicU64,
}

impl Looking {
    fn look_at(&self, connection: &mut Connection, piece: &Piece) -> Result<()> {
        let (schema, oid) = (&self.schema, piece.oid);
        let oid = quote_literal(&oid.to_string());
        let (sql, count) = match piece.index {
            true => (
                format!("SELECT {schema}.bt_index_check({oid}::pg_catalog.regclass)"),
                &self.indexes,
            ),
            false => (
                format!(
                    "SELECT blkno, msg FROM {schema}.verify_heapam({oid}::pg_catalog.regclass) LIMIT {TOLD}"
                ),
                &self.tables,
            ),
        };
        count.fetch_add(1, Ordering::Relaxed);
        match connection.query(&sql) {
            Ok(rows) if piece.index => drop(rows),
            Ok(rows) => {
                for row in rows.iter() {
                    self.tell(format!(
                        "table {}, block {}: {}",
                        piece.name,
                        row.text("blkno"),
                        row.text("msg")
                    ));
                }
            }
            Err(Error::Postgres { source, .. }) if source.sqlstate != "57014" => {
                self.tell(format!("{}: {source}", piece.name));
            }
            Err(other) => return Err(other),
        }
        Ok(())
    }

    fn tell(&self, problem: String) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        problems.push(problem);
    }

    fn report(self) -> StructureReport {
        let mut problems = self
            .problems
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        problems.sort();
        StructureReport {
            not_looked_at: None,
            indexes: self.indexes.into_inner(),
            tables: self.tables.into_inner(),
            problems,
        }
    }
}
