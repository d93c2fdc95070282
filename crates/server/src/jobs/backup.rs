//! A backup job: all databases of an app as one recovery point; of an `export` policy, also a portable package of it.
//!
//! Order of effects: the backup is published; the lease is asked for once more, and a process that lost it meanwhile
//! withdraws what it published, for another one does the same work; then what an attempt that died had published goes;
//! then the catalog hears of it. So one job leaves one backup.

use super::{
    Done, Failure, Work, document, rows,
    unchanged::{self, Look},
    usual_jobs,
};
use pgkeep_engine::{
    Context, ErrorCode,
    backup::{self, BackupReport, BackupRequest},
    catalog::{self, BackupEntry, ListFilter, Origin},
    package::{self, PackageRequest},
    restore as kept,
};
use pgkeep_model::{app::AppDefinition, job::BackupSpec, manifest::BackupKind, policy::PolicyKind};
use pgkeep_postgres::connect::ConnectOptions;
use pgkeep_repository::Repository;
use serde_json::json;
use std::time::Duration;

pub(super) fn run(work: &Work<'_>, spec: &BackupSpec) -> Result<Done, Failure> {
    let app = work.app(&spec.app)?;
    let name = work.repository_name(spec.repository.as_deref(), &app)?;
    let request = request(work, spec, &app)?;
    let context = work.context(Some(&app));
    let repository = work.open(&name, &context)?;
    let leftover = published_by(&repository, &work.job.id)?;
    let mark = match unchanged::look(work, spec, &app, &request.databases, &name, &repository)? {
        Look::Unchanged(unneeded) => return Ok(Done::Skipped(document(&unneeded))),
        Look::BackUp(mark) => mark,
    };
    let report = backup::run(&repository, &request, &context)?;
    keep_only_if_ours(work, &repository, &report)?;
    for entry in leftover {
        repository.delete_snapshot(&entry.snapshot.id)?;
        rows::remove(work, &name, &entry.id)?;
    }
    rows::record_new(work, &name, &repository, &report)?;
    unchanged::note(work, spec, &name, &report.id, mark)?;
    let mut result = document(&report);
    if spec.backup_kind == PolicyKind::Export {
        let written = write_package(work, spec, &name, &repository, &report, &context)?;
        result["exports"] = json!(written);
    }
    drop_expired(work, &spec.app, &app, &context);
    Ok(Done::Succeeded(result))
}

fn request(
    work: &Work<'_>,
    spec: &BackupSpec,
    app: &AppDefinition,
) -> Result<BackupRequest, Failure> {
    let kind = kind_of(spec.backup_kind);
    Ok(BackupRequest {
        app: spec.app.clone(),
        environment: (spec.environment.clone())
            .or(app.environment.clone())
            .unwrap_or_default(),
        kind,
        description: spec.description.clone(),
        tags: spec.tags.clone(),
        pinned: spec.pinned,
        origin: Origin {
            policy: spec.policy.clone(),
            job: Some(work.job.id.clone()),
        },
        databases: match kind {
            BackupKind::Files => Vec::new(),
            _ => chosen(work.machine.databases(&spec.app, app)?, &spec.databases)?,
        },
        globals: !matches!(kind, BackupKind::Database | BackupKind::Files),
        jobs: spec.jobs.or(app.jobs).map_or_else(usual_jobs, usize::from),
        compression_level: spec.compression.or(app.compression).unwrap_or(1),
        exclude_table_data: match spec.exclude_table_data.as_slice() {
            [] => app.exclude_table_data.clone(),
            given => given.to_vec(),
        },
        schemas: match spec.schemas.as_slice() {
            [] => app.schemas.clone(),
            given => given.to_vec(),
        },
        lock_timeout: spec.lock_timeout_secs.map(Duration::from_secs),
        read_back_all: spec.read_back_all,
        application: super::application(work.machine, &spec.app, app, None)?,
    })
}

/// Those of the app's databases that are asked for.
fn chosen(all: Vec<ConnectOptions>, names: &[String]) -> Result<Vec<ConnectOptions>, Failure> {
    if let Some(unknown) = names
        .iter()
        .find(|name| !all.iter().any(|database| database.dbname == **name))
    {
        let known: Vec<&str> = all
            .iter()
            .map(|database| database.dbname.as_str())
            .collect();
        return Err(
            Failure::invalid(format!("database {unknown} is none of the app's"))
                .hint(format!("its definition names {}", known.join(", "))),
        );
    }
    let wanted = |database: &ConnectOptions| names.is_empty() || names.contains(&database.dbname);
    Ok(all.into_iter().filter(wanted).collect())
}

/// An `export` policy makes a full backup, and packages of it.
fn kind_of(kind: PolicyKind) -> BackupKind {
    match kind {
        PolicyKind::Full | PolicyKind::Export => BackupKind::Full,
        PolicyKind::Incremental => BackupKind::Incremental,
        PolicyKind::Differential => BackupKind::Differential,
        PolicyKind::Database => BackupKind::Database,
        PolicyKind::Files => BackupKind::Files,
    }
}

/// What an earlier attempt of the job published before it died.
pub(super) fn published_by(
    repository: &Repository,
    job: &str,
) -> Result<Vec<BackupEntry>, Failure> {
    let mut entries = catalog::list(repository, &ListFilter::default())?;
    entries.retain(|entry| entry.origin.job.as_deref() == Some(job));
    Ok(entries)
}

/// A process that lost its job while it published withdraws what it published.
pub(super) fn keep_only_if_ours(
    work: &Work<'_>,
    repository: &Repository,
    report: &BackupReport,
) -> Result<(), Failure> {
    let Err(lost) = (work.still_ours)() else {
        return Ok(());
    };
    if lost.fenced {
        let id = report.id.parse().map_err(|_| {
            Failure::new(
                ErrorCode::Failed,
                format!("{} is no id of a snapshot", report.id),
            )
        })?;
        repository.delete_snapshot(&id)?;
    }
    Err(lost)
}

/// The whole backup as one portable file in the policy's folder or bucket. Returns where it is.
fn write_package(
    work: &Work<'_>,
    spec: &BackupSpec,
    name: &str,
    repository: &Repository,
    report: &BackupReport,
    context: &Context,
) -> Result<Vec<String>, Failure> {
    let usual = work.places.exports().join(backup::safe_name(&spec.app));
    let to = spec.export_to.as_deref();
    let request = PackageRequest {
        backup: report.id.clone(),
        app: None,
        recipients: spec.export_recipients.clone(),
        compress: spec.export_zstd,
    };
    let to = super::copies::package_target(work, to, usual, name, context)?;
    let written = package::write(repository, &request, &to, context)?;
    Ok(written.location.into_iter().collect())
}

/// What restores replaced is kept for a set time. Folders go when it is over, databases where the app has a connection that
/// may drop them. What cannot be dropped is no reason to call the backup failed.
fn drop_expired(work: &Work<'_>, name: &str, app: &AppDefinition, context: &Context) {
    super::files::drop_expired(work, app, context);
    if app.admin_url.is_none() {
        return;
    }
    let dropped = work.machine.admin(name, app).and_then(|admin| {
        let found = kept::leftovers(&admin, context)?;
        kept::drop_leftovers(&admin, &found, context)
    });
    match dropped {
        Ok(names) => names.iter().for_each(|name| {
            work.progress
                .item(&format!("dropped {name}: its time was over"));
        }),
        Err(e) => work.progress.warn(&format!(
            "databases that restores left could not be looked after: {e}"
        )),
    }
}
