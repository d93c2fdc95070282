//! The schema version of an app: in its databases, in a backup, and in its code; and how they stand to each other.
//!
//! Databases are asked by `pgkeep_postgres::migrations`; the code by its files ([`files`]) or by a program of the app's, see
//! `code`. What follows for a restore is in [`plan`], what the app says of its own version in [`version`].

mod changelog;
mod checksums;
pub(crate) mod code;
pub mod files;
mod listing;
pub mod plan;
pub mod version;

use crate::{
    Context, Result,
    application::Application,
    catalog::{self, ListFilter},
    shown,
};
use pgkeep_model::{
    app::Migrations,
    migrations::{
        CodeMigrations, Comparison, MigrationState, Relation, against_code, compare_all_knowing,
    },
};
use pgkeep_postgres::{
    connect::ConnectOptions,
    migrations::{self as tables, Found},
    wire::Connection,
};
use pgkeep_repository::Repository;
use serde::{Deserialize, Serialize};

/// What is looked at.
#[derive(Clone)]
pub struct MigrationsRequest {
    /// The live databases of the app.
    pub databases: Vec<ConnectOptions>,
    /// What is configured of its migrations, and its program that lists those of the code.
    pub application: Application,
}

/// A backup that is compared with the live databases.
pub struct WantedBackup<'a> {
    pub repository: &'a Repository,
    /// An id, its beginning, or `latest`.
    pub backup: &'a str,
    pub app: Option<String>,
}

/// Schema versions side by side.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MigrationsReport {
    pub databases: Vec<DatabaseVersion>,
    /// What the code holds.
    pub code: Vec<CodeMigrations>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupVersion>,
    pub warnings: Vec<String>,
}

/// A live database.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DatabaseVersion {
    pub name: String,
    pub states: Vec<MigrationState>,
    /// The database as seen from the code: what is missing would be run.
    pub against_code: Vec<Comparison>,
}

/// A backup, and its databases as seen from the live ones.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BackupVersion {
    pub id: String,
    pub title: String,
    /// The app's version when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_version: Option<String>,
    pub databases: Vec<BackupDatabaseVersion>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BackupDatabaseVersion {
    pub name: String,
    pub states: Vec<MigrationState>,
    /// The backup as seen from the live database; empty where there is none of this name.
    pub against_live: Vec<Comparison>,
    /// The backup as seen from the code.
    pub against_code: Vec<Comparison>,
}

/// Looks at the live databases, at the code, and at a backup where one is wanted.
///
/// # Errors
/// A database that cannot be reached; a backup that is not there.
pub fn run(
    request: &MigrationsRequest,
    wanted: Option<&WantedBackup<'_>>,
    context: &Context,
) -> Result<MigrationsReport> {
    let mut warnings = Vec::new();
    let mut live: Vec<(String, Vec<MigrationState>)> = Vec::new();
    for options in &request.databases {
        context.cancel.check()?;
        let found = of_database(options, request.application.migrations.as_ref(), context)?;
        let name = options.dbname.clone();
        warnings.extend(found.warnings.iter().map(|w| format!("{name}: {w}")));
        live.push((name, found.states));
    }
    let backup = match wanted {
        Some(wanted) => Some(read_backup(wanted)?),
        None => None,
    };
    let backup_states = backup.iter().flat_map(|b| &b.databases);
    let states = live
        .iter()
        .flat_map(|(_, states)| states)
        .chain(backup_states.flat_map(|d| &d.states));
    let (app, database) = (&request.application, request.databases.first());
    let code = code::of_code(app, database, states, &mut warnings, context);
    context.cancel.check()?;
    let backup = match (backup, wanted) {
        (Some(backup), Some(wanted)) => {
            let states = live.iter().flat_map(|(_, states)| states);
            let app = wanted.app.clone();
            let known = code::with_backups(&code, states, wanted.repository, app);
            Some(with_comparisons(backup, &live, &code, &known))
        }
        _ => None,
    };
    Ok(MigrationsReport {
        databases: live
            .into_iter()
            .map(|(name, states)| DatabaseVersion {
                against_code: compare_with_code(&states, &code),
                name,
                states,
            })
            .collect(),
        code,
        backup,
        warnings,
    })
}

