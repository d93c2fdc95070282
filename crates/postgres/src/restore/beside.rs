//! A session beside the databases that are being made, renamed or dropped.

use crate::{Error, Result, connect::ConnectOptions, wire::Connection};

/// Connects to a database of the server that is none of `avoid`: the given one, `postgres`, `template1`, or any other
/// that lets this user in.
pub fn connect_beside(server: &ConnectOptions, avoid: &[&str]) -> Result<Connection> {
    let mut tried = Vec::new();
    let mut first_error = None;
    for name in [server.dbname.as_str(), "postgres", "template1"] {
        if avoid.contains(&name) || tried.contains(&name) {
            continue;
        }
        tried.push(name);
        match open(server, name) {
            Ok(connection) => return Ok(connection),
            Err(error) if worth_another_try(&error) => first_error = first_error.or(Some(error)),
            Err(error) => return Err(error),
        }
    }
    // Only someone already inside can name the other databases.
    for name in avoid {
        let Ok(mut inside) = open(server, name) else {
            continue;
        };
        let others = inside.query(
            "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn \
             AND pg_catalog.has_database_privilege(oid, 'CONNECT') ORDER BY datname",
        )?;
        drop(inside);
        for other in others.iter().filter_map(|r| r.get(0)) {
            if !avoid.contains(&other)
                && !tried.contains(&other)
                && let Ok(connection) = open(server, other)
            {
                return Ok(connection);
            }
        }
    }
    Err(first_error.unwrap_or_else(|| {
        Error::refused(
            format!("no database beside {} lets user {} in", avoid.join(" and "), server.user),
            "allow it to connect to database postgres, or name a maintenance database in the privileged URL",
        )
    }))
}

fn open(server: &ConnectOptions, name: &str) -> Result<Connection> {
    let mut connection = Connection::open(&server.with_dbname(name))?;
    connection.execute(
        "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; \
         SET default_transaction_read_only = off; SET client_min_messages = warning; \
         SELECT pg_catalog.set_config('search_path', '', false)",
    )?;
    Ok(connection)
}

/// No such database, no privilege for it, connections not allowed, or none left.
fn worth_another_try(error: &Error) -> bool {
    matches!(
        error.sqlstate(),
        Some("3D000" | "42501" | "55000" | "53300" | "28000")
    )
}
