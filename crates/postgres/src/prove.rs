//! Recomputing the evidence of a live database, to be compared with what was recorded when it was backed up.
//!
//! Everything is read under one shared snapshot, with the session settings and column lists of the dump, so equal content
//! gives equal sums whatever the version or layout of the server. Tables are read side by side, big ones in ranges of
//! `ctid`. What the database no longer has is left out of the result and so shows up as a difference.

mod large_objects;
mod tables;

use crate::{
    Result,
    archive::{count_objects, schema_sha256},
    connect::ConnectOptions,
    dump::{DumpOptions, capture::table_of_contents, session},
    restore::workers::{lock, share_out},
    tools::Tools,
    wire::Connection,
};
use pgkeep_model::{
    CancelToken, Phase, Progress,
    evidence::{
        ContentSum, DatabaseEvidence, ExtensionEvidence, LargeObjectEvidence, Proof, QualifiedName,
        SequenceEvidence, TableEvidence, quote_literal,
    },
    manifest::DatabaseManifest,
};
use std::{collections::HashMap, sync::Mutex};
use tables::TableFacts;

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
    let snapshot = leader
        .query_value("SELECT pg_catalog.pg_export_snapshot()")?
        .unwrap_or_default();
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
    let reading = Reading::plan(&mut leader, expected, proof)?;
    share_out(
        jobs,
        reading.pieces(&mut leader)?,
        cancel,
        |stop| {
            let mut connection = session::open_in_snapshot(target, &snapshot, stop)?;
            crate::restore::set_monetary_locale(&mut connection, expected)?;
            Ok(connection)
        },
        |connection, piece| reading.read(connection, piece, cancel, progress),
    )?;
    let mut evidence = reading.finish(&mut leader)?;
    evidence.objects = count_objects(&toc);
    evidence.schema_sha256 = schema_sha256(&toc);
    Ok(evidence)
}

/// The same on one connection, inside its open transaction and seeing what that has not committed yet. The schema is
/// not looked at, for pg_dump could not see it: no objects are counted, and the checksum stays empty.
pub fn collect_in_transaction(
    connection: &mut Connection,
    expected: &DatabaseManifest,
    proof: Proof,
    cancel: &CancelToken,
    progress: &dyn Progress,
) -> Result<DatabaseEvidence> {
    if proof == Proof::None {
        return Ok(DatabaseEvidence::default());
    }
    crate::restore::prepare_session(connection, expected)?;
    let reading = Reading::plan(connection, expected, proof)?;
    for piece in reading.pieces(connection)? {
        reading.read(connection, piece, cancel, progress)?;
    }
    reading.finish(connection)
}

/// One pass over a database's content.
struct Reading<'a> {
    expected: &'a [TableEvidence],
    proof: Proof,
    /// As an SQL literal. Rows were hashed as they stand in the dump, which is in the source's encoding.
    encoding: String,
    facts: HashMap<QualifiedName, TableFacts>,
    /// For each expected table.
    sums: Vec<Mutex<ContentSum>>,
    large_objects: Mutex<LargeObjectEvidence>,
}

impl<'a> Reading<'a> {
    fn plan(
        connection: &mut Connection,
        expected: &'a DatabaseManifest,
        proof: Proof,
    ) -> Result<Self> {
        let tables = &expected.evidence.tables;
        Ok(Self {
            expected: tables,
            proof,
            encoding: quote_literal(match expected.properties.encoding.as_str() {
                "" => "UTF8",
                encoding => encoding,
            }),
            facts: tables::table_facts(connection)?,
            sums: tables.iter().map(|_| Mutex::default()).collect(),
            large_objects: Mutex::default(),
        })
    }

    fn pieces(&self, connection: &mut Connection) -> Result<Vec<Piece>> {
        let mut pieces =
            tables::table_pieces(self.expected, &self.facts, self.proof, &self.encoding);
        pieces.extend(large_objects::pieces(
            connection,
            self.proof,
            &self.large_objects,
        )?);
        Ok(pieces)
    }

    fn read(
        &self,
        connection: &mut Connection,
        piece: Piece,
        cancel: &CancelToken,
        progress: &dyn Progress,
    ) -> Result<()> {
        match piece {
            Piece::Rows { table, sql } => {
                let name = &self.expected[table].name;
                let sum = tables::sum_rows(connection, name, &sql, self.proof, cancel, progress)?;
                lock(&self.sums[table]).add(sum);
            }
            Piece::LargeObjects(oids) => {
                let sum = large_objects::sum(connection, oids, cancel, progress)?;
                let mut all = lock(&self.large_objects);
                all.bytes += sum.bytes;
                all.hash.add(sum.hash);
            }
        }
        Ok(())
    }

    fn finish(self, connection: &mut Connection) -> Result<DatabaseEvidence> {
        let tables: Vec<TableEvidence> = self
            .expected
            .iter()
            .zip(&self.sums)
            .filter(|(table, _)| tables::readable(table, &self.facts))
            .map(|(table, sum)| TableEvidence {
                content: *lock(sum),
                ..table.clone()
            })
            .collect();
        let large_objects = *lock(&self.large_objects);
        Ok(DatabaseEvidence {
            tables,
            sequences: sequences(connection)?,
            extensions: extensions(connection)?,
            large_objects,
            ..Default::default()
        })
    }
}

/// Something to read.
enum Piece {
    /// Rows of the table with this place in the expected evidence.
    Rows {
        table: usize,
        sql: String,
    },
    LargeObjects(Vec<u32>),
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
    let names: Vec<_> = names
        .iter()
        .map(|r| QualifiedName::new(r.text("schema"), r.text("name")))
        .collect();
    let mut found = Vec::with_capacity(names.len());
    for batch in names.chunks(100) {
        let each: Vec<_> = batch
            .iter()
            .enumerate()
            .map(|(i, n)| {
                format!(
                    "SELECT {i} AS place, last_value, is_called FROM {}",
                    n.quoted()
                )
            })
            .collect();
        let rows = connection.query(&each.join(" UNION ALL "))?;
        for row in rows.iter() {
            let Some(name) = row.parse("place").and_then(|i: usize| batch.get(i)) else {
                continue;
            };
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
