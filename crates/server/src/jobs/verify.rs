//! Verifying backups, and checking a whole repository.

use super::{Done, Failure, Work, document, rows};
use pgkeep_engine::{
    ErrorCode,
    catalog::ListFilter,
    verify::{self, VerifyReport, VerifyRequest},
};
use pgkeep_model::job::{CheckSpec, VerifySpec};
use pgkeep_repository::{CheckReport, ReadData};

pub(super) fn run(work: &Work<'_>, spec: &VerifySpec) -> Result<Done, Failure> {
    let context = work.context(None);
    let repository = work.open(&spec.repository, &context)?;
    let request = VerifyRequest {
        backups: spec.backups.clone(),
        filter: ListFilter {
            app: spec.app.clone(),
            ..ListFilter::default()
        },
        read_data: spec.read_data,
    };
    let report = verify::run(&repository, &request, &context)?;
    let ids: Vec<&str> = report.backups.iter().map(|b| b.id.as_str()).collect();
    rows::refresh(work, &spec.repository, &repository, &ids)?;
    if report.ok {
        return work.done(&report);
    }
    Ok(Done::Found {
        failure: damage(&report),
        report: document(&report),
    })
}

fn damage(report: &VerifyReport) -> Failure {
    let bad: Vec<_> = report
        .backups
        .iter()
        .filter(|b| !b.problems.is_empty())
        .collect();
    let mut failure = Failure::new(
        ErrorCode::Damaged,
        format!(
            "{} of {} backups are damaged",
            bad.len(),
            report.backups.len()
        ),
    )
    .hint("take a new backup now, look at the storage, then `pgkeep check --repair`");
    failure.details = bad
        .iter()
        .flat_map(|b| b.problems.iter().map(|p| format!("{}: {p}", &b.id[..8])))
        .collect();
    failure
}

pub(super) fn check(work: &Work<'_>, spec: &CheckSpec) -> Result<Done, Failure> {
    let context = work.context(None);
    let repository = work.open(&spec.repository, &context)?;
    let read_data = match spec.read_data_percent {
        share if share >= 100.0 => ReadData::All,
        share if share > 0.0 => ReadData::Percent(share),
        _ => ReadData::None,
    };
    let report = verify::check(&repository, read_data, &context)?;
    if report.is_ok() {
        return work.done(&report);
    }
    Ok(Done::Found {
        failure: problems(&report),
        report: document(&report),
    })
}

fn problems(report: &CheckReport) -> Failure {
    let mut failure = Failure::new(
        ErrorCode::Damaged,
        format!("the repository has {} problems", report.problems.len()),
    )
    .hint("look at the storage, then `pgkeep check --repair`; what is still in the database is stored again by the next backup");
    failure.details = report
        .problems
        .iter()
        .map(|p| format!("{}: {}", p.object, p.what))
        .collect();
    failure
}
