//! Restores and their undoing. Neither is ever tried again by itself: a person must look first.

use super::{Done, Failure, Work, application, document, files, rows, usual_jobs};
use crate::{agreed, targets::Machine, territory::Territory};
use pgkeep_engine::{
    Error, ErrorCode,
    application::Application,
    files::restore::execute_with_database,
    restore::{
        self, Around, Content, PlanSummary, Refusal, RestoreReport, RestoreRequest, RestoreTarget,
        Selection,
    },
};
use pgkeep_model::{
    app::AppDefinition,
    evidence::Proof,
    job::{ProveLevel, RestoreMode, RestoreSpec, UndoSpec},
};
use serde_json::json;

/// Seconds that sessions of a replaced database are given to end by themselves, where its app says nothing.
const GRACE_SECS: u64 = 5;

pub(super) fn run(work: &Work<'_>, spec: &RestoreSpec) -> Result<Done, Failure> {
    let (app, repository) = work.wait(|catalog| async move {
        let app = catalog.app(&spec.app).await?;
        Ok((app, catalog.repository(&spec.repository).await?))
    })?;
    let definitions = [agreed::state_of(&app), agreed::state_of(&repository)];
    let app = app.value;
    let context = work.context(Some(&app));
    let repository = work.open(&spec.repository, &context)?;
    let trees = files::plan(work, &repository, spec, &app, &context)?;
    let as_agreed = |database: Option<&PlanSummary>| {
        let files = trees.as_ref().map(|plan| &plan.summary);
        refuse_another(work, &agreed::of_restore(&definitions, database, files))
    };
    if spec.target == RestoreMode::FilesOnly {
        as_agreed(None)?;
        return files::restore(work, &repository, trees, &context);
    }
    let territory = territory(work, &spec.app, spec.beyond)?;
    let name = spec.target.database().unwrap_or_default();
    territory.may_name(name)?;
    let request = restore_request(spec, &app, &territory, work.machine)?;
    let plan = restore::plan(&repository, &request, &context)?;
    if changes(spec, &plan.summary) {
        territory.may_change(name)?;
    }
    refuse("restore", &plan.summary.refusals)?;
    as_agreed(Some(&plan.summary))?;
    (work.still_ours)()?;
    let (report, placed) = match &trees {
        None => (restore::execute(&repository, plan, &context)?, None),
        Some(trees) => execute_with_database(&repository, trees, plan, &context)?,
    };
    // A proof is written down with the backup, and a safety backup is a new one.
    let mut changed = vec![report.backup.as_str()];
    changed.extend(report.safety_backup.as_deref());
    rows::refresh(work, &spec.repository, &repository, &changed)?;
    let mut result = document(&report);
    if let Some(placed) = &placed {
        result["files"] = document(placed);
    }
    match difference(&report) {
        None => Ok(Done::Succeeded(result)),
        Some(failure) => Ok(Done::Found {
            report: result,
            failure,
        }),
    }
}

/// A job that two people agreed to does what they saw, or nothing.
fn refuse_another(work: &Work<'_>, plan: &str) -> Result<(), Failure> {
    match &work.job.agreed_plan {
        Some(agreed) if agreed != plan => Err(Failure::new(
            ErrorCode::Refused,
            "this is not what was agreed to: the app, its repository or what the plan found has changed since",
        )
        .word("plan_changed")
        .hint("look at a new plan, ask for the restore again, and let the second person look at that")),
        _ => Ok(()),
    }
}

fn territory(work: &Work<'_>, app: &str, beyond: bool) -> Result<Territory, Failure> {
    let machine = work.machine;
    work.wait(|catalog| async move { Territory::of(&catalog, machine, app, beyond).await })
}

/// Whether the restore writes to, or replaces, a database that exists already.
pub fn changes(spec: &RestoreSpec, plan: &PlanSummary) -> bool {
    plan.overwrites || plan.database.existing_bytes.is_some() || spec.data_only
}

/// From the wire's words to the engine's; also what a plan for the API is made from.
pub fn restore_request(
    spec: &RestoreSpec,
    app: &AppDefinition,
    territory: &Territory,
    machine: &Machine,
) -> pgkeep_engine::Result<RestoreRequest> {
    let admin = machine.admin(&spec.app, app)?;
    let target = match spec.target.clone() {
        RestoreMode::Into(name) => RestoreTarget::Into { name },
        RestoreMode::Replace(name) => RestoreTarget::Replace { name },
        RestoreMode::InPlace(name) => RestoreTarget::InPlace { name },
        RestoreMode::FilesOnly => {
            return Err(Error::invalid("a restore of files alone has no database"));
        }
    };
    let mut application = application(machine, &spec.app, app, Some(target.name()))?;
    application.fence.read_only |= spec.read_only;
    let owner = Some(territory.owner(target.name()));
    Ok(RestoreRequest {
        backup: spec.backup.clone(),
        // The privileged connection is the app's; a backup that is named may be another app's, as when staging is filled.
        app: (spec.backup == "latest").then(|| spec.app.clone()),
        database: spec.database.clone(),
        admin,
        target,
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
        role: spec.role.clone(),
        throwaway: false,
        vacuum: spec.vacuum,
        skip_safety_backup: spec.skip_safety_backup,
        grace_secs: spec.grace_secs.unwrap_or_else(|| grace_secs(&application)),
        around: Around {
            application,
            migrate: spec.migrate,
            check: spec.check,
            keep_failed: spec.keep_failed,
            owner,
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

/// A plan that cannot be carried out is a failure that says all that stands in its way.
pub(super) fn refuse(what: &str, refusals: &[Refusal]) -> Result<(), Failure> {
    let Some((first, others)) = refusals.split_first() else {
        return Ok(());
    };
    let mut failure = Failure::new(
        ErrorCode::Refused,
        format!("cannot {what} as asked: {}", first.message),
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
    let app = work.wait(|catalog| async move { catalog.app(&spec.app).await })?;
    refuse_another(work, &agreed::of_definitions(&[agreed::state_of(&app)]))?;
    let app = app.value;
    let context = work.context(Some(&app));
    // Looked for before anything moves: an undo of both is of both.
    let folders = files::kept_of(&app, &spec.trees)?;
    let Some(database) = &spec.database else {
        (work.still_ours)()?;
        let back = files::put_back(&folders, &context)?;
        return Ok(Done::Succeeded(json!({ "files": back })));
    };
    territory(work, &spec.app, spec.beyond)?.may_change(database)?;
    let admin = work.machine.admin(&spec.app, &app)?;
    let around = application(work.machine, &spec.app, &app, Some(database))?;
    let plan = restore::plan_undo(&admin, database, spec.to.as_deref(), &context)?;
    (work.still_ours)()?;
    let grace = spec.grace_secs.unwrap_or_else(|| grace_secs(&around));
    let report = restore::execute_undo(&admin, &plan, grace, &around, &context)?;
    let mut result = document(&report);
    if !folders.is_empty() {
        result["files"] = document(&files::put_back(&folders, &context).map_err(|e| {
            e.context("the database is swapped back, its files are not")
                .hint("look at the folder, then undo the files alone")
        })?);
    }
    Ok(Done::Succeeded(result))
}
