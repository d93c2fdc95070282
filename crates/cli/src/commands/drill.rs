//! `pgkeep drill`: rehearse a restore in a throwaway database and record the proof.

use crate::{
    args::DrillArgs,
    commands::{list::app_filter, on_server, restore::proof_words},
    config::{Settings, Source, read_secret},
    error::{CliError, CliResult},
    exit::Exit,
    output::{Text, human},
    recording::Recording,
    session::{Session, connection_flags, required_repository},
};
use pgkeep_engine::{
    ErrorCode,
    drill::{self, DrillReport, DrillRequest, DrilledDatabase, DrilledTree, FurtherChecks},
};
use pgkeep_model::{
    job::{DrillSpec, JobSpec},
    manifest::ReferenceCheck,
};
use pgkeep_postgres::connect::ConnectOptions;
use pgkeep_server::targets::parse_size;
use secrecy::ExposeSecret;

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
        admin: server(&settings, session)?,
        jobs: settings.jobs.value,
        prove: args.prove.into(),
        no_owner: args.no_owner,
        assertions: [settings.definition.drill.assertions.clone(), assertions].concat(),
        keep: args.keep,
        further: further(args, &settings, session)?,
    };
    let done = session
        .repository(&settings, &context)
        .and_then(|repository| Ok(drill::run(&repository, &request, &context)?));
    let report = recording.finish_unless(done, session, |report| {
        let what = || format!("backup {} is {}", &report.backup[..8], verdict(report));
        let bad = !report.passed() && report.skipped.is_none();
        bad.then(|| (ErrorCode::ProofFailed, what()))
    })?;
    session.progress.finish();
    Ok(answer(&report, session))
}

/// Shows how a drill went; the exit code says whether the backup is proven.
pub fn answer(report: &DrillReport, session: &Session) -> Exit {
    session.screen.answer(report, |text| render(text, report));
    match (report.passed(), &report.skipped) {
        (true, _) => Exit::Done,
        (false, Some(_)) => Exit::Busy,
        (false, None) if report.proven && report.unrecorded.is_some() => Exit::Storage,
        (false, None) => Exit::NotProven,
    }
}

/// Where drills restore to: the server on the command line, else the app's own for drills, else the app's.
fn server(settings: &Settings, session: &Session) -> CliResult<ConnectOptions> {
    let by_hand = settings
        .admin_url
        .as_ref()
        .is_some_and(|url| matches!(url.source, Source::Flag(_)));
    let Some(text) = settings
        .definition
        .drill
        .admin_url
        .as_ref()
        .filter(|_| !by_hand)
    else {
        return session.admin(settings);
    };
    let what = "drill.admin_url";
    let (url, _) = read_secret(
        text,
        &session.places.current_dir,
        &session.environment,
        what,
    )?;
    session.resolve_connection(Some(url.expose_secret()), &Source::Flag(what))
}

/// What the configuration says of the app's drills, and what the options add.
fn further(args: &DrillArgs, settings: &Settings, session: &Session) -> CliResult<FurtherChecks> {
    let app = &settings.definition;
    let configured = FurtherChecks::of(
        &app.drill,
        &app.commands,
        app.migrations.as_ref(),
        parse_size,
    )?
    .with_files(
        &app.drill,
        &app.files,
        session.catalog_places().ok().map(|places| places.drills()),
    );
    Ok(FurtherChecks {
        scratch: configured.scratch.filter(|_| !args.databases_only),
        commands: configured
            .commands
            .or_else(|| args.app_checks.then(|| app.commands.clone())),
        amcheck: configured.amcheck || args.amcheck,
        objective: args.objective.or(configured.objective),
        ..configured
    })
}

