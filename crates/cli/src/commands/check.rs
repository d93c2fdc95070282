//! `pgkeep check`: the repository's structure and stored objects, whatever backups they belong to.

use crate::{args::CheckArgs, error::CliResult, exit::Exit, output::human, session::Session};
use pgkeep_engine::verify;
use pgkeep_repository::ReadData;

pub fn run(args: &CheckArgs, session: &Session) -> CliResult<Exit> {
    let settings = session.settings()?;
    let context = session.context(&settings);
    let read_data = match args.read_data {
        None => ReadData::None,
        Some(share) if share.0 >= 100.0 => ReadData::All,
        Some(share) => ReadData::Percent(share.0),
    };
    let repository = session.repository(&settings, &context)?;
    let report = verify::check(&repository, read_data, &context)?;
    session.progress.finish();
    session.screen.answer(&report, |text| {
        for problem in &report.problems {
            text.line(format!("{}: {}", problem.object, problem.what));
            for affected in &problem.affects {
                text.line(format!("  affects {affected}"));
            }
        }
        for note in &report.notes {
            text.line(format!("note: {note}"));
        }
        if !report.problems.is_empty() || !report.notes.is_empty() {
            text.blank();
        }
        let read = match report.packs_read {
            0 => String::new(),
            packs => format!(
                "; {} of {} read",
                human::bytes(report.bytes_read),
                human::counted(packs, "pack")
            ),
        };
        text.line(format!(
            "looked at {}, {}, {}{read}",
            human::counted(report.snapshots_checked, "snapshot"),
            human::counted(report.packs_checked, "pack"),
            human::counted(report.blobs_checked, "blob"),
        ));
        match report.problems.len() {
            0 => text.line("no problems found"),
            n => text.line(format!("{} found", human::counted(n as u64, "problem"))),
        }
    });
    Ok(if report.problems.is_empty() {
        Exit::Done
    } else {
        Exit::NotProven
    })
}
