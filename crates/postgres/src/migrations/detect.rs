//! Finding the frameworks' tables.

use super::{Adapter, frameworks::ADAPTERS};
use crate::{Result, inspect::parse_array, wire::Connection};
use pgkeep_model::{
    app::Framework,
    evidence::{QualifiedName, quote_literal},
};

/// A table that a framework keeps.
pub(super) struct Table {
    pub adapter: &'static Adapter,
    pub name: QualifiedName,
    pub readable: bool,
    /// The framework's lock table stands beside it and can be read.
    pub lock: bool,
}

struct Candidate {
    name: QualifiedName,
    columns: Vec<String>,
    readable: bool,
}

/// The tables of all frameworks, or of one; by their usual names, or by a configured one (`table` or `schema.table`).
pub(super) fn tables(
    connection: &mut Connection,
    framework: Option<Framework>,
    configured: Option<&str>,
) -> Result<Vec<Table>> {
    let adapters: Vec<&'static Adapter> = ADAPTERS
        .iter()
        .filter(|a| framework.is_none_or(|f| a.framework == f))
        .collect();
    let wanted = |candidate: &Candidate, adapter: &Adapter| match configured {
        Some(name) => {
            name == candidate.name.name
                || name == format!("{}.{}", candidate.name.schema, candidate.name.name)
        }
        None => adapter.tables.contains(&candidate.name.name.as_str()),
    };
    let candidates = candidates(connection, &adapters, configured)?;
    let beside = |schema: &str, name: &str| {
        candidates
            .iter()
            .find(|c| c.name.schema == schema && c.name.name == name)
    };
    let mut found = Vec::new();
    for candidate in &candidates {
        let has = |column: &&str| candidate.columns.iter().any(|c| c == column);
        // With a table of its own, Rails is told from dbmate by the framework's name alone.
        let fits = |adapter: &&&'static Adapter| {
            wanted(candidate, adapter)
                && adapter.has.iter().all(has)
                && !adapter.lacks.iter().any(has)
                && (framework.is_some()
                    || adapter.beside.is_none_or(|(name, there)| {
                        beside(&candidate.name.schema, name).is_some() == there
                    }))
        };
        if let Some(adapter) = adapters.iter().find(fits) {
            let lock = adapter
                .lock
                .as_ref()
                .and_then(|lock| Some((lock, beside(&candidate.name.schema, lock.table)?)))
                .is_some_and(|(lock, table)| {
                    table.readable && table.columns.iter().any(|c| c == lock.column)
                });
            found.push(Table {
                adapter,
                name: candidate.name.clone(),
                readable: candidate.readable,
                lock,
            });
        }
    }
    Ok(found)
}

/// Ordinary tables that have one of the names that matter, with their columns.
fn candidates(
    connection: &mut Connection,
    adapters: &[&'static Adapter],
    configured: Option<&str>,
) -> Result<Vec<Candidate>> {
    let mut names: Vec<String> = adapters
        .iter()
        .flat_map(|a| {
            let lock = a.lock.as_ref().map(|lock| lock.table);
            let beside = a.beside.map(|(name, _)| name);
            a.tables.iter().copied().chain(lock).chain(beside)
        })
        .map(str::to_owned)
        .collect();
    if let Some(configured) = configured {
        names.push(configured.to_owned());
        names.extend(configured.split_once('.').map(|(_, name)| name.to_owned()));
    }
    names.sort_unstable();
    names.dedup();
    let names: Vec<String> = names.iter().map(|name| quote_literal(name)).collect();
    let rows = connection.query(&format!(
        "SELECT n.nspname, c.relname, \
           pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY a.attnum), \
           pg_catalog.has_table_privilege(c.oid, 'SELECT') AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
         FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' \
           AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
           AND c.relname IN ({}) \
         GROUP BY n.oid, n.nspname, c.oid, c.relname ORDER BY n.nspname, c.relname",
        names.join(", ")
    ))?;
    Ok(rows
        .iter()
        .map(|row| {
            let text = |i: usize| row.get(i).unwrap_or_default();
            Candidate {
                name: QualifiedName::new(text(0), text(1)),
                columns: parse_array(text(2)),
                readable: text(3) == "t",
            }
        })
        .collect())
}
