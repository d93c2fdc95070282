//! Guarding a deployment: a backup before a command that changes schemas, and the way back when the command fails.
//!
//! [`before`] looks at what is pending and takes the backup; the caller then runs the command itself, for its terminal is
//! the caller's; [`after`] writes down what it changed. [`newest`] finds the point to go back to. The way back is an
//! ordinary replacing restore: it keeps the failed state as a safety backup and swaps it out by renaming.

use crate::{
    Context, Error, ErrorCode, Result,
    application::Application,
    backup::{self, BackupReport, BackupRequest},
    catalog::{self, BackupEntry, ListFilter, PRE_MIGRATION},
    diff::{DiffSide, LiveDatabases},
    drill::{self, DrillReport, DrillRequest},
    migrations::{self, MigrationsReport, MigrationsRequest},
    program::{self, Program},
    restore,
    schema_diff::{self, SchemaDiffReport},
};
use pgkeep_model::{
    Phase,
    migrations::{MigrationState, Relation},
};
use pgkeep_postgres::connect::ConnectOptions;
use pgkeep_repository::Repository;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, time::Instant};

/// How many names a backup's description holds.
const DESCRIBED: usize = 20;

/// What to guard, and how.
#[derive(Clone)]
pub struct GuardRequest {
    /// The backup; its description and tags are added to.
    pub backup: BackupRequest,
    pub application: Application,
    /// The command, for the backup's description.
    pub command: Vec<String>,
    /// Proves the backup by restoring it; the backup's id is filled in.
    pub drill: Option<DrillRequest>,
    /// Takes no backup where the app's own check or its code says that nothing is pending.
    pub skip_if_nothing_pending: bool,
    /// Migrations that one of these stands for need no backup, as their author knows; besides those that the app's
    /// definition names. See [`stands_for`].
    pub harmless: Vec<String>,
    /// How a command that fails would be undone; `None` where it would not be.
    pub way_back: Option<WayBack>,
}

/// The restore that may follow a command that fails.
#[derive(Clone)]
pub struct WayBack {
    /// Creates the database that takes the place of the failed one.
    pub admin: ConnectOptions,
    /// The command must not be run where there is no way back; else what hinders it is only told.
    pub promised: bool,
}

impl GuardRequest {
    /// All patterns of what is harmless.
    fn all_harmless(&self) -> Vec<String> {
        let defined = self.application.migrations.iter();
        let defined = defined.flat_map(|migrations| &migrations.harmless);
        self.harmless.iter().chain(defined).cloned().collect()
    }
}

/// What is about to be migrated, as far as it can be told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// Names, `label.name` or `name`; `None` where they are not known.
    pub names: Option<Vec<String>>,
    /// Whether the app's `migrate_check` says that nothing is pending; `None` where it was not asked or could not say.
    pub check_says_none: Option<bool>,
}

impl Pending {
    /// Whether it is certain that nothing is pending. Where code and check disagree, it is not.
    pub fn is_nothing(&self) -> bool {
        match (&self.names, self.check_says_none) {
            (Some(names), check) => names.is_empty() && check != Some(false),
            (None, check) => check == Some(true),
        }
    }

    /// Whether every pending migration is known by name, and one of the patterns stands for it.
    pub fn is_harmless(&self, patterns: &[String]) -> bool {
        let Some(names) = self.names.as_ref().filter(|names| !names.is_empty()) else {
            return false;
        };
        names
            .iter()
            .all(|name| patterns.iter().any(|pattern| stands_for(pattern, name)))
    }

    /// In a sentence's end: `2 migrations: a.0002, a.0003`.
    pub fn words(&self) -> String {
        match (&self.names, self.check_says_none) {
            (Some(names), _) if !names.is_empty() => {
                let mut shown = names
                    .iter()
                    .take(DESCRIBED)
                    .cloned()
                    .collect::<Vec<_>>()
                    .join(", ");
                if names.len() > DESCRIBED {
                    shown.push_str(", …");
                }
                format!("{}: {shown}", crate::counted(names.len(), "migration"))
            }
            (Some(_), Some(false)) | (None, Some(false)) => "migrations without known names".into(),
            (Some(_), _) | (None, Some(true)) => "nothing".into(),
            (None, None) => "not known".into(),
        }
    }
}

/// What was done before the command.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Guarded {
    pub pending: Pending,
    /// Why no backup was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupReport>,
    /// Whether a drill has proven it; `None` where none was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proven: Option<bool>,
    /// The versions of each database before the command.
    pub versions_before: Vec<Versions>,
    /// Seconds spent on looking at what is applied and pending, besides the backup and its proof.
    pub look_before_seconds: f64,
}

