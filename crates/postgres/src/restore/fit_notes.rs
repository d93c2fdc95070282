//! What a person should know after a part of a backup was fitted into a database that is in use.

use super::{
    RestoreSummary,
    selection::{Selection, describe, is_relation},
};
use crate::{
    Result,
    archive::{Entry, Toc},
    wire::Connection,
};
use pgkeep_model::{evidence::QualifiedName, manifest::DatabaseManifest};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Looks at the database as it is at the end, and puts the summary's list of what was left out right: links that are
/// there all the same are no loss; tables that have another shape than in the backup, and views over the chosen tables
/// that are not there, are worth telling.
pub(super) fn finish(
    connection: &mut Connection,
    toc: &Toc,
    manifest: &DatabaseManifest,
    selection: &Selection,
    summary: &mut RestoreSummary,
) -> Result<()> {
    let there = links(connection)?;
    let present: HashSet<String> = toc
        .entries
        .iter()
        .filter(|e| is_link(e) && there.contains(&name_of(e)))
        .map(describe)
        .collect();
    summary.left_out.retain(|text| !present.contains(text));
    let notes = other_shapes(connection, manifest, |table| {
        selection.relations().contains(table)
    })?;
    summary.left_out.extend(notes);
    let notes = views_not_there(connection, toc, selection)?;
    summary.left_out.extend(notes);
    Ok(())
}

fn name_of(entry: &Entry) -> QualifiedName {
    QualifiedName::new(entry.namespace(), entry.tag())
}

fn is_link(entry: &Entry) -> bool {
    ["FK CONSTRAINT", "TABLE ATTACH", "INDEX ATTACH"]
        .iter()
        .any(|kind| entry.is(kind))
}

/// Foreign keys, partitions and their indexes, named as pg_dump tags them.
fn links(connection: &mut Connection) -> Result<HashSet<QualifiedName>> {
    let rows = connection.query(
        "SELECT n.nspname, c.relname || ' ' || k.conname FROM pg_catalog.pg_constraint k \
         JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE k.contype = 'f' \
         UNION ALL SELECT n.nspname, c.relname FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relispartition",
    )?;
    Ok(rows
        .iter()
        .map(|r| QualifiedName::new(r.text(0), r.text(1)))
        .collect())
}

/// Tells which chosen tables have other columns than in the backup. They are kept as they are, so values of a column that
/// the backup does not have are lost with the rows that are replaced.
pub fn other_shapes(
    connection: &mut Connection,
    manifest: &DatabaseManifest,
    chosen: impl Fn(&QualifiedName) -> bool,
) -> Result<Vec<String>> {
    let rows = connection.query(
        "SELECT n.nspname, c.relname, pg_catalog.quote_ident(a.attname) FROM pg_catalog.pg_attribute a \
         JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND c.relkind IN ('r', 'p')",
    )?;
    let mut live: BTreeMap<QualifiedName, BTreeSet<String>> = BTreeMap::new();
    for row in rows.iter() {
        let table = QualifiedName::new(row.text(0), row.text(1));
        live.entry(table).or_default().insert(row.text(2));
    }
    let mut notes = Vec::new();
    for table in &manifest.evidence.tables {
        let Some(now) = live.get(&table.name).filter(|_| chosen(&table.name)) else {
            continue;
        };
        let backed_up = split_columns(&table.columns);
        let list = |columns: Vec<&String>| {
            let columns: Vec<&str> = columns.into_iter().map(String::as_str).collect();
            columns.join(", ")
        };
        let more = list(now.difference(&backed_up).collect());
        let fewer = list(backed_up.difference(now).collect());
        let differences = [
            (
                more,
                "which the backup does not have: their values go with the rows",
            ),
            (fewer, "which only the backup has"),
        ];
        notes.extend(
            differences
                .iter()
                .filter(|(columns, _)| !columns.is_empty())
                .map(|(columns, whose)| {
                    format!(
                        "the backup's definition of table {}: the table is kept as it is, and differs in {columns}, {whose}",
                        table.name
                    )
                }),
        );
    }
    Ok(notes)
}

/// Parts a list of quoted identifiers.
fn split_columns(list: &str) -> BTreeSet<String> {
    let mut quoted = false;
    let columns = list.split(|c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    columns
        .map(|c| c.trim().to_owned())
        .filter(|c| !c.is_empty())
        .collect()
}

/// Views and materialized views of the backup that read chosen tables, directly or not, and that the database lacks:
/// dropping a table with CASCADE takes them along, and restoring the table alone does not bring them back.
fn views_not_there(
    connection: &mut Connection,
    toc: &Toc,
    selection: &Selection,
) -> Result<Vec<String>> {
    let rows = connection.query(
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm')",
    )?;
    let there: HashSet<QualifiedName> = rows
        .iter()
        .map(|r| QualifiedName::new(r.text(0), r.text(1)))
        .collect();
    let readers = readers_of_chosen(toc, selection);
    let lacking = toc.entries.iter().filter(|e| {
        (e.is("VIEW") || e.is("MATERIALIZED VIEW"))
            && readers.contains(&e.dump_id)
            && !there.contains(&name_of(e))
    });
    Ok(lacking
        .map(|e| {
            format!(
                "{}, which reads what was restored and is not in the database: restore it too (--table {})",
                describe(e),
                name_of(e)
            )
        })
        .collect())
}

/// Dump ids of the chosen relations and of everything that reads them.
fn readers_of_chosen(toc: &Toc, selection: &Selection) -> HashSet<i64> {
    // A view that groups by a primary key depends on that constraint, and may depend on the table only through it.
    let passes_on = |e: &Entry| e.is("VIEW") || e.is("MATERIALIZED VIEW") || e.is("CONSTRAINT");
    // A view that must be there before what it reads is made empty first, and gets its query as a rule.
    let is_query = |e: &Entry| e.is("RULE") && e.tag().ends_with(" _RETURN");
    let views: HashSet<i64> = toc
        .entries
        .iter()
        .filter(|e| e.is("VIEW"))
        .map(|e| e.dump_id)
        .collect();
    let mut readers: HashSet<i64> = toc
        .entries
        .iter()
        .filter(|e| is_relation(e) && selection.relations().contains(&name_of(e)))
        .map(|e| e.dump_id)
        .collect();
    loop {
        let before = readers.len();
        for entry in &toc.entries {
            if !entry.depends_on().any(|id| readers.contains(&id)) {
                continue;
            }
            if passes_on(entry) {
                readers.insert(entry.dump_id);
            } else if is_query(entry) {
                readers.extend(entry.depends_on().filter(|id| views.contains(id)));
            }
        }
        if readers.len() == before {
            return readers;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_lists_are_parted_outside_quotes() {
        let columns = split_columns("id, \"a, b\", \"c\"\",\"\"d\"");
        let expected = ["\"a, b\"", "\"c\"\",\"\"d\"", "id"].map(String::from);
        assert_eq!(columns, BTreeSet::from(expected));
        assert_eq!(split_columns(""), BTreeSet::new());
    }
}
