//! `pgkeep restore` of file trees, alone or together with a database, and `pgkeep undo --files`.

use crate::{
    args::{RestoreArgs, UndoArgs},
    commands::{list::app_filter, restore},
    config::Settings,
    confirm,
    error::{CliError, CliResult},
    exit::Exit,
    output::{Column, Rows, Text, human},
    recording::Recording,
    session::{Session, required_repository},
};
use pgkeep_engine::{
    Context,
    files::restore::{
        self as files, FilesPlan, FilesReport, FilesRequest, FilesSummary, KeptFolder, KeptOf,
    },
    restore::{PlanSummary, RestoreReport},
};
use pgkeep_model::job::{JobSpec, RestoreFiles, RestoreMode, RestoreSpec, UndoSpec};
use pgkeep_repository::Repository;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// How long what an undo swaps out is kept, in seconds.
const ONE_DAY: u64 = 24 * 60 * 60;

/// Restores files and no database.
pub fn run(args: &RestoreArgs, session: &Session) -> CliResult<Exit> {
    let settings = session.settings_for(&args.connection)?;
    let context = session.context(&settings);
    let repository = session.repository(&settings, &context)?;
    let plan = plan(
        args,
        &args.backup,
        &settings,
        session,
        &repository,
        &context,
    )?;
    session.progress.finish();
    if args.dry_run {
        return Ok(answer_plan(&plan.summary, session));
    }
    agree(&plan.summary, args.confirm.as_deref(), session)?;
    let recording = Recording::begin(
        session,
        JobSpec::Restore(job(&plan, args, &settings, session)?),
    )?;
    let context = recording.context(context);
    let done = files::execute(&repository, &plan, &context).map_err(CliError::from);
    let report = recording.finish(done, session)?;
    drop_expired(&settings, &report, &context);
    session.progress.finish();
    answer(&report, session);
    Ok(Exit::Done)
}

/// Shows what would be done; the exit code says whether it can be.
pub fn answer_plan(plan: &FilesSummary, session: &Session) -> Exit {
    session.screen.answer(plan, |text| render_plan(text, plan));
    match plan.refusals.is_empty() {
        true => Exit::Done,
        false => Exit::Refused,
    }
}

/// Shows what was brought back.
pub fn answer(report: &FilesReport, session: &Session) {
    session
        .screen
        .answer(report, |text| render_report(text, report));
}

/// What the catalog is told of a restore of files alone.
fn job(
    plan: &FilesPlan,
    args: &RestoreArgs,
    settings: &Settings,
    session: &Session,
) -> CliResult<RestoreSpec> {
    let repository = required_repository(settings)?.address.value.clone();
    Ok(RestoreSpec {
        files: Some(spec_of(args, session)),
        keep_old_secs: args.keep_old.as_secs(),
        ..RestoreSpec::new(
            &plan.summary.app,
            repository,
            &plan.summary.backup,
            RestoreMode::FilesOnly,
        )
    })
}

/// What the catalog is told of the files.
pub fn spec_of(args: &RestoreArgs, session: &Session) -> RestoreFiles {
    RestoreFiles {
        trees: args.files.clone(),
        globs: args.file.clone(),
        into: into(args, session).map(|path| path.display().to_string()),
    }
}

fn into(args: &RestoreArgs, session: &Session) -> Option<PathBuf> {
    let path = args.files_into.as_ref()?;
    Some(plain(&session.places.current_dir.join(path)))
}

/// What would be brought back.
pub fn plan(
    args: &RestoreArgs,
    backup: &str,
    settings: &Settings,
    session: &Session,
    repository: &Repository,
    context: &Context,
) -> CliResult<FilesPlan> {
    let request = FilesRequest {
        backup: backup.to_owned(),
        app: app_filter(settings),
        trees: args.files.clone(),
        patterns: args.file.clone(),
        into: into(args, session),
        places: places_of(settings),
        known_places_only: false,
        keep_old_secs: args.keep_old.as_secs(),
    };
    Ok(files::plan(repository, &request, context)?)
}

/// Shows what would be done and returns only when it may be.
pub fn agree(plan: &FilesSummary, phrase: Option<&str>, session: &Session) -> CliResult<()> {
    show(plan, session)?;
    if !plan.overwrites {
        return Ok(());
    }
    let what = format!(
        "restoring files of backup {} over {}",
        &plan.backup[..8],
        places(plan)
    );
    confirm::require(phrase, &what, session)
}

/// Shows what would be done; an error says what stands in its way.
pub fn show(plan: &FilesSummary, session: &Session) -> CliResult<()> {
    if !session.screen.json {
        let mut text = Text::default();
        render_plan(&mut text, plan);
        session.screen.note(text.as_str());
    }
    match plan.refusals.first() {
        None => Ok(()),
        Some(first) => Err(CliError::new(
            Exit::Refused,
            format!("cannot restore as asked: {}", first.message),
        )
        .with_hint(first.remedy.clone())),
    }
}