/// The migrations applied to one database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Versions {
    pub database: String,
    pub states: Vec<MigrationState>,
}

/// What the command changed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Changed {
    /// The versions of each database after the command.
    pub versions_after: Vec<Versions>,
    /// Migrations that are applied now and were not before, by database.
    pub applied: Vec<MigrationChange>,
    /// Migrations that were applied before and are not any more.
    pub reverted: Vec<MigrationChange>,
    /// What became of the schema since the backup; `None` where there is no backup to compare with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaDiffReport>,
    /// Seconds spent on finding that out.
    pub look_after_seconds: f64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationChange {
    pub database: String,
    pub name: String,
}

/// Where the databases and the backups of a guarded app are: within reach from here, or on a server.
pub trait Ground {
    /// What is applied, and how it stands to the code.
    fn versions(&self, request: &GuardRequest, context: &Context) -> Result<MigrationsReport>;

    /// Takes the backup, with the description and the tags that it is given.
    fn back_up(&self, backup: &BackupRequest, context: &Context) -> Result<BackupReport>;

    /// Restores the backup of this id into a throwaway database and compares it; `None` where no proof is asked for.
    fn prove(
        &self,
        backup: &str,
        request: &GuardRequest,
        context: &Context,
    ) -> Result<Option<DrillReport>>;

    /// How the live schema differs from the backup's.
    fn schema_since(
        &self,
        backup: &BackupReport,
        request: &GuardRequest,
        context: &Context,
    ) -> Result<SchemaDiffReport>;
}

/// Databases that can be reached from here.
impl Ground for Repository {
    fn versions(&self, request: &GuardRequest, context: &Context) -> Result<MigrationsReport> {
        let request = MigrationsRequest {
            databases: request.backup.databases.clone(),
            application: request.application.clone(),
        };
        migrations::run(&request, None, context)
    }

    fn back_up(&self, backup: &BackupRequest, context: &Context) -> Result<BackupReport> {
        backup::run(self, backup, context)
    }

    fn prove(
        &self,
        backup: &str,
        request: &GuardRequest,
        context: &Context,
    ) -> Result<Option<DrillReport>> {
        let Some(drill) = &request.drill else {
            return Ok(None);
        };
        let drill = DrillRequest {
            backup: backup.to_owned(),
            ..drill.clone()
        };
        drill::run(self, &drill, context).map(Some)
    }

    fn schema_since(
        &self,
        backup: &BackupReport,
        request: &GuardRequest,
        context: &Context,
    ) -> Result<SchemaDiffReport> {
        let live = LiveDatabases {
            connections: request.backup.databases.clone(),
            only: None,
        };
        schema_diff::run(
            self,
            &DiffSide::Backup(backup.id.clone()),
            &DiffSide::Live(live),
            Some(backup.app.clone()),
            context,
        )
    }
}

/// Looks at what is pending and takes the backup, unless it is certain that none is needed.
///
/// # Errors
/// A backup or a proof that fails: then the command must not be run.
pub fn before(ground: &dyn Ground, request: &GuardRequest, context: &Context) -> Result<Guarded> {
    let begun = Instant::now();
    context.progress.phase(Phase::Check, None);
    let (pending, versions) = look(ground, request, context)?;
    let mut guarded = Guarded {
        skipped: reason_to_skip(request, &pending),
        pending,
        backup: None,
        proven: None,
        versions_before: versions,
        look_before_seconds: begun.elapsed().as_secs_f64(),
    };
    if guarded.skipped.is_some() {
        return Ok(guarded);
    }
    look_at_way_back(request, context)?;
    let backup = ground
        .back_up(&described(request, &guarded.pending), context)
        .map_err(|e| not_run("the backup failed", e))?;
    let proof = ground
        .prove(&backup.id, request, context)
        .map_err(|e| not_run("the backup could not be proven", e))?;
    if let Some(report) = proof {
        guarded.proven = Some(report.proven);
        if !report.proven {
            drill::require_proven(&report).map_err(|e| not_run("the backup is not proven", e))?;
            let why = report.skipped.unwrap_or_default();
            return Err(not_run("the backup is not proven", Error::refused(why)));
        }
    }
    guarded.backup = Some(backup);
    Ok(guarded)
}

