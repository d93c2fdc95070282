//! `pgkeep restore`: plan, show, confirm, act.

use crate::{
    args::{ProofArg, RestoreArgs},
    commands::{list::app_filter, on_server, restore_files},
    config::{Settings, Source},
    confirm,
    error::{CliError, CliResult},
    exit::Exit,
    output::{Text, human},
    recording::Recording,
    session::{Session, connection_flags, required_repository},
};
use pgkeep_engine::{
    ErrorCode,
    application::Application,
    catalog::{self, BackupEntry, ListFilter},
    files,
    restore::{
        self, Around, Content, DatabasePlan, PlanSummary, ProofReport, RestoreReport,
        RestoreRequest, RestoreTarget, Selection,
    },
};
use pgkeep_model::{
    evidence::Proof,
    job::{JobSpec, ProveLevel, RestoreMode, RestoreSpec},
};
use pgkeep_postgres::connect::ConnectOptions;
use std::time::Duration;

const USUAL_GRACE: Duration = Duration::from_secs(5);

pub fn run(args: &RestoreArgs, session: &Session) -> CliResult<Exit> {
    if let Some(api) = session.remote()? {
        return on_server::restore(args, &api, session);
    }
    if args.files_only {
        return restore_files::run(args, session);
    }
    choice_of_files(args)?;
    let mut flags = connection_flags(&args.connection);
    flags.jobs = args.jobs;
    let settings = session.settings_with(flags)?;
    let context = session.context(&settings);
    let repository = session.repository(&settings, &context)?;
    let filter = ListFilter {
        app: app_filter(&settings),
        ..ListFilter::default()
    };
    let entry = catalog::find(&repository, &args.backup, &filter)?;
    let database = chosen_database(args.database.as_deref(), &entry)?;
    let target = target(args, session, &settings, &database)?;
    if args.with_files && !args.replace && args.files_into.is_none() {
        return Err(
            CliError::usage("only --replace puts files in the place of the live ones")
                .with_hint("say with --files-into which new folder they go to"),
        );
    }
    let request = request_of(args, &entry, database, target, &settings, session)?;
    let plan = restore::plan(&repository, &request, &context)?;
    session.progress.finish();
    let files = match args.with_files {
        true => {
            let planned =
                restore_files::plan(args, &entry.id, &settings, session, &repository, &context)?;
            Some(planned)
        }
        false => None,
    };
    if args.dry_run {
        return Ok(match &files {
            None => answer_plan(&plan.summary, session),
            Some(files) => restore_files::answer_both_plans(&plan.summary, &files.summary, session),
        });
    }
    if let Some(files) = &files {
        restore_files::show(&files.summary, session)?;
    }
    agree(&plan.summary, args.confirm.as_deref(), session)?;
    let chosen = required_repository(&settings)?.address.value.clone();
    let spec = spec_of(&plan.summary, args, chosen.clone(), session);
    let recording = Recording::begin(session, JobSpec::Restore(spec))?.changing(&chosen);
    let context = recording.context(context);
    let mut placed = None;
    let done = match &files {
        None => restore::execute(&repository, plan, &context),
        Some(files) => files::restore::execute_with_database(&repository, files, plan, &context)
            .map(|(report, files)| {
                placed = files;
                report
            }),
    }
    .map_err(CliError::from);
    let report = recording.finish_unless(done, session, |report| {
        let differences = report.proof.differences.len() as u64;
        let what = || format!("{} found", human::counted(differences, "difference"));
        (differences > 0).then(|| (ErrorCode::ProofFailed, what()))
    })?;
    session.progress.finish();
    Ok(match &placed {
        None => answer(&report, session),
        Some(placed) => restore_files::answer_both(&report, placed, session),
    })
}