/// Shows what would be done to a database and to files.
pub fn answer_both_plans(database: &PlanSummary, files: &FilesSummary, session: &Session) -> Exit {
    #[derive(Serialize)]
    struct Both<'a> {
        #[serde(flatten)]
        database: &'a PlanSummary,
        files: &'a FilesSummary,
    }
    session.screen.answer(&Both { database, files }, |text| {
        restore::render_plan(text, database);
        text.blank();
        render_plan(text, files);
    });
    match database.refusals.is_empty() && files.refusals.is_empty() {
        true => Exit::Done,
        false => Exit::Refused,
    }
}

/// Shows how a restore of a database and of files went.
pub fn answer_both(database: &RestoreReport, files: &FilesReport, session: &Session) -> Exit {
    #[derive(Serialize)]
    struct Both<'a> {
        #[serde(flatten)]
        database: &'a RestoreReport,
        files: &'a FilesReport,
    }
    session.screen.answer(&Both { database, files }, |text| {
        restore::render_report(text, database);
        text.blank();
        render_report(text, files);
    });
    restore::proof_exit(&database.proof)
}

fn places(plan: &FilesSummary) -> String {
    let shown: Vec<String> = plan
        .trees
        .iter()
        .map(|tree| tree.to.display().to_string())
        .collect();
    shown.join(", ")
}

fn render_plan(text: &mut Text, plan: &FilesSummary) {
    text.facts([(
        "files of",
        format!("{}, {}", &plan.backup[..8], human::time(plan.backup_time)),
    )]);
    let mut table = Rows::new(&[
        Column::Left("files"),
        Column::Left("to"),
        Column::Right("number"),
        Column::Right("size"),
        Column::Left("there now"),
    ]);
    for tree in &plan.trees {
        table.add([
            tree.name.clone(),
            tree.to.display().to_string(),
            human::count(tree.files),
            human::bytes(tree.bytes),
            match tree.replaces {
                true => "a folder, which is kept beside".into(),
                false => "nothing".into(),
            },
        ]);
    }
    text.table(&table);
    for warning in &plan.warnings {
        text.line(format!("note: {warning}"));
    }
    for refusal in &plan.refusals {
        text.line(format!("cannot: {}; {}", refusal.message, refusal.remedy));
    }
}

/// Shows what was brought back.
pub fn render_report(text: &mut Text, report: &FilesReport) {
    for tree in &report.trees {
        text.facts([
            (
                "restored",
                format!(
                    "{} of files {}, {}",
                    human::counted(tree.files, "file"),
                    tree.name,
                    human::bytes(tree.bytes)
                ),
            ),
            ("to", tree.to.display().to_string()),
            (
                "proven",
                match tree.owners {
                    true => "every byte and attribute read again from disk".into(),
                    false => "every byte and attribute but owners, which only root may set".into(),
                },
            ),
        ]);
        if let Some(kept) = &tree.kept_as {
            text.facts([("kept", kept.display().to_string())]);
            text.line(format!(
                "To put it back: pgkeep undo --files {}",
                tree.to.display()
            ));
        }
        for odd in &tree.odd {
            text.line(format!("note: {}: {}", odd.path, odd.reason));
        }
    }
}

/// Folders whose time is over go when the next restore has taken the place beside them.
pub fn drop_expired(settings: &Settings, report: &FilesReport, context: &Context) {
    let mut paths = tree_paths(settings);
    paths.extend(report.trees.iter().map(|tree| tree.to.clone()));
    for dropped in files::drop_expired(&paths, context) {
        context
            .progress
            .item(&format!("removed {}: its time was over", dropped.display()));
    }
}

/// The name of the tree that stands at this path, else the path.
pub fn tree_of(path: &Path, settings: &Settings) -> String {
    let mut trees = settings.definition.files.iter();
    match trees.find(|tree| Path::new(&tree.path) == path) {
        Some(tree) => tree.name.clone(),
        None => path.display().to_string(),
    }
}

/// Where the app's trees stand, by name.
fn places_of(settings: &Settings) -> BTreeMap<String, PathBuf> {
    let trees = settings.definition.files.iter();
    trees
        .map(|tree| (tree.name.clone(), PathBuf::from(&tree.path)))
        .collect()
}

pub fn tree_paths(settings: &Settings) -> Vec<PathBuf> {
    places_of(settings).into_values().collect()
}

/// The path without `.`, as it stands in the marks of kept folders.
fn plain(path: &Path) -> PathBuf {
    path.components().collect()
}

/// The folders that are meant: names of trees, or paths.
fn named_paths(names: &[String], settings: &Settings, session: &Session) -> Vec<PathBuf> {
    let of_name = |name: &String| {
        let tree = settings
            .definition
            .files
            .iter()
            .find(|tree| tree.name == *name);
        match tree {
            Some(tree) => PathBuf::from(&tree.path),
            None => plain(&session.places.current_dir.join(name)),
        }
    };
    match names {
        [] => tree_paths(settings),
        names => names.iter().map(of_name).collect(),
    }
}

