//! Bringing a restored database up to the deployed code before it is used, and asking the app's own checks.
//!
//! This happens after the proof, for a migrated database is no longer what was backed up, and before the swap: when a
//! migration fails the live database has not been touched.

use super::Run;
use crate::{
    Context, Error, Result,
    application::Application,
    program::{self, Outcome, Program},
};
use pgkeep_model::{Phase, migrations::MigrationState};
use pgkeep_postgres::{connect::ConnectOptions, wire::Connection};
use serde::{Deserialize, Serialize};

/// How the app's programs took the restored database.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct MigrateReport {
    /// The migrating command; `None` where only checks were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub migrate: Option<Outcome>,
    /// What was applied before and after.
    pub before: Vec<MigrationState>,
    pub after: Vec<MigrationState>,
    pub checks: Vec<CheckOutcome>,
}

/// One check command.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckOutcome {
    /// Its words, joined by spaces.
    pub command: String,
    #[serde(flatten)]
    pub outcome: Outcome,
}

impl Run<'_> {
    /// Runs what was asked for against the database `name`; a failure is an error with the program's last words.
    pub(super) fn migrate_and_check(&self, name: &str) -> Result<Option<MigrateReport>> {
        let around = &self.plan.request.around;
        if !around.migrate && !around.check {
            return Ok(None);
        }
        let app = &around.application;
        self.context.progress.phase(Phase::Migrate, None);
        let database = app
            .database
            .as_ref()
            .unwrap_or(&self.plan.request.admin)
            .with_dbname(name);
        let told = [
            ("PGKEEP_BACKUP", self.plan.summary.backup.as_str()),
            // By this, a guard inside the app knows that it is not to guard.
            ("PGKEEP_MOMENT", "migrate"),
        ];
        let mut report = MigrateReport::default();
        if around.migrate {
            report.before = self.migrations(name)?;
            let outcome = run(&app.commands.migrate, app, &database, &told, self.context)?;
            outcome
                .require("the app's migrations")
                .map_err(|e| e.context(format!("on the restored database {name}")))?;
            report.migrate = Some(outcome);
            report.after = self.migrations(name)?;
        }
        if around.check {
            for words in &app.commands.check {
                let outcome = run(words, app, &database, &told, self.context)?;
                outcome
                    .require(&format!("the app's check `{}`", words.join(" ")))
                    .map_err(|e| e.context(format!("on the restored database {name}")))?;
                report.checks.push(CheckOutcome {
                    command: words.join(" "),
                    outcome,
                });
            }
        }
        Ok(Some(report))
    }

    fn migrations(&self, name: &str) -> Result<Vec<MigrationState>> {
        let mut connection = Connection::open(&self.plan.request.admin.with_dbname(name))?;
        let described = self.plan.request.around.application.migrations.as_ref();
        Ok(pgkeep_postgres::migrations::read(
            &mut connection,
            described,
        )?)
    }
}

/// Runs one of the app's commands against a database, its output passed on line by line.
pub(crate) fn run(
    words: &[String],
    app: &Application,
    database: &ConnectOptions,
    told: &[(&str, &str)],
    context: &Context,
) -> Result<Outcome> {
    if words.is_empty() {
        return Err(Error::invalid("no such command is set for this app")
            .hint("set it under [app.NAME.commands]"));
    }
    let mut extra = vec![
        ("PGKEEP_APP".to_owned(), app.name.clone()),
        ("PGKEEP_DATABASE".to_owned(), database.dbname.clone()),
    ];
    extra.extend(told.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    let program = Program {
        words,
        commands: &app.commands,
        database: Some(database),
        extra,
        time_limit: None,
    };
    program::run(&program, context, &mut |line| context.progress.output(line))
}
