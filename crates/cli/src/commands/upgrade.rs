//! `pgkeep upgrade`: move a server's databases to a newer major: plan, run, verify, and take it back.

use crate::{
    args::{UpgradeAcceptArgs, UpgradeArgs, UpgradeCommand, UpgradeRollbackArgs, UpgradeRunArgs},
    config::{Flags, Settings, Source},
    confirm,
    error::{CliError, CliResult},
    exit::Exit,
    output::{Column, Rows, Text, human},
    recording::Recording,
    session::{Session, required_repository},
};
use pgkeep_engine::{
    ErrorCode,
    restore::Refusal,
    upgrade::{
        self, RollbackPlan, RollbackReport, RollbackRequest, UpgradeReport, UpgradeRequest,
        UpgradeSummary, VerifyReport,
    },
};
use pgkeep_model::{
    evidence::Proof,
    job::{JobSpec, UpgradeSpec},
};
use pgkeep_postgres::connect::ConnectOptions;
use std::path::Path;

const FROM: &str = "PGKEEP_UPGRADE_FROM";
const TO: &str = "PGKEEP_UPGRADE_TO";
/// App of a backup where nothing says which one the server serves.
const USUAL_APP: &str = "upgrade";

pub fn run(command: &UpgradeCommand, session: &Session) -> CliResult<Exit> {
    session.only_here("upgrade")?;
    match command {
        UpgradeCommand::Plan(args) => plan(args, session),
        UpgradeCommand::Run(args) => carry_out(args, session),
        UpgradeCommand::Verify(args) => verify(args, session),
        UpgradeCommand::Rollback(args) => rollback(args, session),
        UpgradeCommand::Accept(args) => accept(args, session),
    }
}

fn plan(args: &UpgradeArgs, session: &Session) -> CliResult<Exit> {
    let settings = settings(args, session)?;
    let context = session.context(&settings);
    let request = request(args, Proof::Full, &settings, session)?;
    // A plan needs no repository; with one it knows how fast the last restore was.
    let repository = match settings.repository {
        Some(_) => session.repository(&settings, &context).ok(),
        None => None,
    };
    let plan = upgrade::plan(repository.as_ref(), &request, &context)?;
    session.progress.finish();
    Ok(answer_plan(&plan.summary, session))
}

fn answer_plan(plan: &UpgradeSummary, session: &Session) -> Exit {
    session.screen.answer(plan, |text| render_plan(text, plan));
    match plan.refusals.is_empty() {
        true => Exit::Done,
        false => Exit::Refused,
    }
}

fn carry_out(args: &UpgradeRunArgs, session: &Session) -> CliResult<Exit> {
    let settings = settings(&args.upgrade, session)?;
    let context = session.context(&settings);
    let request = request(&args.upgrade, args.prove.into(), &settings, session)?;
    if let Some(path) = &args.report {
        // Better known before hours of work than after.
        std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .map_err(|e| report_failed(path, &e))?;
    }
    let repository = session.repository(&settings, &context)?;
    let mut plan = upgrade::plan(Some(&repository), &request, &context)?;
    session.progress.finish();
    if args.dry_run {
        return Ok(answer_plan(&plan.summary, session));
    }
    if !session.screen.json {
        let mut text = Text::default();
        render_plan(&mut text, &plan.summary);
        session.screen.note(text.as_str());
    }
    refuse("upgrade as asked", &plan.summary.refusals)?;
    let spec = UpgradeSpec {
        app: plan.request.app.clone(),
        repository: required_repository(&settings)?.address.value.clone(),
        from: plan.summary.from.server.clone(),
        to: plan.summary.to.server.clone(),
        databases: names(plan.summary.databases.iter().map(|d| &d.name)),
        rollback: false,
    };
    let changed = spec.repository.clone();
    let recording = Recording::begin(session, JobSpec::Upgrade(spec))?.changing(&changed);
    plan.request.origin.job = recording.job();
    let context = recording.context(context);
    let done = upgrade::run(&repository, &plan, &context).map_err(CliError::from);
    let report = recording.finish_unless(done, session, |report| {
        let words = "something was found wrong on the new server; its report says what";
        (!report.succeeded).then(|| (ErrorCode::ProofFailed, words.to_owned()))
    })?;
    session.progress.finish();
    if let Some(path) = &args.report {
        write_report(path, &report.to_markdown())?;
        let json = serde_json::to_string_pretty(&report).expect("reports are plain values");
        write_report(&path.with_extension("json"), &json)?;
    }
    session
        .screen
        .answer(&report, |text| render_report(text, &report));
    Ok(match report.succeeded {
        true => Exit::Done,
        false => Exit::NotProven,
    })
}

