//! `pgkeep verify`: are backups stored whole, and with `--read-data`, is every byte right.

use crate::{
    args::VerifyArgs,
    commands::list::app_filter,
    error::CliResult,
    exit::Exit,
    output::{Column, Rows, human},
    session::Session,
};
use pgkeep_engine::{
    catalog::ListFilter,
    verify::{self, VerifyRequest},
};

pub fn run(args: &VerifyArgs, session: &Session) -> CliResult<Exit> {
    let settings = session.settings()?;
    let context = session.context(&settings);
    let repository = session.repository(&settings, &context)?;
    let request = VerifyRequest {
        backups: args.backups.clone(),
        filter: ListFilter {
            app: app_filter(&settings),
            ..ListFilter::default()
        },
        read_data: args.read_data,
    };
    let report = verify::run(&repository, &request, &context)?;
    session.progress.finish();
    session.screen.answer(&report, |text| {
        let mut table = Rows::new(&[
            Column::Left("backup"),
            Column::Left("time"),
            Column::Left("app"),
            Column::Right("objects"),
            Column::Right("read"),
            Column::Left("verdict"),
        ]);
        for verdict in &report.backups {
            let word = match (verdict.problems.len(), args.read_data) {
                (0, true) => "whole, every byte read back".to_owned(),
                (0, false) => "whole".to_owned(),
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
        for verdict in report.backups.iter().filter(|v| !v.problems.is_empty()) {
            text.heading(&format!("backup {}", &verdict.id[..8]));
            for problem in &verdict.problems {
                text.line(problem);
            }
        }
    });
    if report.ok {
        return Ok(Exit::Done);
    }
    session.screen.note("damaged backups were found; the others can be restored. `pgkeep check --repair` sets the damaged chunks aside, so that the next backup stores them anew; then look at the storage.");
    Ok(Exit::NotProven)
}
