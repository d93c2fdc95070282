//! Inside the current database: extensions, tables and what may be read of them.

use super::parse_array;
use crate::{error::Result, wire::Connection};
use pgkeep_model::evidence::{ExtensionEvidence, QualifiedName, quote_ident};

/// An installed extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    pub oid: u32,
    pub name: String,
    pub version: String,
    pub schema: String,
    /// Tables and sequences whose rows belong to the user although the extension made them.
    pub configuration: Vec<ConfigurationTable>,
}

/// A relation that `pg_extension_config_dump` marked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationTable {
    pub oid: u32,
    pub name: QualifiedName,
    /// `r` table, `p` partitioned table, `S` sequence …
    pub kind: char,
    /// Which rows belong to the dump, as SQL that begins with `WHERE`; `None` is all.
    pub condition: Option<String>,
}

/// An extension whose files lie on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvailableExtension {
    pub name: String,
    pub default_version: String,
    pub versions: Vec<String>,
}

/// A table, partition, materialized view, foreign table or sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct Relation {
    pub oid: u32,
    pub name: QualifiedName,
    /// `pg_class.relkind`: `r` table, `p` partitioned, `m` materialized view, `f` foreign table, `S` sequence.
    pub kind: char,
    /// `p` permanent, `u` unlogged, `t` temporary.
    pub persistence: char,
    /// Bytes of the main fork.
    pub heap_bytes: u64,
    /// Bytes of the TOAST table and its index.
    pub toast_bytes: u64,
    /// The planner's estimate of rows; below zero when never analyzed.
    pub estimated_rows: f64,
    /// `heap` for ordinary tables; empty where there is no storage.
    pub access_method: String,
    pub is_partition: bool,
    /// Extension that it belongs to.
    pub extension: Option<String>,
    pub owner: String,
}

/// A relation that the current user cannot read, or not wholly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableTable {
    pub name: QualifiedName,
    /// What lacks, in words.
    pub reason: String,
    /// The statement that mends it.
    pub remedy: String,
}

pub fn extensions(connection: &mut Connection) -> Result<Vec<Extension>> {
    let rows = connection.query(
        "SELECT e.oid, e.extname, e.extversion, n.nspname
         FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace ORDER BY e.extname",
    )?;
    let mut extensions: Vec<Extension> = rows
        .iter()
        .map(|row| Extension {
            oid: row.parse("oid").unwrap_or(0),
            name: row.text("extname"),
            version: row.text("extversion"),
            schema: row.text("nspname"),
            configuration: Vec::new(),
        })
        .collect();
    // Both arrays are subscripted side by side; an empty condition means every row.
    let rows = connection.query(
        "SELECT e.oid AS extension, c.oid, n.nspname, c.relname, c.relkind,
                NULLIF(pg_catalog.btrim(e.extcondition[i.n]), '') AS condition
         FROM pg_catalog.pg_extension e
              CROSS JOIN LATERAL pg_catalog.generate_subscripts(e.extconfig, 1) AS i(n)
              JOIN pg_catalog.pg_class c ON c.oid = e.extconfig[i.n]
              JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         ORDER BY e.extname, i.n",
    )?;
    for row in rows.iter() {
        let owner: Option<u32> = row.parse("extension");
        if let Some(extension) = extensions.iter_mut().find(|e| Some(e.oid) == owner) {
            extension.configuration.push(ConfigurationTable {
                oid: row.parse("oid").unwrap_or(0),
                name: QualifiedName::new(row.text("nspname"), row.text("relname")),
                kind: kind(row.get("relkind")),
                condition: row.optional("condition"),
            });
        }
    }
    Ok(extensions)
}

/// The extensions as evidence records them, by name.
pub fn extension_evidence(connection: &mut Connection) -> Result<Vec<ExtensionEvidence>> {
    Ok(extensions(connection)?
        .into_iter()
        .map(|e| ExtensionEvidence {
            name: e.name,
            version: e.version,
            schema: e.schema,
        })
        .collect())
}

pub fn available_extensions(connection: &mut Connection) -> Result<Vec<AvailableExtension>> {
    let rows = connection.query(
        "SELECT a.name, COALESCE(a.default_version, '') AS default_version,
                ARRAY(SELECT v.version FROM pg_catalog.pg_available_extension_versions v
                      WHERE v.name = a.name ORDER BY 1)::text AS versions
         FROM pg_catalog.pg_available_extensions a ORDER BY a.name",
    )?;
    Ok(rows
        .iter()
        .map(|row| AvailableExtension {
            name: row.text("name"),
            default_version: row.text("default_version"),
            versions: parse_array(&row.text("versions")),
        })
        .collect())
}

