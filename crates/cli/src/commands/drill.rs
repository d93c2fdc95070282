//! `pgkeep drill`: rehearse a restore in a throwaway database and record the proof.

use crate::{
    args::DrillArgs,
    commands::{list::app_filter, on_server, restore::proof_words},
    error::{CliError, CliResult},
    exit::Exit,
    output::human,
    recording::Recording,
    session::{Session, connection_flags, required_repository},
};
use pgkeep_engine::{
    ErrorCode,
    drill::{self, DrillReport, DrillRequest},
};
use pgkeep_model::job::{DrillSpec, JobSpec};

pub fn run(args: &DrillArgs, session: &Session) -> CliResult<Exit> {
    if let Some(api) = session.remote()? {
        return on_server::drill(args, &api, session);
    }
    let mut flags = connection_flags(&args.connection);
    flags.jobs = args.jobs;
    let settings = session.settings_with(flags)?;
    let assertions = assertions(args)?;
    let chosen = required_repository(&settings)?.address.value.clone();
    let spec = DrillSpec {
        app: app_filter(&settings).unwrap_or_default(),
        repository: chosen.clone(),
        backup: args.backup.clone(),
        database: args.database.clone(),
        assertions: assertions.clone(),
        ..DrillSpec::default()
    };
    let recording = Recording::begin(session, JobSpec::Drill(spec))?.changing(&chosen);
    let context = recording.context(session.context(&settings));
    let request = DrillRequest {
        backup: args.backup.clone(),
        app: app_filter(&settings),
        database: args.database.clone(),
        admin: session.admin(&settings)?,
        jobs: settings.jobs.value,
        prove: args.prove.into(),
        no_owner: args.no_owner,
        assertions,
        keep: args.keep,
    };
    let done = session
        .repository(&settings, &context)
        .and_then(|repository| Ok(drill::run(&repository, &request, &context)?));
    let report = recording.finish_unless(done, session, |report| {
        let what = || format!("backup {} is {}", &report.backup[..8], verdict(report));
        (!report.proven).then(|| (ErrorCode::ProofFailed, what()))
    })?;
    session.progress.finish();
    Ok(answer(&report, session))
}

/// Shows how a drill went; the exit code says whether the backup is proven.
pub fn answer(report: &DrillReport, session: &Session) -> Exit {
    session.screen.answer(report, |text| render(text, report));
    match report.proven {
        true => Exit::Done,
        false => Exit::NotProven,
    }
}

/// The statements that must answer true, from the options and from files.
pub fn assertions(args: &DrillArgs) -> CliResult<Vec<String>> {
    let mut assertions = args.assertions.clone();
    for path in &args.assert_file {
        let text = std::fs::read_to_string(path)
            .map_err(|e| CliError::usage(format!("cannot read {}: {e}", path.display())))?;
        assertions.extend(statements(&text));
    }
    Ok(assertions)
}

/// Statements end with a semicolon at the end of a line, so one inside of a literal does no harm; `--` lines are left out.
fn statements(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for line in text
        .lines()
        .filter(|line| !line.trim_start().starts_with("--"))
    {
        let last = all.last_mut().expect("there is always one");
        last.push_str(line.trim_end().trim_end_matches(';'));
        last.push('\n');
        if line.trim_end().ends_with(';') {
            all.push(String::new());
        }
    }
    all.into_iter()
        .map(|s| s.trim().to_owned())
        .filter(|s| !s.is_empty())
        .collect()
}

fn render(text: &mut crate::output::Text, report: &DrillReport) {
    for database in &report.databases {
        text.heading(&format!("database {}", database.name));
        let name = if database.kept {
            format!("{} (kept)", database.restored_as)
        } else {
            format!("{} (dropped again)", database.restored_as)
        };
        text.facts([
            ("restored as", name),
            ("restored in", human::seconds(database.restore_seconds)),
            ("proven in", human::seconds(database.prove_seconds)),
            ("proof", proof_words(&database.proof)),
        ]);
        for difference in &database.proof.differences {
            text.line(format!("differs: {difference}"));
        }
        for assertion in &database.assertions {
            let (sql, answer) = (&assertion.sql, &assertion.answer);
            text.line(if assertion.passed {
                format!("assertion passed: {sql} (answer: {answer})")
            } else if assertion.could_not_run {
                format!("assertion could not run: {sql} ({answer})")
            } else {
                format!("assertion FAILED: {sql} (answer: {answer})")
            });
        }
    }
    text.blank();
    text.line(format!(
        "backup {} is {}; recovery time {}",
        &report.backup[..8],
        verdict(report),
        human::seconds(report.seconds)
    ));
}

/// The proof and the user's assertions are told apart: a statement with a mistake in it says nothing of the backup.
fn verdict(report: &DrillReport) -> String {
    let databases = &report.databases;
    if report.proven {
        return "proven".into();
    }
    if let Some(why) = databases.iter().find_map(|db| db.proof.unprovable.as_ref()) {
        return format!("NOT PROVEN: {why}");
    }
    if databases.iter().any(|db| !db.proof.proven()) {
        return "NOT PROVEN".into();
    }
    let assertions = || databases.iter().flat_map(|db| &db.assertions);
    let mistaken = assertions().filter(|a| a.could_not_run).count();
    let failed = assertions().filter(|a| !a.passed).count() - mistaken;
    let parts = [(failed, "failed"), (mistaken, "could not run")];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{} {what}", human::counted(n as u64, "assertion")))
        .collect();
    format!(
        "equal to its evidence, but not counted as proven: {}",
        parts.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_where_a_line_does() {
        let text = "-- orders are there\nSELECT count(*) > 0\nFROM orders;\n\nSELECT ';' = ';' ;\nSELECT true";
        assert_eq!(
            statements(text),
            [
                "SELECT count(*) > 0\nFROM orders",
                "SELECT ';' = ';'",
                "SELECT true"
            ]
        );
    }
}