/// What the options and the settings in force ask for.
fn request_of(
    args: &RestoreArgs,
    entry: &BackupEntry,
    database: String,
    target: RestoreTarget,
    settings: &Settings,
    session: &Session,
) -> CliResult<RestoreRequest> {
    let mut application = session.application(settings, Some(target.name()))?;
    application.fence.read_only |= args.read_only;
    Ok(RestoreRequest {
        backup: entry.id.clone(),
        app: app_filter(settings),
        admin: session.admin(settings)?,
        target,
        database: Some(database),
        selection: Selection {
            tables: args.table.clone(),
            schemas: args.schema.clone(),
        },
        content: match (args.schema_only, args.data_only) {
            (true, _) => Content::SchemaOnly,
            (_, true) => Content::DataOnly,
            _ => Content::All,
        },
        jobs: settings.jobs.value,
        prove: args.prove.into(),
        keep_old_secs: args.keep_old.as_secs(),
        no_owner: args.no_owner,
        role: args.role.clone(),
        throwaway: false,
        vacuum: args.vacuum,
        skip_safety_backup: args.no_safety_backup,
        grace_secs: grace(args.grace, &application).as_secs(),
        around: Around {
            application,
            migrate: args.migrate,
            check: args.check,
            keep_failed: args.keep_failed,
            owner: None,
        },
    })
}

/// Refuses a choice among files where none are restored.
pub fn choice_of_files(args: &RestoreArgs) -> CliResult<()> {
    let chosen = !args.files.is_empty() || !args.file.is_empty();
    match chosen && !args.with_files && !args.files_only {
        true => Err(CliError::usage("--files and --file choose among files")
            .with_hint("add --files-only, or --with-files to restore the database too")),
        false => Ok(()),
    }
}

/// How long sessions have to end by themselves.
pub fn grace(asked_for: Option<Duration>, app: &Application) -> Duration {
    asked_for.or(app.fence.grace).unwrap_or(USUAL_GRACE)
}

/// Shows a plan; the exit code says whether it can be carried out.
pub fn answer_plan(plan: &PlanSummary, session: &Session) -> Exit {
    session.screen.answer(plan, |text| render_plan(text, plan));
    match plan.refusals.is_empty() {
        true => Exit::Done,
        false => Exit::Refused,
    }
}

/// Shows several plans; the exit code says whether all can be carried out.
pub fn answer_plans(plans: &[PlanSummary], session: &Session) -> Exit {
    session.screen.answer(&plans, |text| {
        for plan in plans {
            render_plan(text, plan);
        }
    });
    match plans.iter().all(|plan| plan.refusals.is_empty()) {
        true => Exit::Done,
        false => Exit::Refused,
    }
}

/// Shows how several restores went.
pub fn answer_all(reports: &[RestoreReport], session: &Session) {
    session.screen.answer(&reports, |text| {
        for report in reports {
            render_report(text, report);
        }
    });
}

/// An error that stops several restores after some of them.
pub fn broke_off(error: CliError, done: &[&str], failed: &str) -> CliError {
    match done {
        [] => error,
        names => error.with_detail(format!(
            "{} went back already, {failed} did not: `pgkeep undo` swaps them again",
            names.join(", ")
        )),
    }
}

/// Shows what would be done and returns only when it may be: nothing stands in its way, and the phrase was given where
/// data would be overwritten.
pub fn agree(plan: &PlanSummary, phrase: Option<&str>, session: &Session) -> CliResult<()> {
    show(plan, session)?;
    if !plan.overwrites {
        return Ok(());
    }
    let what = format!(
        "restoring backup {} over database {}",
        &plan.backup[..8],
        plan.database.target.name()
    );
    confirm::require(phrase, &what, session)
}

/// Shows what would be done; an error says what stands in its way.
pub fn show(plan: &PlanSummary, session: &Session) -> CliResult<()> {
    if !session.screen.json {
        let mut text = Text::default();
        render_intent(&mut text, plan);
        session.screen.note(text.as_str());
    }
    refuse(plan)
}

