//! `pgkeep guard -- COMMAND`: a backup, the command as if pgkeep were not there, and the way back when it fails.

use crate::{
    args::{GuardArgs, OnFailure, ProofArg},
    commands::{
        on_server,
        rollback_migration::{self, Wanted},
    },
    config::Settings,
    confirm,
    error::{CliError, CliResult},
    exit::Exit,
    interrupt::Relay,
    output::{Text, human},
    recording::Recording,
    session::{Session, connection_flags, required_repository},
};
use pgkeep_engine::{
    Context, ErrorCode,
    application::Application,
    backup::BackupRequest,
    catalog::{self, ListFilter, Origin},
    drill::DrillRequest,
    guard::{self, Changed, Ground, GuardRequest, Guarded, WayBack},
    restore::RestoreReport,
};
use pgkeep_model::{
    evidence::Proof,
    job::{GuardSpec, JobSpec},
    manifest::BackupKind,
};
use pgkeep_postgres::{
    connect::ConnectOptions,
    tools::{Ended, Passthrough},
};
use pgkeep_repository::Repository;
use serde::Serialize;
use std::time::{Duration, Instant};

/// How long a failed state is kept after the way back.
pub const KEEP_FAILED: Duration = Duration::from_secs(7 * 24 * 3600);

/// All of it, for `--json` and the catalog.
#[derive(Debug, Serialize)]
pub struct GuardReport {
    pub command: Vec<String>,
    /// Its exit status, or 128 and the number of the signal that ended it.
    pub status: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    command_seconds: f64,
    /// What guard added to backup, proof and command: both looks at what is applied.
    overhead_seconds: f64,
    #[serde(flatten)]
    pub guarded: Guarded,
    #[serde(flatten)]
    changed: Changed,
    /// What was swapped back because the command failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restored: Vec<RestoreReport>,
    pub warnings: Vec<String>,
}

impl GuardReport {
    /// How the command ended, in words.
    pub fn ended(&self) -> String {
        match self.signal {
            Some(signal) => match signal_name(signal) {
                Some(name) => format!("was ended by signal {signal} ({name})"),
                None => format!("was ended by signal {signal}"),
            },
            None => format!("ended with status {}", self.status),
        }
    }
}

fn signal_name(number: i32) -> Option<&'static str> {
    // The same on every system that there is.
    Some(match number {
        1 => "the terminal was closed",
        2 => "Ctrl-C",
        3 => "quit",
        6 => "abort",
        9 => "killed",
        15 => "terminated",
        _ => return None,
    })
}

/// Ends the process with the command's own status, once there is one.
pub fn run(args: &GuardArgs, session: &Session) -> CliResult<Exit> {
    let status = guarded(args, session)?;
    session.progress.finish();
    match status {
        0 => Ok(Exit::Done),
        // The command's own status, which is none of ours; nothing is left to be dropped.
        other => std::process::exit(i32::from(other)),
    }
}

fn guarded(args: &GuardArgs, session: &Session) -> CliResult<u8> {
    // Better known before a backup is made than after.
    Passthrough::find(&args.command).map_err(|e| cannot_start(&e))?;
    let relay = session.relay.as_ref().expect("guard heeds signals");
    if let Some(api) = session.remote()? {
        return on_server::guard(args, &api, relay, session);
    }
    let mut flags = connection_flags(&args.connection);
    flags.dbnames = args.dbname.clone();
    flags.jobs = args.jobs;
    let settings = session.settings_with(flags)?;
    let chosen = required_repository(&settings)?.address.value.clone();
    let request = request(args, &settings, session)?;
    let spec = GuardSpec {
        app: request.backup.app.clone(),
        repository: chosen.clone(),
        command: args.command.clone(),
    };
    let recording = Recording::begin(session, JobSpec::Guard(spec))?.changing(&chosen);
    let request = GuardRequest {
        backup: BackupRequest {
            origin: Origin {
                job: recording.job(),
                ..Origin::default()
            },
            ..request.backup
        },
        ..request
    };
    let context = recording.context(session.context(&settings));
    let done = session
        .repository(&settings, &context)
        .and_then(|repository| {
            let report = carry_out(args, &request, relay, &repository, &context, session)?;
            Ok((repository, report))
        });
    let (repository, mut report) = match done {
        Ok(done) => done,
        Err(error) => {
            return recording
                .finish(Err::<GuardReport, _>(error), session)
                .map(|r| r.status);
        }
    };
    // The job ends here: the way back is one of its own.
    report = recording.finish_unless(Ok(report), session, |report| {
        let words = || format!("`{}` {}", report.command.join(" "), report.ended());
        (report.status != 0).then(|| (ErrorCode::Failed, words()))
    })?;
    session.progress.finish();
    Ok(finish(report, session, |report| {
        way_back(args, report, &repository, &settings, session)
    }))
}

