//! Carrying out a restore plan.

mod in_place;
mod migrate;
mod proof;
mod replace;
mod report;

pub use migrate::{CheckOutcome, MigrateReport};
pub use proof::ProofReport;
pub use report::RestoreReport;

use super::{Content, Owner, RestorePlan, RestoreTarget, plan, swap::resume_left_over};
use crate::{
    Context, Error, Result,
    application::Application,
    backup::{self, BackupRequest},
    catalog::{self, BackupEntry, Finding},
    hooks::{Facts, Hooks},
    lease::DatabaseLease,
    storage::lock_for_reading,
};
use pgkeep_model::{
    app::HookMoment,
    evidence::Proof,
    manifest::{BackupKind, DatabaseContent, DatabaseManifest},
};
use pgkeep_postgres::{
    connect::ConnectOptions,
    restore::{self as pg, Mark, RestoreOptions},
    tools::Tools,
    wire::Connection,
};
use pgkeep_repository::Repository;
use std::time::Instant;

/// Does what the plan says. A plan with refusals is refused.
///
/// # Errors
/// Until the swap an error leaves the live database as it was; the unfinished one beside it is dropped.
pub fn execute(
    repository: &Repository,
    plan: RestorePlan,
    context: &Context,
) -> Result<RestoreReport> {
    if let Some(refusal) = plan.summary.refusals.first() {
        return Err(Error::refused(refusal.message.clone()).hint(refusal.remedy.clone()));
    }
    let mut hooks = Hooks::new(&plan.request.around.application, facts(&plan), context);
    match carry_out(repository, &plan, &mut hooks, context) {
        Ok(mut report) => {
            hooks.after(HookMoment::AfterRestore);
            report.hooks = hooks.reports;
            if plan.manifest.files.is_empty() && is_of_the_whole(&plan) {
                note_proof(repository, &plan.entry, &report, context);
            }
            Ok(report)
        }
        Err(e) => Err(hooks.failed(e)),
    }
}

/// Whether a restore by this plan shows of its backup's databases all that a drill would: the only one, every row and every
/// definition, compared in full in a database of its own. One that is dropped again is a drill's, which decides itself.
pub(crate) fn is_of_the_whole(plan: &RestorePlan) -> bool {
    let request = &plan.request;
    plan.manifest.databases.len() == 1
        && request.selection.is_everything()
        && request.content == Content::All
        && request.prove == Proof::Full
        && !request.throwaway
        && !matches!(request.target, RestoreTarget::InPlace { .. })
}

/// Marks the backup as proven, as a drill does. The restore is done: what cannot be written down is a warning.
pub(crate) fn note_proof(
    repository: &Repository,
    backup: &BackupEntry,
    report: &RestoreReport,
    context: &Context,
) {
    if report.proof.level != Proof::Full || !report.proof.proven() {
        return;
    }
    let finding = Finding::Proven {
        seconds: report.restore_seconds + report.prove_seconds,
    };
    if let Err(e) = catalog::record(repository, backup, finding, context) {
        context.progress.warn(&format!(
            "the proof is not recorded with backup {}: {e}",
            backup.short_id()
        ));
    }
}

fn carry_out(
    repository: &Repository,
    plan: &RestorePlan,
    hooks: &mut Hooks<'_>,
    context: &Context,
) -> Result<RestoreReport> {
    hooks.before(HookMoment::BeforeRestore)?;
    let request = &plan.request;
    resume_left_over(&request.around.application, &request.admin, context)?;
    let _lock = lock_for_reading(repository, "restore", context)?;
    let run = Run::new(repository, plan, context)?;
    match &plan.request.target {
        RestoreTarget::Into { name } => run.into_new(name),
        RestoreTarget::Replace { name } => run.replace(name, hooks),
        RestoreTarget::InPlace { name } => run.in_place(name),
    }
}

/// What hooks are told.
fn facts(plan: &RestorePlan) -> Facts {
    let mode = match plan.request.target {
        RestoreTarget::Into { .. } => "into",
        RestoreTarget::Replace { .. } => "replace",
        RestoreTarget::InPlace { .. } => "in_place",
    };
    Facts {
        app: plan.summary.app.clone(),
        operation: "restore".into(),
        mode: Some(mode.into()),
        backup: Some(plan.summary.backup.clone()),
        database: Some(plan.request.target.name().to_owned()),
        ..Facts::default()
    }
}

/// A restore under way.
struct Run<'a> {
    repository: &'a Repository,
    plan: &'a RestorePlan,
    context: &'a Context,
    database: &'a DatabaseManifest,
    source: super::SnapshotSource,
    tools: Tools,
    options: RestoreOptions,
    begun: Instant,
    warnings: Vec<String>,
}

/// What filling and proving a database took.
struct Filled {
    seconds: f64,
    prove_seconds: f64,
    rows: u64,
    bytes: u64,
    proof: ProofReport,
}

impl<'a> Run<'a> {
    fn new(
        repository: &'a Repository,
        plan: &'a RestorePlan,
        context: &'a Context,
    ) -> Result<Self> {
        let database = plan
            .manifest
            .database(&plan.summary.database.name)
            .expect("the plan chose it");
        let source = plan::open_source(repository, &plan.entry, database)?;
        let archive_version = match database.content {
            DatabaseContent::Directory => pg::open_toc(database, &source)?.0.header.version,
            DatabaseContent::Plain => (1, 12, 0),
        };
        let admin = Connection::open_with(&plan.request.admin, &context.cancel)?;
        let tools = Tools::for_restore(
            admin.server_version_num() / 10_000,
            archive_version,
            &context.tool_dirs,
        )?;
        Ok(Self {
            repository,
            plan,
            context,
            database,
            source,
            tools,
            options: plan::options(&plan.request),
            begun: Instant::now(),
            warnings: Vec::new(),
        })
    }

