//! The settings and transactions that every session of a dump shares.

use crate::{Result, connect::ConnectOptions, wire::Connection};
use pgkeep_model::{CancelToken, evidence::quote_literal};

/// Makes COPY text the same whatever the role, the database or the server is set to.
///
/// Output: time zone, date, interval, float and bytea styles as pg_dump sets them. Safety: `row_security = off` turns
/// silently missing rows into an error; no timeout may end a long read.
const SETTINGS: &str = "SET client_encoding = 'UTF8'; \
    SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; \
    SET extra_float_digits = 3; SET bytea_output = 'hex'; SET quote_all_identifiers = off; \
    SET standard_conforming_strings = on; \
    SET row_security = off; SET synchronize_seqscans = off; \
    SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
    SET jit = off; SET max_parallel_workers_per_gather = 0; \
    SELECT set_config('search_path', '', false)";

/// Leaves only the plans that reading rows wants: a ctid range must become a TID range scan, never a filter over the
/// whole table, and whole tables are read in physical order, which is what deduplication likes.
const PLAIN_SCANS: &str = "SET enable_seqscan = off; SET enable_indexscan = off; SET enable_indexonlyscan = off; \
    SET enable_bitmapscan = off";

/// Opens a session with the settings of a dump, stopped by `cancel`.
pub(crate) fn open(options: &ConnectOptions, cancel: &CancelToken) -> Result<Connection> {
    let mut connection = Connection::open_with(options, cancel)?;
    connection.execute(SETTINGS)?;
    let version = connection.server_version_num();
    if version >= 140_000 {
        connection.execute("SET idle_session_timeout = 0")?;
    }
    if version >= 170_000 {
        connection.execute("SET transaction_timeout = 0")?;
    }
    Ok(connection)
}

/// Begins the transaction whose snapshot, taken by the first query, is the dump's.
pub(crate) fn begin(connection: &mut Connection) -> Result<()> {
    connection
        .execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .map(drop)
}

/// Readies a session for reading rows; catalog queries would suffer from it.
pub(crate) fn prefer_plain_scans(connection: &mut Connection) -> Result<()> {
    connection.execute(PLAIN_SCANS).map(drop)
}

/// Opens a session for reading rows that sees what the session that exported `snapshot` sees.
pub(crate) fn open_in_snapshot(
    options: &ConnectOptions,
    snapshot: &str,
    cancel: &CancelToken,
) -> Result<Connection> {
    let mut connection = open(options, cancel)?;
    prefer_plain_scans(&mut connection)?;
    begin(&mut connection)?;
    connection.execute(&format!(
        "SET TRANSACTION SNAPSHOT {}",
        quote_literal(snapshot)
    ))?;
    Ok(connection)
}