/// The statements that must answer true, from the options and from files.
pub fn assertions(args: &DrillArgs) -> CliResult<Vec<String>> {
    let mut assertions = args.assertions.clone();
    for path in &args.assert_file {
        let text = std::fs::read_to_string(path)
            .map_err(|e| CliError::file(Exit::Usage, "read", path, &e))?;
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

fn reference_words(check: &ReferenceCheck) -> String {
    match &check.error {
        Some(error) => format!("could not be asked: {error}"),
        None => format!(
            "{} files, {} of them missing, {} unknown to it",
            human::count(check.expected),
            human::count(check.missing_count),
            human::count(check.orphaned_count)
        ),
    }
}

fn render(text: &mut Text, report: &DrillReport) {
    if !report.removed.is_empty() {
        text.line(format!(
            "removed what earlier drills left behind: {}",
            report.removed.join(", ")
        ));
    }
    if let Some(why) = &report.skipped {
        text.line(format!("no drill was made: {why}"));
        return;
    }
    for database in &report.databases {
        render_database(text, database);
    }
    for tree in &report.files {
        render_tree(text, tree);
    }
    text.blank();
    let recovery = match report.databases.is_empty() && report.files.is_empty() {
        true => String::new(),
        false => format!("; recovery time {}", human::seconds(report.seconds)),
    };
    text.line(format!(
        "backup {} is {}{recovery}",
        &report.backup[..8],
        verdict(report)
    ));
    if let Some(objective) = &report.objective {
        text.line(format!(
            "the objective of {} is {}",
            human::seconds(objective.seconds),
            if objective.met { "met" } else { "NOT met" }
        ));
    }
}

fn render_database(text: &mut Text, database: &DrilledDatabase) {
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
        ("schema version", schema_version(&database.migrations)),
        (
            "structure",
            database
                .structure
                .as_ref()
                .map(|s| s.words())
                .unwrap_or_default(),
        ),
    ]);
    for problem in database.structure.iter().flat_map(|s| &s.problems) {
        text.line(format!("not in order: {problem}"));
    }
    for difference in &database.migrations.differences {
        text.line(format!("schema version differs: {difference}"));
    }
    for check in &database.checks {
        let word = if check.succeeded { "passed" } else { "FAILED" };
        text.line(format!("check {word}: {}", check.command));
        if !check.succeeded {
            text.line(&check.output);
        }
    }
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

fn render_tree(text: &mut Text, tree: &DrilledTree) {
    text.heading(&format!("files {}", tree.name));
    let references = tree.references.as_ref();
    text.facts([
        (
            "restored",
            format!(
                "{} files, {} (removed again)",
                human::count(tree.files),
                human::bytes(tree.bytes)
            ),
        ),
        ("restored and proven in", human::seconds(tree.seconds)),
        (
            "proof",
            match (tree.proven, tree.owners) {
                (false, _) => "NOT proven".into(),
                (true, true) => "every byte and attribute is as it was".into(),
                (true, false) => {
                    "every byte and attribute is as it was; owners can be set by root only".into()
                }
            },
        ),
        (
            "expected by the database",
            references.map(reference_words).unwrap_or_default(),
        ),
    ]);
    if let Some(difference) = &tree.difference {
        text.line(format!("differs: {difference}"));
    }
}

fn schema_version(migrations: &drill::MigrationCheck) -> String {
    let mut words = migrations.states.join("; ");
    if migrations.code_is_ahead == Some(true) {
        words.push_str("; the app's code has newer migrations");
    }
    words
}

/// The proof and the user's assertions are told apart: a statement with a mistake in it says nothing of the backup.
fn verdict(report: &DrillReport) -> String {
    let databases = &report.databases;
    if report.proven {
        if let Some(why) = &report.unrecorded {
            return format!("proven, but that could not be written down with it: {why}");
        }
        return "proven".into();
    }
    if let Some(why) = &report.skipped {
        return format!("not drilled: {why}");
    }
    if !report.unproven.is_empty() {
        return format!("unproven: {}", report.unproven.join(", "));
    }
    if let Some(why) = databases.iter().find_map(|db| db.proof.unprovable.as_ref()) {
        return format!("NOT PROVEN: {why}");
    }
    let differs =
        |db: &drill::DrilledDatabase| !db.proof.proven() || !db.migrations.differences.is_empty();
    if databases.iter().any(differs) {
        return "NOT PROVEN".into();
    }
    let assertions = || databases.iter().flat_map(|db| &db.assertions);
    let mistaken = assertions().filter(|a| a.could_not_run).count();
    let failed = assertions().filter(|a| !a.passed).count() - mistaken;
    let checks = databases.iter().flat_map(|db| &db.checks);
    let checks = checks.filter(|c| !c.succeeded).count();
    let structure = databases.iter().filter_map(|db| db.structure.as_ref());
    let disorder = structure.map(|s| s.problems.len()).sum();
    let parts = [
        (failed, "assertion", "failed"),
        (mistaken, "assertion", "could not run"),
        (checks, "check", "failed"),
        (disorder, "index or table", "not in order"),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(n, ..)| *n > 0)
        .map(|(n, noun, what)| match noun {
            "index or table" => format!("{n} {noun} {what}"),
            _ => format!("{} {what}", human::counted(n as u64, noun)),
        })
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
