//! Planner statistics after a load, so that the first queries are not slow.

use super::{data, workers::share_out};
use crate::{Result, connect::ConnectOptions, wire::Connection};
use pgkeep_model::{CancelToken, Progress, evidence::QualifiedName, manifest::DatabaseManifest};

/// Runs ANALYZE on every table, several at once, biggest first; with `vacuum` also VACUUM, which sets the visibility
/// map. Returns the number of tables.
pub(super) fn analyze_all(
    target: &ConnectOptions,
    jobs: usize,
    manifest: &DatabaseManifest,
    vacuum: bool,
    only: impl Fn(&QualifiedName) -> bool,
    cancel: &CancelToken,
    progress: &dyn Progress,
) -> Result<usize> {
    let mut connection = Connection::open(target)?;
    let tables: Vec<QualifiedName> = tables_by_size(&mut connection)?
        .into_iter()
        .filter(|t| only(t))
        .collect();
    drop(connection);
    let count = tables.len();
    share_out(
        jobs,
        tables,
        cancel,
        |stop| data::open(target, manifest, stop),
        |connection, table| {
            analyze(connection, &table, vacuum)?;
            progress.item(&table.to_string());
            Ok(())
        },
    )?;
    Ok(count)
}

/// Gathers the statistics of one table.
pub(super) fn analyze(
    connection: &mut Connection,
    table: &QualifiedName,
    vacuum: bool,
) -> Result<()> {
    let verb = match vacuum {
        true => "VACUUM (ANALYZE)",
        false => "ANALYZE",
    };
    connection
        .execute(&format!("{verb} {}", table.quoted()))
        .map_err(|e| e.doing(format!("gathering statistics of {table}")))?;
    Ok(())
}

/// Partitioned parents come first of all: their statistics are read from all partitions.
fn tables_by_size(connection: &mut Connection) -> Result<Vec<QualifiedName>> {
    let rows = connection.query(
        "SELECT n.nspname AS schema, c.relname AS name FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'm', 'p') AND c.relpersistence <> 't' \
           AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' \
         ORDER BY c.relkind = 'p' DESC, pg_catalog.pg_relation_size(c.oid) DESC, 1, 2",
    )?;
    Ok(rows
        .iter()
        .map(|r| QualifiedName::new(r.text("schema"), r.text("name")))
        .collect())
}
