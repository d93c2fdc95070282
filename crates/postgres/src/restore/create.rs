//! Making the database that a restore fills, and giving it its properties once it is proven.

use super::{
    beside::connect_beside,
    marks::{Mark, birth_limit, comment_statement, drop_database, read_comment},
    properties::{PropertyOptions, create_statement, finish_statements},
};
use crate::{Error, Result, connect::ConnectOptions, inspect, wire::Connection};
use pgkeep_model::{
    CancelToken,
    evidence::{quote_ident, quote_literal},
    manifest::DatabaseProperties,
};

/// Creates an empty database from template0 with the recorded encoding, locale, tablespace and owner, and marks it as
/// being restored. A database of that name must not exist; after an error none does.
pub fn create_database(
    server: &ConnectOptions,
    name: &str,
    properties: &DatabaseProperties,
    options: &PropertyOptions,
    mark: &Mark,
    cancel: &CancelToken,
) -> Result<()> {
    let mut admin = connect_beside(server, &[name])?;
    admin.cancel_with(cancel);
    if inspect::database_exists(&mut admin, name)? {
        return Err(Error::refused(
            format!("database {name} exists already"),
            "choose another name, or drop it first",
        ));
    }
    let sql = create_statement(name, properties, options, admin.server_version_num())
        .map_err(|what| Error::refused(what, "restore it on a server of that version or newer"))?;
    admin
        .execute(&format!("{sql} CONNECTION LIMIT {}", birth_limit(name)))
        .map_err(|e| explain_locale(e, name, properties))?;
    // One transaction: there is no moment in which neither says that it is pgkeep's.
    let marked = format!(
        "{}; ALTER DATABASE {} CONNECTION LIMIT -1",
        comment_statement(name, Some(&mark.to_comment())),
        quote_ident(name)
    );
    let finished = admin
        .execute(&marked)
        .and_then(|_| set_owner(&mut admin, name, properties, options));
    if let Err(error) = finished {
        admin.ignore_cancel();
        drop_database(&mut admin, name)?;
        return Err(error.doing(format!("creating database {name}")));
    }
    Ok(())
}

fn set_owner(
    admin: &mut Connection,
    name: &str,
    properties: &DatabaseProperties,
    options: &PropertyOptions,
) -> Result<()> {
    let Some(owner) = options.owner(properties) else {
        return Ok(());
    };
    if actual_owner(admin, name)? == owner {
        return Ok(());
    }
    admin.execute(&format!(
        "ALTER DATABASE {} OWNER TO {}",
        quote_ident(name),
        quote_ident(owner)
    ))?;
    Ok(())
}

fn actual_owner(admin: &mut Connection, name: &str) -> Result<String> {
    let owner = admin.query_value(&format!(
        "SELECT pg_catalog.pg_get_userbyid(datdba) FROM pg_catalog.pg_database WHERE datname = {}",
        quote_literal(name)
    ))?;
    Ok(owner.unwrap_or_default())
}

fn explain_locale(error: Error, name: &str, properties: &DatabaseProperties) -> Error {
    let error = error.doing(format!("creating database {name}"));
    match error.sqlstate() {
        Some("42809" | "22023") => Error::refused(
            error.to_string(),
            format!(
                "the target's operating system must know encoding {}, locale {} and character type {}: install the locale there",
                properties.encoding, properties.collate, properties.ctype
            ),
        ),
        _ => error,
    }
}

/// Applies grants, settings, limits and labels. Returns what could not be set, in words: a setting that this version no
/// longer knows, or a privilege that this user cannot give, does not spoil a restore.
pub fn finish_database(
    server: &ConnectOptions,
    name: &str,
    properties: &DatabaseProperties,
    options: &PropertyOptions,
) -> Result<Vec<String>> {
    let mut admin = connect_beside(server, &[name])?;
    let owner = actual_owner(&mut admin, name)?;
    let mut left_out = Vec::new();
    for statement in finish_statements(name, &owner, properties, options) {
        match admin.execute(&statement.sql) {
            Ok(_) => {}
            Err(e)
                if matches!(
                    e.sqlstate(),
                    Some("42704" | "22023" | "42501" | "0LP01" | "0A000")
                ) =>
            {
                left_out.push(e.doing(statement.doing).to_string());
                admin.execute("RESET ROLE")?;
            }
            Err(e) => return Err(e.doing(statement.doing)),
        }
    }
    Ok(left_out)
}

/// Replaces pgkeep's mark by the database's own comment: from now on it is an ordinary database.
pub fn unmark_database(server: &ConnectOptions, name: &str) -> Result<()> {
    let mut admin = connect_beside(server, &[name])?;
    let comment = read_comment(&mut admin, name)?;
    let Some(mark) = comment.as_deref().and_then(Mark::parse) else {
        return Ok(());
    };
    admin.execute(&comment_statement(name, mark.own_comment()))?;
    Ok(())
}
