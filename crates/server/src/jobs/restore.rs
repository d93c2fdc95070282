//! Restores and their undoing. Neither is ever tried again by itself: a person must look first.

use super::{Done, Failure, Work, application, document, rows, usual_jobs};
use crate::targets::Machine;
use pgkeep_engine::{
    ErrorCode,
    application::Application,
    restore::{
        self, Around, Content, RestorePlan, RestoreReport, RestoreRequest, RestoreTarget, Selection,
    },
};
use pgkeep_model::{
    app::AppDefinition,
    evidence::Proof,
    job::{ProveLevel, RestoreMode, RestoreSpec, UndoSpec},
};

/// Seconds that sessions of a replaced database are given to end by themselves, where its app says nothing.
const GRACE_SECS: u64 = 5;

pub(super) fn run(work: &Work<'_>, spec: &RestoreSpec) -> Result<Done, Failure> {
    let app = work.app(&spec.app)?;
    let context = work.context(Some(&app));
    let repository = work.open(&spec.repository, &context)?;
    let request = request(work, spec, &app)?;
    let plan = restore::plan(&repository, &request, &context)?;
    refuse(&plan)?;
    (work.still_ours)()?;
    let report = restore::execute(&repository, plan, &context)?;
    let safety = report.safety_backup.as_deref();
    rows::refresh(work, &spec.repository, &repository, safety.as_slice())?;
    match difference(&report) {
        None => work.done(&report),
        Some(failure) => Ok(Done::Found {
            report: document(&report),
            failure,
        }),
    }
}

/// The restore as the engine takes it; also what a plan for the API is made from.
fn request(
    work: &Work<'_>,
    spec: &RestoreSpec,
    app: &AppDefinition,
) -> Result<RestoreRequest, Failure> {
    Ok(restore_request(spec, app, work.machine)?)
}

/// From the wire's words to the engine's.
pub fn restore_request(
    spec: &RestoreSpec,
    app: &AppDefinition,
    machine: &Machine,
) -> pgkeep_engine::Result<RestoreRequest> {
    let admin = machine.admin(&spec.app, app)?;
    let live = match &spec.target {
        RestoreMode::Into(name) | RestoreMode::Replace(name) | RestoreMode::InPlace(name) => name,
    };
    let application = application(machine, &spec.app, app, Some(live))?;
    Ok(RestoreRequest {
        backup: spec.backup.clone(),
        // The privileged connection is the app's; a backup that is named may be another app's, as when staging is filled.
        app: (spec.backup == "latest").then(|| spec.app.clone()),
        database: spec.database.clone(),
        admin,
        target: match spec.target.clone() {
            RestoreMode::Into(name) => RestoreTarget::Into { name },
            RestoreMode::Replace(name) => RestoreTarget::Replace { name },
            RestoreMode::InPlace(name) => RestoreTarget::InPlace { name },
        },
        selection: Selection {
            tables: spec.tables.clone(),
            schemas: spec.schemas.clone(),
        },
        content: match (spec.schema_only, spec.data_only) {
            (true, _) => Content::SchemaOnly,
            (_, true) => Content::DataOnly,
            _ => Content::All,
        },
        jobs: spec.jobs.or(app.jobs).map_or_else(usual_jobs, usize::from),
        prove: proof_of(spec.prove),
        keep_old_secs: spec.keep_old_secs,
        no_owner: spec.no_owner,
        role: None,
        throwaway: false,
        vacuum: false,
        skip_safety_backup: spec.skip_safety_backup,
        grace_secs: grace_secs(&application),
        around: Around {
            application,
            migrate: spec.migrate,
            check: spec.check,
            keep_failed: false,
        },
    })
}

fn grace_secs(app: &Application) -> u64 {
    app.fence.grace.map_or(GRACE_SECS, |grace| grace.as_secs())
}

pub(super) fn proof_of(level: ProveLevel) -> Proof {
    match level {
        ProveLevel::None => Proof::None,
        ProveLevel::Counts => Proof::Counts,
        ProveLevel::Full => Proof::Full,
    }
}

fn refuse(plan: &RestorePlan) -> Result<(), Failure> {
    let Some((first, others)) = plan.summary.refusals.split_first() else {
        return Ok(());
    };
    let mut failure = Failure::new(
        ErrorCode::Refused,
        format!("cannot restore as asked: {}", first.message),
    )
    .hint(first.remedy.clone());
    failure.details = others
        .iter()
        .map(|other| format!("also: {} ({})", other.message, other.remedy))
        .collect();
    Err(failure)
}

/// A database that was restored beside others stays, for a look, even where it differs.
fn difference(report: &RestoreReport) -> Option<Failure> {
    if report.proof.differences.is_empty() {
        return None;
    }
    let mut failure = Failure::new(
        ErrorCode::ProofFailed,
        format!("database {} is not what was backed up", report.database),
    );
    failure.details = report
        .proof
        .differences
        .iter()
        .map(ToString::to_string)
        .collect();
    Some(failure)
}

pub(super) fn undo(work: &Work<'_>, spec: &UndoSpec) -> Result<Done, Failure> {
    let app = work.app(&spec.app)?;
    let context = work.context(Some(&app));
    let admin = work.machine.admin(&spec.app, &app)?;
    let around = application(work.machine, &spec.app, &app, Some(&spec.database))?;
    let plan = restore::plan_undo(&admin, &spec.database, None, &context)?;
    (work.still_ours)()?;
    let report = restore::execute_undo(&admin, &plan, grace_secs(&around), &around, &context)?;
    work.done(&report)
}
