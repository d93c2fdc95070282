//! Carrying out a restore plan.

use super::{RestorePlan, RestoreTarget, plan};
use crate::{
    Context, Error, ErrorCode, Result,
    backup::{self, BackupRequest},
    lease::DatabaseLease,
    storage::lock_for_reading,
};
use pgkeep_model::{
    evidence::{self, DatabaseEvidence, Difference, Proof},
    manifest::{BackupKind, DatabaseContent, DatabaseManifest},
};
use pgkeep_postgres::{
    connect::ConnectOptions,
    prove,
    restore::{self as pg, DumpSource, Mark, RestoreOptions, SwapOptions},
    tools::Tools,
    wire::Connection,
};
use pgkeep_repository::Repository;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

#[derive(Debug, Serialize, Deserialize)]
pub struct RestoreReport {
    pub backup: String,
    /// Database that holds the restored data now.
    pub database: String,
    pub tables: usize,
    pub rows: u64,
    pub bytes: u64,
    /// Creating, loading, indexing, analyzing.
    pub restore_seconds: f64,
    pub prove_seconds: f64,
    pub total_seconds: f64,
    pub proof: ProofReport,
    /// Id of the backup taken of the live database first.
    pub safety_backup: Option<String>,
    /// Name under which the replaced database is kept.
    pub kept_as: Option<String>,
    pub kept_until: Option<jiff::Timestamp>,
    /// Milliseconds in which nobody could connect, when a database was replaced.
    pub blocked_ms: Option<u64>,
    pub warnings: Vec<String>,
}

/// The outcome of comparing a restored database with its evidence.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProofReport {
    pub level: Proof,
    pub tables_compared: usize,
    pub rows_compared: u64,
    /// Empty means equal.
    pub differences: Vec<Difference>,
    /// Why nothing could be compared, where that was not the user's choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unprovable: Option<String>,
}

/// What an imported script's proof says.
const SCRIPT_UNPROVABLE: &str = "an imported SQL script comes with no evidence to compare with";

impl ProofReport {
    /// Compares what was found with what was expected, as far as either side knows it.
    fn of(expected: &DatabaseEvidence, mut found: DatabaseEvidence, level: Proof) -> Self {
        let mut expected = expected.clone();
        if expected.objects.is_empty() {
            // A part was restored: what else is in the database is not looked at.
            found.objects.clear();
            found.extensions.clear();
            let wanted: Vec<_> = expected.sequences.iter().map(|s| s.name.clone()).collect();
            found.sequences.retain(|s| wanted.contains(&s.name));
            found.large_objects = expected.large_objects;
        } else if found.objects.is_empty() {
            expected.objects.clear();
        }
        // Expected 0 times: a kind that depends on the target, such as grants to roles that it lacks.
        let uncertain: Vec<String> = expected
            .objects
            .iter()
            .filter(|(_, count)| **count == 0)
            .map(|(kind, _)| kind.clone())
            .collect();
        for kind in &uncertain {
            expected.objects.remove(kind);
            found.objects.remove(kind);
        }
        if expected.tables.is_empty() && expected.sequences.is_empty() {
            // Definitions alone were restored: their sequences have not begun yet. How many there are is compared above.
            found.sequences.clear();
        }
        Self {
            level,
            tables_compared: expected.tables.len(),
            rows_compared: expected.rows(),
            differences: evidence::compare(&expected, &found, level),
            unprovable: None,
        }
    }

    /// Nothing was compared.
    fn nothing() -> Self {
        Self {
            level: Proof::None,
            tables_compared: 0,
            rows_compared: 0,
            differences: Vec::new(),
            unprovable: None,
        }
    }

