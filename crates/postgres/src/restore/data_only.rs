//! Loading rows into tables that are there already: one connection, one transaction, all or nothing.
//!
//! Triggers stay silent where the user may say so; the foreign keys that they would have checked are checked at the end.

use super::{
    RestoreOptions, RestoreSummary,
    data::{self, Loaded},
    fit,
    selection::Selection,
    source::DumpSource,
};
use crate::{Result, archive::Toc, connect::ConnectOptions, wire::Connection};
use pgkeep_model::{
    CancelToken, Phase, Progress,
    manifest::{DatabaseManifest, MemberContent},
};
use std::time::Instant;

#[allow(clippy::too_many_arguments)] // the parts of one restore, opened by the only caller
pub(super) fn restore(
    target: &ConnectOptions,
    manifest: &DatabaseManifest,
    source: &dyn DumpSource,
    toc: &Toc,
    selection: &Selection,
    options: &RestoreOptions,
    cancel: &CancelToken,
    progress: &dyn Progress,
) -> Result<RestoreSummary> {
    let mut summary = RestoreSummary {
        left_out: selection.left_out.clone(),
        ..Default::default()
    };
    if manifest
        .members
        .iter()
        .any(|m| matches!(m.what, MemberContent::LargeObject { .. }))
    {
        summary
            .left_out
            .push("large objects: they are not part of a data-only restore".into());
    }
    let started = Instant::now();
    let mut connection = data::open(target, manifest, cancel)?;
    let quiet = quiet_triggers(&mut connection)?;
    if !quiet {
        progress.warn(
            "triggers fire and foreign keys are checked while rows are loaded: the user may not set session_replication_role",
        );
    }
    let loads = data::plan(toc, manifest, selection, false, 1)?;
    progress.phase(Phase::Data, Some(loads.iter().map(|l| l.bytes()).sum()));
    connection.execute("BEGIN")?;
    connection.execute("SET CONSTRAINTS ALL DEFERRED")?;
    let tables = data::tables_to_empty(toc, manifest, selection)?;
    if options.replace_rows && !tables.is_empty() {
        fit::empty_tables(&mut connection, &tables)?;
    }
    let loaded = Loaded::default();
    for load in &loads {
        data::load_one(&mut connection, load, source, cancel, progress, &loaded)?;
    }
    summary.sequences = data::set_sequences(&mut connection, toc, selection)?;
    if quiet {
        fit::check_foreign_keys(&mut connection, &data::table_names(toc, selection))?;
    }
    connection
        .execute("COMMIT")
        .map_err(|e| e.doing("committing the loaded rows"))?;
    summary.rows = loaded.rows();
    summary.bytes = loaded.bytes();
    summary.phases.push((Phase::Data, started.elapsed()));
    Ok(summary)
}

/// Rows come as they were: triggers must not change them again. False where the user may not say so.
pub(super) fn quiet_triggers(connection: &mut Connection) -> Result<bool> {
    match connection.execute("SET session_replication_role = replica") {
        Ok(_) => Ok(true),
        Err(e) if e.sqlstate() == Some("42501") => Ok(false),
        Err(e) => Err(e),
    }
}
