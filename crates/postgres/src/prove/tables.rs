//! Tables: what the catalog says of them, how they are read, and what their rows sum up to.

use super::Piece;
use crate::{Error, Result, archive::RowSummer, dump::ranges, wire::Connection};
use pgkeep_model::{
    CancelToken, Progress,
    evidence::{ContentSum, Proof, QualifiedName, TableEvidence},
};
use std::collections::HashMap;

pub(super) struct TableFacts {
    /// Can be read in ranges of `ctid`.
    heap: bool,
    /// Holds its rows in partitions.
    partitioned: bool,
    blocks: u64,
    block_size: u64,
    /// Table and TOAST data.
    bytes: u64,
    columns: Vec<String>,
}

pub(super) fn table_facts(
    connection: &mut Connection,
) -> Result<HashMap<QualifiedName, TableFacts>> {
    let rows = connection.query(
        "SELECT n.nspname AS schema, c.relname AS name, \
           c.relkind = 'r' AND coalesce(a.amname = 'heap', false) AS heap, \
           c.relkind = 'p' AS partitioned, \
           CASE WHEN c.relkind = 'r' THEN pg_catalog.pg_relation_size(c.oid) ELSE 0 END AS heap_bytes, \
           CASE WHEN c.reltoastrelid <> 0 THEN pg_catalog.pg_relation_size(c.reltoastrelid) ELSE 0 END AS toast_bytes, \
           pg_catalog.current_setting('block_size') AS block_size, \
           (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(t.attname), ',' ORDER BY t.attnum) \
            FROM pg_catalog.pg_attribute t WHERE t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped) AS columns \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam WHERE c.relkind IN ('r', 'f', 'm', 'p')",
    )?;
    Ok(rows
        .iter()
        .map(|r| {
            let heap_bytes: u64 = r.parse("heap_bytes").unwrap_or(0);
            let block_size: u64 = r.parse("block_size").unwrap_or(8192);
            (
                QualifiedName::new(r.text("schema"), r.text("name")),
                TableFacts {
                    heap: r.is_true("heap"),
                    partitioned: r.is_true("partitioned"),
                    blocks: heap_bytes / block_size,
                    block_size,
                    bytes: heap_bytes + r.parse("toast_bytes").unwrap_or(0),
                    columns: split_identifiers(&r.text("columns")),
                },
            )
        })
        .collect())
}

/// Splits a list of quoted or plain identifiers, keeping their quotes off.
fn split_identifiers(list: &str) -> Vec<String> {
    let (mut names, mut current, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    let mut chars = list.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                current.push('"');
            }
            '"' => (quoted, any) = (!quoted, true),
            ',' if !quoted => {
                names.push(std::mem::take(&mut current));
                any = false;
            }
            ' ' if !quoted => {}
            c => (current.push(c), any = true).1,
        }
    }
    if any {
        names.push(current);
    }
    names
}

/// The table is there with every column that was read; one that is not is a difference, not a failure.
pub(super) fn readable(table: &TableEvidence, facts: &HashMap<QualifiedName, TableFacts>) -> bool {
    facts.get(&table.name).is_some_and(|f| {
        split_identifiers(&table.columns)
            .iter()
            .all(|c| f.columns.contains(c))
    })
}

pub(super) fn table_pieces(
    tables: &[TableEvidence],
    facts: &HashMap<QualifiedName, TableFacts>,
    proof: Proof,
    encoding: &str,
) -> Vec<Piece> {
    let mut pieces: Vec<(u64, Piece)> = Vec::new();
    for (index, table) in tables
        .iter()
        .enumerate()
        .filter(|(_, t)| readable(t, facts))
    {
        let Some(found) = facts.get(&table.name) else {
            continue;
        };
        let condition = table.condition.as_deref().unwrap_or("");
        let whole = vec![(0, None)];
        let ranges = match found.heap && condition.is_empty() && proof == Proof::Full {
            true => ranges::split(found.blocks, found.bytes, found.block_size),
            false => whole,
        };
        let weight = found.bytes / ranges.len() as u64;
        for range in ranges {
            let only =
                ranges::condition(range).map_or(condition.to_string(), |c| format!("WHERE {c}"));
            // Partitions whose rows are routed anew by a restore are proven together, through their root.
            let whole_tree = if found.partitioned { "" } else { "ONLY " };
            let from = format!("FROM {whole_tree}{} {only}", table.name.quoted());
            let sql = match proof {
                Proof::Counts => format!("SELECT pg_catalog.count(*) {from}"),
                _ => format!(
                    "COPY (SELECT {} {from}) TO STDOUT WITH (ENCODING {encoding})",
                    table.columns
                ),
            };
            pieces.push((weight, Piece::Rows { table: index, sql }));
        }
    }
    pieces.sort_by_key(|(blocks, _)| std::cmp::Reverse(*blocks));
    pieces.into_iter().map(|(_, piece)| piece).collect()
}

pub(super) fn sum_rows(
    connection: &mut Connection,
    name: &QualifiedName,
    sql: &str,
    proof: Proof,
    cancel: &CancelToken,
    progress: &dyn Progress,
) -> Result<ContentSum> {
    let doing = || format!("reading table {name}");
    if proof == Proof::Counts {
        let count = connection.query_value(sql).map_err(|e| e.doing(doing()))?;
        return Ok(ContentSum {
            rows: count.and_then(|c| c.parse().ok()).unwrap_or(0),
            ..Default::default()
        });
    }
    let mut summer = RowSummer::new();
    connection
        .copy_out_batches(sql, |batch| {
            cancel.check().map_err(std::io::Error::other)?;
            summer.push(batch.data);
            progress.bytes(batch.data.len() as u64);
            Ok(())
        })
        .map_err(|e| match cancel.is_cancelled() {
            true => Error::Cancelled,
            false => e.doing(doing()),
        })?;
    Ok(summer.sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_lists_are_compared_without_their_quotes() {
        assert_eq!(
            split_identifiers(r#"a, "b, ""c", größe"#),
            ["a", "b, \"c", "größe"]
        );
        assert_eq!(split_identifiers(r#"a,"b""#), ["a", "b"]);
        assert_eq!(split_identifiers(""), Vec::<String>::new());
    }

    #[test]
    fn a_big_table_is_read_in_ranges_of_which_the_last_is_open() {
        let table = TableEvidence {
            name: QualifiedName::new("public", "t"),
            content: ContentSum::default(),
            columns: "a".into(),
            condition: None,
        };
        let blocks = 2 * 8192 + 1;
        let facts = |heap| {
            HashMap::from([(
                table.name.clone(),
                TableFacts {
                    heap,
                    blocks,
                    block_size: 8192,
                    bytes: blocks * 8192,
                    partitioned: false,
                    columns: vec!["a".into()],
                },
            )])
        };
        let sql = |facts: &HashMap<_, _>| -> Vec<String> {
            table_pieces(std::slice::from_ref(&table), facts, Proof::Full, "'UTF8'")
                .into_iter()
                .filter_map(|p| match p {
                    Piece::Rows { sql, .. } => Some(sql),
                    Piece::LargeObjects(_) => None,
                })
                .collect()
        };
        let split = sql(&facts(true));
        assert_eq!(split.len(), 3);
        assert!(
            split[2].contains("WHERE ctid >= '(16384,0)'"),
            "{}",
            split[2]
        );
        assert!(!split[2].contains("ctid <"), "{}", split[2]);
        assert_eq!(sql(&facts(false)).len(), 1);
    }
}