/// Once the command has failed it is too late to find out that the way back is closed.
fn look_at_way_back(request: &GuardRequest, context: &Context) -> Result<()> {
    let Some(way_back) = &request.way_back else {
        return Ok(());
    };
    let databases = request.backup.databases.iter();
    let names: Vec<String> = databases.map(|options| options.dbname.clone()).collect();
    let found = match restore::hindrances(&way_back.admin, &names, context) {
        Err(e) if way_back.promised || e.code == ErrorCode::Cancelled => {
            return Err(not_run("the way back cannot be looked at", e));
        }
        Err(e) => {
            context.progress.warn(&format!(
                "whether there is a way back after a failure is not known: {e}"
            ));
            return Ok(());
        }
        Ok(found) => found,
    };
    let mut hindrances = found.into_iter();
    if !way_back.promised {
        for hindrance in hindrances {
            context.progress.warn(&format!(
                "there is no way back after a failure: {} ({})",
                hindrance.message, hindrance.remedy
            ));
        }
        return Ok(());
    }
    match hindrances.next() {
        None => Ok(()),
        Some(first) => Err(Error::refused(format!(
            "there would be no way back, so the command was not run: {}",
            first.message
        ))
        .details(hindrances.map(|more| more.message).collect())
        .hint(format!(
            "{}; with --on-failure leave the command runs without a way back",
            first.remedy
        ))),
    }
}

/// Reads what is applied now and how the schema differs from the backup's.
pub fn after(
    ground: &dyn Ground,
    request: &GuardRequest,
    guarded: &Guarded,
    context: &Context,
) -> Result<Changed> {
    let begun = Instant::now();
    let schema = match &guarded.backup {
        None => None,
        Some(backup) => Some(ground.schema_since(backup, request, context)?),
    };
    let (versions, _) = versions(ground, request, context)?;
    let changes = |from: &[Versions], to: &[Versions]| {
        let mut changes = Vec::new();
        for now in to {
            let had = from
                .iter()
                .find(|v| v.database == now.database)
                .map(|v| names(&v.states))
                .unwrap_or_default();
            for name in names(&now.states).difference(&had) {
                changes.push(MigrationChange {
                    database: now.database.clone(),
                    name: name.clone(),
                });
            }
        }
        changes
    };
    Ok(Changed {
        applied: changes(&guarded.versions_before, &versions),
        reverted: changes(&versions, &guarded.versions_before),
        schema,
        versions_after: versions,
        look_after_seconds: begun.elapsed().as_secs_f64(),
    })
}

/// The newest backup that was taken before a migration of the app.
pub fn newest(repository: &Repository, app: Option<&str>) -> Result<BackupEntry> {
    let filter = ListFilter {
        app: app.map(str::to_owned),
        ..ListFilter::default()
    };
    catalog::list(repository, &filter)?
        .into_iter()
        .filter(|entry| entry.tags.iter().any(|tag| tag == PRE_MIGRATION))
        .max_by_key(|entry| entry.time)
        .ok_or_else(|| none_taken(app))
}

/// There is no point before a migration to go back to.
pub fn none_taken(app: Option<&str>) -> Error {
    let of = app.map(|app| format!(" of {app}")).unwrap_or_default();
    Error::not_found(format!("no backup{of} was taken before a migration")).hint(
        "`pgkeep guard -- COMMAND` takes one; any other backup is restored with `pgkeep restore`",
    )
}

fn reason_to_skip(request: &GuardRequest, pending: &Pending) -> Option<String> {
    if request.skip_if_nothing_pending && pending.is_nothing() {
        return Some("nothing is pending".into());
    }
    pending.is_harmless(&request.all_harmless()).then(|| {
        format!(
            "only what was named as harmless is pending ({})",
            pending.words()
        )
    })
}

fn described(request: &GuardRequest, pending: &Pending) -> BackupRequest {
    let mut backup = request.backup.clone();
    let mut words = format!("before {}", request.command.join(" "));
    if pending
        .names
        .as_ref()
        .is_some_and(|names| !names.is_empty())
    {
        words.push_str(&format!("; pending: {}", pending.words()));
    }
    backup.description = match backup.description.is_empty() {
        true => words,
        false => format!("{}; {words}", backup.description),
    };
    backup.tags.push(PRE_MIGRATION.into());
    backup
}

fn not_run(why: &str, error: Error) -> Error {
    match error.code {
        ErrorCode::Cancelled => error.context("the command was not run"),
        _ => error.context(format!("{why}, so the command was not run")),
    }
}

fn look(
    ground: &dyn Ground,
    request: &GuardRequest,
    context: &Context,
) -> Result<(Pending, Vec<Versions>)> {
    let (versions, names) = versions(ground, request, context)?;
    let check = &request.application.commands.migrate_check;
    // Where the code names what is missing, asking the app as well costs more than it tells.
    let ask = !check.is_empty() && names.as_ref().is_none_or(Vec::is_empty);
    let check_says_none = match ask {
        true => ask_the_app(request, context)?,
        false => None,
    };
    Ok((
        Pending {
            names,
            check_says_none,
        },
        versions,
    ))
}

