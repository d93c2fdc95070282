//! `pgkeep restore` of file trees, alone or together with a database, and `pgkeep undo --files`.

use crate::{
    args::{RestoreArgs, UndoArgs},
    commands::{list::app_filter, restore},
    config::Settings,
    confirm,
    error::{CliError, CliResult},
    exit::Exit,
    output::{Column, Rows, Text, human},
    session::Session,
};
use pgkeep_engine::{
    Context,
    files::restore::{
        self as files, FilesPlan, FilesReport, FilesRequest, FilesSummary, KeptFolder,
    },
    restore::{PlanSummary, RestoreReport},
};
use pgkeep_repository::Repository;
use serde::Serialize;
use std::path::{Path, PathBuf};

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
        session
            .screen
            .answer(&plan.summary, |text| render_plan(text, &plan.summary));
        return Ok(match plan.summary.refusals.is_empty() {
            true => Exit::Done,
            false => Exit::Refused,
        });
    }
    agree(&plan.summary, args.confirm.as_deref(), session)?;
    let report = files::execute(&repository, &plan, &context)?;
    drop_expired(&settings, &report, &context);
    session.progress.finish();
    session
        .screen
        .answer(&report, |text| render_report(text, &report));
    Ok(Exit::Done)
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
        into: args
            .files_into
            .as_ref()
            .map(|path| plain(&session.places.current_dir.join(path))),
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
    confirm::require(phrase, &what, session.screen.interactive())
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

fn tree_paths(settings: &Settings) -> Vec<PathBuf> {
    let trees = settings.definition.files.iter();
    trees.map(|tree| PathBuf::from(&tree.path)).collect()
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
    let mut chosen: Vec<&KeptFolder> = Vec::new();
    for path in &paths {
        let newest = kept.iter().find(|kept| kept.of == *path);
        chosen.push(newest.ok_or_else(|| {
            CliError::new(
                Exit::NotFound,
                format!("no restore keeps a folder of {}", path.display()),
            )
            .with_hint("pgkeep undo --files PATH --list shows what is kept")
        })?);
    }
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
    let what = format!("putting {}", words.join(", "));
    if args.dry_run {
        session
            .screen
            .answer(&chosen, |text| text.line(format!("would be {what}")));
        return Ok(Exit::Done);
    }
    confirm::require(args.confirm.as_deref(), &what, session.screen.interactive())?;
    const ONE_DAY: u64 = 24 * 60 * 60;
    let mut done = Vec::new();
    for kept in chosen {
        done.push(files::undo(kept, ONE_DAY, &context)?);
    }
    session.screen.answer(&done, |text| {
        for one in &done {
            text.facts([("in place again", one.path.display().to_string())]);
            if let Some(kept) = &one.kept_as {
                text.facts([("kept", kept.display().to_string())]);
            }
        }
    });
    Ok(Exit::Done)
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
        let answer = serde_json::json!({ "dropped": dropped });
        session.screen.answer(&answer, |text| {
            text.line(match dropped.len() {
                0 => "nothing is over its time".into(),
                n => format!("removed {}", human::counted(n as u64, "folder")),
            });
        });
        return Ok(Exit::Done);
    }
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
    Ok(Exit::Done)
}
