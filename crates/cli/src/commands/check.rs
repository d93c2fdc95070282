//! `pgkeep check`: the repository's structure and stored objects, whatever backups they belong to; with `--repair`, what
//! is damaged is made good where it can be.
//!
//! The plan of a repair is what the check found. Repairing looks again afterwards, so the answer is about what is there
//! then.

use crate::{
    args::CheckArgs,
    commands::on_server,
    config::Settings,
    confirm,
    error::CliResult,
    exit::Exit,
    output::{Text, human},
    recording::Recording,
    session::{Session, known_key, required_repository},
};
use pgkeep_engine::{Context, ErrorCode, storage, verify};
use pgkeep_model::job::{CheckSpec, JobSpec};
use pgkeep_repository::{CheckReport, ReadData, RepairReport, Repository};
use serde::{Deserialize, Serialize};

pub fn run(args: &CheckArgs, session: &Session) -> CliResult<Exit> {
    if let Some(api) = session.remote()? {
        return on_server::check(args, &api, session);
    }
    let settings = session.settings()?;
    let read_data = match args.read_data {
        // A repair is only as good as what was looked at.
        None if args.repair => ReadData::All,
        None => ReadData::None,
        Some(share) if share.0 >= 100.0 => ReadData::All,
        Some(share) => ReadData::Percent(share.0),
    };
    if !args.repair {
        let spec = CheckSpec {
            repository: required_repository(&settings)?.address.value.clone(),
            read_data_percent: args.read_data.map_or(0.0, |share| share.0),
            repair_of: None,
        };
        let recording = Recording::begin(session, JobSpec::Check(spec))?;
        let context = recording.context(session.context(&settings));
        let found = session
            .repository(&settings, &context)
            .and_then(|repository| Ok(verify::check(&repository, read_data, &context)?));
        let report = recording.finish_unless(found, session, |report| {
            let problems = human::counted(report.problems.len() as u64, "problem");
            (!report.is_ok()).then(|| (ErrorCode::Damaged, format!("{problems} found")))
        })?;
        session.progress.finish();
        return Ok(answer(&report, session));
    }
    let context = session.context(&settings);
    if !args.dry_run {
        bring_config_back(&settings, session, &context)?;
    }
    let repository = session.repository(&settings, &context)?;
    let report = verify::check(&repository, read_data, &context)?;
    session.progress.finish();
    repair(&repository, report, args.dry_run, session, &context)
}

/// Without its config nothing of a repository can be looked at, so that comes first; nothing is lost by making it anew.
fn bring_config_back(settings: &Settings, session: &Session, context: &Context) -> CliResult<()> {
    let chosen = required_repository(settings)?;
    let address = session.address(chosen, known_key(chosen)?)?;
    if storage::restore_config(&address, context)? {
        session
            .screen
            .note("the repository had lost its config: it was made anew with the key");
    }
    Ok(())
}

/// Shows what was found; the exit code says whether all is whole.
pub fn answer(report: &CheckReport, session: &Session) -> Exit {
    session.screen.answer(report, |text| render(text, report));
    exit_for(report)
}

/// What a repair found, did and left.
#[derive(Debug, Serialize, Deserialize)]
pub struct RepairAnswer {
    found: CheckReport,
    /// Absent in a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repaired: Option<RepairReport>,
    /// What is still wrong after the repair, until a backup has stored it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remaining: Option<CheckReport>,
}

fn repair(
    repository: &Repository,
    found: CheckReport,
    dry_run: bool,
    session: &Session,
    context: &Context,
) -> CliResult<Exit> {
    if dry_run || nothing_to_repair(&found) {
        return Ok(answer_plan(found, session));
    }
    agree(&found, session)?;
    let repaired = verify::repair(repository, &found, context)?;
    let remaining = verify::check(repository, ReadData::None, context)?;
    session.progress.finish();
    let answer = RepairAnswer {
        found,
        repaired: Some(repaired),
        remaining: Some(remaining),
    };
    Ok(answer_repaired(&answer, session))
}

/// Whether a check has found nothing that a repair could mend.
pub fn nothing_to_repair(found: &CheckReport) -> bool {
    found.is_ok() && found.notes.is_empty()
}

/// Shows what a repair of what was found would do.
pub fn answer_plan(found: CheckReport, session: &Session) -> Exit {
    let exit = exit_for(&found);
    let answer = RepairAnswer {
        found,
        repaired: None,
        remaining: None,
    };
    session.screen.answer(&answer, |text| {
        render(text, &answer.found);
        text.blank();
        render_plan(text, &answer.found);
    });
    exit
}

/// Shows the same, and returns only when it is to be done.
pub fn agree(found: &CheckReport, session: &Session) -> CliResult<()> {
    if !session.screen.json {
        let mut text = Text::default();
        render(&mut text, found);
        text.blank();
        render_plan(&mut text, found);
        session.screen.note(text.as_str());
    }
    confirm::agree("repair the repository so", session)
}

/// Shows what a repair did; the exit code says whether all is whole now.
pub fn answer_repaired(answer: &RepairAnswer, session: &Session) -> Exit {
    session.screen.answer(answer, |text| {
        if let Some(repaired) = &answer.repaired {
            render_repaired(text, repaired);
        }
        let remaining = answer.remaining.iter().flat_map(|report| &report.problems);
        let affected: std::collections::BTreeSet<&String> =
            remaining.flat_map(|problem| &problem.affects).collect();
        if affected.is_empty() {
            text.line("every backup is whole");
            return;
        }
        text.blank();
        text.line("not whole until a backup meets the same data again:");
        for path in affected {
            text.line(format!("  {path}"));
        }
        text.line(
            "run `pgkeep backup` while the database still holds that data, then `pgkeep check`",
        );
    });
    answer.remaining.as_ref().map_or(Exit::Done, exit_for)
}

fn exit_for(report: &CheckReport) -> Exit {
    if report.is_ok() {
        Exit::Done
    } else {
        Exit::NotProven
    }
}

fn render(text: &mut Text, report: &CheckReport) {
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
}

fn render_plan(text: &mut Text, found: &CheckReport) {
    if found.is_ok() && found.notes.is_empty() {
        text.line("nothing to repair");
        return;
    }
    text.line("a repair would");
    for pack in &found.damaged_packs {
        text.line(format!(
            "  move what is good of pack {} to a new one and take it out of the index",
            &pack[..pack.len().min(8)]
        ));
    }
    text.line(
        "  index whole packs that no index names, and remove index files that cannot be read",
    );
    text.line("  delete no stored data");
}

fn render_repaired(text: &mut Text, done: &RepairReport) {
    let some = |n: u64, noun: &str| match n {
        0 => String::new(),
        n => human::counted(n, noun),
    };
    if *done == RepairReport::default() {
        text.line("there was nothing that a repair can mend");
        return;
    }
    text.facts([
        ("taken out of the index", some(done.packs_dropped, "pack")),
        ("saved from them", some(done.blobs_saved, "blob")),
        ("lost", some(done.blobs_lost, "blob")),
        ("indexed again", some(done.packs_indexed, "pack")),
        (
            "removed",
            some(done.indexes_removed, "unreadable index file"),
        ),
    ]);
}
