//! Fitting a chosen part of a backup into a database that is in use: what is there stays, what is missing is made.
//!
//! Chosen tables that are there keep their definition and get the backup's rows; those that are not are made with all
//! that is theirs. What they need (types, functions, schemas, extensions) is made only where it is missing. Foreign keys
//! between a table made again and tables that are there come back too. Since rows are loaded with triggers off, foreign
//! keys of the tables concerned are checked at the end, and a violation undoes everything.

use super::selection::Selection;
use crate::{
    Error, Result,
    archive::{Entry, Toc},
    wire::Connection,
};
use pgkeep_model::evidence::{QualifiedName, quote_literal};
use std::collections::{BTreeSet, HashSet};

/// What the database has already.
struct Present {
    relations: HashSet<QualifiedName>,
    types: HashSet<QualifiedName>,
    functions: HashSet<QualifiedName>,
    schemas: HashSet<String>,
    extensions: HashSet<String>,
}

impl Present {
    fn look(connection: &mut Connection) -> Result<Self> {
        let mut named = |sql: &str| -> Result<HashSet<QualifiedName>> {
            let rows = connection.query(sql)?;
            Ok(rows
                .iter()
                .map(|r| QualifiedName::new(r.text(0), r.text(1)))
                .collect())
        };
        let relations = named(
            "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace",
        )?;
        let types = named(
            "SELECT n.nspname, t.typname FROM pg_catalog.pg_type t \
             JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace",
        )?;
        let functions = named(
            "SELECT n.nspname, p.proname FROM pg_catalog.pg_proc p \
             JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace",
        )?;
        let schemas = named("SELECT nspname, '' FROM pg_catalog.pg_namespace")?;
        let extensions = named("SELECT extname, '' FROM pg_catalog.pg_extension")?;
        let first = |names: HashSet<QualifiedName>| names.into_iter().map(|n| n.schema).collect();
        Ok(Self {
            relations,
            types,
            functions,
            schemas: first(schemas),
            extensions: first(extensions),
        })
    }

    /// True for an object of its own (no part of another) that must be made.
    fn lacks(&self, entry: &Entry) -> bool {
        let name = QualifiedName::new(entry.namespace(), entry.tag());
        match &*entry.desc() {
            "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "FOREIGN TABLE" | "SEQUENCE" => {
                !self.relations.contains(&name)
            }
            "TYPE" | "DOMAIN" | "SHELL TYPE" => !self.types.contains(&name),
            "FUNCTION" | "PROCEDURE" | "AGGREGATE" => {
                let (tag, _) = name.name.split_once('(').unwrap_or((&name.name, ""));
                !self
                    .functions
                    .contains(&QualifiedName::new(name.schema.as_str(), tag))
            }
            "SCHEMA" => !self.schemas.contains(&*entry.tag()),
            "EXTENSION" => !self.extensions.contains(&*entry.tag()),
            _ => false,
        }
    }
}

/// Kinds that are objects of their own, so whether they are there can be told by name.
const OF_THEIR_OWN: [&str; 13] = [
    "TABLE",
    "VIEW",
    "MATERIALIZED VIEW",
    "FOREIGN TABLE",
    "SEQUENCE",
    "TYPE",
    "DOMAIN",
    "SHELL TYPE",
    "FUNCTION",
    "PROCEDURE",
    "AGGREGATE",
    "SCHEMA",
    "EXTENSION",
];

/// Narrows the selection to what the database lacks (and everything of schemas that were just emptied), plus the rows of
/// everything chosen. Returns the chosen tables that
/// are there already.
pub(super) fn fit_to_live(
    connection: &mut Connection,
    toc: &Toc,
    selection: &mut Selection,
    emptied: &BTreeSet<String>,
) -> Result<BTreeSet<QualifiedName>> {
    let present = Present::look(connection)?;
    let mut made: HashSet<i64> = HashSet::new();
    // Entries come after what they depend on.
    for entry in toc.entries.iter().filter(|e| selection.has(e)) {
        let make = if OF_THEIR_OWN.iter().any(|kind| entry.is(kind)) {
            present.lacks(entry)
        } else if entry.is("ENCODING") || entry.is("STDSTRINGS") || entry.is("SEARCHPATH") {
            true
        } else {
            emptied.contains(&*entry.namespace()) || entry.depends_on().any(|id| made.contains(&id))
        };
        if make {
            made.insert(entry.dump_id);
        }
    }
    for entry in toc.entries.iter().filter(|e| e.is("FK CONSTRAINT")) {
        let ends: Vec<&Entry> = entry
            .depends_on()
            .filter_map(|id| toc.entry(id))
            .filter(|e| e.is("TABLE"))
            .collect();
        let there = |e: &Entry| made.contains(&e.dump_id) || !present.lacks(e);
        if ends.iter().any(|e| made.contains(&e.dump_id)) && ends.iter().all(|e| there(e)) {
            made.insert(entry.dump_id);
        }
    }
    let chosen: BTreeSet<QualifiedName> = selection.relations().clone();
    selection.narrow(toc, |entry| {
        made.contains(&entry.dump_id) || entry.is("TABLE DATA") || entry.is("SEQUENCE SET")
    });
    for entry in toc.entries.iter().filter(|e| made.contains(&e.dump_id)) {
        selection.add(entry.dump_id);
    }
    selection.left_out.retain(|text| {
        !toc.entries
            .iter()
            .any(|e| made.contains(&e.dump_id) && super::selection::describe(e) == *text)
    });
    Ok(chosen
        .into_iter()
        .filter(|name| present.relations.contains(name))
        .collect())
}

