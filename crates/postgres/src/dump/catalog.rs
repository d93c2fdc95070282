//! What a dump asks the catalogs.

use super::{DumpOptions, pattern::NamePattern};
use crate::{
    Error, Result,
    nearest::{did_you_mean, nearest},
    wire::{Connection, Row},
};
use jiff::Timestamp;
use pgkeep_model::evidence::{ExtensionEvidence, QualifiedName, quote_ident, quote_literal};
use std::collections::HashMap;

/// A table that must be locked.
#[derive(Debug, Clone)]
pub(super) struct Lockable {
    pub oid: u32,
    pub name: QualifiedName,
    readable: bool,
    /// Row security would hide rows from this role.
    hidden_rows: bool,
}

/// Tables that pg_dump will read: ordinary and partitioned ones of the wanted schemas, without the system's, temporary ones and
/// what belongs to extensions (except their configuration tables).
fn table_condition(options: &DumpOptions) -> String {
    let mut condition = "c.relkind IN ('r', 'p') AND c.relpersistence <> 't' \
         AND n.nspname !~ '^pg_' \
         AND n.nspname <> 'information_schema' \
         AND (NOT EXISTS (SELECT FROM pg_depend d \
               WHERE d.classid = 'pg_class'::regclass \
                 AND d.objid = c.oid AND d.deptype = 'e') \
           OR EXISTS (SELECT FROM pg_extension x WHERE c.oid = ANY (x.extconfig)))"
        .to_owned();
    if !options.schemas.is_empty() {
        let any: Vec<String> = options
            .schemas
            .iter()
            .map(|p| NamePattern::parse(p).matches_schema("n.nspname"))
            .collect();
        condition.push_str(&format!(" AND ({})", any.join(" OR ")));
    }
    condition
}

pub(super) fn tables_to_lock(
    connection: &mut Connection,
    options: &DumpOptions,
) -> Result<Vec<Lockable>> {
    lockable(connection, &table_condition(options))
}

/// Tables seen by the transaction's snapshot that this session holds no lock on.
pub(super) fn tables_not_locked(
    connection: &mut Connection,
    options: &DumpOptions,
) -> Result<Vec<Lockable>> {
    let condition = format!(
        "{} AND c.oid NOT IN (SELECT l.relation FROM pg_locks l \
           WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' \
             AND l.relation IS NOT NULL AND l.granted)",
        table_condition(options)
    );
    lockable(connection, &condition)
}

fn lockable(connection: &mut Connection, condition: &str) -> Result<Vec<Lockable>> {
    let rows = connection.query(&format!(
        "SELECT c.oid, n.nspname, c.relname, \
           has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE'), \
           c.relrowsecurity AND row_security_active(c.oid) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE {condition} ORDER BY n.nspname, c.relname"
    ))?;
    rows.iter()
        .map(|row| {
            Ok(Lockable {
                oid: parsed(row, 0)?,
                name: QualifiedName::new(text(row, 1), text(row, 2)),
                readable: text(row, 3) == "t",
                hidden_rows: text(row, 4) == "t",
            })
        })
        .collect()
}

/// Refuses a dump that would fail at, or silently lack rows of, a table; names the table and what mends it.
pub(super) fn require_readable(connection: &mut Connection, tables: &[Lockable]) -> Result<()> {
    let unreadable: Vec<&QualifiedName> = tables
        .iter()
        .filter(|t| !t.readable)
        .map(|t| &t.name)
        .collect();
    let hidden: Vec<&QualifiedName> = tables
        .iter()
        .filter(|t| t.readable && t.hidden_rows)
        .map(|t| &t.name)
        .collect();
    if unreadable.is_empty() && hidden.is_empty() {
        return Ok(());
    }
    let role = connection
        .query_value("SELECT quote_ident(current_user)")?
        .unwrap_or_default();
    if let Some(first) = unreadable.first() {
        return Err(Error::privilege(
            format!("no privilege to read {} as {role}", list(&unreadable)),
            format!(
                "GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}; \
                 or, for all schemas, GRANT pg_read_all_data TO {role}",
                schema = quote_ident(&first.schema),
            ),
        ));
    }
    Err(Error::privilege(
        format!(
            "row level security hides rows of {} from {role}",
            list(&hidden)
        ),
        format!("ALTER ROLE {role} BYPASSRLS; or back up as the owner of the tables"),
    ))
}

fn list(names: &[&QualifiedName]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|n| n.to_string()).collect();
    let kind = if names.len() == 1 { "table" } else { "tables" };
    let rest = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{kind} {}{rest}", shown.join(", "))
}

/// A relation whose rows are dumped.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    pub name: QualifiedName,
    /// The topmost table that this is a partition of.
    pub root: Option<QualifiedName>,
    /// Columns that COPY carries (neither dropped nor generated), quoted as SQL needs it.
    pub columns: String,
    /// Storage is a plain heap, so ranges of blocks can be read by ctid.
    pub is_heap: bool,
    pub blocks: u64,
    pub block_size: u64,
    /// Table and TOAST data.
    pub bytes: u64,
    /// `WHERE …` of an extension's configuration table.
    pub condition: Option<String>,
}

