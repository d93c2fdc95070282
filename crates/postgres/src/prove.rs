//! Recomputing the evidence of a live database, to be compared with what was recorded when it was backed up.
//!
//! Everything is read under one shared snapshot, with the session settings and column lists of the dump, so equal content
//! gives equal sums whatever the version or layout of the server. Tables are read side by side, big ones in ranges of
//! `ctid`. What the database no longer has is left out of the result and so shows up as a difference.

use crate::{
    Error, Result,
    archive::{RowSummer, count_objects, schema_sha256},
    connect::ConnectOptions,
    dump::{DumpOptions, capture::table_of_contents, ranges, session},
    restore::workers::{lock, share_out},
    tools::Tools,
    wire::Connection,
};
use pgkeep_model::{
    CancelToken, Phase, Progress,
    evidence::{
        ContentHash, ContentSum, DatabaseEvidence, ExtensionEvidence, LargeObjectEvidence, Proof, QualifiedName, SequenceEvidence,
        TableEvidence, quote_literal,
    },
    manifest::DatabaseManifest,
};
use std::{collections::HashMap, sync::Mutex};
use xxhash_rust::xxh3::Xxh3;

/// Bytes of one large object read at a time, and objects asked for together.
const PIECE: usize = 256 * 1024;
const OBJECTS_AT_ONCE: usize = 32;

/// Recomputes, in the database at `target`, the evidence that `expected` holds; under [`Proof::Counts`] tables are
/// counted instead of read. The objects of the schema are those that `tools`' pg_dump sees.
pub fn collect(
    target: &ConnectOptions,
    expected: &DatabaseManifest,
    tools: &Tools,
    jobs: usize,
    proof: Proof,
    cancel: &CancelToken,
    progress: &dyn Progress,
) -> Result<DatabaseEvidence> {
    progress.phase(Phase::Prove, Some(expected.evidence.bytes()));
    if proof == Proof::None {
        return Ok(DatabaseEvidence::default());
    }
    let mut leader = session::open(target, cancel)?;
    session::begin(&mut leader)?;
    let snapshot = leader.query_value("SELECT pg_catalog.pg_export_snapshot()")?.unwrap_or_default();
    let toc = table_of_contents(
        target,
        tools,
        &snapshot,
        leader.parameter("server_encoding").unwrap_or("UTF8"),
        &DumpOptions {
            schemas: expected.only_schemas.clone(),
            ..Default::default()
        },
        cancel,
    )?;
    let facts = table_facts(&mut leader)?;
    let sums: Vec<Mutex<ContentSum>> = expected.evidence.tables.iter().map(|_| Mutex::default()).collect();
    let large_objects = Mutex::new(LargeObjectEvidence::default());
    let encoding = quote_literal(encoding_of(expected));
    let mut pieces = table_pieces(&expected.evidence.tables, &facts, proof, &encoding);
    pieces.extend(large_object_pieces(&mut leader, proof, &large_objects)?);
    share_out(
        jobs,
        pieces,
        cancel,
        |stop| {
            let mut connection = session::open_in_snapshot(target, &snapshot, stop)?;
            crate::restore::set_monetary_locale(&mut connection, expected)?;
            Ok(connection)
        },
        |connection, piece| match piece {
            Piece::Rows { table, sql } => {
                let name = &expected.evidence.tables[table].name;
                let sum = sum_rows(connection, name, &sql, proof, cancel, progress)?;
                lock(&sums[table]).add(sum);
                Ok(())
            }
            Piece::LargeObjects(oids) => {
                let sum = sum_large_objects(connection, oids, cancel, progress)?;
                let mut all = lock(&large_objects);
                all.bytes += sum.bytes;
                all.hash.add(sum.hash);
                Ok(())
            }
        },
    )?;
    Ok(DatabaseEvidence {
        tables: with_sums(&expected.evidence.tables, &facts, |table| *lock(&sums[table])),
        sequences: sequences(&mut leader)?,
        extensions: extensions(&mut leader)?,
        large_objects: *lock(&large_objects),
        objects: count_objects(&toc),
        schema_sha256: schema_sha256(&toc),
    })
}

