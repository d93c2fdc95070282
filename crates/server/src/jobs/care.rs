//! Looking after what is stored and what is there: forget, prune, diff, doctor.

use super::{Done, Failure, Work, application, document, rows};
use pgkeep_engine::{
    Context, ErrorCode,
    diff::{self, DiffSide, LiveDatabases},
    doctor::{self, DoctorRequest},
    forget::{self, ForgetReport, ForgetRequest},
    schema_diff,
};
use pgkeep_model::{
    job::{AppSpec, DiffSpec, ForgetSpec, PruneSpec},
    retention::ForgetPlan,
};
use pgkeep_repository::{PruneOptions, PruneReport, Repository};
use serde::Serialize;
use std::time::Duration;

/// The document of `pgkeep forget`.
#[derive(Debug, Serialize)]
struct Forgotten {
    plan: ForgetPlan,
    report: ForgetReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    pruned: Option<PruneReport>,
}

pub(super) fn forget(work: &Work<'_>, spec: &ForgetSpec) -> Result<Done, Failure> {
    let context = work.context(None);
    let repository = work.open(&spec.repository, &context)?;
    let request = ForgetRequest::Named(spec.backups.clone());
    let plan = forget::plan(&repository, &request, &context)?;
    let report = forget::execute(&repository, &plan, &context)?;
    for id in &report.removed {
        rows::remove(work, &spec.repository, id)?;
    }
    let pruned = match spec.prune && report.failed.is_empty() {
        true => prune_now(&repository, &context)?,
        false => None,
    };
    let failure = not_removed(&report);
    let answer = Forgotten {
        plan,
        report,
        pruned,
    };
    match failure {
        None => work.done(&answer),
        Some(failure) => Ok(Done::Found {
            report: document(&answer),
            failure,
        }),
    }
}

fn not_removed(report: &ForgetReport) -> Option<Failure> {
    if report.failed.is_empty() {
        return None;
    }
    let mut failure = Failure::new(
        ErrorCode::Storage,
        format!("{} backups could not be removed", report.failed.len()),
    );
    failure.details = report
        .failed
        .iter()
        .map(|(id, why)| format!("{}: {why}", &id[..id.len().min(8)]))
        .collect();
    Some(failure)
}

pub(super) fn prune(work: &Work<'_>, spec: &PruneSpec) -> Result<Done, Failure> {
    let context = work.context(None);
    let repository = work.open(&spec.repository, &context)?;
    let plan = forget::plan_prune(&repository, &prune_options(spec, &context))?;
    work.done(&forget::prune(&repository, plan, &context)?)
}

/// The options of a prune as the engine takes them.
pub fn prune_options(spec: &PruneSpec, context: &Context) -> PruneOptions {
    let usual = PruneOptions::default();
    PruneOptions {
        grace: spec.grace_secs.map_or(usual.grace, Duration::from_secs),
        max_unused_percent: spec.max_unused_percent.unwrap_or(usual.max_unused_percent),
        cancel: context.cancel.clone(),
    }
}

/// Prunes with the usual options; not where somebody else works with the repository, which is told.
pub(super) fn prune_now(
    repository: &Repository,
    context: &Context,
) -> Result<Option<PruneReport>, Failure> {
    let options = prune_options(&PruneSpec::default(), context);
    Ok(forget::prune_after(repository, &options, context)?)
}

pub(super) fn diff(work: &Work<'_>, spec: &DiffSpec) -> Result<Done, Failure> {
    let app = spec.app.as_deref().map(|name| work.app(name)).transpose()?;
    let context = work.context(app.as_ref());
    let repository = work.open(&spec.repository, &context)?;
    let to = match (&spec.to, &spec.app, &app) {
        (Some(id), _, _) => DiffSide::Backup(id.clone()),
        (None, Some(name), Some(app)) => DiffSide::Live(LiveDatabases {
            connections: work.machine.databases(name, app)?,
            only: spec.database.clone(),
        }),
        (None, _, _) => {
            return Err(Failure::invalid("nothing says what to compare with")
                .hint("name a second backup, or the app whose live databases are meant"));
        }
    };
    let from = DiffSide::Backup(spec.from.clone());
    let (from, to) = match spec.backward {
        true => (to, from),
        false => (from, to),
    };
    if spec.schema {
        let of = spec.app.clone();
        return work.done(&schema_diff::run(&repository, &from, &to, of, &context)?);
    }
    let mut report = diff::run(&repository, &from, &to, spec.app.clone(), &context)?;
    if let (Some(name), Some(_)) = (&spec.database, &spec.to) {
        report.databases.retain(|db| db.name == *name);
        report
            .not_compared
            .retain(|line| line.starts_with(&format!("{name}: ")));
        if report.databases.is_empty() {
            let mut failure = Failure::new(
                ErrorCode::NotFound,
                format!("database {name} is not in both backups"),
            );
            failure.details = report.not_compared;
            return Err(failure);
        }
        report.same = report.databases.iter().all(diff::DatabaseDiff::is_same);
    }
    work.done(&report)
}

/// What is found is the result: an unhealthy app is no failed doctor.
pub(super) fn doctor(work: &Work<'_>, spec: &AppSpec) -> Result<Done, Failure> {
    let app = work.app(&spec.app)?;
    let context = work.context(Some(&app));
    let repository = match work.repository_name(None, &app) {
        Ok(name) => Some(work.machine.repository_address(
            &name,
            &work.repository_definition(&name)?,
            context.cancel.clone(),
        )?),
        Err(_) => None,
    };
    let admin = match app.admin_url {
        Some(_) => Some(work.machine.admin(&spec.app, &app)?),
        None => None,
    };
    let request = DoctorRequest {
        databases: work.machine.databases(&spec.app, &app)?,
        admin,
        pgbouncer: application(work.machine, &spec.app, &app, None)?
            .fence
            .pgbouncer,
        repository,
    };
    work.done(&doctor::run(&request, &context)?)
}