/// What is applied, and what of the code's is not; names are not known where there is no code to look at.
fn versions(
    ground: &dyn Ground,
    request: &GuardRequest,
    context: &Context,
) -> Result<(Vec<Versions>, Option<Vec<String>>)> {
    let report = ground.versions(request, context)?;
    let mut missing = Vec::new();
    let mut known = false;
    for comparison in report.databases.iter().flat_map(|d| &d.against_code) {
        match &comparison.relation {
            Relation::Same | Relation::Newer { .. } => known = true,
            Relation::Older { missing: these } | Relation::Diverged { missing: these, .. } => {
                known = true;
                missing.extend(these.iter().cloned());
            }
            Relation::Unknown { .. } => return Ok((of(report.databases), None)),
        }
    }
    Ok((of(report.databases), known.then_some(missing)))
}

fn of(databases: Vec<migrations::DatabaseVersion>) -> Vec<Versions> {
    databases
        .into_iter()
        .map(|d| Versions {
            database: d.name,
            states: d.states,
        })
        .collect()
}

/// The app's own check: it succeeds when nothing is pending. One that cannot be run says nothing.
fn ask_the_app(request: &GuardRequest, context: &Context) -> Result<Option<bool>> {
    let app = &request.application;
    let program = Program {
        words: &app.commands.migrate_check,
        commands: &app.commands,
        database: app.database.as_ref().or(request.backup.databases.first()),
        extra: vec![("PGKEEP_APP".into(), app.name.clone())],
        time_limit: None,
    };
    match program::run(&program, context, &mut |_| {}) {
        Ok(outcome) if outcome.succeeded() => Ok(Some(true)),
        Ok(outcome) if outcome.timed_out || outcome.status.is_none() => {
            context
                .progress
                .warn(&format!("the app's migrate_check {}", outcome.words()));
            Ok(None)
        }
        Ok(_) => Ok(Some(false)),
        Err(e) if e.code == ErrorCode::Cancelled => Err(e),
        Err(e) => {
            context
                .progress
                .warn(&format!("the app's migrate_check could not be run: {e}"));
            Ok(None)
        }
    }
}

fn names(states: &[MigrationState]) -> BTreeSet<String> {
    states.iter().flat_map(MigrationState::names).collect()
}

/// Whether a pattern stands for a migration: it is its name, with `*` for any text; or it is the app label, the part of the
/// name before its first dot.
pub fn stands_for(pattern: &str, name: &str) -> bool {
    let label = name.split_once('.').map(|(label, _)| label);
    label == Some(pattern) || matches(pattern, name)
}

/// `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(names: Option<&[&str]>, check_says_none: Option<bool>) -> Pending {
        Pending {
            names: names.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
            check_says_none,
        }
    }

    #[test]
    fn nothing_is_pending_only_where_that_is_certain() {
        for (names, check, certain) in [
            (None, None, false),
            (None, Some(true), true),
            (None, Some(false), false),
            (Some(&[][..]), None, true),
            (Some(&[][..]), Some(true), true),
            (Some(&[][..]), Some(false), false),
            (Some(&["shop.0002_more"][..]), None, false),
            (Some(&["shop.0002_more"][..]), Some(true), false),
        ] {
            assert_eq!(
                pending(names, check).is_nothing(),
                certain,
                "{names:?} {check:?}"
            );
        }
    }

    #[test]
    fn only_named_migrations_are_harmless() {
        let patterns = ["shop.*_index", "sessions.0001_initial"].map(str::to_owned);
        let harmless = |names: Option<&[&str]>| pending(names, None).is_harmless(&patterns);
        assert!(harmless(Some(&["shop.0002_add_index"])));
        assert!(harmless(Some(&[
            "shop.0002_add_index",
            "sessions.0001_initial"
        ])));
        assert!(!harmless(Some(&[
            "shop.0002_add_index",
            "shop.0003_drop_column"
        ])));
        assert!(!harmless(Some(&["sessions.0001_initial_2"])));
        let label = ["sessions".to_owned()];
        let of_label = |name: &str| pending(Some(&[name]), None).is_harmless(&label);
        assert!(of_label("sessions.0002_more") && of_label("sessions"));
        assert!(!of_label("sessions_more.0001_initial") && !of_label("shop.sessions"));
        assert!(!harmless(None), "what is not known is not harmless");
        assert!(!harmless(Some(&[])));
    }
}