    /// True when something was compared and nothing differed.
    pub fn proven(&self) -> bool {
        self.level != Proof::None && self.differences.is_empty()
    }
}

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
    let _lock = lock_for_reading(repository, "restore", context)?;
    let run = Run::new(repository, &plan, context)?;
    match &plan.request.target {
        RestoreTarget::Into { name } => run.into_new(name),
        RestoreTarget::Replace { name } => run.replace(name),
        RestoreTarget::InPlace { name } => run.in_place(name),
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
        if !self.options.data_only && !self.plan.request.throwaway {
            pg::unmark_database(&self.plan.request.admin, name)?;
        }
        Ok(self.report(name, filled))
    }

    /// Beside the live database, and then in its place.
    fn replace(mut self, live: &str) -> Result<RestoreReport> {
        let admin = &self.plan.request.admin;
        let exists =
            self.plan.summary.database.existing_bytes.is_some() || self.plan.summary.overwrites;
        let safety_backup = match exists && !self.plan.request.skip_safety_backup {
            true => Some(self.safety_backup(live)?),
            false => None,
        };
        let beside = pg::restoring_name(live, &self.plan.entry.id[..8]);
        let filled = self.build(&beside, live)?;
        if let Err(e) = self.require_proven(&filled, &beside) {
            self.drop_unfinished(&beside);
            return Err(e.hint(format!("{live} is as it was; run `pgkeep verify --read-data` on this backup, restore an older one, or look at it with --into NAME")));
        }
        let now = self.context.clock.now();
        let kept_until = now
            .checked_add(Duration::from_secs(self.plan.request.keep_old_secs))
            .map_err(|e| Error::invalid(format!("--keep-old is out of range: {e}")))?;
        let swapped = pg::swap(
            admin,
            live,
            &beside,
            &SwapOptions {
                keep_until: Some(kept_until),
                grace: Duration::from_secs(self.plan.request.grace_secs),
                ..SwapOptions::new(now)
            },
            &self.context.cancel,
            &*self.context.progress,
        );
        let swapped = match swapped {
            Ok(swapped) => swapped,
            Err(e) => {
                self.drop_unfinished(&beside);
                return Err(Error::from(e).context("the live database was not replaced"));
            }
        };
        let mut report = self.report(live, filled);
        report.safety_backup = safety_backup;
        report.kept_until = swapped.kept_as.as_ref().map(|_| kept_until);
        report.kept_as = swapped.kept_as;
        report.blocked_ms = Some(swapped.blocked.as_millis() as u64);
        report
            .warnings
            .extend(swapped.ended.iter().map(|s| format!("ended session: {s}")));
        Ok(report)
    }

    /// In the live database itself, in one transaction, after a safety backup.
    fn in_place(mut self, name: &str) -> Result<RestoreReport> {
        let safety_backup = match self.plan.request.skip_safety_backup {
            true => None,
            false => Some(self.safety_backup(name)?),
        };
        let target = self.plan.request.admin.with_dbname(name);
        let _lease = DatabaseLease::acquire(&target, "restore")?;
        let begun = Instant::now();
        let expected = self.expected()?;
        let level = self.proof_level();
        let proof = std::cell::RefCell::new(None);
        let proving = std::cell::Cell::new(Duration::ZERO);
        // The proof looks at what is not committed yet; a difference undoes everything.
        let prove_inside = |connection: &mut Connection| {
            let started = Instant::now();
            let (cancel, progress) = (&self.context.cancel, &*self.context.progress);
            let found =
                prove::collect_in_transaction(connection, &expected, level, cancel, progress)?;
            let report = ProofReport::of(&expected.evidence, found, level);
            let differs = !report.differences.is_empty();
            *proof.borrow_mut() = Some(report);
            proving.set(started.elapsed());
            match differs {
                true => Err(pgkeep_postgres::Error::refused(
                    "the restored content differs from the backup",
                    "",
                )),
                false => Ok(()),
            }
        };
        let summary = pg::restore_in_place(
            &target,
            self.database,
            &self.source,
            &self.tools,
            &self.options,
            &prove_inside,
            &self.context.cancel,
            &*self.context.progress,
        );
        let proof = proof.into_inner();
        let summary = match (summary, &proof) {
            (Ok(summary), _) => summary,
            (Err(_), Some(proof)) if !proof.differences.is_empty() => {
                return Err(proof_error(proof, name)
                    .hint("everything was rolled back, the database is as it was"));
            }
            (Err(e), _) => return Err(e.into()),
        };
        self.warnings.extend(
            summary
                .left_out
                .iter()
                .map(|what| format!("left out: {what}")),
        );
        let filled = Filled {
            seconds: (begun.elapsed() - proving.get()).as_secs_f64(),
            prove_seconds: proving.get().as_secs_f64(),
            rows: summary.rows,
            bytes: summary.bytes,
            proof: proof.unwrap_or_else(ProofReport::nothing),
        };
        let mut report = self.report(name, filled);
        report.safety_backup = safety_backup;
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
        let _lease = DatabaseLease::acquire(target, "restore")?;
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

    fn prove(
        &self,
        target: &ConnectOptions,
        summary: pg::RestoreSummary,
        begun: Instant,
    ) -> Result<Filled> {
        let seconds = begun.elapsed().as_secs_f64();
        let proving = Instant::now();
        let proof = self.compare(target)?;
        Ok(Filled {
            seconds,
            prove_seconds: proving.elapsed().as_secs_f64(),
            rows: summary.rows,
            bytes: summary.bytes,
            proof,
        })
    }

    fn compare(&self, target: &ConnectOptions) -> Result<ProofReport> {
        let level = self.proof_level();
        if level == Proof::None {
            let unprovable = (self.database.content == DatabaseContent::Plain)
                .then(|| SCRIPT_UNPROVABLE.to_owned());
            return Ok(ProofReport {
                unprovable,
                ..ProofReport::nothing()
            });
        }
        let expected = self.expected()?;
        let (cancel, progress) = (&self.context.cancel, &*self.context.progress);
        let jobs = self.plan.request.jobs;
        let found = prove::collect(
            target,
            &expected,
            &self.tools,
            jobs,
            level,
            cancel,
            progress,
        )?;
        Ok(ProofReport::of(&expected.evidence, found, level))
    }

    /// A script without a table of contents comes with no evidence.
    fn proof_level(&self) -> Proof {
        match self.database.content {
            DatabaseContent::Directory => self.plan.request.prove,
            DatabaseContent::Plain => Proof::None,
        }
    }

    /// The manifest with the evidence of what is restored: all of it, or the chosen part.
    fn expected(&self) -> Result<DatabaseManifest> {
        let mut expected = self.database.clone();
        if self.database.content == DatabaseContent::Directory {
            let (toc, _) = pg::open_toc(self.database, &self.source as &dyn DumpSource)?;
            expected.evidence = pg::expected_evidence(self.database, &toc, &self.options)?;
        }
        Ok(expected)
    }

    /// A backup of the live database as it is, before anything may happen to it.
    fn safety_backup(&mut self, live: &str) -> Result<String> {
        self.context
            .progress
            .phase(pgkeep_model::Phase::SafetyBackup, None);
        let report = backup::run(
            self.repository,
            &BackupRequest {
                app: self.plan.summary.app.clone(),
                environment: self.plan.manifest.environment.clone(),
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
            },
            self.context,
        )
        .map_err(|e| e.context("the safety backup failed, so nothing was changed"))?;
        Ok(report.id)
    }

    fn drop_unfinished(&mut self, name: &str) {
        let dropped = pg::connect_beside(&self.plan.request.admin, &[name])
            .and_then(|mut admin| pg::drop_database(&mut admin, name));
        if let Err(e) = dropped {
            self.context.progress.warn(&format!(
                "the unfinished database {name} could not be dropped ({e}); `pgkeep undo --list` shows it, `--drop-expired` drops it"
            ));
        }
    }

    fn require_proven(&self, filled: &Filled, name: &str) -> Result<()> {
        if filled.proof.level == Proof::None || filled.proof.proven() {
            return Ok(());
        }
        Err(proof_error(&filled.proof, name))
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
            warnings: self.warnings.clone(),
        }
    }
}

fn proof_error(proof: &ProofReport, name: &str) -> Error {
    Error::new(
        ErrorCode::ProofFailed,
        format!(
            "database {name} is not what was backed up: {}",
            crate::counted(proof.differences.len(), "difference")
        ),
    )
    .details(
        proof
            .differences
            .iter()
            .take(20)
            .map(ToString::to_string)
            .collect(),
    )
}
