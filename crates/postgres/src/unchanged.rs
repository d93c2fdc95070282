//! Whether anything was written to a database since a moment: proven by the server's own counters, never guessed.
//!
//! A [`WriteMark`] is read before a backup begins and kept with it. A later one that is equal in every part proves that
//! the database is what it was: see its parts for the reasons.
//!
//! Rows of unlogged tables change without a trace, so nothing is proven of a database that has one; nor of a standby, of a
//! server that does not let the user ask, nor of a database with a sequence that the user may not read. What no mark can
//! see is not part of a backup either: temporary tables, and data behind foreign tables.

use crate::{connect::ConnectOptions, wire::Connection};
use pgkeep_model::manifest::WriteMark;

/// One row; `unlogged` and `hidden` count what could change unseen.
const QUESTION: &str = "\
    SELECT c.system_identifier::text AS system, \
           p.timeline_id::text AS timeline, \
           pg_catalog.pg_postmaster_start_time()::text AS started, \
           pg_catalog.pg_current_wal_insert_lsn()::text AS wal, \
           (SELECT pg_catalog.concat_ws(' ', s.datid, s.stats_reset, s.tup_inserted, s.tup_updated, s.tup_deleted) \
              FROM pg_catalog.pg_stat_database s WHERE s.datname = pg_catalog.current_database()) AS rows_written, \
           (SELECT pg_catalog.md5(coalesce(pg_catalog.string_agg( \
                       pg_catalog.concat_ws(' ', q.schemaname, q.sequencename, q.last_value), E'\\n' \
                       ORDER BY q.schemaname, q.sequencename), '')) \
              FROM pg_catalog.pg_sequences q) AS sequences, \
           (SELECT count(*) FROM pg_catalog.pg_class r WHERE r.relpersistence = 'u') AS unlogged, \
           (SELECT count(*) FROM pg_catalog.pg_class r \
             WHERE CASE WHEN r.relkind = 'S' AND r.relpersistence <> 't' \
                        THEN NOT pg_catalog.has_sequence_privilege(r.oid, 'SELECT') END) AS hidden \
      FROM pg_catalog.pg_control_system() c, pg_catalog.pg_control_checkpoint() p";

/// Reads the mark of a database. The error says why it cannot be known whether something was written.
pub fn read(options: &ConnectOptions) -> Result<WriteMark, String> {
    let told = |e: crate::Error| e.to_string();
    let mut connection = Connection::open(options).map_err(told)?;
    let recovering = connection
        .query_value("SELECT pg_catalog.pg_is_in_recovery()")
        .map_err(told)?;
    if recovering.as_deref() != Some("f") {
        return Err("it is a standby".to_owned());
    }
    let rows = connection.query_one(QUESTION).map_err(told)?;
    connection.terminate();
    let text = |column: &str| match rows.get(0, column) {
        Some(value) if !value.is_empty() => Ok(value.to_owned()),
        _ => Err(format!("the server does not tell its {column}")),
    };
    match (text("unlogged")?.as_str(), text("hidden")?.as_str()) {
        ("0", "0") => {}
        ("0", _) => return Err("it has sequences that the user may not read".to_owned()),
        _ => return Err("it has unlogged tables, which change without a trace".to_owned()),
    }
    Ok(WriteMark {
        system: text("system")?,
        timeline: text("timeline")?,
        started: text("started")?,
        wal: text("wal")?,
        rows_written: text("rows_written")?,
        sequences: text("sequences")?,
        selection: Vec::new(),
    })
}