/// Puts back folders that restores replaced, or lists them.
pub fn undo(args: &UndoArgs, session: &Session) -> CliResult<Exit> {
    let settings = session.settings_for(&args.connection)?;
    let context = session.context(&settings);
    let paths = named_paths(&args.files, &settings, session);
    let kept = files::kept(&paths);
    if args.list || args.drop_expired {
        return list(args.drop_expired, &paths, &kept, session, &context);
    }
    let mut chosen: Vec<KeptFolder> = Vec::new();
    for path in &paths {
        let newest = kept.iter().find(|kept| kept.of == *path);
        chosen.push(newest.cloned().ok_or_else(|| none_kept(path))?);
    }
    if args.dry_run {
        answer_undo_plan(&chosen, session);
        return Ok(Exit::Done);
    }
    agree_to_undo(&chosen, args.confirm.as_deref(), session)?;
    let trees = chosen.iter().map(|kept| tree_of(&kept.of, &settings));
    let trees: Vec<String> = trees.collect();
    let named = settings.app.as_ref().map(|app| app.value.clone());
    let spec = UndoSpec {
        // A folder that is named by its path may belong to no app.
        app: named.unwrap_or_else(|| trees.join(",")),
        database: None,
        trees,
        ..UndoSpec::default()
    };
    let recording = Recording::begin(session, JobSpec::Undo(spec))?;
    let context = recording.context(context);
    let done = chosen
        .iter()
        .map(|kept| Ok(files::undo(kept, ONE_DAY, &context)?))
        .collect::<CliResult<Vec<_>>>();
    let done = recording.finish(done, session)?;
    answer_undone(&done, session);
    Ok(Exit::Done)
}

/// No folder is kept of this tree or place.
pub fn none_kept(of: &Path) -> CliError {
    CliError::new(
        Exit::NotFound,
        format!("no restore keeps a folder of {}", of.display()),
    )
    .with_hint("pgkeep undo --files PATH --list shows what is kept")
}

fn putting(chosen: &[KeptFolder]) -> String {
    let words: Vec<String> = chosen
        .iter()
        .map(|kept| {
            format!(
                "{} in the place of {}",
                kept.path.display(),
                kept.of.display()
            )
        })
        .collect();
    format!("putting {}", words.join(", "))
}

/// Shows which folders would be put back.
pub fn answer_undo_plan(chosen: &[KeptFolder], session: &Session) {
    let what = putting(chosen);
    session
        .screen
        .answer(&chosen, |text| text.line(format!("would be {what}")));
}

/// Returns only when the phrase was given.
pub fn agree_to_undo(
    chosen: &[KeptFolder],
    phrase: Option<&str>,
    session: &Session,
) -> CliResult<()> {
    confirm::require(phrase, &putting(chosen), session)
}

/// Shows which folders were put back.
pub fn answer_undone(done: &[KeptOf], session: &Session) {
    session.screen.answer(&done, |text| {
        for one in done {
            text.facts([("in place again", one.path.display().to_string())]);
            if let Some(kept) = &one.kept_as {
                text.facts([("kept", kept.display().to_string())]);
            }
        }
    });
}

fn list(
    drop: bool,
    paths: &[PathBuf],
    kept: &[KeptFolder],
    session: &Session,
    context: &Context,
) -> CliResult<Exit> {
    if drop {
        let dropped = files::drop_expired(paths, context);
        answer_removed(&dropped, session);
        return Ok(Exit::Done);
    }
    answer_kept(kept, session);
    Ok(Exit::Done)
}

/// Shows which folders were removed because their time was over.
pub fn answer_removed(dropped: &[PathBuf], session: &Session) {
    let answer = serde_json::json!({ "dropped": dropped });
    session.screen.answer(&answer, |text| {
        text.line(match dropped.len() {
            0 => "nothing is over its time".into(),
            n => format!("removed {}", human::counted(n as u64, "folder")),
        });
    });
}

/// Shows the folders that restores keep.
pub fn answer_kept(kept: &[KeptFolder], session: &Session) {
    let answer = serde_json::json!({ "kept": kept });
    session.screen.answer(&answer, |text| {
        if kept.is_empty() {
            text.line("no restore keeps a folder here");
            return;
        }
        let mut table = Rows::new(&[
            Column::Left("folder"),
            Column::Left("of"),
            Column::Left("replaced"),
            Column::Left("kept until"),
        ]);
        for kept in kept {
            table.add([
                kept.path.display().to_string(),
                kept.of.display().to_string(),
                human::time(kept.replaced_at),
                kept.kept_until.map(human::time).unwrap_or_default(),
            ]);
        }
        text.table(&table);
    });
}