/// Empties tables whose rows are about to be replaced, given as TRUNCATE wants them: all at once where no other table
/// refers to them, else row by row.
pub(super) fn empty_tables(connection: &mut Connection, tables: &[String]) -> Result<()> {
    if tables.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = tables
        .iter()
        .map(|t| regclass(t.strip_prefix("ONLY ").unwrap_or(t)))
        .collect();
    let list = list.join(", ");
    let referred = connection.query_value(&format!(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_constraint \
           WHERE contype = 'f' AND confrelid IN ({list}) AND conrelid NOT IN ({list}))"
    ))?;
    let sql = match referred.as_deref() {
        Some("t") => {
            let each: Vec<String> = tables.iter().map(|t| format!("DELETE FROM {t}")).collect();
            each.join("; ")
        }
        _ => format!("TRUNCATE TABLE {}", tables.join(", ")),
    };
    connection
        .execute(&sql)
        .map_err(|e| e.doing("emptying the tables"))?;
    Ok(())
}

/// A qualified and quoted name as an SQL expression for its OID.
fn regclass(name: &str) -> String {
    format!("{}::pg_catalog.regclass", quote_literal(name))
}

/// The foreign keys between a chosen table and one that is not, of the database and of the backup, in words. Their rows are not
/// of one moment, so some may refer to rows that are not there.
pub fn foreign_keys_across(
    connection: &mut Connection,
    toc: &Toc,
    chosen: impl Fn(&QualifiedName) -> bool,
) -> Result<Vec<String>> {
    let mut keys = BTreeSet::new();
    let live = connection.query(
        "SELECT cn.nspname, c.relname, pn.nspname, p.relname, k.conname FROM pg_catalog.pg_constraint k \
         JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace \
         JOIN pg_catalog.pg_class p ON p.oid = k.confrelid JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace \
         WHERE k.contype = 'f' AND k.conparentid = 0 AND k.convalidated",
    )?;
    for row in live.iter() {
        keys.insert((
            QualifiedName::new(row.text(0), row.text(1)),
            QualifiedName::new(row.text(2), row.text(3)),
            row.text(4),
        ));
    }
    for entry in toc.entries.iter().filter(|e| e.is("FK CONSTRAINT")) {
        let ends: Vec<QualifiedName> = entry
            .depends_on()
            .filter_map(|id| toc.entry(id))
            .filter(|e| e.is("TABLE"))
            .map(|e| QualifiedName::new(e.namespace(), e.tag()))
            .collect();
        // The entry is called `table constraint`; a name with a space in it may make more than one table fit.
        for child in ends.iter().filter(|e| e.schema == entry.namespace()) {
            let tag = entry.tag();
            let name = tag
                .strip_prefix(&child.name)
                .and_then(|t| t.strip_prefix(' '));
            let parent = ends.iter().find(|end| *end != child);
            if let (Some(name), Some(parent)) = (name, parent) {
                keys.insert((child.clone(), parent.clone(), name.to_owned()));
            }
        }
    }
    Ok(keys
        .into_iter()
        .filter(|(child, parent, _)| chosen(child) != chosen(parent))
        .map(|(child, parent, name)| format!("{child} to {parent} (foreign key {name})"))
        .collect())
}

/// Refuses rows that refer to rows that are not there, in every foreign key from or to these tables.
pub(super) fn check_foreign_keys(
    connection: &mut Connection,
    tables: &BTreeSet<QualifiedName>,
) -> Result<()> {
    if tables.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = tables.iter().map(|t| regclass(&t.quoted())).collect();
    // Equality is the constraint's own operator; NULL in any column means "refers to nothing" (MATCH SIMPLE).
    let queries = connection.query(&format!(
        "SELECT c.conname, c.conrelid::pg_catalog.regclass::text AS child, c.confrelid::pg_catalog.regclass::text AS parent, \
           pg_catalog.format('SELECT pg_catalog.count(*) FROM %s c WHERE %s AND NOT EXISTS (SELECT FROM %s p WHERE %s)', \
             c.conrelid::pg_catalog.regclass, \
             (SELECT pg_catalog.string_agg(pg_catalog.format('c.%I IS NOT NULL', a.attname), ' AND ') \
              FROM pg_catalog.unnest(c.conkey) k JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k), \
             c.confrelid::pg_catalog.regclass, \
             (SELECT pg_catalog.string_agg(pg_catalog.format('p.%I OPERATOR(%I.%s) c.%I', pa.attname, n.nspname, o.oprname, ca.attname), ' AND ') \
              FROM ROWS FROM (pg_catalog.unnest(c.conkey), pg_catalog.unnest(c.confkey), pg_catalog.unnest(c.conpfeqop)) \
                AS k(child, parent, operator) \
              JOIN pg_catalog.pg_attribute ca ON ca.attrelid = c.conrelid AND ca.attnum = k.child \
              JOIN pg_catalog.pg_attribute pa ON pa.attrelid = c.confrelid AND pa.attnum = k.parent \
              JOIN pg_catalog.pg_operator o ON o.oid = k.operator \
              JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace)) AS query \
         FROM pg_catalog.pg_constraint c \
         WHERE c.contype = 'f' AND c.conparentid = 0 AND c.convalidated \
           AND (c.conrelid IN ({list}) OR c.confrelid IN ({list}))",
        list = list.join(", ")
    ))?;
    for row in queries.iter() {
        let orphans = connection.query_value(&row.text("query"))?;
        if orphans.as_deref() != Some("0") {
            return Err(Error::refused(
                format!(
                    "{} rows of {} refer to rows of {} that would not be there (foreign key {})",
                    orphans.unwrap_or_default(),
                    row.text("child"),
                    row.text("parent"),
                    row.text("conname")
                ),
                "restore both tables together, or restore into another database and copy what you need; nothing was changed",
            ));
        }
    }
    Ok(())
}
