//! What a restored copy is asked besides its evidence: the user's assertions, its schema version, its structure, and the
//! app's own checks.

use crate::{Context, Error, Result, program, program::Program};
use pgkeep_model::{
    app::{Commands, Migrations},
    manifest::DatabaseManifest,
    migrations::MigrationState,
};
use pgkeep_postgres::{connect::ConnectOptions, wire::Connection};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AssertionResult {
    pub sql: String,
    pub passed: bool,
    /// The server refused the statement, so nothing is known of what it asks for.
    pub could_not_run: bool,
    /// What the statement gave, or the server's error.
    pub answer: String,
}

/// How one of the app's check commands ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckResult {
    pub command: String,
    pub succeeded: bool,
    pub seconds: f64,
    /// The end of what it printed.
    pub output: String,
}

/// The schema version of the copy beside that which the backup recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationCheck {
    /// What the copy says, one migration tool each.
    pub states: Vec<String>,
    /// Tools of which the copy says something else than the backup; empty is good.
    pub differences: Vec<String>,
    /// The app's code has migrations that the backup lacks, by its own command; `None` when it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_is_ahead: Option<bool>,
}

/// Asks each statement; one row whose first column is true passes.
pub(super) fn ask(
    copy: &ConnectOptions,
    assertions: &[String],
    context: &Context,
) -> Result<Vec<AssertionResult>> {
    if assertions.is_empty() {
        return Ok(Vec::new());
    }
    let mut connection = Connection::open_with(copy, &context.cancel)?;
    let mut results = Vec::new();
    for sql in assertions {
        context.cancel.check()?;
        // Nobody should learn by a drill that an assertion writes.
        connection.execute("BEGIN READ ONLY")?;
        let (passed, could_not_run, answer) = match connection.query(sql) {
            Ok(rows) => {
                let first = rows.first().map_or("no row".into(), |row| {
                    row.optional(0).unwrap_or("null".into())
                });
                (rows.len() == 1 && is_true(&first), false, first)
            }
            Err(e) => (false, true, Error::from(e).to_string()),
        };
        connection.execute("ROLLBACK")?;
        results.push(AssertionResult {
            sql: sql.clone(),
            passed,
            could_not_run,
            answer,
        });
    }
    Ok(results)
}

fn is_true(answer: &str) -> bool {
    matches!(answer, "t" | "true") || answer.parse::<f64>().is_ok_and(|n| n != 0.0)
}

/// Reads the copy's applied migrations, where the backup recorded some.
pub(super) fn migrations(
    copy: &ConnectOptions,
    database: &DatabaseManifest,
    configured: Option<&Migrations>,
    context: &Context,
) -> Result<MigrationCheck> {
    if database.migrations.is_empty() {
        return Ok(MigrationCheck::default());
    }
    let mut connection = Connection::open_with(copy, &context.cancel)?;
    let found = pgkeep_postgres::migrations::read(&mut connection, configured)?;
    Ok(MigrationCheck {
        states: found.iter().map(MigrationState::describe).collect(),
        differences: differences(&database.migrations, &found),
        code_is_ahead: None,
    })
}

fn differences(recorded: &[MigrationState], found: &[MigrationState]) -> Vec<String> {
    recorded
        .iter()
        .filter_map(|then| {
            let same_tool =
                |now: &&MigrationState| now.framework == then.framework && now.table == then.table;
            match found.iter().find(same_tool) {
                Some(now) if now.digest == then.digest => None,
                Some(now) => Some(format!(
                    "backed up {}, restored {}",
                    then.describe(),
                    now.describe()
                )),
                None => Some(format!(
                    "backed up {}, restored nothing of it",
                    then.describe()
                )),
            }
        })
        .collect()
}

/// Runs a program of the app against a restored copy. The copy's name is in `PGKEEP_RESTORED_DATABASE`, and libpq's
/// variables lead to it.
pub(crate) fn run_check(
    words: &[String],
    commands: &Commands,
    copy: &ConnectOptions,
    (app, original): (&str, &str),
    context: &Context,
) -> Result<CheckResult> {
    let program = Program {
        words,
        commands,
        database: Some(copy),
        extra: vec![
            ("PGKEEP_APP".into(), app.to_owned()),
            ("PGKEEP_DATABASE".into(), original.to_owned()),
            ("PGKEEP_RESTORED_DATABASE".into(), copy.dbname.clone()),
        ],
        time_limit: None,
    };
    let outcome = program::run(&program, context, &mut |_| {})?;
    Ok(CheckResult {
        command: words.join(" "),
        succeeded: outcome.succeeded(),
        seconds: outcome.seconds,
        output: outcome.last_lines(20).join("\n"),
    })
}