/// Facts of the relations with these OIDs.
pub(super) fn relations(
    connection: &mut Connection,
    oids: impl Iterator<Item = u32>,
) -> Result<HashMap<u32, Relation>> {
    let oids = oid_array(oids);
    let rows = connection.query(&format!(
        "SELECT c.oid, n.nspname, c.relname, \
           (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) \
              FROM pg_attribute a WHERE a.attrelid = c.oid \
                AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''), \
           c.relkind = 'r' AND m.amname = 'heap', \
           CASE WHEN c.relkind = 'r' THEN pg_relation_size(c.oid) END, \
           CASE WHEN c.reltoastrelid <> 0 THEN pg_relation_size(c.reltoastrelid) END, \
           (SELECT x.extcondition[array_position(x.extconfig, c.oid)] FROM pg_extension x \
              WHERE c.oid = ANY (x.extconfig) LIMIT 1), \
           current_setting('block_size'), rn.nspname, r.relname \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
           LEFT JOIN pg_am m ON m.oid = c.relam \
           LEFT JOIN pg_class r ON c.relispartition AND r.oid = pg_partition_root(c.oid) \
           LEFT JOIN pg_namespace rn ON rn.oid = r.relnamespace \
         WHERE c.oid = ANY ({oids})"
    ))?;
    rows.iter()
        .map(|row| {
            let block_size: u64 = parsed(row, 8)?;
            let heap_bytes: u64 = row.get(5).map_or(Ok(0), |_| parsed(row, 5))?;
            let toast_bytes: u64 = row.get(6).map_or(Ok(0), |_| parsed(row, 6))?;
            let relation = Relation {
                name: QualifiedName::new(text(row, 1), text(row, 2)),
                root: row
                    .get(10)
                    .map(|root| QualifiedName::new(text(row, 9), root)),
                columns: text(row, 3).to_owned(),
                is_heap: text(row, 4) == "t",
                blocks: heap_bytes / block_size.max(1),
                block_size,
                bytes: heap_bytes + toast_bytes,
                condition: row.get(7).filter(|c| !c.is_empty()).map(str::to_owned),
            };
            Ok((parsed(row, 0)?, relation))
        })
        .collect()
}

/// Extensions of these names, sorted.
pub(super) fn extensions(
    connection: &mut Connection,
    names: &[String],
) -> Result<Vec<ExtensionEvidence>> {
    let rows = connection.query(
        "SELECT x.extname, x.extversion, n.nspname FROM pg_extension x \
           JOIN pg_namespace n ON n.oid = x.extnamespace ORDER BY 1",
    )?;
    Ok(rows
        .iter()
        .filter(|row| names.iter().any(|n| n == text(*row, 0)))
        .map(|row| ExtensionEvidence {
            name: text(row, 0).into(),
            version: text(row, 1).into(),
            schema: text(row, 2).into(),
        })
        .collect())
}

/// Tables matched by the patterns of excluded data.
pub(super) fn excluded_tables(
    connection: &mut Connection,
    options: &DumpOptions,
) -> Result<Vec<QualifiedName>> {
    if options.exclude_table_data.is_empty() {
        return Ok(Vec::new());
    }
    let visible = visible_relations(connection, options)?;
    let any: Vec<String> = options
        .exclude_table_data
        .iter()
        .map(|pattern| matches_relation(pattern, &visible))
        .collect();
    let tables = lockable(
        connection,
        &format!("{} AND ({})", table_condition(options), any.join(" OR ")),
    )?;
    Ok(tables.into_iter().map(|t| t.name).collect())
}

/// A condition on the relation `c` in schema `n`: a name without a schema means what is found without one, as in pg_dump.
fn matches_relation(pattern: &str, visible: &str) -> String {
    let pattern = NamePattern::parse(pattern);
    let matches = pattern.matches_table("n.nspname", "c.relname");
    match pattern.schema {
        Some(_) => matches,
        None => format!("({matches} AND c.oid = ANY ({visible}))"),
    }
}

/// Relations that pg_dump's session, which has the search path of role and database, sees without a schema.
fn visible_relations(connection: &mut Connection, options: &DumpOptions) -> Result<String> {
    let mut patterns = options.exclude_table_data.iter();
    if patterns.all(|p| NamePattern::parse(p).schema.is_some()) {
        return Ok(oid_array(std::iter::empty()));
    }
    let path = connection
        .query_value("SELECT reset_val FROM pg_settings WHERE name = 'search_path'")?
        .unwrap_or_default();
    let set = |path: &str| {
        format!(
            "SELECT pg_catalog.set_config('search_path', {}, false)",
            quote_literal(path)
        )
    };
    connection.execute(&set(&path))?;
    // Nothing but functions named in full: the path may lead to other people's operators.
    let rows = connection.query(
        "SELECT c.oid FROM pg_catalog.pg_class c WHERE pg_catalog.pg_table_is_visible(c.oid)",
    );
    connection.execute(&set(""))?;
    let rows = rows?;
    let oids = rows.iter().map(|row| parsed(row, 0));
    Ok(oid_array(oids.collect::<Result<Vec<u32>>>()?.into_iter()))
}

