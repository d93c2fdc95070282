//! Verifying backups, and checking a whole repository.

use super::{Done, Failure, Work, document, rows};
use pgkeep_engine::{
    Context, ErrorCode,
    catalog::ListFilter,
    verify::{self, VerifyReport, VerifyRequest},
};
use pgkeep_model::job::{CheckSpec, VerifySpec};
use pgkeep_repository::{CheckReport, ReadData, RepairReport, Repository};
use serde::Serialize;

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
            bad.len() + report.unreadable.len(),
            report.backups.len() + report.unreadable.len()
        ),
    )
    .hint("take a new backup now, look at the storage, then `pgkeep check --repair`");
    failure.details = bad
        .iter()
        .flat_map(|b| b.problems.iter().map(|p| format!("{}: {p}", &b.id[..8])))
        .chain(report.unreadable.iter().cloned())
        .collect();
    failure
}

pub(super) fn check(work: &Work<'_>, spec: &CheckSpec) -> Result<Done, Failure> {
    let context = work.context(None);
    let repository = work.open(&spec.repository, &context)?;
    if let Some(plan) = &spec.repair_of {
        return repair(work, &repository, plan, &context);
    }
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

/// Mends what an earlier check has found, which is the plan, and looks at what is there then.
fn repair(
    work: &Work<'_>,
    repository: &Repository,
    plan: &str,
    context: &Context,
) -> Result<Done, Failure> {
    let check = work.wait(|catalog| async move { catalog.job(plan).await })?;
    let found: CheckReport = check
        .result
        .and_then(|found| serde_json::from_value(found).ok())
        .ok_or_else(|| Failure::invalid(format!("job {plan} has found nothing to mend")))?;
    (work.still_ours)()?;
    let repaired = verify::repair(repository, &found, context)?;
    let remaining = verify::check(repository, ReadData::None, context)?;
    let failure = (!remaining.is_ok()).then(|| problems(&remaining));
    let report = document(&Repaired {
        found,
        repaired,
        remaining,
    });
    Ok(match failure {
        None => Done::Succeeded(report),
        Some(failure) => Done::Found { report, failure },
    })
}

/// The document of `pgkeep check --repair`.
#[derive(Debug, Serialize)]
struct Repaired {
    found: CheckReport,
    repaired: RepairReport,
    remaining: CheckReport,
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
