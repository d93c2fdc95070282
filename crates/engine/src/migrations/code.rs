//! The migrations that the deployed code holds: read from its folder, or told by a program of the app's.

use super::{changelog, files, listing};
use crate::{
    Context, Result,
    application::Application,
    catalog::{self, ListFilter},
    program::{self, Program},
};
use pgkeep_model::{
    app::{Framework, Migrations},
    manifest::DatabaseManifest,
    migrations::{CodeMigration, CodeMigrations, MigrationState},
};
use pgkeep_postgres::connect::ConnectOptions;
use pgkeep_repository::Repository;
use std::{collections::BTreeSet, path::Path, time::Duration};

/// Longest time of a program that only lists.
const LIMIT: Duration = Duration::from_secs(60);
/// More lines than any project has migrations.
const MOST_LINES: usize = 50_000;

/// What the code holds for the frameworks that the databases use, or for the configured one. What cannot be found out is a
/// warning. `database` is the one that a program of the app's finds, unless the app has an account of its own.
pub(crate) fn of_code<'a>(
    app: &Application,
    database: Option<&ConnectOptions>,
    states: impl Iterator<Item = &'a MigrationState> + Clone,
    warnings: &mut Vec<String>,
    context: &Context,
) -> Vec<CodeMigrations> {
    let Some(configured) = &app.migrations else {
        return Vec::new();
    };
    let frameworks: BTreeSet<Framework> = match configured.framework {
        Some(framework) => BTreeSet::from([framework]),
        None => states.clone().map(|state| state.framework).collect(),
    };
    let mut found = match configured.command.is_empty() {
        true => of_folder(configured, &frameworks, warnings),
        false => match told(app, database, &frameworks, states.clone(), context) {
            Ok(code) => code.into_iter().collect(),
            Err(e) => {
                let last = e.details.last().map(|line| format!(": {line}"));
                let (e, last) = (e.message, last.unwrap_or_default());
                warnings.push(format!(
                    "the migrations of the code are not known: {e}{last}"
                ));
                Vec::new()
            }
        },
    };
    let logs = found.iter_mut();
    for code in logs.filter(|code| code.framework == Framework::Liquibase) {
        let names = states.clone().filter(|s| s.framework == code.framework);
        let names = names.flat_map(MigrationState::names).collect();
        changelog::align(&mut code.migrations, &names);
    }
    found
}

fn of_folder(
    configured: &Migrations,
    frameworks: &BTreeSet<Framework>,
    warnings: &mut Vec<String>,
) -> Vec<CodeMigrations> {
    let Some(folder) = configured.code.as_deref() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for &framework in frameworks {
        match files::in_folder(framework, Path::new(folder)) {
            Ok(Some(code)) => found.push(code),
            Ok(None) => warnings.push(format!(
                "{folder} holds no migrations of {} that could be told by their files",
                framework.title()
            )),
            Err(e) => warnings.push(format!(
                "the migrations in {folder} are not known: {}: {e}",
                framework.title()
            )),
        }
    }
    found
}

/// Writes into a backup what the code knows of revisions whose tool writes down only the newest, so that two backups can be
/// told apart without the code.
pub(crate) fn remember_revisions(
    app: &Application,
    database: Option<&ConnectOptions>,
    databases: &mut [DatabaseManifest],
    context: &Context,
) {
    let states = || databases.iter().flat_map(|d| &d.migrations);
    if !states().any(|state| state.framework == Framework::Alembic) {
        return;
    }
    let mut warnings = Vec::new();
    let code = of_code(app, database, states(), &mut warnings, context);
    for warning in warnings {
        context.progress.warn(&warning);
    }
    for state in databases.iter_mut().flat_map(|d| &mut d.migrations) {
        for code in &code {
            state.remember_revisions(code);
        }
    }
}

/// What is known of the order of revisions: the code's own word, or where it says nothing of them, what the newest backup
/// remembers.
pub(crate) fn with_backups<'a>(
    code: &[CodeMigrations],
    mut states: impl Iterator<Item = &'a MigrationState>,
    repository: &Repository,
    app: Option<String>,
) -> Vec<CodeMigrations> {
    let mut known = code.to_vec();
    let told = known.iter().any(|c| c.framework == Framework::Alembic);
    if told || !states.any(|state| state.framework == Framework::Alembic) {
        return known;
    }
    let filter = ListFilter {
        app,
        ..ListFilter::default()
    };
    // Without it the comparison says that it does not know, which is no failure.
    let Ok(newest) = catalog::show(repository, "latest", &filter) else {
        return known;
    };
    let states = newest.manifest.databases.iter().flat_map(|d| &d.migrations);
    let revisions = states.flat_map(|state| &state.revisions);
    let migrations: Vec<CodeMigration> = revisions
        .map(|(name, parents)| CodeMigration {
            name: name.clone(),
            parents: parents.clone(),
            ..CodeMigration::default()
        })
        .collect();
    known.push(CodeMigrations::new(Framework::Alembic, migrations));
    known
}

/// Asks the app's program. `None` where nothing says which framework's list it would be.
fn told<'a>(
    app: &Application,
    database: Option<&ConnectOptions>,
    frameworks: &BTreeSet<Framework>,
    states: impl Iterator<Item = &'a MigrationState>,
    context: &Context,
) -> Result<Option<CodeMigrations>> {
    let words = app.migrations.as_ref().map(|m| m.command.as_slice());
    let mut frameworks = frameworks.iter();
    let framework = match (frameworks.next(), frameworks.next()) {
        (None, _) => return Ok(None),
        (Some(framework), None) => *framework,
        (Some(_), Some(_)) => {
            return Err(crate::Error::invalid(
                "the databases use several frameworks, and nothing says whose list `command` prints",
            )
            .hint("name it as `framework` beside `command`"));
        }
    };
    let program = Program {
        words: words.unwrap_or_default(),
        commands: &app.commands,
        database: app.database.as_ref().or(database),
        extra: vec![("PGKEEP_APP".into(), app.name.clone())],
        time_limit: Some(LIMIT),
    };
    let mut lines = Vec::new();
    let outcome = program::run(&program, context, &mut |line| {
        if lines.len() <= MOST_LINES {
            lines.push(line.to_owned());
        }
    })?;
    outcome.require("the command that lists them")?;
    if lines.len() > MOST_LINES {
        return Err(crate::Error::invalid(format!(
            "the command that lists them printed more than {MOST_LINES} lines"
        )));
    }
    let states = states.filter(|state| state.framework == framework);
    let recorded = states.flat_map(MigrationState::names).collect();
    let code = listing::parse(framework, &lines, &recorded);
    if code.migrations.is_empty() {
        return Err(crate::Error::invalid(format!(
            "what the command printed holds no migration of {}",
            framework.title()
        )));
    }
    Ok(Some(code))
}