/// Shows how a restore went; the exit code says whether it is proven.
pub fn answer(report: &RestoreReport, session: &Session) -> Exit {
    session
        .screen
        .answer(report, |text| render_report(text, report));
    proof_exit(&report.proof)
}

/// How thoroughly it is proven, as jobs and the API say it.
pub fn prove_word(arg: ProofArg) -> &'static str {
    match arg {
        ProofArg::Full => "full",
        ProofArg::Counts => "counts",
        ProofArg::None => "none",
    }
}

/// What the catalog is told of it.
fn spec_of(
    plan: &PlanSummary,
    args: &RestoreArgs,
    repository: String,
    session: &Session,
) -> RestoreSpec {
    RestoreSpec {
        app: plan.app.clone(),
        repository,
        backup: plan.backup.clone(),
        database: Some(plan.database.name.clone()),
        target: match &plan.database.target {
            RestoreTarget::Into { name } => RestoreMode::Into(name.clone()),
            RestoreTarget::Replace { name } => RestoreMode::Replace(name.clone()),
            RestoreTarget::InPlace { name } => RestoreMode::InPlace(name.clone()),
        },
        tables: args.table.clone(),
        schemas: args.schema.clone(),
        schema_only: args.schema_only,
        data_only: args.data_only,
        prove: match args.prove {
            ProofArg::Full => ProveLevel::Full,
            ProofArg::Counts => ProveLevel::Counts,
            ProofArg::None => ProveLevel::None,
        },
        jobs: args.jobs,
        no_owner: args.no_owner,
        skip_safety_backup: args.no_safety_backup,
        keep_old_secs: args.keep_old.as_secs(),
        migrate: args.migrate,
        check: args.check,
        role: args.role.clone(),
        vacuum: args.vacuum,
        keep_failed: args.keep_failed,
        read_only: args.read_only,
        grace_secs: args.grace.map(|grace| grace.as_secs()),
        files: args
            .with_files
            .then(|| restore_files::spec_of(args, session)),
        beyond: true,
    }
}

/// The database of the backup that is meant; there must be no doubt.
pub fn chosen_database(wanted: Option<&str>, entry: &BackupEntry) -> CliResult<String> {
    match (wanted, entry.databases.as_slice()) {
        (Some(name), all) if all.iter().any(|db| db == name) => Ok(name.to_owned()),
        (Some(name), all) => Err(CliError::new(
            Exit::NotFound,
            format!("backup {} holds no database {name}", entry.short_id()),
        )
        .with_hint(format!("it holds {}", all.join(", ")))),
        (None, [only]) => Ok(only.clone()),
        (None, all) => Err(CliError::usage(format!(
            "backup {} holds {}",
            entry.short_id(),
            human::counted(all.len() as u64, "database")
        ))
        .with_hint(format!("choose one with --database: {}", all.join(", ")))),
    }
}

fn target(
    args: &RestoreArgs,
    session: &Session,
    settings: &Settings,
    database: &str,
) -> CliResult<RestoreTarget> {
    if let Some(name) = &args.into {
        return Ok(RestoreTarget::Into { name: name.clone() });
    }
    let name = live_name(session, settings, database)?;
    if args.replace {
        return Ok(RestoreTarget::Replace { name });
    }
    if args.in_place || args.data_only {
        return Ok(RestoreTarget::InPlace { name });
    }
    Err(no_target(&name))
}

/// None of the modes was asked for; `name` is the live database.
pub fn no_target(name: &str) -> CliError {
    CliError::usage("nothing says where to restore to")
        .with_hint(format!("--into NAME makes a new database, --replace puts it in the place of {name}, --in-place empties {name} first"))
}