/// Recomputes the evidence on one session that is in the middle of a transaction, which is all that can see its work.
/// The objects of the schema are not looked at: pg_dump sees only what was committed.
pub fn collect_in_transaction(
    connection: &mut Connection,
    expected: &DatabaseManifest,
    proof: Proof,
    cancel: &CancelToken,
    progress: &dyn Progress,
) -> Result<DatabaseEvidence> {
    let facts = table_facts(connection)?;
    let large_objects = Mutex::new(LargeObjectEvidence::default());
    let encoding = quote_literal(encoding_of(expected));
    let mut sums = vec![ContentSum::default(); expected.evidence.tables.len()];
    let mut pieces = table_pieces(&expected.evidence.tables, &facts, proof, &encoding);
    pieces.extend(large_object_pieces(connection, proof, &large_objects)?);
    for piece in pieces {
        match piece {
            Piece::Rows { table, sql } => {
                let name = &expected.evidence.tables[table].name;
                sums[table].add(sum_rows(connection, name, &sql, proof, cancel, progress)?);
            }
            Piece::LargeObjects(oids) => {
                let sum = sum_large_objects(connection, oids, cancel, progress)?;
                let mut all = lock(&large_objects);
                all.bytes += sum.bytes;
                all.hash.add(sum.hash);
            }
        }
    }
    Ok(DatabaseEvidence {
        tables: with_sums(&expected.evidence.tables, &facts, |table| sums[table]),
        sequences: sequences(connection)?,
        extensions: extensions(connection)?,
        large_objects: *lock(&large_objects),
        ..DatabaseEvidence::default()
    })
}

/// The rows were hashed as they stand in the dump, which is in the source's encoding.
fn encoding_of(expected: &DatabaseManifest) -> &str {
    match expected.properties.encoding.as_str() {
        "" => "UTF8",
        encoding => encoding,
    }
}

/// The tables that could be read, with what was found in them.
fn with_sums(
    tables: &[TableEvidence],
    facts: &HashMap<QualifiedName, TableFacts>,
    sum: impl Fn(usize) -> ContentSum,
) -> Vec<TableEvidence> {
    let found = tables.iter().enumerate().filter(|(_, table)| readable(table, facts));
    found
        .map(|(index, table)| TableEvidence {
            content: sum(index),
            ..table.clone()
        })
        .collect()
}

struct TableFacts {
    /// Can be read in ranges of `ctid`.
    heap: bool,
    partitioned: bool,
    blocks: u64,
    block_size: u64,
    /// Table and TOAST data.
    bytes: u64,
    /// The topmost partitioned table above it that distributes rows by hash.
    hash_root: Option<String>,
    columns: Vec<String>,
}

