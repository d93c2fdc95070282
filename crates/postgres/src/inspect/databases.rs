//! Databases and what was set on them.

use super::parse_array;
use crate::{
    error::{Error, Result},
    read_only,
    restore::Mark,
    wire::{Connection, Row},
};
use pgkeep_model::{
    evidence::quote_literal,
    manifest::{DatabaseProperties, RoleSettings},
};

/// A database of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseEntry {
    pub oid: u32,
    pub name: String,
    pub owner: String,
    pub is_template: bool,
    pub allow_connections: bool,
    /// The current user may connect.
    pub may_connect: bool,
    /// `None` when the user may not know.
    pub size_bytes: Option<u64>,
    pub comment: Option<String>,
    /// Settings for all roles, `name=value`.
    pub settings: Vec<String>,
}

impl DatabaseEntry {
    /// A setting's value, as `ALTER DATABASE … SET` stored it.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings
            .iter()
            .find_map(|s| s.split_once('=').filter(|(n, _)| *n == name))
            .map(|(_, value)| value)
    }
}

/// Every database, templates included, by name.
pub fn databases(connection: &mut Connection) -> Result<Vec<DatabaseEntry>> {
    let rows = connection.query(
        "SELECT d.oid, d.datname, pg_catalog.pg_get_userbyid(d.datdba) AS owner, d.datistemplate, d.datallowconn,
                pg_catalog.has_database_privilege(d.oid, 'CONNECT') AS may_connect,
                CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT')
                       OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')
                     THEN pg_catalog.pg_database_size(d.oid) END AS size,
                pg_catalog.shobj_description(d.oid, 'pg_database') AS comment,
                (SELECT s.setconfig::text FROM pg_catalog.pg_db_role_setting s
                 WHERE s.setdatabase = d.oid AND s.setrole = 0) AS settings
         FROM pg_catalog.pg_database d ORDER BY d.datname",
    )?;
    Ok(rows
        .iter()
        .map(|row| DatabaseEntry {
            oid: row.parse("oid").unwrap_or(0),
            name: row.text("datname"),
            owner: row.text("owner"),
            is_template: row.is_true("datistemplate"),
            allow_connections: row.is_true("datallowconn"),
            may_connect: row.is_true("may_connect"),
            size_bytes: row.parse("size"),
            comment: row.optional("comment"),
            settings: parse_array(&row.text("settings")),
        })
        .collect())
}

pub fn database_exists(connection: &mut Connection, name: &str) -> Result<bool> {
    let sql = format!(
        "SELECT 1 FROM pg_catalog.pg_database WHERE datname = {}",
        quote_literal(name)
    );
    Ok(!connection.query(&sql)?.is_empty())
}

/// Bytes on the server's disk.
pub fn database_size(connection: &mut Connection, name: &str) -> Result<u64> {
    let sql = format!(
        "SELECT pg_catalog.pg_database_size({}::name)",
        quote_literal(name)
    );
    Ok(connection
        .query_value(&sql)?
        .and_then(|n| n.parse().ok())
        .unwrap_or(0))
}

/// What is needed to make the same database again.
///
/// # Errors
/// [`Error::Refused`] when there is no such database.
pub fn database_properties(connection: &mut Connection, name: &str) -> Result<DatabaseProperties> {
    let rows = connection.query(&properties_query(connection.server_version_num(), name))?;
    let Some(row) = rows.first() else {
        return Err(Error::refused(
            format!(
                "database \"{name}\" does not exist on {}",
                connection.describe()
            ),
            "check the name",
        ));
    };
    let oid = row.text("oid");
    let mut settings = role_settings(connection, &oid)?;
    for role in &mut settings {
        // What is restored from a fenced database is not fenced.
        role.settings
            .retain(|setting| !read_only::is_fence(setting));
    }
    settings.retain(|role| !role.settings.is_empty());
    Ok(DatabaseProperties {
        settings,
        security_labels: security_labels(connection, &oid)?,
        ..properties_of(row)
    })
}