/// The live database that a restore of `database` would replace: the one that the connection names, else its namesake.
pub fn live_name(session: &Session, settings: &Settings, database: &str) -> CliResult<String> {
    let connected: Vec<ConnectOptions> = session.databases(settings)?;
    let by_name = connected.iter().find(|db| db.dbname == database);
    let given = settings
        .databases
        .first()
        .is_some_and(|db| db.source != Source::Default);
    Ok(match (by_name, connected.as_slice()) {
        (Some(found), _) => found.dbname.clone(),
        (None, [only]) if given => only.dbname.clone(),
        _ => database.to_owned(),
    })
}

fn refuse(plan: &PlanSummary) -> CliResult<()> {
    let Some(first) = plan.refusals.first() else {
        return Ok(());
    };
    let mut error = CliError::new(
        Exit::Refused,
        format!("cannot restore as asked: {}", first.message),
    )
    .with_hint(first.remedy.clone());
    for other in &plan.refusals[1..] {
        error = error.with_detail(format!("also: {} ({})", other.message, other.remedy));
    }
    Err(error)
}

/// The plan as `--dry-run` shows it, with what stands in its way.
pub fn render_plan(text: &mut Text, plan: &PlanSummary) {
    render_intent(text, plan);
    for refusal in &plan.refusals {
        text.line(format!("refused: {} ({})", refusal.message, refusal.remedy));
    }
}

/// What would be done; what stands in its way is told by the error that follows.
fn render_intent(text: &mut Text, plan: &PlanSummary) {
    let database = &plan.database;
    let target = match &database.target {
        RestoreTarget::Into { name } => format!("new database {name}"),
        RestoreTarget::Replace { name } => {
            format!("database {name}, which is replaced once the restored one is proven")
        }
        RestoreTarget::InPlace { name } => {
            let what = database
                .selection
                .as_deref()
                .unwrap_or("the backup's schemas");
            format!("database {name} itself, in which {what} will be replaced")
        }
    };
    text.facts([
        (
            "restore",
            format!("database {} of app {}", database.name, plan.app),
        ),
        (
            "from backup",
            format!(
                "{}, {} ({})",
                &plan.backup[..8],
                human::time(plan.backup_time),
                match plan.age_secs {
                    ..1 => "just made".into(),
                    secs => format!("{} old", human::seconds(secs as f64)),
                }
            ),
        ),
        ("to", target),
        ("server", database.target_server.clone()),
        (
            "versions",
            format!(
                "PostgreSQL {} to {}",
                database.source_version, database.target_version
            ),
        ),
        (
            "size",
            content(
                !plan.database.counted,
                database.tables,
                database.rows,
                database.bytes,
            ),
        ),
        (
            "existing",
            database
                .existing_bytes
                .map(human::bytes)
                .unwrap_or_default(),
        ),
        ("room", room(database)),
        ("sessions", database.sessions.join(", ")),
        ("missing", missing(plan)),
    ]);
    if let Some(versions) = &plan.migrations {
        text.heading("schema version");
        for version in &versions.backup {
            text.line(format!("the backup holds {version}"));
        }
        for words in &versions.words {
            text.line(words);
        }
    }
    if !plan.steps.is_empty() {
        text.heading("steps");
        for (at, step) in plan.steps.iter().enumerate() {
            text.line(format!("{:>2}. {step}", at + 1));
        }
    }
    if plan.overwrites {
        text.blank();
        text.line(format!(
            "What was written to {} after {} is not in the backup.",
            database.target.name(),
            human::time(plan.backup_time)
        ));
    }
    for warning in &plan.warnings {
        text.line(format!("note: {warning}"));
    }
}

/// What the restore takes on the server's disk, and whether it is there.
fn room(database: &DatabasePlan) -> String {
    if database.needed_bytes == 0 {
        return String::new();
    }
    let free = match database.enough_room {
        Some(true) => "which has it free",
        Some(false) => "which has less free",
        None => "and how much is free there cannot be told from here",
    };
    let needed = human::bytes(database.needed_bytes);
    format!("about {needed} on the server's disk, {free}")
}