fn table_facts(connection: &mut Connection) -> Result<HashMap<QualifiedName, TableFacts>> {
    let rows = connection.query(
        "SELECT n.nspname AS schema, c.relname AS name, \
           c.relkind = 'r' AND coalesce(a.amname = 'heap', false) AS heap, \
           c.relkind = 'p' AS partitioned, \
           CASE WHEN c.relkind = 'r' THEN pg_catalog.pg_relation_size(c.oid) ELSE 0 END AS heap_bytes, \
           CASE WHEN c.reltoastrelid <> 0 THEN pg_catalog.pg_relation_size(c.reltoastrelid) ELSE 0 END AS toast_bytes, \
           pg_catalog.current_setting('block_size') AS block_size, \
           CASE WHEN c.relispartition THEN (SELECT a.relid::pg_catalog.oid \
             FROM pg_catalog.pg_partition_ancestors(c.oid) WITH ORDINALITY a(relid, height) \
             JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = a.relid \
             WHERE p.partstrat = 'h' ORDER BY a.height DESC LIMIT 1) END AS hash_root, \
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
                    hash_root: r.optional("hash_root"),
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
fn readable(table: &TableEvidence, facts: &HashMap<QualifiedName, TableFacts>) -> bool {
    facts
        .get(&table.name)
        .is_some_and(|f| split_identifiers(&table.columns).iter().all(|c| f.columns.contains(c)))
}

/// Lets rows lie in another partition of the same hash partitioned table than they came from.
///
/// Where hashes depend on what differs between servers (OIDs of enum values, byte order, collations), pg_dump has such
/// rows loaded through the partitioned table, which distributes them anew. If the partitions of one table together
/// hold exactly the rows they held together before, each is shown with what was expected of it.
fn settle_hash_partitions(
    found: &mut [TableEvidence],
    expected: &[TableEvidence],
    facts: &HashMap<QualifiedName, TableFacts>,
    proof: Proof,
) {
    let root = |name: &QualifiedName| facts.get(name).and_then(|f| f.hash_root.clone());
    let mut balance: HashMap<String, [ContentSum; 2]> = HashMap::new();
    for (side, tables) in [expected, &*found].into_iter().enumerate() {
        for table in tables {
            if let Some(root) = root(&table.name) {
                balance.entry(root).or_default()[side].add(table.content);
            }
        }
    }
    let wanted: HashMap<&QualifiedName, ContentSum> = expected.iter().map(|t| (&t.name, t.content)).collect();
    for table in found {
        let Some([before, now]) = root(&table.name).and_then(|r| balance.get(&r)) else { continue };
        let same = before.rows == now.rows && (proof == Proof::Counts || before.hash == now.hash);
        if same && let Some(content) = wanted.get(&table.name) {
            table.content = *content;
        }
    }
}

/// Something to read.
enum Piece {
    /// Rows of the table with this place in the expected evidence.
    Rows { table: usize, sql: String },
    LargeObjects(Vec<u32>),
}

fn table_pieces(
    tables: &[TableEvidence],
    facts: &HashMap<QualifiedName, TableFacts>,
    proof: Proof,
    encoding: &str,
) -> Vec<Piece> {
    let mut pieces: Vec<(u64, Piece)> = Vec::new();
    for (index, table) in tables.iter().enumerate().filter(|(_, t)| readable(t, facts)) {
        let Some(found) = facts.get(&table.name) else { continue };
        let condition = table.condition.as_deref().unwrap_or("");
        let whole = vec![(0, None)];
        let ranges = match found.heap && condition.is_empty() && proof == Proof::Full {
            true => ranges::split(found.blocks, found.bytes, found.block_size),
            false => whole,
        };
        let weight = found.bytes / ranges.len() as u64;
        for range in ranges {
            let only = ranges::condition(range).map_or(condition.to_string(), |c| format!("WHERE {c}"));
            // Partitions whose rows are routed anew by a restore are proven together, through their root.
            let whole_tree = if found.partitioned { "" } else { "ONLY " };
            let from = format!("FROM {whole_tree}{} {only}", table.name.quoted());
            let sql = match proof {
                Proof::Counts => format!("SELECT pg_catalog.count(*) {from}"),
                _ => format!("COPY (SELECT {} {from}) TO STDOUT WITH (ENCODING {encoding})", table.columns),
            };
            pieces.push((weight, Piece::Rows { table: index, sql }));
        }
    }
    pieces.sort_by_key(|(blocks, _)| std::cmp::Reverse(*blocks));
    pieces.into_iter().map(|(_, piece)| piece).collect()
}

fn sum_rows(
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

/// Extensions as pg_dump sees them: those made since `initdb` (`pg_dump.c`, `selectDumpableExtension`).
fn extensions(connection: &mut Connection) -> Result<Vec<ExtensionEvidence>> {
    let rows = connection.query(
        "SELECT x.extname, x.extversion, n.nspname FROM pg_catalog.pg_extension x \
         JOIN pg_catalog.pg_namespace n ON n.oid = x.extnamespace WHERE x.oid >= 16384 ORDER BY 1",
    )?;
    Ok(rows
        .iter()
        .map(|r| ExtensionEvidence {
            name: r.text("extname"),
            version: r.text("extversion"),
            schema: r.text("nspname"),
        })
        .collect())
}

fn sequences(connection: &mut Connection) -> Result<Vec<SequenceEvidence>> {
    let names = connection.query(
        "SELECT n.nspname AS schema, c.relname AS name FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
           WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e' \
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE e.oid = d.refobjid AND c.oid = ANY (e.extconfig))) \
         ORDER BY 1, 2",
    )?;
    let names: Vec<_> = names.iter().map(|r| QualifiedName::new(r.text("schema"), r.text("name"))).collect();
    let mut found = Vec::with_capacity(names.len());
    for batch in names.chunks(100) {
        let each: Vec<_> = batch
            .iter()
            .enumerate()
            .map(|(i, n)| format!("SELECT {i} AS place, last_value, is_called FROM {}", n.quoted()))
            .collect();
        let rows = connection.query(&each.join(" UNION ALL "))?;
        for row in rows.iter() {
            let Some(name) = row.parse("place").and_then(|i: usize| batch.get(i)) else { continue };
            found.push(SequenceEvidence {
                name: name.clone(),
                last_value: row.parse("last_value").unwrap_or(0),
                is_called: row.is_true("is_called"),
            });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Counts the large objects, and lists what of them must be read.
fn large_object_pieces(
    connection: &mut Connection,
    proof: Proof,
    evidence: &Mutex<LargeObjectEvidence>,
) -> Result<Vec<Piece>> {
    let rows = connection.query("SELECT oid FROM pg_catalog.pg_largeobject_metadata ORDER BY oid")?;
    lock(evidence).count = rows.len() as u64;
    if proof == Proof::Counts {
        return Ok(Vec::new());
    }
    let oids: Vec<u32> = rows.iter().filter_map(|r| r.parse(0)).collect();
    Ok(oids.chunks(OBJECTS_AT_ONCE).map(|c| Piece::LargeObjects(c.to_vec())).collect())
}

fn sum_large_objects(
    connection: &mut Connection,
    mut oids: Vec<u32>,
    cancel: &CancelToken,
    progress: &dyn Progress,
) -> Result<LargeObjectEvidence> {
    let mut hashes: HashMap<u32, Xxh3> = HashMap::new();
    let mut sum = LargeObjectEvidence::default();
    let mut offset = 0u64;
    while !oids.is_empty() {
        cancel.check()?;
        let list: Vec<_> = oids.iter().map(|oid| format!("({oid}::oid)")).collect();
        let rows = connection
            .query(&format!(
                "SELECT v.oid, pg_catalog.encode(pg_catalog.lo_get(v.oid, {offset}, {PIECE}), 'hex') AS piece \
                 FROM (VALUES {}) AS v(oid)",
                list.join(", ")
            ))
            .map_err(|e| e.doing("reading large objects"))?;
        let mut unfinished = Vec::new();
        for row in rows.iter() {
            let (Some(oid), Some(piece)) = (row.parse::<u32>("oid"), row.get("piece")) else { continue };
            let bytes = hex::decode(piece).map_err(|e| Error::Protocol {
                doing: "reading large objects".into(),
                what: e.to_string(),
            })?;
            let hash = hashes.entry(oid).or_insert_with(|| {
                let mut hash = Xxh3::new();
                hash.update(&oid.to_le_bytes());
                hash
            });
            hash.update(&bytes);
            sum.bytes += bytes.len() as u64;
            progress.bytes(bytes.len() as u64);
            match bytes.len() == PIECE {
                true => unfinished.push(oid),
                false => sum.hash.add(ContentHash(hash.digest128())),
            }
        }
        oids = unfinished;
        offset += PIECE as u64;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_lists_are_compared_without_their_quotes() {
        assert_eq!(split_identifiers(r#"a, "b, ""c", größe"#), ["a", "b, \"c", "größe"]);
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
                    hash_root: None,
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
        assert!(split[2].contains("WHERE ctid >= '(16384,0)'"), "{}", split[2]);
        assert!(!split[2].contains("ctid <"), "{}", split[2]);
        assert_eq!(sql(&facts(false)).len(), 1);
    }
}
