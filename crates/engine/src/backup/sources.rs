//! The servers that a backup reads: opened, leased, and frozen at one moment.

use super::BackupRequest;
use crate::{Context, Result, lease};
use pgkeep_model::manifest::BackupKind;
use pgkeep_postgres::{
    connect::ConnectOptions,
    dump::{self, DumpOptions, Frozen},
    tools::Tools,
};

/// One database server and database that is to be read.
pub(super) struct Source {
    pub(super) options: ConnectOptions,
    pub(super) tools: Tools,
    _lease: lease::DatabaseLease,
}

pub(super) fn open_sources(request: &BackupRequest, context: &Context) -> Result<Vec<Source>> {
    if request.kind == BackupKind::Files {
        return Ok(Vec::new());
    }
    request
        .databases
        .iter()
        .map(|options| {
            let lease = lease::DatabaseLease::acquire(options, "backup", &context.cancel)?;
            let tools = Tools::for_dump(lease.server_version_num() / 10_000, &context.tool_dirs)?;
            Ok(Source {
                options: options.clone(),
                tools,
                _lease: lease,
            })
        })
        .collect()
}

pub(super) fn freeze_all(
    sources: &[Source],
    request: &BackupRequest,
    context: &Context,
) -> Result<Vec<Frozen>> {
    sources
        .iter()
        .map(|source| {
            Ok(dump::freeze(
                &source.options,
                &dump_options(request),
                &context.cancel,
                &*context.progress,
            )?)
        })
        .collect()
}

pub(super) fn dump_options(request: &BackupRequest) -> DumpOptions {
    let usual = DumpOptions::default();
    DumpOptions {
        lock_timeout: request.lock_timeout.unwrap_or(usual.lock_timeout),
        jobs: request.jobs,
        exclude_table_data: request.exclude_table_data.clone(),
        schemas: request.schemas.clone(),
        migrations: request.application.migrations.clone(),
        ..usual
    }
}