fn missing(plan: &PlanSummary) -> String {
    let database = &plan.database;
    let kinds = [
        ("extensions", &database.missing_extensions),
        ("roles", &database.missing_roles),
        ("tablespaces", &database.missing_tablespaces),
    ];
    let named = kinds
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(kind, names)| format!("{kind} {}", names.join(", ")));
    named.collect::<Vec<_>>().join("; ")
}

/// The outcome of a restore.
pub fn render_report(text: &mut Text, report: &RestoreReport) {
    text.facts([
        (
            "restored",
            format!(
                "backup {} to database {}",
                &report.backup[..8],
                report.database
            ),
        ),
        (
            "content",
            content(
                report.proof.unprovable.is_some(),
                report.tables,
                report.rows,
                report.bytes,
            ),
        ),
        (
            "took",
            format!(
                "{} in all: {} to restore, {} to prove",
                human::seconds(report.total_seconds),
                human::seconds(report.restore_seconds),
                human::seconds(report.prove_seconds)
            ),
        ),
        ("proof", proof_words(&report.proof)),
        ("migrated", migrated_words(report)),
        (
            "safety backup",
            report
                .safety_backup
                .as_ref()
                .map(|id| id[..8].to_owned())
                .unwrap_or_default(),
        ),
        (
            "nobody could connect for",
            report.blocked_ms.map(blocked).unwrap_or_default(),
        ),
        (
            "replaced database",
            report.kept_as.clone().unwrap_or_default(),
        ),
        (
            "kept until",
            report.kept_until.map(human::time).unwrap_or_default(),
        ),
    ]);
    for difference in &report.proof.differences {
        text.line(format!("differs: {difference}"));
    }
    for warning in &report.warnings {
        text.line(format!("note: {warning}"));
    }
    if report.kept_as.is_some() {
        text.blank();
        text.line(format!("To swap back: pgkeep undo {}", report.database));
    }
}

/// How the app's own programs took it.
fn migrated_words(report: &RestoreReport) -> String {
    let Some(migrated) = &report.migrated else {
        return String::new();
    };
    let mut words = Vec::new();
    if let Some(outcome) = &migrated.migrate {
        words.push(format!(
            "the app's migrations in {}",
            human::seconds(outcome.seconds)
        ));
    }
    if !migrated.checks.is_empty() {
        words.push(format!(
            "{} passed",
            human::counted(migrated.checks.len() as u64, "check")
        ));
    }
    words.join(", ")
}

/// How much it is; nobody has counted what a script holds.
fn content(script: bool, tables: usize, rows: u64, bytes: u64) -> String {
    if script {
        return format!("a script of {}, not counted", human::bytes(bytes));
    }
    format!(
        "{}, {}, {}",
        human::counted(tables as u64, "table"),
        human::counted(rows, "row"),
        human::bytes(bytes)
    )
}

/// How long nobody could connect.
pub fn blocked(ms: u64) -> String {
    if ms == 0 {
        "less than 1 ms".into()
    } else {
        format!("{ms} ms")
    }
}

/// What was proven, in a line.
pub fn proof_words(proof: &ProofReport) -> String {
    if let Some(why) = &proof.unprovable {
        return format!("none: {why}");
    }
    if proof.level == Proof::None {
        return "none asked for".into();
    }
    let how = if proof.level == Proof::Full {
        "content of every row compared"
    } else {
        "row counts compared"
    };
    let what = format!(
        "{}, {}, {how}",
        human::counted(proof.tables_compared as u64, "table"),
        human::counted(proof.rows_compared, "row")
    );
    match proof.differences.len() {
        0 => format!("equal to the backup ({what})"),
        n => format!("{} ({what})", human::counted(n as u64, "difference")),
    }
}

pub fn proof_exit(proof: &ProofReport) -> Exit {
    if proof.differences.is_empty() {
        Exit::Done
    } else {
        Exit::NotProven
    }
}