fn verify(args: &UpgradeArgs, session: &Session) -> CliResult<Exit> {
    let settings = settings(args, session)?;
    let context = session.context(&settings);
    let request = request(args, Proof::Full, &settings, session)?;
    let report = upgrade::verify(&request, &context)?;
    session.progress.finish();
    session
        .screen
        .answer(&report, |text| render_verify(text, &report));
    Ok(match report.equal {
        true => Exit::Done,
        false => Exit::NotProven,
    })
}

fn rollback(args: &UpgradeRollbackArgs, session: &Session) -> CliResult<Exit> {
    let settings = settings(&args.upgrade, session)?;
    let context = session.context(&settings);
    let upgrade = request(&args.upgrade, Proof::Full, &settings, session)?;
    let app = upgrade.app.clone();
    let repository = session.repository(&settings, &context)?;
    let request = RollbackRequest {
        from: upgrade.from,
        to: upgrade.to,
        databases: upgrade.databases,
        jobs: upgrade.jobs,
        keep_new: args.keep_new,
        force: args.force,
    };
    let plan = upgrade::plan_rollback(&repository, &request, &context)?;
    session.progress.finish();
    if args.dry_run {
        session
            .screen
            .answer(&plan, |text| render_rollback(text, &plan));
        return Ok(match plan.refusals.is_empty() {
            true => Exit::Done,
            false => Exit::Refused,
        });
    }
    if !session.screen.json {
        let mut text = Text::default();
        render_rollback(&mut text, &plan);
        session.screen.note(text.as_str());
    }
    refuse("roll back as asked", &plan.refusals)?;
    if plan.drops {
        let what = format!(
            "dropping {} on {}",
            human::counted(plan.databases.len() as u64, "database"),
            plan.to.server
        );
        confirm::require(args.confirm.as_deref(), &what, session)?;
    }
    let spec = UpgradeSpec {
        app,
        repository: required_repository(&settings)?.address.value.clone(),
        from: plan.from.server.clone(),
        to: plan.to.server.clone(),
        databases: names(plan.databases.iter().map(|d| &d.name)),
        rollback: true,
    };
    let recording = Recording::begin(session, JobSpec::Upgrade(spec))?;
    let context = recording.context(context);
    let done = upgrade::execute_rollback(&plan, &context).map_err(CliError::from);
    let report = recording.finish(done, session)?;
    session.progress.finish();
    session
        .screen
        .answer(&report, |text| render_rolled_back(text, &report));
    Ok(Exit::Done)
}

fn accept(args: &UpgradeAcceptArgs, session: &Session) -> CliResult<Exit> {
    let settings = session.settings()?;
    let context = session.context(&settings);
    let to = target(args.to.as_deref(), session)?;
    let names = upgrade::accept(&to, &args.database, &context)?;
    session
        .screen
        .answer(&serde_json::json!({ "accepted": names }), |text| {
            text.line(format!("ordinary databases now: {}", names.join(", ")));
        });
    Ok(Exit::Done)
}

fn settings(args: &UpgradeArgs, session: &Session) -> CliResult<Settings> {
    session.settings_with(Flags {
        bin_dirs: args.bin_dir.clone(),
        jobs: args.jobs,
        ..Flags::default()
    })
}

fn request(
    args: &UpgradeArgs,
    prove: Proof,
    settings: &Settings,
    session: &Session,
) -> CliResult<UpgradeRequest> {
    let from = match (&args.from, session.environment.get(FROM)) {
        (Some(url), _) => session.resolve_connection(Some(url), &Source::Flag("--from"))?,
        (None, Some(url)) => session.resolve_connection(Some(url), &Source::Variable(FROM))?,
        (None, None) => session.admin(settings).map_err(|_| {
            CliError::usage("nothing says which server to upgrade from")
                .with_hint(format!("give --from, or set {FROM}"))
        })?,
    };
    let commands = &settings.definition.commands;
    Ok(UpgradeRequest {
        from,
        to: target(args.to.as_deref(), session)?,
        databases: args.database.clone(),
        app: settings
            .app
            .as_ref()
            .map_or_else(|| USUAL_APP.to_owned(), |app| app.value.clone()),
        environment: settings
            .environment
            .as_ref()
            .map(|e| e.value.clone())
            .unwrap_or_default(),
        jobs: settings.jobs.value,
        compression_level: settings.compression.value,
        prove,
        fence: args.fence,
        no_owner: args.no_owner,
        commands: Some(commands.clone()).filter(|c| !c.check.is_empty()),
        origin: Default::default(),
    })
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    names.cloned().collect()
}

