//! `pgkeep diff`: what changed from one backup to another.

use crate::{
    args::DiffArgs,
    commands::{list::app_filter, on_server},
    error::{CliError, CliResult},
    exit::Exit,
    output::{Column, Rows, Text, human},
    session::Session,
};
use pgkeep_engine::diff::{
    self, Change, DatabaseDiff, DiffReport, DiffSide, LiveDatabases, ValueChange,
};

pub fn run(args: &DiffArgs, session: &Session) -> CliResult<Exit> {
    if let Some(api) = session.remote()? {
        return on_server::diff(args, &api, session);
    }
    let mut flags = crate::config::Flags::default();
    if let Some(connection) = &args.connection.database_url {
        flags.database_url = Some(connection.clone());
    }
    flags.bin_dirs = args.connection.bin_dir.clone();
    let settings = session.settings_with(flags)?;
    let context = session.context(&settings);
    let repository = session.repository(&settings, &context)?;
    let side = |name: &str| -> CliResult<DiffSide> {
        if name != "live" {
            return Ok(DiffSide::Backup(name.to_owned()));
        }
        Ok(DiffSide::Live(LiveDatabases {
            connections: session.named_databases(&settings, "compare with")?,
            only: args.database.clone(),
        }))
    };
    let (from, to) = (side(&args.from)?, side(&args.to)?);
    let report = diff::run(&repository, &from, &to, app_filter(&settings), &context)?;
    session.progress.finish();
    answer(report, args, session)
}

/// What to ask for instead of a database that is not on both sides.
pub fn on_both_sides(known: &[String]) -> String {
    match known.is_empty() {
        true => "they have no database in common".to_owned(),
        false => format!("on both sides: {}", known.join(", ")),
    }
}

/// Shows the differences, or those of one database.
pub fn answer(mut report: DiffReport, args: &DiffArgs, session: &Session) -> CliResult<Exit> {
    if let Some(name) = &args.database
        && args.from != "live"
        && args.to != "live"
    {
        let known: Vec<String> = report.databases.iter().map(|db| db.name.clone()).collect();
        report.databases.retain(|db| db.name == *name);
        report.files.clear();
        report
            .not_compared
            .retain(|db| db.starts_with(&format!("{name}: ")));
        if report.databases.is_empty() {
            let mut error = CliError::new(
                Exit::NotFound,
                format!("database {name} is not in both backups"),
            )
            .with_hint(on_both_sides(&known));
            error.details = report.not_compared;
            return Err(error);
        }
        report.same = report.databases.iter().all(DatabaseDiff::is_same);
    }
    session.screen.answer(&report, |text| render(text, &report));
    Ok(Exit::Done)
}

/// The differences, database by database.
pub fn render(text: &mut Text, report: &DiffReport) {
    text.line(format!("from  {}", report.from));
    text.line(format!("to    {}", report.to));
    for database in &report.not_compared {
        text.line(format!("not compared: {database}"));
    }
    if report.same {
        text.blank();
        match report.not_compared.is_empty() {
            true => text.line("no differences"),
            false => text.line("no differences in what was compared"),
        }
        return;
    }
    for database in report.databases.iter().filter(|db| !db.is_same()) {
        text.heading(&format!("database {}", database.name));
        render_database(text, database);
    }
    for tree in report.files.iter().filter(|tree| !tree.is_same()) {
        text.heading(&format!("files {}", tree.name));
        for (word, paths, count) in [
            ("added", &tree.added, tree.added_count),
            ("removed", &tree.removed, tree.removed_count),
            ("changed", &tree.changed, tree.changed_count),
        ] {
            for path in paths {
                text.line(format!("{word:8} {path}"));
            }
            if count > paths.len() as u64 {
                let rest = human::count(count - paths.len() as u64);
                text.line(format!("{word:8} … and {rest} more"));
            }
        }
    }
}

fn render_database(text: &mut Text, database: &DatabaseDiff) {
    if !database.tables.is_empty() {
        let mut table = Rows::new(&[
            Column::Left("table"),
            Column::Left("change"),
            Column::Right("rows before"),
            Column::Right("rows after"),
            Column::Right("difference"),
        ]);
        let rows = |n: Option<u64>| n.map(human::count).unwrap_or_else(|| "-".into());
        for change in &database.tables {
            let word = match (change.change, change.rows_from == change.rows_to) {
                (Change::Changed, true) => "rows altered",
                (other, _) => word(other),
            };
            table.add([
                change.table.clone(),
                word.into(),
                rows(change.rows_from),
                rows(change.rows_to),
                signed(change.rows_from, change.rows_to),
            ]);
        }
        text.table(&table);
    }
    if !database.schema.is_empty() {
        text.blank();
        let mut table = Rows::new(&[
            Column::Left("definition"),
            Column::Left("kind"),
            Column::Left("change"),
        ]);
        for change in &database.schema {
            table.add([
                change.name.clone(),
                change.kind.to_lowercase(),
                word(change.change).into(),
            ]);
        }
        text.table(&table);
    }
    for (title, changes) in [
        ("sequence", &database.sequences),
        ("extension", &database.extensions),
        ("setting", &database.settings),
    ] {
        render_values(text, title, changes);
    }
}

fn render_values(text: &mut Text, title: &'static str, changes: &[ValueChange]) {
    if changes.is_empty() {
        return;
    }
    text.blank();
    let mut table = Rows::new(&[
        Column::Left(title),
        Column::Left("change"),
        Column::Left("before"),
        Column::Left("after"),
    ]);
    let value = |v: &Option<String>| v.clone().unwrap_or_else(|| "-".into());
    for change in changes {
        table.add([
            change.name.clone(),
            word(change.change).into(),
            value(&change.from),
            value(&change.to),
        ]);
    }
    text.table(&table);
}

fn word(change: Change) -> &'static str {
    match change {
        Change::Added => "added",
        Change::Removed => "removed",
        Change::Changed => "changed",
    }
}

/// `+12`, `-3`, empty when equal.
fn signed(from: Option<u64>, to: Option<u64>) -> String {
    let (from, to) = (from.unwrap_or(0), to.unwrap_or(0));
    match from.cmp(&to) {
        std::cmp::Ordering::Less => format!("+{}", human::count(to - from)),
        std::cmp::Ordering::Greater => format!("-{}", human::count(from - to)),
        std::cmp::Ordering::Equal => String::new(),
    }
}
