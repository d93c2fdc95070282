//! The server as a whole, and who we are on it.

use crate::{error::Result, wire::Connection};
use jiff::Timestamp;
use pgkeep_model::manifest::ServerFacts;

/// Settings of the database's sessions that a restore may need to know.
const SETTINGS: &[&str] = &[
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "bytea_output",
    "block_size",
    "data_checksums",
    "default_table_access_method",
    "default_tablespace",
    "default_text_search_config",
    "lc_messages",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "max_connections",
    "max_identifier_length",
    "segment_size",
    "server_encoding",
    "shared_preload_libraries",
    "standard_conforming_strings",
    "wal_level",
    "xmloption",
];

/// Reads the server's facts; inside a snapshot's transaction they describe that moment. `pg_dump_version` is left
/// empty for whoever runs it.
pub fn server_facts(connection: &mut Connection) -> Result<ServerFacts> {
    let rows = connection.query_one(
        "SELECT pg_catalog.current_setting('server_version') AS version,
                pg_catalog.pg_is_in_recovery() AS in_recovery,
                pg_catalog.pg_current_snapshot()::text AS snapshot,
                pg_catalog.to_char(pg_catalog.transaction_timestamp() AT TIME ZONE 'UTC',
                                   'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS now",
    )?;
    let row = rows.first().expect("one row was asked for");
    let in_recovery = row.is_true("in_recovery");
    Ok(ServerFacts {
        version_num: connection.server_version_num(),
        version: row.text("version"),
        pg_dump_version: String::new(),
        system_identifier: system_identifier(connection)?,
        in_recovery,
        wal_position: wal_position(connection)?,
        snapshot: row.text("snapshot"),
        snapshot_at: row.parse::<Timestamp>("now"),
        settings: settings(connection)?,
    })
}

/// The WAL position now, or on a standby the last one replayed; empty when the user may not ask.
pub fn wal_position(connection: &mut Connection) -> Result<String> {
    let position = connection.query_value(
        "SELECT CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_current_wal_insert_lsn()
                     ELSE pg_catalog.pg_last_wal_replay_lsn() END::text",
    )?;
    Ok(position.unwrap_or_default())
}

/// Empty when the function was taken away from ordinary users, as some hosters do.
fn system_identifier(connection: &mut Connection) -> Result<String> {
    let allowed = connection.query_value(
        "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')",
    )?;
    if allowed.as_deref() != Some("t") {
        return Ok(String::new());
    }
    let identifier =
        connection.query_value("SELECT system_identifier FROM pg_catalog.pg_control_system()")?;
    Ok(identifier.unwrap_or_default())
}

fn settings(connection: &mut Connection) -> Result<std::collections::BTreeMap<String, String>> {
    let names: Vec<_> = SETTINGS.iter().map(|n| format!("'{n}'")).collect();
    // What the database or role would set, not what this session was told to use.
    let rows = connection.query(&format!(
        "SELECT name, COALESCE(reset_val, setting) AS value FROM pg_catalog.pg_settings WHERE name IN ({})",
        names.join(", ")
    ))?;
    Ok(rows
        .iter()
        .map(|r| (r.text("name"), r.text("value")))
        .collect())
}

/// The role that the session acts as, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrentUser {
    pub name: String,
    /// Who logged in, when it differs (`SET ROLE`).
    pub session_name: String,
    pub superuser: bool,
    pub create_db: bool,
    pub create_role: bool,
    pub bypass_rls: bool,
    pub replication: bool,
    /// Predefined roles that it is a member of (`pg_read_all_data`, `pg_signal_backend`, …), and hosters' own.
    pub member_of: Vec<String>,
}

/// Who a connection is logged in as, and what it may do.
pub fn current_user(connection: &mut Connection) -> Result<CurrentUser> {
    let rows = connection.query_one(
        "SELECT current_user AS name, session_user AS session_name, r.rolsuper, r.rolcreatedb, r.rolcreaterole,
                r.rolbypassrls, r.rolreplication,
                ARRAY(SELECT m.rolname FROM pg_catalog.pg_roles m
                      WHERE m.oid <> r.oid AND pg_catalog.pg_has_role(r.oid, m.oid, 'MEMBER')
                      ORDER BY m.rolname)::text AS member_of
         FROM pg_catalog.pg_roles r WHERE r.rolname = current_user",
    )?;
    let row = rows.first().expect("one row was asked for");
    let superuser = row.is_true("rolsuper");
    Ok(CurrentUser {
        name: row.text("name"),
        session_name: row.text("session_name"),
        superuser,
        create_db: row.is_true("rolcreatedb") || superuser,
        create_role: row.is_true("rolcreaterole") || superuser,
        bypass_rls: row.is_true("rolbypassrls") || superuser,
        replication: row.is_true("rolreplication") || superuser,
        member_of: super::parse_array(&row.text("member_of")),
    })
}
