//! `pgkeep undo`: swap back to the database that a restore replaced. What is live now is kept, so an undo can be undone.

use crate::{
    args::UndoArgs,
    commands::{list::app_filter, on_server, restore::grace},
    confirm,
    error::{CliError, CliResult},
    exit::Exit,
    output::{Column, Rows, Text, human},
    recording::Recording,
    session::Session,
};
use jiff::SignedDuration;
use pgkeep_engine::{
    Context,
    files::restore::{KeptFolder, kept},
    restore::{self, UndoPlan, UndoReport},
};
use pgkeep_model::job::{JobSpec, UndoSpec};
use pgkeep_postgres::connect::ConnectOptions;
use serde_json::Value;

pub fn run(args: &UndoArgs, session: &Session) -> CliResult<Exit> {
    if let Some(api) = session.remote()? {
        return on_server::undo(args, &api, session);
    }
    if !args.files.is_empty() {
        return super::restore_files::undo(args, session);
    }
    let settings = session.settings_for(&args.connection)?;
    let context = session.context(&settings);
    let admin = session.admin(&settings)?;
    if args.list || args.drop_expired {
        return leftovers(args, &admin, session, &context);
    }
    let database = match &args.database {
        Some(name) => name.clone(),
        None => {
            session
                .named_databases(&settings, "swap back")
                .map_err(|e| e.with_hint("name it: pgkeep undo DATABASE"))?
                .swap_remove(0)
                .dbname
        }
    };
    let plan = restore::plan_undo(&admin, &database, args.to.as_deref(), &context)?;
    session.progress.finish();
    let folders = kept(&super::restore_files::tree_paths(&settings));
    let folders = with_the_database(&plan, &folders, |folder| {
        super::restore_files::tree_of(&folder.of, &settings)
    });
    note_folders(&folders, session);
    if args.dry_run {
        answer_plan(&plan, session);
        return Ok(Exit::Done);
    }
    agree(&plan, args.confirm.as_deref(), session)?;
    let spec = UndoSpec {
        app: app_filter(&settings).unwrap_or_else(|| plan.database.clone()),
        database: Some(plan.database.clone()),
        to: Some(plan.kept.clone()),
        grace_secs: args.grace.map(|grace| grace.as_secs()),
        trees: Vec::new(),
        beyond: true,
    };
    let around = session.application(&settings, Some(&database))?;
    let grace = grace(args.grace, &around);
    let recording = Recording::begin(session, JobSpec::Undo(spec))?;
    let context = recording.context(context);
    let done = restore::execute_undo(&admin, &plan, grace.as_secs(), &around, &context);
    let report = recording.finish(done.map_err(CliError::from), session)?;
    session.progress.finish();
    answer(&report, session);
    Ok(Exit::Done)
}

/// Names of the trees of which the restore that is undone replaced folders as well: those moved directly after its database.
pub fn with_the_database(
    plan: &UndoPlan,
    kept: &[KeptFolder],
    name: impl Fn(&KeptFolder) -> String,
) -> Vec<String> {
    let Some(replaced_at) = plan.replaced_at else {
        return Vec::new();
    };
    let after = replaced_at..replaced_at + TOGETHER;
    let with_it = kept
        .iter()
        .filter(|folder| after.contains(&folder.replaced_at));
    with_it.map(name).collect()
}

/// So soon after its database the folders of a restore move.
const TOGETHER: SignedDuration = SignedDuration::from_mins(5);

/// Says which folders an undo of the database leaves as they are, and what puts them back.
pub fn note_folders(trees: &[String], session: &Session) {
    if trees.is_empty() {
        return;
    }
    let options: Vec<String> = trees.iter().map(|tree| format!("--files {tree}")).collect();
    session.screen.note(&format!(
        "the same restore replaced folders, which this leaves as they are: `pgkeep undo {}` puts them back as well",
        options.join(" ")
    ));
}

/// Shows what an undo would do.
pub fn answer_plan(plan: &UndoPlan, session: &Session) {
    session.screen.answer(plan, |text| render_plan(text, plan));
}

/// Shows what would be done and returns only when the phrase was given.
pub fn agree(plan: &UndoPlan, phrase: Option<&str>, session: &Session) -> CliResult<()> {
    if !session.screen.json {
        let mut text = Text::default();
        render_plan(&mut text, plan);
        session.screen.note(text.as_str());
    }
    let what = format!(
        "putting {} in the place of database {}",
        plan.kept, plan.database
    );
    confirm::require(phrase, &what, session)
}

/// Shows what an undo did.
pub fn answer(report: &UndoReport, session: &Session) {
    session.screen.answer(report, |text| {
        text.facts([
            (
                "live again",
                match report.as_of {
                    Some(at) => format!("{}, as it was until {}", report.database, human::time(at)),
                    None => report.database.clone(),
                },
            ),
            (
                "nobody could connect for",
                super::restore::blocked(report.blocked_ms),
            ),
            ("kept", report.kept_as.clone()),
            (
                "kept until",
                report.kept_until.map(human::time).unwrap_or_default(),
            ),
        ]);
        text.blank();
        text.line(format!(
            "To swap once more: pgkeep undo {}",
            report.database
        ));
    });
}

/// Lists what restores kept or left behind, or drops those whose time is over.
fn leftovers(
    args: &UndoArgs,
    admin: &ConnectOptions,
    session: &Session,
    context: &Context,
) -> CliResult<Exit> {
    let mut found = restore::leftovers(admin, context)?;
    found.retain(|left| {
        args.database
            .as_ref()
            .is_none_or(|name| left.name.starts_with(name.as_str()))
    });
    if args.drop_expired {
        let dropped = restore::drop_leftovers(admin, &found, context)?;
        answer_dropped(&dropped, session);
        return Ok(Exit::Done);
    }
    let found: Vec<Value> = found
        .iter()
        .map(|left| serde_json::to_value(left).expect("they are plain values"))
        .collect();
    answer_kept(&found, session);
    Ok(Exit::Done)
}

/// Shows which databases were dropped because their time was over.
pub fn answer_dropped(dropped: &[String], session: &Session) {
    session.screen.answer(
        &serde_json::json!({ "dropped": dropped }),
        |text| match dropped {
            [] => text.line("nothing to drop"),
            names => text.line(format!("dropped {}", names.join(", "))),
        },
    );
}

/// Shows the databases that restores kept or left behind.
pub fn answer_kept(found: &[Value], session: &Session) {
    session
        .screen
        .answer(&serde_json::json!({ "databases": found }), |text| {
            if found.is_empty() {
                text.line("no database is kept or left behind by a restore");
                return;
            }
            let mut table = Rows::new(&[
                Column::Left("database"),
                Column::Left("why it is there"),
                Column::Left("may go"),
            ]);
            for left in found {
                let text = |name: &str| left[name].as_str().unwrap_or_default().to_owned();
                table.add([
                    text("name"),
                    text("why"),
                    if left["expired"] == true { "yes" } else { "no" }.to_owned(),
                ]);
            }
            text.table(&table);
        });
}

fn render_plan(text: &mut Text, plan: &UndoPlan) {
    text.facts([
        ("swap in", plan.kept.clone()),
        ("as", plan.database.clone()),
        (
            "replaced",
            plan.replaced_at.map(human::time).unwrap_or_default(),
        ),
        (
            "it would be kept until",
            plan.expires_at.map(human::time).unwrap_or_default(),
        ),
        ("keep the live one as", plan.keep_current_as.clone()),
        (
            "and until",
            plan.keep_current_until.map(human::time).unwrap_or_default(),
        ),
        ("sessions", plan.sessions.join(", ")),
    ]);
}
