//! `pgkeep verify`: are backups stored whole, and with `--read-data`, is every byte right.

use crate::{
    args::VerifyArgs,
    commands::{list::app_filter, on_server},
    error::CliResult,
    exit::Exit,
    output::{Column, Rows, human},
    recording::Recording,
    session::{Session, required_repository},
};
use pgkeep_engine::{
    ErrorCode,
    catalog::ListFilter,
    verify::{self, VerifyReport, VerifyRequest},
};
use pgkeep_model::job::{JobSpec, VerifySpec};

pub fn run(args: &VerifyArgs, session: &Session) -> CliResult<Exit> {
    if let Some(api) = session.remote()? {
        return on_server::verify(args, &api, session);
    }
    let settings = session.settings()?;
    let chosen = required_repository(&settings)?.address.value.clone();
    let spec = VerifySpec {
        repository: chosen.clone(),
        backups: args.backups.clone(),
        app: app_filter(&settings),
        read_data: args.read_data,
    };
    let recording = Recording::begin(session, JobSpec::Verify(spec))?.changing(&chosen);
    let context = recording.context(session.context(&settings));
    let request = VerifyRequest {
        backups: args.backups.clone(),
        filter: ListFilter {
            app: app_filter(&settings),
            ..ListFilter::default()
        },
        read_data: args.read_data,
    };
    let found = session
        .repository(&settings, &context)
        .and_then(|repository| Ok(verify::run(&repository, &request, &context)?));
    let report = recording.finish_unless(found, session, |report| {
        let damaged = report.backups.iter().filter(|b| !b.problems.is_empty());
        let damaged = damaged.count() + report.unreadable.len();
        let damaged = human::counted(damaged as u64, "backup");
        (!report.ok).then(|| (ErrorCode::Damaged, format!("damage was found in {damaged}")))
    })?;
    session.progress.finish();
    Ok(answer(&report, args.read_data, session))
}

/// Shows what was found; the exit code says whether all are whole.
pub fn answer(report: &VerifyReport, read_data: bool, session: &Session) -> Exit {
    session.screen.answer(report, |text| {
        let mut table = Rows::new(&[
            Column::Left("backup"),
            Column::Left("time"),
            Column::Left("app"),
            Column::Right("objects"),
            Column::Right("read"),
            Column::Left("verdict"),
        ]);
        for verdict in &report.backups {
            let word = match (verdict.problems.len(), read_data) {
                (0, true) => "whole, every byte read back".to_owned(),
                (0, false) => "stored whole".to_owned(),
                (n, _) => human::counted(n as u64, "problem"),
            };
            table.add([
                verdict.id[..8].to_owned(),
                human::time(verdict.time),
                verdict.app.clone(),
                human::count(verdict.objects_checked),
                human::bytes(verdict.bytes_read),
                word,
            ]);
        }
        text.table(&table);
        let unread: Vec<&str> = report
            .backups
            .iter()
            .flat_map(|verdict| verdict.not_looked_at.iter().map(String::as_str))
            .collect();
        match (report.backups.as_slice(), unread.as_slice()) {
            (_, []) => {}
            ([_], unread) => text.line(format!(
                "Not looked at: {}; --read-data reads it back.",
                unread.join(", ")
            )),
            _ => text
                .line("Not looked at: rows and the content of files; --read-data reads them back."),
        }
        for problem in &report.unreadable {
            text.line(problem);
        }
        for verdict in report.backups.iter().filter(|v| !v.problems.is_empty()) {
            text.heading(&format!("backup {}", &verdict.id[..8]));
            for problem in &verdict.problems {
                text.line(problem);
            }
        }
    });
    if report.ok {
        return Exit::Done;
    }
    session.screen.note("damaged backups were found; the others can be restored. `pgkeep check --repair` sets the damaged chunks aside, so that the next backup stores them anew; then look at the storage.");
    Exit::NotProven
}