/// Every relation of the user's schemas (and of extensions) that has rows or stands for some, by name.
pub fn relations(connection: &mut Connection) -> Result<Vec<Relation>> {
    let rows = connection.query(
        "SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.reltuples, c.relispartition,
                pg_catalog.pg_get_userbyid(c.relowner) AS owner, COALESCE(am.amname, '') AS access_method,
                COALESCE(pg_catalog.pg_relation_size(c.oid), 0) AS heap_bytes,
                COALESCE(pg_catalog.pg_total_relation_size(NULLIF(c.reltoastrelid, 0)), 0) AS toast_bytes,
                (SELECT e.extname FROM pg_catalog.pg_depend p
                   JOIN pg_catalog.pg_extension e ON e.oid = p.refobjid
                 WHERE p.classid = 'pg_catalog.pg_class'::regclass AND p.objid = c.oid AND p.objsubid = 0
                   AND p.refclassid = 'pg_catalog.pg_extension'::regclass AND p.deptype = 'e') AS extension
         FROM pg_catalog.pg_class c
              JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
              LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
         WHERE c.relkind IN ('r', 'p', 'm', 'f', 'S') AND c.relpersistence <> 't'
           AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname !~ '^pg_(toast_)?temp_'
         ORDER BY n.nspname, c.relname",
    )?;
    Ok(rows
        .iter()
        .map(|row| Relation {
            oid: row.parse("oid").unwrap_or(0),
            name: QualifiedName::new(row.text("nspname"), row.text("relname")),
            kind: kind(row.get("relkind")),
            persistence: kind(row.get("relpersistence")),
            heap_bytes: row.parse("heap_bytes").unwrap_or(0),
            toast_bytes: row.parse("toast_bytes").unwrap_or(0),
            estimated_rows: row.parse("reltuples").unwrap_or(-1.0),
            access_method: row.text("access_method"),
            is_partition: row.is_true("relispartition"),
            extension: row.optional("extension"),
            owner: row.text("owner"),
        })
        .collect())
}

/// Tables and sequences that a dump would fail on, or silently get only a part of: no SELECT, no USAGE on the schema,
/// or row security that applies to the current user. Tables of extensions count only when they are configuration.
pub fn unreadable_tables(connection: &mut Connection) -> Result<Vec<UnreadableTable>> {
    let rows = connection.query(
        "SELECT n.nspname, c.relname, c.relkind, current_user AS me,
                pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS schema_usage,
                pg_catalog.has_table_privilege(c.oid, 'SELECT') AS readable,
                c.relkind IN ('r', 'p') AND pg_catalog.row_security_active(c.oid) AS row_security
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't'
           AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname !~ '^pg_(toast_)?temp_'
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend p
                           WHERE p.classid = 'pg_catalog.pg_class'::regclass AND p.objid = c.oid AND p.deptype = 'e'
                             AND NOT EXISTS (SELECT FROM pg_catalog.pg_extension e
                                             WHERE e.oid = p.refobjid AND c.oid = ANY (e.extconfig)))
         ORDER BY n.nspname, c.relname",
    )?;
    let mut unreadable = Vec::new();
    for row in rows.iter() {
        let name = QualifiedName::new(row.text("nspname"), row.text("relname"));
        let me = quote_ident(&row.text("me"));
        let what = if row.get("relkind") == Some("S") {
            "SEQUENCE"
        } else {
            "TABLE"
        };
        let (reason, remedy) = if !row.is_true("schema_usage") {
            (
                "no USAGE on its schema",
                format!(
                    "GRANT USAGE ON SCHEMA {} TO {me};",
                    quote_ident(&name.schema)
                ),
            )
        } else if !row.is_true("readable") {
            (
                "no SELECT on it",
                format!("GRANT SELECT ON {what} {} TO {me};", name.quoted()),
            )
        } else if row.is_true("row_security") {
            (
                "row security hides rows of it",
                format!("ALTER ROLE {me} BYPASSRLS;"),
            )
        } else {
            continue;
        };
        unreadable.push(UnreadableTable {
            name,
            reason: reason.to_owned(),
            remedy,
        });
    }
    Ok(unreadable)
}

fn kind(text: Option<&str>) -> char {
    text.and_then(|t| t.chars().next()).unwrap_or('?')
}
