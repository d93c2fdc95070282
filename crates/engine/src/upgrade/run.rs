//! Carrying an upgrade out.

use super::{ClusterFacts, PRE_UPGRADE, UpgradePlan, cluster, roles};
use crate::{
    Context, Error, Result,
    backup::{self, BackupRequest},
    catalog::{self, ListFilter},
    drill::{self, CheckResult},
    restore::{
        self, Content, ProofReport, RestoreReport, RestoreRequest, RestoreTarget, Selection,
    },
};
use jiff::Timestamp;
use pgkeep_model::{
    Phase,
    evidence::{Proof, quote_ident},
    manifest::{BackupKind, DatabaseManifest, GLOBALS_PATH, Manifest},
};
use pgkeep_postgres::{
    connect::ConnectOptions,
    prove, read_only,
    restore::{self as pg, GlobalsSummary, MadeRole, Mark},
    structure::{self, StructureReport},
    tools::Tools,
    wire::Connection,
};
use pgkeep_repository::Repository;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// What an upgrade did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UpgradeReport {
    pub from: ClusterFacts,
    pub to: ClusterFacts,
    /// Id of the backup that the new databases are made from.
    pub backup: String,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    /// The old databases are read-only now.
    pub fenced: bool,
    pub sessions_ended: usize,
    pub backup_seconds: f64,
    pub seconds: f64,
    pub roles: GlobalsSummary,
    pub databases: Vec<UpgradedDatabase>,
    /// What was said before it began.
    pub warnings: Vec<String>,
    /// Everything was proven, and nothing was found wrong.
    pub succeeded: bool,
}

/// A database on the new server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UpgradedDatabase {
    pub name: String,
    pub tables: usize,
    pub rows: u64,
    pub bytes: u64,
    pub sequences: usize,
    pub restore_seconds: f64,
    pub prove_seconds: f64,
    pub proof: ProofReport,
    /// What differs because the versions do, by name.
    pub expected_differences: Vec<String>,
    pub extensions_updated: Vec<ExtensionChange>,
    pub structure: StructureReport,
    pub checks: Vec<CheckResult>,
    pub warnings: Vec<String>,
}

impl UpgradedDatabase {
    fn is_good(&self) -> bool {
        let proven = self.proof.level == Proof::None || self.proof.proven();
        proven && self.structure.problems.is_empty() && self.checks.iter().all(|c| c.succeeded)
    }
}

/// `ALTER EXTENSION … UPDATE`, done or refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtensionChange {
    pub name: String,
    pub from: String,
    pub to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Does what the plan says. A plan with refusals is refused.
///
/// # Errors
/// The old server is as it was, a fence included; databases that were finished on the new one stay and carry the mark by
/// which a rollback knows them.
pub fn run(
    repository: &Repository,
    plan: &UpgradePlan,
    context: &Context,
) -> Result<UpgradeReport> {
    if let Some(refusal) = plan.summary.refusals.first() {
        return Err(Error::refused(refusal.message.clone()).hint(refusal.remedy.clone()));
    }
    let mut fence = Fence::default();
    let done = Upgrade {
        repository,
        plan,
        context,
        begun: Instant::now(),
    }
    .run(&mut fence);
    match done {
        Ok(report) => Ok(report),
        Err(error) => Err(fence.lift(plan, error)),
    }
}

/// The fences of this run, to be lifted if it fails.
#[derive(Default)]
struct Fence {
    databases: Vec<String>,
    sessions_ended: usize,
}

impl Fence {
    fn put(&mut self, plan: &UpgradePlan, context: &Context) -> Result<()> {
        let mut admin = cluster::connect(&plan.request.from, context)?;
        for database in &plan.summary.databases {
            let ended = read_only::fence(&mut admin, &database.name)?;
            self.sessions_ended += ended;
            if read_only::is_fenced(&mut admin, &database.name)? {
                self.databases.push(database.name.clone());
            }
        }
        Ok(())
    }

    /// An upgrade that failed leaves nobody locked out; where that fails too, both are told.
    fn lift(&self, plan: &UpgradePlan, error: Error) -> Error {
        if self.databases.is_empty() {
            return error;
        }
        let lifted = Connection::open(&plan.request.from).and_then(|mut admin| {
            self.databases
                .iter()
                .try_for_each(|name| read_only::lift(&mut admin, name).map(|_| ()))
        });
        match lifted {
            Ok(()) => error,
            Err(e) => error.context(format!(
                "the old databases are still read-only ({e}); `pgkeep upgrade rollback` lifts that"
            )),
        }
    }
}

struct Upgrade<'a> {
    repository: &'a Repository,
    plan: &'a UpgradePlan,
    context: &'a Context,
    begun: Instant,
}