/// Refuses patterns that match nothing: rows that were meant to stay out would be stored, and the other way round.
pub(super) fn require_matches(connection: &mut Connection, options: &DumpOptions) -> Result<()> {
    const OTHERS: &str =
        "n.nspname !~ '^pg_(catalog|toast|temp)' AND n.nspname <> 'information_schema'";
    let names = |connection: &mut Connection, sql: &str| -> Result<Vec<QualifiedName>> {
        let rows = connection.query(sql)?;
        let name = |row| QualifiedName::new(text(row, 0), text(row, 1));
        Ok(rows.iter().map(name).collect())
    };
    for pattern in &options.schemas {
        let all = format!("SELECT '', n.nspname FROM pg_namespace n WHERE {OTHERS}");
        let matches = NamePattern::parse(pattern).matches_schema("n.nspname");
        if names(connection, &format!("{all} AND {matches}"))?.is_empty() {
            let known = names(connection, &all)?;
            let near = nearest(pattern, &known);
            let near: Vec<String> = near.iter().map(|n| quote_ident(&n.name)).collect();
            return Err(Error::refused(
                format!("no schema matches {pattern}"),
                format!("{FOLDED}{}", did_you_mean(&near)),
            ));
        }
    }
    let visible = visible_relations(connection, options)?;
    for pattern in &options.exclude_table_data {
        let all = format!(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE {OTHERS} AND c.relkind IN ('r', 'p', 'm', 'f', 'v', 'S')"
        );
        let matches = matches_relation(pattern, &visible);
        if names(connection, &format!("{all} AND {matches} LIMIT 1"))?.is_empty() {
            let known = names(connection, &all)?;
            let near = nearest(pattern, &known);
            let near: Vec<String> = near.iter().map(|n| n.quoted()).collect();
            return Err(Error::refused(
                format!("no table matches {pattern}"),
                format!(
                    "{FOLDED}, and one without a schema means tables on the search path{}",
                    did_you_mean(&near)
                ),
            ));
        }
    }
    Ok(())
}

/// Why a pattern may match nothing although the name looks right.
const FOLDED: &str =
    "as in pg_dump, names fold to lower case unless they stand in \"double quotes\"";

/// Names of unlogged tables with rows to lose, and of foreign tables, whose rows live elsewhere.
pub(super) fn special_tables(
    connection: &mut Connection,
    options: &DumpOptions,
) -> Result<(Vec<String>, Vec<String>)> {
    let condition = table_condition(options).replace("c.relkind IN ('r', 'p')", "true");
    let rows = connection.query(&format!(
        "SELECT c.relkind, n.nspname, c.relname FROM pg_class c \
           JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE {condition} AND (c.relkind = 'f' \
           OR (c.relkind = 'r' AND c.relpersistence = 'u')) ORDER BY 2, 3"
    ))?;
    let of_kind = |kind: &str| {
        rows.iter()
            .filter(|row| text(*row, 0) == kind)
            .map(|row| format!("{}.{}", text(row, 1), text(row, 2)))
            .collect()
    };
    Ok((of_kind("r"), of_kind("f")))
}

/// An array literal of OIDs.
pub(super) fn oid_array(oids: impl Iterator<Item = u32>) -> String {
    let oids: Vec<String> = oids.map(|o| o.to_string()).collect();
    format!("'{{{}}}'::oid[]", oids.join(","))
}

pub(super) fn text<'a>(row: Row<'a>, index: usize) -> &'a str {
    row.get(index).unwrap_or_default()
}

pub(super) fn parsed<T: std::str::FromStr>(row: Row<'_>, index: usize) -> Result<T> {
    text(row, index).parse().map_err(|_| Error::Protocol {
        doing: "reading the catalogs".into(),
        what: format!("{:?} was not expected", text(row, index)),
    })
}

/// Names of all sequences by OID.
pub(super) fn sequence_names(connection: &mut Connection) -> Result<HashMap<u32, QualifiedName>> {
    let rows = connection.query(
        "SELECT c.oid, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'S'",
    )?;
    rows.iter()
        .map(|row| {
            let name = QualifiedName::new(text(row, 1), text(row, 2));
            Ok((parsed(row, 0)?, name))
        })
        .collect()
}

/// The server's clock now.
pub(super) fn server_time(connection: &mut Connection) -> Result<Timestamp> {
    let rows = connection.query_one(
        "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
    )?;
    parsed(rows.first().expect("query_one gives one row"), 0)
}