fn target(url: Option<&str>, session: &Session) -> CliResult<ConnectOptions> {
    match (url, session.environment.get(TO)) {
        (Some(url), _) => session.resolve_connection(Some(url), &Source::Flag("--to")),
        (None, Some(url)) => session.resolve_connection(Some(url), &Source::Variable(TO)),
        (None, None) => Err(CliError::usage("nothing says which server to upgrade to")
            .with_hint(format!("give --to, or set {TO}"))),
    }
}

fn refuse(what: &str, refusals: &[Refusal]) -> CliResult<()> {
    let Some(first) = refusals.first() else {
        return Ok(());
    };
    let mut error = CliError::new(Exit::Refused, format!("cannot {what}: {}", first.message))
        .with_hint(first.remedy.clone());
    for other in &refusals[1..] {
        error = error.with_detail(format!("also: {} ({})", other.message, other.remedy));
    }
    Err(error)
}

fn write_report(path: &Path, text: &str) -> CliResult<()> {
    std::fs::write(path, text).map_err(|e| report_failed(path, &e))
}

fn report_failed(path: &Path, e: &std::io::Error) -> CliError {
    CliError::file(Exit::Failed, "write the report", path, e)
}

fn render_plan(text: &mut Text, plan: &UpgradeSummary) {
    let server = |server: &upgrade::ClusterFacts| {
        format!("PostgreSQL {}, {}", server.version, server.server)
    };
    text.facts([
        ("from", server(&plan.from)),
        ("to", server(&plan.to)),
        ("size", human::bytes(plan.bytes)),
        (
            "free on the new server",
            plan.free_bytes.map(human::bytes).unwrap_or_default(),
        ),
        (
            "window",
            format!(
                "about {}: backup {}, restore and proof {} at {}/s ({})",
                human::seconds(plan.window.seconds()),
                human::seconds(plan.window.backup_seconds),
                human::seconds(plan.window.restore_seconds),
                human::bytes(plan.window.restore_rate),
                plan.window.restore_rate_from
            ),
        ),
        (
            "programs",
            format!(
                "pg_dump {}, pg_restore {}",
                plan.tools.dump, plan.tools.restore
            ),
        ),
        ("roles to make", plan.new_roles.join(", ")),
    ]);
    text.blank();
    let mut table = Rows::new(&[
        Column::Left("database"),
        Column::Right("size"),
        Column::Right("tables"),
        Column::Left("locale"),
        Column::Left("extensions"),
    ]);
    for database in &plan.databases {
        let extensions = database.extensions.iter().map(|e| match &e.to {
            Some(to) if *to == e.from => format!("{} {}", e.name, e.from),
            Some(to) => format!("{} {} -> {to}", e.name, e.from),
            None => format!("{} {} (missing)", e.name, e.from),
        });
        table.add([
            database.name.clone(),
            human::bytes(database.size_bytes),
            human::count(database.tables),
            database.locale.clone(),
            extensions.collect::<Vec<_>>().join(", "),
        ]);
    }
    text.table(&table);
    list(text, "steps", &plan.steps);
    list(text, "to know", &plan.warnings);
    refusals(text, &plan.refusals);
}

fn list(text: &mut Text, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    text.heading(title);
    for line in lines {
        text.line(format!("- {line}"));
    }
}

fn refusals(text: &mut Text, refusals: &[Refusal]) {
    let lines: Vec<String> = refusals
        .iter()
        .map(|r| format!("{}; {}", r.message, r.remedy))
        .collect();
    list(text, "cannot be done", &lines);
}

