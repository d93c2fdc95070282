//! `pgkeep diff`: what changed from one backup to another.

use crate::{
    args::DiffArgs,
    error::{CliError, CliResult},
    exit::Exit,
    output::{Column, Rows, Text, human},
    session::Session,
};
use pgkeep_engine::diff::{self, Change, DatabaseDiff, DiffReport, DiffSide, ValueChange};

pub fn run(args: &DiffArgs, session: &Session) -> CliResult<Exit> {
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
        let databases = session.databases(&settings)?;
        let chosen = match &args.database {
            Some(wanted) => databases.into_iter().find(|db| db.dbname == *wanted),
            None => databases.into_iter().next(),
        };
        let live = chosen.ok_or_else(|| {
            CliError::usage("no live database to compare with")
                .with_hint("give --database-url or set DATABASE_URL")
        })?;
        Ok(DiffSide::Live(Box::new(live)))
    };
    let mut report = diff::run(&repository, &side(&args.from)?, &side(&args.to)?, &context)?;
    if let Some(name) = &args.database {
        report.databases.retain(|db| db.name == *name);
        report.same = report.databases.iter().all(DatabaseDiff::is_same);
    }
    session.progress.finish();
    session.screen.answer(&report, |text| render(text, &report));
    Ok(Exit::Done)
}

/// The differences, database by database.
pub fn render(text: &mut Text, report: &DiffReport) {
    text.line(format!("from  {}", report.from));
    text.line(format!("to    {}", report.to));
    if report.same {
        text.blank();
        text.line("no differences");
        return;
    }
    for database in report.databases.iter().filter(|db| !db.is_same()) {
        text.heading(&format!("database {}", database.name));
        render_database(text, database);
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