/// Goes back where the command failed, and tells of it all. The command's status is what guard ends with.
pub fn finish(
    mut report: GuardReport,
    session: &Session,
    way_back: impl FnOnce(&GuardReport) -> CliResult<Vec<RestoreReport>>,
) -> u8 {
    if report.status != 0 {
        match way_back(&report) {
            Ok(restored) => report.restored = restored,
            Err(error) => {
                // The command's failure is what counts; this one must be seen all the same.
                session.screen.error(&error);
                report.warnings.push(error.message.clone());
            }
        }
    }
    tell(&report, session);
    report.status
}

fn request(args: &GuardArgs, settings: &Settings, session: &Session) -> CliResult<GuardRequest> {
    let databases = session.named_databases(settings, "guard")?;
    let application = session.application(settings, None)?;
    let app = settings
        .app
        .as_ref()
        .map_or_else(|| databases[0].dbname.clone(), |app| app.value.clone());
    let drill = match args.prove {
        None | Some(ProofArg::None) => None,
        Some(level) => Some(DrillRequest {
            backup: String::new(),
            app: Some(app.clone()),
            database: None,
            admin: session.admin(settings)?,
            jobs: settings.jobs.value,
            prove: Proof::from(level),
            no_owner: false,
            assertions: Vec::new(),
            keep: false,
            further: Default::default(),
        }),
    };
    // Whoever is asked after a failure is told before what would stand in the way.
    let promised = args.on_failure == Some(OnFailure::Restore);
    let asked = match args.on_failure {
        Some(what) => what == OnFailure::Ask,
        None => true,
    } && confirm::is_somebody_there(session);
    let way_back = match (promised, asked) {
        (true, _) => Some(session.admin(settings)?),
        (false, true) => session.admin(settings).ok(),
        (false, false) => None,
    };
    Ok(GuardRequest {
        drill,
        way_back: way_back.map(|admin| WayBack { admin, promised }),
        ..request_of(args, settings, app, databases, application)
    })
}

/// What is guarded, and how; without a proof.
pub fn request_of(
    args: &GuardArgs,
    settings: &Settings,
    app: String,
    databases: Vec<ConnectOptions>,
    application: Application,
) -> GuardRequest {
    GuardRequest {
        backup: BackupRequest {
            app,
            environment: settings
                .environment
                .as_ref()
                .map(|e| e.value.clone())
                .unwrap_or_default(),
            kind: BackupKind::Database,
            description: args.description.clone().unwrap_or_default(),
            tags: Vec::new(),
            pinned: false,
            globals: false,
            jobs: settings.jobs.value,
            compression_level: settings.compression.value,
            // A way back must hold everything.
            exclude_table_data: Vec::new(),
            schemas: Vec::new(),
            lock_timeout: None,
            read_back_all: false,
            origin: Origin::default(),
            databases,
            application: application.clone(),
        },
        application,
        command: args.command.clone(),
        drill: None,
        way_back: None,
        skip_if_nothing_pending: args.skip_if_nothing_pending,
        harmless: args.harmless.clone(),
    }
}

/// Backup, command, and what the command changed.
pub fn carry_out(
    args: &GuardArgs,
    request: &GuardRequest,
    relay: &Relay,
    ground: &dyn Ground,
    context: &Context,
    session: &Session,
) -> CliResult<GuardReport> {
    let guarded = guard::before(ground, request, context)?;
    session.progress.finish();
    announce(&guarded, session);
    let mut variables = vec![
        ("PGKEEP_GUARD".to_owned(), "1".to_owned()),
        ("PGKEEP_APP".to_owned(), request.backup.app.clone()),
    ];
    if let Some(backup) = &guarded.backup {
        variables.push(("PGKEEP_BACKUP".into(), backup.id.clone()));
    }
    context.cancel.check()?;
    let begun = Instant::now();
    // Under --json, standard output is for one document.
    let running = Passthrough::start(&args.command, &variables, session.screen.json)
        .map_err(|e| cannot_start(&e))?;
    relay.hand_on(running.signals());
    let ended = running.wait();
    relay.take_back();
    let Ended { code, signal } = ended.map_err(pgkeep_engine::Error::from)?;
    let command_seconds = begun.elapsed().as_secs_f64();
    let mut warnings = Vec::new();
    // The command is done, whatever can be told of it.
    let changed = guard::after(ground, request, &guarded, context).unwrap_or_else(|e| {
        warnings.push(format!("what the command changed is not known: {e}"));
        Changed::default()
    });
    Ok(GuardReport {
        command: args.command.clone(),
        status: code,
        signal,
        command_seconds,
        overhead_seconds: guarded.look_before_seconds + changed.look_after_seconds,
        guarded,
        changed,
        restored: Vec::new(),
        warnings,
    })
}

fn cannot_start(error: &pgkeep_postgres::Error) -> CliError {
    CliError::new(Exit::Usage, error.to_string())
        .with_hint("nothing was done; a shell's own words and pipes need sh -c '...'")
}

