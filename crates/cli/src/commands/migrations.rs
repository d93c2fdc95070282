//! `pgkeep migrations`: at which schema version the databases, the code and a backup are.

use crate::{
    args::MigrationsArgs,
    commands::{list::app_filter, on_server},
    error::CliResult,
    exit::Exit,
    output::Text,
    session::Session,
};
use pgkeep_engine::migrations::{
    self, MigrationsReport, MigrationsRequest, WantedBackup, sentence,
};
use pgkeep_model::migrations::{Comparison, MigrationState};

pub fn run(args: &MigrationsArgs, session: &Session) -> CliResult<Exit> {
    if let Some(api) = session.remote()? {
        return on_server::migrations(args, &api, session);
    }
    let settings = session.settings_for(&args.connection)?;
    let context = session.context(&settings);
    let request = MigrationsRequest {
        databases: session.named_databases(&settings, "look at")?,
        application: session.application(&settings, None)?,
    };
    let repository = match &args.backup {
        Some(_) => Some(session.repository(&settings, &context)?),
        None => None,
    };
    let wanted = args.backup.as_deref().zip(repository.as_ref());
    let wanted = wanted.map(|(backup, repository)| WantedBackup {
        repository,
        backup,
        app: app_filter(&settings),
    });
    let report = migrations::run(&request, wanted.as_ref(), &context)?;
    session.progress.finish();
    answer(&report, session);
    Ok(Exit::Done)
}

/// Shows the versions side by side.
pub fn answer(report: &MigrationsReport, session: &Session) {
    session.screen.answer(report, |text| render(text, report));
}

fn render(text: &mut Text, report: &MigrationsReport) {
    for database in &report.databases {
        text.heading(&format!("database {}", database.name));
        versions(text, &database.states);
        sentences(text, &database.against_code, "the database", "the code");
    }
    if let Some(backup) = &report.backup {
        for database in &backup.databases {
            text.heading(&format!("database {} in {}", database.name, backup.title));
            if let Some(version) = &backup.app_version {
                text.line(format!("app version {version}"));
            }
            versions(text, &database.states);
            sentences(text, &database.against_live, "the backup", "the database");
            sentences(text, &database.against_code, "the backup", "the code");
        }
    }
    for warning in &report.warnings {
        text.line(format!("note: {warning}"));
    }
}

fn versions(text: &mut Text, states: &[MigrationState]) {
    if states.is_empty() {
        text.line("no framework's table was found");
    }
    for state in states {
        text.line(format!("{}, in {}", state.describe(), state.table));
    }
}

fn sentences(text: &mut Text, comparisons: &[Comparison], have: &str, other: &str) {
    for comparison in comparisons {
        text.line(sentence(comparison, have, other));
    }
}