impl Upgrade<'_> {
    fn run(self, fence: &mut Fence) -> Result<UpgradeReport> {
        let (request, summary) = (&self.plan.request, &self.plan.summary);
        let started_at = self.context.clock.now();
        if request.fence {
            fence.put(self.plan, self.context)?;
        }
        let backup = backup::run(self.repository, &self.backup_request(), self.context)
            .map_err(|e| e.context("the final backup failed, so nothing was changed"))?;
        let backup_seconds = backup.seconds;
        let detail = catalog::show(self.repository, &backup.id, &ListFilter::default())?;
        let roles = self.make_roles(&detail)?;
        let mut new = cluster::connect(&request.to, self.context)?;
        let made = roles::made(&mut new, &roles.created)?;
        drop(new);
        let mut databases = Vec::new();
        for database in &summary.databases {
            self.context.cancel.check()?;
            let done = self.move_database(&database.name, &backup.id, &detail.manifest, &made);
            databases.push(done.map_err(|e| e.context(format!("database {}", database.name)))?);
        }
        Ok(UpgradeReport {
            from: summary.from.clone(),
            to: summary.to.clone(),
            backup: backup.id,
            started_at,
            finished_at: self.context.clock.now(),
            fenced: !fence.databases.is_empty(),
            sessions_ended: fence.sessions_ended,
            backup_seconds,
            seconds: self.begun.elapsed().as_secs_f64(),
            roles,
            succeeded: databases.iter().all(UpgradedDatabase::is_good),
            databases,
            warnings: summary.warnings.clone(),
        })
    }

    fn backup_request(&self) -> BackupRequest {
        let (request, summary) = (&self.plan.request, &self.plan.summary);
        BackupRequest {
            app: request.app.clone(),
            environment: request.environment.clone(),
            kind: BackupKind::Full,
            description: format!(
                "before the upgrade from PostgreSQL {} to {}",
                summary.from.major, summary.to.major
            ),
            tags: vec![PRE_UPGRADE.into()],
            pinned: false,
            origin: request.origin.clone(),
            databases: summary
                .databases
                .iter()
                .map(|d| request.from.with_dbname(&d.name))
                .collect(),
            globals: true,
            jobs: request.jobs,
            compression_level: request.compression_level,
            exclude_table_data: Vec::new(),
            schemas: Vec::new(),
            lock_timeout: None,
            read_back_all: false,
            application: Default::default(),
        }
    }

    fn make_roles(&self, detail: &catalog::BackupDetail) -> Result<GlobalsSummary> {
        if !detail.manifest.globals {
            return Ok(GlobalsSummary {
                left_out: vec!["roles could not be read from the old server".into()],
                ..GlobalsSummary::default()
            });
        }
        let reader = self.repository.open_snapshot(&detail.entry.snapshot)?;
        let script = reader.read_to_vec(GLOBALS_PATH)?;
        let mut admin = cluster::connect(&self.plan.request.to, self.context)?;
        Ok(pg::apply_globals(
            &mut admin,
            &String::from_utf8_lossy(&script),
        )?)
    }

    fn move_database(
        &self,
        name: &str,
        backup: &str,
        manifest: &Manifest,
        roles: &[MadeRole],
    ) -> Result<UpgradedDatabase> {
        let request = &self.plan.request;
        let plan = restore::plan(
            self.repository,
            &self.restore_request(name, backup),
            self.context,
        )?;
        let restored = restore::execute(self.repository, plan, self.context)?;
        let database = manifest
            .database(name)
            .ok_or_else(|| Error::not_found(format!("the backup holds no database {name}")))?;
        let target = request.to.with_dbname(name);
        let finished = self.finish(&target, backup, database, roles, restored);
        if finished.is_err() {
            let dropped = pg::connect_beside(&request.to, &[name])
                .and_then(|mut admin| pg::drop_database(&mut admin, name));
            if let Err(e) = dropped {
                self.context.progress.warn(&format!(
                    "the unfinished database {name} could not be dropped ({e}); `pgkeep undo --list` shows it"
                ));
            }
        }
        finished
    }

    /// The database stays marked as unfinished until the end, so a run that is killed leaves nothing unknown behind.
    fn restore_request(&self, name: &str, backup: &str) -> RestoreRequest {
        let request = &self.plan.request;
        RestoreRequest {
            backup: backup.to_owned(),
            app: None,
            database: Some(name.to_owned()),
            admin: request.to.clone(),
            target: RestoreTarget::Into {
                name: name.to_owned(),
            },
            selection: Selection::default(),
            content: Content::All,
            jobs: request.jobs,
            prove: request.prove,
            keep_old_secs: 0,
            no_owner: request.no_owner,
            role: None,
            throwaway: true,
            vacuum: false,
            skip_safety_backup: true,
            grace_secs: 0,
            around: Default::default(),
        }
    }

    fn finish(
        &self,
        target: &ConnectOptions,
        backup: &str,
        database: &DatabaseManifest,
        roles: &[MadeRole],
        restored: RestoreReport,
    ) -> Result<UpgradedDatabase> {
        let (request, context) = (&self.plan.request, self.context);
        context.progress.phase(Phase::Check, None);
        let mut inside = cluster::connect(target, context)?;
        inside.execute("SET default_transaction_read_only = off")?;
        let extensions_updated = update_extensions(&mut inside)?;
        let structure = structure::look(target, request.jobs, &context.cancel)?;
        let checks = self.checks(target)?;
        let expected_differences = expected_differences(&mut inside, database)?;
        drop(inside);
        self.mark(target, backup, database, roles)?;
        Ok(UpgradedDatabase {
            name: target.dbname.clone(),
            tables: restored.tables,
            rows: restored.rows,
            bytes: restored.bytes,
            sequences: database.evidence.sequences.len(),
            restore_seconds: restored.restore_seconds,
            prove_seconds: restored.prove_seconds,
            proof: restored.proof,
            expected_differences,
            extensions_updated,
            structure,
            checks,
            warnings: restored.warnings,
        })
    }

    fn checks(&self, target: &ConnectOptions) -> Result<Vec<CheckResult>> {
        let Some(commands) = &self.plan.request.commands else {
            return Ok(Vec::new());
        };
        let about = (self.plan.request.app.as_str(), target.dbname.as_str());
        commands
            .check
            .iter()
            .map(|words| drill::run_check(words, commands, target, about, self.context))
            .collect()
    }

    /// From here on the database is finished, and known as this upgrade's.
    fn mark(
        &self,
        target: &ConnectOptions,
        backup: &str,
        database: &DatabaseManifest,
        roles: &[MadeRole],
    ) -> Result<()> {
        let schema_sha256 = schema_of(target, database, self.context)?;
        let mut admin = cluster::connect(target, self.context)?;
        admin.execute("SET default_transaction_read_only = off")?;
        let oid = admin
            .query_value("SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()")?
            .and_then(|oid| oid.parse().ok())
            .unwrap_or(0);
        let summary = &self.plan.summary;
        let mark = Mark::Upgraded {
            from: summary.from.server.clone(),
            system: summary.from.system_identifier.clone(),
            backup: backup.to_owned(),
            finished_at: self.context.clock.now(),
            schema_sha256,
            oid,
            roles: roles.to_vec(),
            comment: database.properties.comment.clone(),
        };
        pg::mark_again(&mut admin, &target.dbname, &mark)?;
        Ok(())
    }
}