fn render_report(text: &mut Text, report: &UpgradeReport) {
    let mut table = Rows::new(&[
        Column::Left("database"),
        Column::Right("rows"),
        Column::Right("restored in"),
        Column::Right("proven in"),
        Column::Left("proof"),
        Column::Left("structure"),
    ]);
    for database in &report.databases {
        table.add([
            database.name.clone(),
            human::count(database.rows),
            human::seconds(database.restore_seconds),
            human::seconds(database.prove_seconds),
            super::restore::proof_words(&database.proof),
            database.structure.words(),
        ]);
    }
    text.table(&table);
    text.blank();
    let mut remarks = report.roles.left_out.clone();
    for database in &report.databases {
        let name = &database.name;
        let mut add = |words: String| remarks.push(format!("{name}: {words}"));
        database
            .proof
            .differences
            .iter()
            .for_each(|d| add(format!("differs: {d}")));
        database
            .structure
            .problems
            .iter()
            .for_each(|p| add(p.clone()));
        for check in database.checks.iter().filter(|c| !c.succeeded) {
            add(format!("check failed: {}", check.command));
        }
        database
            .expected_differences
            .iter()
            .for_each(|d| add(d.clone()));
        database.warnings.iter().for_each(|w| add(w.clone()));
    }
    text.facts([
        ("backup", report.backup[..8].to_owned()),
        ("roles made", report.roles.created.join(", ")),
        (
            "old databases",
            match report.fenced {
                true => format!(
                    "read-only, {} ended",
                    human::counted(report.sessions_ended as u64, "session")
                ),
                false => "as they were".into(),
            },
        ),
        ("took", human::seconds(report.seconds)),
    ]);
    list(text, "to know", &remarks);
    text.blank();
    text.line(match report.succeeded {
        true => format!(
            "Every database is proven equal. Point the app at {}.",
            report.to.server
        ),
        false => "Something was found wrong; the old server is as it was.".into(),
    });
    text.line("Then: pgkeep upgrade verify, and pgkeep upgrade accept or pgkeep upgrade rollback");
}

fn render_verify(text: &mut Text, report: &VerifyReport) {
    for database in &report.databases {
        text.heading(&format!("database {}", database.name));
        text.line(format!(
            "{} with {} compared",
            human::counted(database.tables as u64, "table"),
            human::counted(database.rows, "row")
        ));
        for extension in &database.extensions {
            text.line(format!(
                "extension {}: {} there, {} here, as is to be",
                extension.name,
                extension.from,
                extension.to.clone().unwrap_or_default()
            ));
        }
        for difference in &database.differences {
            text.line(format!("differs: {difference}"));
        }
    }
    text.blank();
    text.line(match report.equal {
        true => format!("both servers hold the same; compared in {}", human::seconds(report.seconds)),
        false => "the servers differ: what was written to either since the backup, or the fence was left out".into(),
    });
}

fn render_rollback(text: &mut Text, plan: &RollbackPlan) {
    text.facts([
        (
            "back to",
            format!("PostgreSQL {}, {}", plan.from.version, plan.from.server),
        ),
        (
            "from",
            format!("PostgreSQL {}, {}", plan.to.version, plan.to.server),
        ),
        ("read-only by pgkeep", plan.fenced.join(", ")),
    ]);
    for database in &plan.databases {
        text.heading(&format!("database {}", database.name));
        text.facts([
            ("made", human::time(database.finished_at)),
            ("of backup", database.backup.chars().take(8).collect()),
            ("size", human::bytes(database.size_bytes)),
            (
                "written since",
                match &database.written {
                    None => "not looked at".into(),
                    Some(written) if written.is_empty() => "nothing".into(),
                    Some(written) => written.join("; "),
                },
            ),
        ]);
    }
    list(text, "steps", &plan.steps);
    refusals(text, &plan.refusals);
}

fn render_rolled_back(text: &mut Text, report: &RollbackReport) {
    text.facts([
        ("dropped", report.dropped.join(", ")),
        ("changed meanwhile, and left", report.left.join(", ")),
        ("roles dropped", report.roles_dropped.join(", ")),
        (
            "roles left",
            report
                .roles_left
                .iter()
                .map(|role| match &role.stays_because {
                    Some(why) => format!("{} ({why})", role.name),
                    None => role.name.clone(),
                })
                .collect::<Vec<_>>()
                .join(", "),
        ),
        ("can be written to again", report.unfenced.join(", ")),
        ("now", report.next.clone()),
    ]);
}