    /// Into a database that does not exist yet (or, for rows alone, into one that does).
    fn into_new(mut self, name: &str) -> Result<RestoreReport> {
        let target = self.plan.request.admin.with_dbname(name);
        let filled = if self.options.data_only {
            self.fill(&target)?
        } else {
            self.build(name, name)?
        };
        self.require_proven(&filled, name).map_err(|e| {
            e.hint("it is left for a look, nothing else was changed; run `pgkeep verify --read-data` on this backup, or restore an older one")
        })?;
        let migrated = match self.migrate_and_check(name) {
            Ok(migrated) => migrated,
            Err(e) if self.plan.request.around.keep_failed => {
                return Err(e.hint(format!(
                    "{name} is left for a look; `pgkeep undo --drop-expired` drops it"
                )));
            }
            Err(e) => {
                self.drop_unfinished(name);
                return Err(e.hint(format!(
                    "{name} was dropped again; --keep-failed leaves it for a look"
                )));
            }
        };
        if !self.options.data_only && !self.plan.request.throwaway {
            pg::unmark_database(&self.plan.request.admin, name)?;
        }
        let mut report = self.report(name, filled);
        report.migrated = migrated;
        Ok(report)
    }

    /// Makes, fills and proves a database; drops it again when that fails.
    fn build(&mut self, name: &str, meant_for: &str) -> Result<Filled> {
        use pgkeep_model::Phase;
        self.context.progress.phase(Phase::Create, None);
        let admin = &self.plan.request.admin;
        let mark = Mark::Restoring {
            database: meant_for.to_string(),
            host: self.context.hostname.clone(),
            pid: std::process::id(),
            started_at: self.context.clock.now(),
            comment: self.database.properties.comment.clone(),
        };
        let properties = &self.database.properties;
        pg::create_database(
            admin,
            name,
            properties,
            &self.options.properties(),
            &mark,
            &self.context.cancel,
        )?;
        let target = admin.with_dbname(name);
        let built = self.fill(&target).and_then(|filled| {
            let finished = pg::finish_database(
                admin,
                name,
                &self.database.properties,
                &self.options.properties(),
            )?;
            self.warnings.extend(finished);
            Ok(filled)
        });
        if built.is_err() {
            self.drop_unfinished(name);
        }
        built
    }

    fn fill(&mut self, target: &ConnectOptions) -> Result<Filled> {
        let begun = Instant::now();
        let _lease = DatabaseLease::acquire(target, "restore", &self.context.cancel)?;
        let summary = pg::restore_into(
            target,
            self.database,
            &self.source,
            &self.tools,
            &self.options,
            &self.context.cancel,
            &*self.context.progress,
        )?;
        self.warnings.extend(
            summary
                .left_out
                .iter()
                .map(|what| format!("left out: {what}")),
        );
        self.prove(target, summary, begun)
    }

    /// A backup of the live database as it is, before anything may happen to it.
    fn safety_backup(&mut self, live: &str) -> Result<String> {
        self.context
            .progress
            .phase(pgkeep_model::Phase::SafetyBackup, None);
        let owner = self.plan.request.around.owner.clone();
        let Owner { app, environment } = owner.unwrap_or_else(|| Owner {
            app: self.plan.summary.app.clone(),
            environment: self.plan.manifest.environment.clone(),
        });
        let report = backup::run(
            self.repository,
            &BackupRequest {
                app,
                environment,
                kind: BackupKind::Database,
                description: format!(
                    "before the restore of backup {}",
                    self.plan.entry.short_id()
                ),
                tags: vec![crate::catalog::PRE_RESTORE.into()],
                pinned: false,
                databases: vec![self.plan.request.admin.with_dbname(live)],
                globals: false,
                jobs: self.plan.request.jobs,
                compression_level: self.plan.manifest.compression_level,
                exclude_table_data: Vec::new(),
                schemas: Vec::new(),
                lock_timeout: None,
                origin: crate::catalog::Origin::default(),
                read_back_all: false,
                application: Application::default(),
            },
            self.context,
        )
        .map_err(|e| e.context("the safety backup failed, so nothing was changed"))?;
        Ok(report.id)
    }

    fn drop_unfinished(&mut self, name: &str) {
        let dropped =
            pg::connect_beside(&self.plan.request.admin, &[name]).and_then(|mut admin| {
                // Nobody else knows that PgBouncer is still paused.
                let found = pg::list_marked(&mut admin)?;
                let tells =
                    |marked: &pg::MarkedDatabase| marked.name == name && marked.paused.is_some();
                match found.iter().any(tells) {
                    true => Ok(()),
                    false => pg::drop_database(&mut admin, name),
                }
            });
        if let Err(e) = dropped {
            self.context.progress.warn(&format!(
                "the unfinished database {name} could not be dropped ({e}); `pgkeep undo --list` shows it, `--drop-expired` drops it"
            ));
        }
    }

    fn report(&self, name: &str, filled: Filled) -> RestoreReport {
        RestoreReport {
            backup: self.plan.summary.backup.clone(),
            database: name.to_string(),
            tables: self.plan.summary.database.tables,
            rows: filled.rows,
            bytes: filled.bytes,
            restore_seconds: filled.seconds,
            prove_seconds: filled.prove_seconds,
            total_seconds: self.begun.elapsed().as_secs_f64(),
            proof: filled.proof,
            safety_backup: None,
            kept_as: None,
            kept_until: None,
            blocked_ms: None,
            migrated: None,
            hooks: Vec::new(),
            warnings: self.warnings.clone(),
        }
    }
}