/// The locale's columns came one by one: the provider, ICU locale and collation version with 15, ICU rules with 16, and
/// 17 renamed the locale because it serves the builtin provider too.
fn properties_query(version_num: u32, name: &str) -> String {
    let since = |version, there: &'static str, before: &'static str| {
        if version_num >= version {
            there
        } else {
            before
        }
    };
    let provider = since(150_000, "d.datlocprovider", "'c'");
    let locale = since(
        170_000,
        "d.datlocale",
        since(150_000, "d.daticulocale", "NULL"),
    );
    let icu_rules = since(160_000, "d.daticurules", "NULL");
    let collation_version = since(150_000, "d.datcollversion", "NULL");
    format!(
        "SELECT d.oid, pg_catalog.pg_get_userbyid(d.datdba) AS owner,
                pg_catalog.pg_encoding_to_char(d.encoding) AS encoding,
                {provider} AS provider, d.datcollate, d.datctype, {locale} AS locale, {icu_rules} AS icu_rules,
                {collation_version} AS collation_version, t.spcname AS tablespace,
                d.datconnlimit, d.datistemplate, d.datallowconn,
                pg_catalog.shobj_description(d.oid, 'pg_database') AS comment, d.datacl::text AS acl
         FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace
         WHERE d.datname = {}",
        quote_literal(name)
    )
}

fn properties_of(row: Row<'_>) -> DatabaseProperties {
    DatabaseProperties {
        owner: row.text("owner"),
        encoding: row.text("encoding"),
        locale_provider: match row.get("provider") {
            Some("i") => "icu",
            Some("b") => "builtin",
            _ => "libc",
        }
        .to_owned(),
        collate: row.text("datcollate"),
        ctype: row.text("datctype"),
        locale: row.optional("locale"),
        icu_rules: row.optional("icu_rules"),
        collation_version: row.optional("collation_version"),
        tablespace: row.text("tablespace"),
        connection_limit: row.parse("datconnlimit").unwrap_or(-1),
        is_template: row.is_true("datistemplate"),
        allow_connections: row.is_true("datallowconn"),
        comment: own_comment(row.optional("comment")),
        acl: row.get("acl").map(parse_array),
        settings: Vec::new(),
        security_labels: Vec::new(),
    }
}

/// A database that an upgrade made carries pgkeep's mark until the upgrade is accepted; the mark is no part of it.
fn own_comment(comment: Option<String>) -> Option<String> {
    match comment.as_deref().and_then(Mark::parse) {
        Some(mark) => mark.own_comment().map(str::to_owned),
        None => comment,
    }
}

/// `ALTER DATABASE … SET` and `ALTER ROLE … IN DATABASE … SET` of the database with this oid; an empty role is all.
pub fn role_settings(connection: &mut Connection, database_oid: &str) -> Result<Vec<RoleSettings>> {
    let rows = connection.query(&format!(
        "SELECT COALESCE(r.rolname, '') AS role, s.setconfig::text AS settings
         FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
         WHERE s.setdatabase = {}::oid AND (s.setrole = 0 OR r.oid IS NOT NULL) ORDER BY 1",
        quote_literal(database_oid)
    ))?;
    Ok(rows
        .iter()
        .map(|row| RoleSettings {
            role: row.text("role"),
            settings: parse_array(&row.text("settings")),
        })
        .collect())
}

fn security_labels(
    connection: &mut Connection,
    database_oid: &str,
) -> Result<Vec<(String, String)>> {
    let rows = connection.query(&format!(
        "SELECT provider, label FROM pg_catalog.pg_shseclabel
         WHERE classoid = 'pg_catalog.pg_database'::regclass AND objoid = {}::oid ORDER BY 1",
        quote_literal(database_oid)
    ))?;
    Ok(rows
        .iter()
        .map(|row| (row.text("provider"), row.text("label")))
        .collect())
}
