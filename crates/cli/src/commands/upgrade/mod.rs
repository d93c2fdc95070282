//! `pgkeep upgrade`: move a server's databases to a newer major: plan, run, verify, and take it back.
//!
//! Both servers come from the command line, else from the environment, else from the app's definition. A server that is
//! worked on from afar knows the definition alone.

mod shown;

use super::on_server;
use crate::{
    args::{UpgradeAcceptArgs, UpgradeArgs, UpgradeCommand, UpgradeRollbackArgs, UpgradeRunArgs},
    config::{Flags, Settings, Source, read_secret},
    confirm,
    error::{CliError, CliResult},
    exit::Exit,
    output::{Text, human},
    recording::Recording,
    session::{Session, required_repository},
};
use pgkeep_engine::{
    ErrorCode,
    restore::Refusal,
    upgrade::{
        self, RollbackReport, RollbackRequest, RollbackSummary, UpgradeReport, UpgradeRequest,
        UpgradeSummary, VerifyReport,
    },
};
use pgkeep_model::{
    evidence::Proof,
    job::{JobSpec, UpgradeSpec},
    secret::SecretText,
};
use pgkeep_postgres::connect::ConnectOptions;
use secrecy::ExposeSecret;
use shown::{render_plan, render_report, render_rollback, render_rolled_back, render_verify};
use std::path::Path;

/// Where one of the two servers may be named, the first that says it counting.
struct Naming {
    flag: &'static str,
    variable: &'static str,
    /// In the app's definition.
    key: &'static str,
}

const FROM: Naming = Naming {
    flag: "--from",
    variable: "PGKEEP_UPGRADE_FROM",
    key: "upgrade.from",
};
const TO: Naming = Naming {
    flag: "--to",
    variable: "PGKEEP_UPGRADE_TO",
    key: "upgrade.to",
};
/// App of a backup where nothing says which one the server serves.
const USUAL_APP: &str = "upgrade";

