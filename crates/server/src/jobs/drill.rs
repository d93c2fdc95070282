//! A drill: restored beside everything, proven, dropped again; the backup's row hears of the proof.

use super::{Done, Failure, Work, document, restore::proof_of, rows, usual_jobs};
use crate::targets::{Machine, parse_size};
use pgkeep_engine::drill::{self, DrillRequest, FurtherChecks};
use pgkeep_model::{app::AppDefinition, job::DrillSpec};
use pgkeep_postgres::connect::ConnectOptions;
use std::time::Duration;

/// Drills may have a server of their own.
pub(crate) fn server_of(
    machine: &Machine,
    name: &str,
    app: &AppDefinition,
) -> pgkeep_engine::Result<ConnectOptions> {
    match &app.drill.admin_url {
        Some(text) => machine.connection(text, &format!("drill.admin_url of app {name}")),
        None => machine.admin(name, app),
    }
}

/// What the app's definition says of its drills, and what this one does besides.
fn further(
    work: &Work<'_>,
    spec: &DrillSpec,
    app: &AppDefinition,
) -> Result<FurtherChecks, Failure> {
    let defined = FurtherChecks::of(
        &app.drill,
        &app.commands,
        app.migrations.as_ref(),
        parse_size,
    )?
    .with_files(&app.drill, &app.files, Some(work.places.drills()));
    Ok(FurtherChecks {
        scratch: defined.scratch.filter(|_| !spec.databases_only),
        commands: defined
            .commands
            .or_else(|| spec.app_checks.then(|| app.commands.clone())),
        amcheck: defined.amcheck || spec.amcheck,
        objective: spec
            .objective_secs
            .map(Duration::from_secs)
            .or(defined.objective),
        ..defined
    })
}

pub(super) fn run(work: &Work<'_>, spec: &DrillSpec) -> Result<Done, Failure> {
    let app = work.app(&spec.app)?;
    let context = work.context(Some(&app));
    let repository = work.open(&spec.repository, &context)?;
    let admin = server_of(work.machine, &spec.app, &app)?;
    let mut assertions = app.drill.assertions.clone();
    assertions.extend(spec.assertions.iter().cloned());
    let request = DrillRequest {
        backup: match spec.backup.as_str() {
            "" => "latest".into(),
            id => id.into(),
        },
        app: Some(spec.app.clone()),
        database: spec.database.clone(),
        admin,
        jobs: spec.jobs.or(app.jobs).map_or_else(usual_jobs, usize::from),
        prove: proof_of(spec.prove),
        no_owner: spec.no_owner,
        assertions,
        keep: spec.keep,
        further: further(work, spec, &app)?,
    };
    let outcome = drill::run(&repository, &request, &context);
    // A drill that broke may have marked the backup as well.
    let named = match &outcome {
        Ok(report) => Some(report.backup.as_str()),
        Err(_) if request.backup != "latest" => Some(request.backup.as_str()),
        Err(_) => None,
    };
    rows::refresh(work, &spec.repository, &repository, named.as_slice())?;
    let report = outcome?;
    if report.skipped.is_some() {
        return Ok(Done::Skipped(document(&report)));
    }
    match drill::require_proven(&report) {
        Ok(()) => work.done(&report),
        Err(e) => Ok(Done::Found {
            report: document(&report),
            failure: e.into(),
        }),
    }
}
