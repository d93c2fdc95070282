//! A drill: restored beside everything, proven, dropped again; the backup's row hears of the proof.

use super::{Done, Failure, Work, document, restore::proof_of, rows, usual_jobs};
use pgkeep_engine::drill::{self, DrillRequest};
use pgkeep_model::job::DrillSpec;

pub(super) fn run(work: &Work<'_>, spec: &DrillSpec) -> Result<Done, Failure> {
    let app = work.app(&spec.app)?;
    let context = work.context(Some(&app));
    let repository = work.open(&spec.repository, &context)?;
    let request = DrillRequest {
        backup: match spec.backup.as_str() {
            "" => "latest".into(),
            id => id.into(),
        },
        app: Some(spec.app.clone()),
        database: spec.database.clone(),
        admin: work.machine.admin(&spec.app, &app)?,
        jobs: app.jobs.map_or_else(usual_jobs, usize::from),
        prove: proof_of(spec.prove),
        no_owner: false,
        assertions: spec.assertions.clone(),
        keep: false,
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
    match drill::require_proven(&report) {
        Ok(()) => work.done(&report),
        Err(e) => Ok(Done::Found {
            report: document(&report),
            failure: e.into(),
        }),
    }
}