fn announce(guarded: &Guarded, session: &Session) {
    if session.screen.quiet {
        return;
    }
    let pending = format!("pending: {}", guarded.pending.words());
    let line = match (&guarded.backup, &guarded.skipped) {
        (Some(backup), _) => format!(
            "pgkeep: backup {} in {}{}; {pending}",
            &backup.id[..8],
            human::seconds(backup.seconds),
            match guarded.proven {
                Some(true) => ", proven",
                _ => "",
            }
        ),
        (None, Some(why)) => format!("pgkeep: no backup: {why}"),
        (None, None) => return,
    };
    session.screen.note(&line);
}

/// After a failure: swaps back, asks, or leaves everything as it is.
fn way_back(
    args: &GuardArgs,
    report: &GuardReport,
    repository: &Repository,
    settings: &Settings,
    session: &Session,
) -> CliResult<Vec<RestoreReport>> {
    let Some(backup) = &report.guarded.backup else {
        return Ok(Vec::new());
    };
    let Some(what) = wanted_way_back(args, session) else {
        return Ok(Vec::new());
    };
    let context = session.context(settings);
    let filter = ListFilter {
        app: Some(backup.app.clone()),
        ..ListFilter::default()
    };
    let entry = catalog::find(repository, &backup.id, &filter)?;
    let wanted = Wanted {
        only: None,
        prove: ProofArg::Full,
        keep_old: KEEP_FAILED,
        grace: None,
    };
    let plans =
        rollback_migration::plans(&entry, &wanted, repository, settings, &context, session)?;
    session.progress.finish();
    rollback_migration::show(&plans, session)?;
    if what == OnFailure::Ask && !is_agreed(report, session) {
        return Ok(Vec::new());
    }
    let reports = rollback_migration::execute(plans, repository, settings, context, session)?;
    session.progress.finish();
    Ok(reports)
}

/// Whether there is to be a way back after a failure, and whether it is asked for first.
pub fn wanted_way_back(args: &GuardArgs, session: &Session) -> Option<OnFailure> {
    let on_a_terminal = confirm::is_somebody_there(session);
    match (args.on_failure, on_a_terminal) {
        (Some(OnFailure::Ask), false) => {
            session
                .screen
                .warn("nobody is at a terminal to be asked, so everything is left as it is");
            None
        }
        (None, false) | (Some(OnFailure::Leave), _) => None,
        (Some(what), _) => Some(what),
        (None, true) => Some(OnFailure::Ask),
    }
}

/// Asks the person at the terminal, who has seen the plans.
pub fn is_agreed(report: &GuardReport, session: &Session) -> bool {
    let backup = report.guarded.backup.as_ref().map_or("", |b| &b.id[..8]);
    let question = format!(
        "The command {}. Go back to backup {backup} now?",
        report.ended()
    );
    let agreed = confirm::yes(&question, report.status, session);
    if !agreed {
        session.screen.note("pgkeep: everything is left as it is");
    }
    agreed
}

/// The summary; standard output belongs to the command, unless one document was asked for.
fn tell(report: &GuardReport, session: &Session) {
    if session.screen.json {
        session.screen.answer(report, |_| {});
        return;
    }
    if session.screen.quiet {
        return;
    }
    let mut text = Text::default();
    text.line(format!(
        "pgkeep: the command {} after {}",
        report.ended(),
        human::seconds(report.command_seconds)
    ));
    for (verb, changes) in [
        ("applied", &report.changed.applied),
        ("taken back", &report.changed.reverted),
    ] {
        if !changes.is_empty() {
            let names: Vec<&str> = changes.iter().map(|change| change.name.as_str()).collect();
            text.line(format!("pgkeep: {verb}: {}", names.join(", ")));
        }
    }
    let objects = report
        .changed
        .schema
        .iter()
        .flat_map(|schema| &schema.databases);
    let changed: usize = objects.map(|database| database.objects.len()).sum();
    if changed > 0 && report.restored.is_empty() {
        text.line(format!(
            "pgkeep: {} in the schema since the backup: pgkeep schema diff {}",
            human::counted(changed as u64, "change"),
            report.guarded.backup.as_ref().map_or("", |b| &b.id[..8])
        ));
    }
    for restored in &report.restored {
        text.line(format!(
            "pgkeep: {} is as it was before the command; the failed state is kept as {}",
            restored.database,
            restored.kept_as.as_deref().unwrap_or("nothing")
        ));
    }
    if report.status != 0 && report.restored.is_empty() {
        text.line(match &report.guarded.backup {
            Some(backup) => format!(
                "pgkeep: to go back: pgkeep rollback-migration --app {}",
                backup.app
            ),
            None => "pgkeep: no backup was made before it, so there is none to go back to".into(),
        });
    }
    for warning in &report.warnings {
        text.line(format!("pgkeep: {warning}"));
    }
    session.screen.note(text.as_str());
}