/// The same databases, compared with the code that lies here instead of where they were looked at.
pub fn with_code_here(
    mut report: MigrationsReport,
    application: &Application,
    context: &Context,
) -> MigrationsReport {
    let states = report
        .databases
        .iter()
        .flat_map(|database| &database.states);
    report.code = code::of_code(application, None, states, &mut report.warnings, context);
    for database in &mut report.databases {
        database.against_code = compare_with_code(&database.states, &report.code);
    }
    report
}

/// The versions of a live database; none where the configuration says that they are in another one.
///
/// # Errors
/// A database that cannot be reached.
pub fn of_database(
    options: &ConnectOptions,
    configured: Option<&Migrations>,
    context: &Context,
) -> Result<Found> {
    let elsewhere = configured
        .and_then(|m| m.database.as_deref())
        .is_some_and(|name| name != options.dbname);
    if elsewhere {
        return Ok(Found::default());
    }
    let mut connection = Connection::open_with(options, &context.cancel)?;
    Ok(tables::look(&mut connection, configured)?)
}

/// Databases as seen from the code, for the frameworks that the code's folder holds.
pub fn compare_with_code(states: &[MigrationState], code: &[CodeMigrations]) -> Vec<Comparison> {
    states
        .iter()
        .filter_map(|state| {
            let code = code.iter().find(|c| c.framework == state.framework)?;
            Some(Comparison {
                framework: state.framework,
                table: state.table.clone(),
                relation: against_code(state, code),
            })
        })
        .collect()
}

/// How a version stands to another in a sentence: `have` and `other` are what people call the two.
pub fn sentence(comparison: &Comparison, have: &str, other: &str) -> String {
    use pgkeep_model::migrations::listed;
    let tool = comparison.framework.title();
    match &comparison.relation {
        Relation::Same => format!("{tool}: {have} is at the same version as {other}"),
        Relation::Older { missing } => format!(
            "{tool}: {have} is older than {other}, by {}: {}",
            crate::counted(missing.len(), "migration"),
            listed(missing)
        ),
        Relation::Newer { surplus } => format!(
            "{tool}: {have} is newer than {other}, by {}: {}",
            crate::counted(surplus.len(), "migration"),
            listed(surplus)
        ),
        Relation::Diverged { missing, surplus } => {
            let mut parts = Vec::new();
            if !surplus.is_empty() {
                parts.push(format!("only {have} has {}", listed(surplus)));
            }
            if !missing.is_empty() {
                parts.push(format!("only {other} has {}", listed(missing)));
            }
            format!(
                "{tool}: {have} and {other} have diverged: {}",
                parts.join("; ")
            )
        }
        Relation::Unknown { why } => {
            format!("{tool}: how {have} stands to {other} is not known: {why}")
        }
    }
}

fn read_backup(wanted: &WantedBackup<'_>) -> Result<BackupVersion> {
    let filter = ListFilter {
        app: wanted.app.clone(),
        ..ListFilter::default()
    };
    let detail = catalog::show(wanted.repository, wanted.backup, &filter)?;
    Ok(BackupVersion {
        title: format!(
            "backup {} of {}",
            detail.entry.short_id(),
            shown(detail.entry.time)
        ),
        id: detail.entry.id,
        app_version: detail.manifest.application.and_then(|app| app.version),
        databases: detail
            .manifest
            .databases
            .into_iter()
            .map(|database| BackupDatabaseVersion {
                name: database.name,
                states: database.migrations,
                against_live: Vec::new(),
                against_code: Vec::new(),
            })
            .collect(),
    })
}

/// Databases are matched by name; where each side has one, whatever it is called. `known` is what tells the order of
/// revisions.
fn with_comparisons(
    mut backup: BackupVersion,
    live: &[(String, Vec<MigrationState>)],
    code: &[CodeMigrations],
    known: &[CodeMigrations],
) -> BackupVersion {
    let single = backup.databases.len() == 1 && live.len() == 1;
    for database in &mut backup.databases {
        let other = live
            .iter()
            .find(|(name, _)| *name == database.name || single);
        if let Some((_, states)) = other {
            database.against_live = compare_all_knowing(&database.states, states, known);
        }
        database.against_code = compare_with_code(&database.states, code);
    }
    backup
}