/// A checksum over the definitions in the database at `target`, as the target's own pg_dump words them.
pub(super) fn schema_of(
    target: &ConnectOptions,
    database: &DatabaseManifest,
    context: &Context,
) -> Result<String> {
    let mut nothing = database.clone();
    nothing.evidence.tables.clear();
    let major = cluster::connect(target, context)?.server_version_num() / 10_000;
    let tools = Tools::for_dump(major, &context.tool_dirs)?;
    let found = prove::collect(
        target,
        &nothing,
        &tools,
        1,
        Proof::Counts,
        &context.cancel,
        &pgkeep_model::progress::Silent,
    )?;
    Ok(found.schema_sha256)
}

/// A restore makes extensions in the version that the new server's files prefer; one whose files were changed by hand may
/// still be older.
fn update_extensions(inside: &mut Connection) -> Result<Vec<ExtensionChange>> {
    let rows = inside.query(
        "SELECT name, installed_version, default_version FROM pg_catalog.pg_available_extensions
         WHERE installed_version IS NOT NULL AND installed_version <> default_version ORDER BY name",
    )?;
    let mut changes = Vec::new();
    for row in rows.iter() {
        let name = row.text("name");
        let updated = inside.execute(&format!("ALTER EXTENSION {} UPDATE", quote_ident(&name)));
        changes.push(ExtensionChange {
            name,
            from: row.text("installed_version"),
            to: row.text("default_version"),
            error: updated.err().map(|e| e.to_string()),
        });
    }
    Ok(changes)
}

/// What is not the same on both servers and is not meant to be.
fn expected_differences(
    inside: &mut Connection,
    database: &DatabaseManifest,
) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for now in pgkeep_postgres::inspect::extension_evidence(inside)? {
        let before = database
            .evidence
            .extensions
            .iter()
            .find(|e| e.name == now.name);
        if let Some(before) = before.filter(|before| before.version != now.version) {
            all.push(format!(
                "extension {}: version {} became {}",
                now.name, before.version, now.version
            ));
        }
    }
    let name = inside.dbname().to_owned();
    let properties = pgkeep_postgres::inspect::database_properties(inside, &name)?;
    let old = &database.properties;
    if let (Some(before), Some(now)) = (&old.collation_version, &properties.collation_version)
        && before != now
    {
        all.push(format!(
            "sort order of {}: version {before} became {now}",
            old.collate
        ));
    }
    Ok(all)
}