pub fn run(command: &UpgradeCommand, session: &Session) -> CliResult<Exit> {
    if let Some(api) = session.remote()? {
        return on_server::upgrade(command, &api, session);
    }
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

pub(super) fn answer_plan(plan: &UpgradeSummary, session: &Session) -> Exit {
    session.screen.answer(plan, |text| render_plan(text, plan));
    match plan.refusals.is_empty() {
        true => Exit::Done,
        false => Exit::Refused,
    }
}

/// Shows what would be moved; returns only when nothing stands in its way.
pub(super) fn show(plan: &UpgradeSummary, session: &Session) -> CliResult<()> {
    if !session.screen.json {
        let mut text = Text::default();
        render_plan(&mut text, plan);
        session.screen.note(text.as_str());
    }
    refuse("upgrade as asked", &plan.refusals)
}

fn carry_out(args: &UpgradeRunArgs, session: &Session) -> CliResult<Exit> {
    let settings = settings(&args.upgrade, session)?;
    let context = session.context(&settings);
    let request = request(&args.upgrade, args.prove.into(), &settings, session)?;
    may_write_report(args)?;
    let repository = session.repository(&settings, &context)?;
    let mut plan = upgrade::plan(Some(&repository), &request, &context)?;
    session.progress.finish();
    if args.dry_run {
        return Ok(answer_plan(&plan.summary, session));
    }
    show(&plan.summary, session)?;
    let spec = UpgradeSpec {
        app: plan.request.app.clone(),
        repository: required_repository(&settings)?.address.value.clone(),
        from: plan.summary.from.server.clone(),
        to: plan.summary.to.server.clone(),
        databases: names(plan.summary.databases.iter().map(|d| &d.name)),
        fence: args.upgrade.fence,
        ..UpgradeSpec::default()
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
    answer(&report, args, session)
}

/// Whether the report can be written is better known before hours of work than after.
pub(super) fn may_write_report(args: &UpgradeRunArgs) -> CliResult<()> {
    let Some(path) = &args.report else {
        return Ok(());
    };
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map(drop)
        .map_err(|e| report_failed(path, &e))
}

/// Writes the report where it is wanted, and shows it.
pub(super) fn answer(
    report: &UpgradeReport,
    args: &UpgradeRunArgs,
    session: &Session,
) -> CliResult<Exit> {
    if let Some(path) = &args.report {
        write_report(path, &report.to_markdown())?;
        let json = serde_json::to_string_pretty(report).expect("reports are plain values");
        write_report(&path.with_extension("json"), &json)?;
    }
    session
        .screen
        .answer(report, |text| render_report(text, report));
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
    Ok(answer_verify(&report, session))
}

pub(super) fn answer_verify(report: &VerifyReport, session: &Session) -> Exit {
    session
        .screen
        .answer(report, |text| render_verify(text, report));
    match report.equal {
        true => Exit::Done,
        false => Exit::NotProven,
    }
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
    let summary = &plan.summary;
    if args.dry_run {
        return Ok(answer_rollback_plan(summary, session));
    }
    agree(summary, args.confirm.as_deref(), session)?;
    let spec = UpgradeSpec {
        app,
        repository: required_repository(&settings)?.address.value.clone(),
        from: summary.from.server.clone(),
        to: summary.to.server.clone(),
        databases: names(summary.databases.iter().map(|d| &d.name)),
        rollback: true,
        keep_new: args.keep_new,
        force: args.force,
        ..UpgradeSpec::default()
    };
    let recording = Recording::begin(session, JobSpec::Upgrade(spec))?;
    let context = recording.context(context);
    let done = upgrade::execute_rollback(&plan, &context).map_err(CliError::from);
    let report = recording.finish(done, session)?;
    session.progress.finish();
    Ok(answer_rolled_back(&report, session))
}

pub(super) fn answer_rollback_plan(plan: &RollbackSummary, session: &Session) -> Exit {
    session
        .screen
        .answer(plan, |text| render_rollback(text, plan));
    match plan.refusals.is_empty() {
        true => Exit::Done,
        false => Exit::Refused,
    }
}

/// Shows the way back; returns only when nothing stands in its way, and with the phrase where databases are dropped.
pub(super) fn agree(
    plan: &RollbackSummary,
    phrase: Option<&str>,
    session: &Session,
) -> CliResult<()> {
    if !session.screen.json {
        let mut text = Text::default();
        render_rollback(&mut text, plan);
        session.screen.note(text.as_str());
    }
    refuse("roll back as asked", &plan.refusals)?;
    if !plan.drops {
        return Ok(());
    }
    let what = format!(
        "dropping {} on {}",
        human::counted(plan.databases.len() as u64, "database"),
        plan.to.server
    );
    confirm::require(phrase, &what, session)
}

pub(super) fn answer_rolled_back(report: &RollbackReport, session: &Session) -> Exit {
    session
        .screen
        .answer(report, |text| render_rolled_back(text, report));
    Exit::Done
}

fn accept(args: &UpgradeAcceptArgs, session: &Session) -> CliResult<Exit> {
    let settings = session.settings()?;
    let context = session.context(&settings);
    let to = target(args.to.as_deref(), &settings, session)?;
    let names = upgrade::accept(&to, &args.database, &context)?;
    Ok(answer_accepted(&names, session))
}

pub(super) fn answer_accepted(names: &[String], session: &Session) -> Exit {
    session
        .screen
        .answer(&serde_json::json!({ "accepted": names }), |text| {
            text.line(format!("ordinary databases now: {}", names.join(", ")));
        });
    Exit::Done
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
    let defined = settings.definition.upgrade.from.as_ref();
    let from = match FROM.connection(args.from.as_deref(), defined, session)? {
        Some(from) => from,
        None => session.admin(settings).map_err(|_| {
            CliError::usage("nothing says which server to upgrade from").with_hint(FROM.hint())
        })?,
    };
    let commands = &settings.definition.commands;
    Ok(UpgradeRequest {
        from,
        to: target(args.to.as_deref(), settings, session)?,
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

fn target(
    given: Option<&str>,
    settings: &Settings,
    session: &Session,
) -> CliResult<ConnectOptions> {
    let defined = settings.definition.upgrade.to.as_ref();
    TO.connection(given, defined, session)?.ok_or_else(|| {
        CliError::usage("nothing says which server to upgrade to").with_hint(TO.hint())
    })
}

impl Naming {
    /// The server's connection, where anything names it.
    fn connection(
        &self,
        given: Option<&str>,
        defined: Option<&SecretText>,
        session: &Session,
    ) -> CliResult<Option<ConnectOptions>> {
        let resolved = match (given, session.environment.get(self.variable), defined) {
            (Some(url), ..) => session.resolve_connection(Some(url), &Source::Flag(self.flag))?,
            (None, Some(url), _) => {
                session.resolve_connection(Some(url), &Source::Variable(self.variable))?
            }
            (None, None, Some(text)) => {
                let folder = &session.places.current_dir;
                let (url, _) = read_secret(text, folder, &session.environment, self.key)?;
                session.resolve_connection(Some(url.expose_secret()), &Source::Flag(self.key))?
            }
            (None, None, None) => return Ok(None),
        };
        Ok(Some(resolved))
    }

    fn hint(&self) -> String {
        let key = self.key.rsplit('.').next().unwrap_or_default();
        format!(
            "give {}, set {}, or name it as `{key}` in [app.NAME.upgrade]",
            self.flag, self.variable
        )
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
