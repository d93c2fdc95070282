//! `pgkeep schema diff`: what differs between two schemas, as SQL.

use crate::{
    args::{SchemaCommand, SchemaDiffArgs},
    commands::{diff::on_both_sides, list::app_filter, on_server},
    error::{CliError, CliResult},
    exit::Exit,
    output::{Text, human},
    session::Session,
};
use console::style;
use pgkeep_engine::{
    diff::{Change, DiffSide, LiveDatabases},
    schema_diff::{self, ObjectChange, SchemaDiffReport},
};

pub fn run(command: &SchemaCommand, session: &Session) -> CliResult<Exit> {
    let SchemaCommand::Diff(args) = command;
    if let Some(api) = session.remote()? {
        return on_server::schema_diff(args, &api, session);
    }
    let settings = session.settings_for(&args.connection)?;
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
    let report = schema_diff::run(&repository, &from, &to, app_filter(&settings), &context)?;
    session.progress.finish();
    answer(report, args, session)
}

/// Shows the differences, or those of one database.
pub fn answer(
    mut report: SchemaDiffReport,
    args: &SchemaDiffArgs,
    session: &Session,
) -> CliResult<Exit> {
    if let Some(name) = &args.database {
        let known: Vec<String> = report.databases.iter().map(|db| db.name.clone()).collect();
        report.databases.retain(|db| db.name == *name);
        report.not_compared.clear();
        report.same = report.databases.iter().all(|db| db.objects.is_empty());
        if report.databases.is_empty() {
            return Err(CliError::new(
                Exit::NotFound,
                format!("database {name} is not on both sides"),
            )
            .with_hint(on_both_sides(&known)));
        }
    }
    session.screen.answer(&report, |text| render(text, &report));
    Ok(Exit::Done)
}

fn render(text: &mut Text, report: &SchemaDiffReport) {
    text.line(format!("from  {}", report.from));
    text.line(format!("to    {}", report.to));
    for database in &report.not_compared {
        text.line(format!("not compared: {database}"));
    }
    for database in &report.databases {
        let changes = database.objects.len() as u64;
        match changes {
            0 => text.heading(&format!("database {}: no differences", database.name)),
            _ => text.heading(&format!(
                "database {}: {}",
                database.name,
                human::counted(changes, "difference")
            )),
        }
        for remark in &database.remarks {
            text.line(format!("note: {remark}"));
        }
        for object in &database.objects {
            render_object(text, object);
        }
    }
}

fn render_object(text: &mut Text, object: &ObjectChange) {
    text.blank();
    let name = match object.schema.as_str() {
        "" => object.name.clone(),
        schema => format!("{schema}.{}", object.name),
    };
    let of = match &object.table {
        Some(table) if *table != object.name => format!(" of {table}"),
        _ => String::new(),
    };
    let word = match object.change {
        Change::Added => "added",
        Change::Removed => "removed",
        Change::Changed => "changed",
    };
    text.line(
        style(format!("-- {} {name}{of}: {word}", object.kind))
            .bold()
            .to_string(),
    );
    for line in object.sql.lines() {
        text.line(match line.as_bytes().first() {
            Some(b'+') => style(line).green().to_string(),
            Some(b'-') => style(line).red().to_string(),
            _ => line.to_owned(),
        });
    }
}
