//! A drill: restore a backup into throwaway databases and folders, prove them, ask the user's own questions, remove them
//! again.
//!
//! File trees come first, one after the other, in a folder of the drill's own (`scratch`); then the databases, of which
//! each is asked what it expects in the trees.
//!
//! Every copy carries a mark until it is removed, so that whatever happens to this process, [`remove_leftovers`] finds it:
//! the server calls it at its start and every hour, each drill before it begins (and `pgkeep undo --drop-expired` drops
//! databases).
//!
//! Three ends are told apart. *Proven*: the copy is equal to its evidence and passed everything. *Failed*: something
//! speaks against the backup, or the app's own checks did not pass. *Unproven*: the drill server lacks what the backup
//! needs, an extension or a role, so that nothing was found out about the backup.

mod conditions;
mod examine;
mod files;
mod leftovers;
mod scratch;

pub use examine::{AssertionResult, CheckResult, MigrationCheck};
pub use files::DrilledTree;

pub(crate) use examine::run_check;

use crate::{
    Context, Error, ErrorCode, Result,
    catalog::{self, BackupDetail, Finding, ListFilter},
    restore::{self, Content, PlanSummary, ProofReport, RestoreRequest, RestoreTarget, Selection},
};
use pgkeep_model::{
    Phase,
    app::{self, Commands, FileTree, Migrations},
    duration::parse_duration,
    evidence::Proof,
};
use pgkeep_postgres::{
    connect::ConnectOptions,
    restore::{connect_beside, drop_database},
    structure::{self, StructureReport},
};
use pgkeep_repository::Repository;
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// What stands between a database's name and the time in the name of its copy.
const MARK: &str = "_drill_";
/// How long a drill waits for a quiet moment where nothing else is said.
const USUAL_WAIT: Duration = Duration::from_secs(3600);

/// Which backup to drill, and where.
#[derive(Clone)]
pub struct DrillRequest {
    pub backup: String,
    pub app: Option<String>,
    /// Which database of the backup; all of them when left out.
    pub database: Option<String>,
    /// A server on which a database may be created; not necessarily the one that was backed up.
    pub admin: ConnectOptions,
    pub jobs: usize,
    pub prove: Proof,
    pub no_owner: bool,
    /// SQL statements that must give one row whose first column is true (`t`, or a number other than 0).
    pub assertions: Vec<String>,
    /// Leave the database there for a look.
    pub keep: bool,
    pub further: FurtherChecks,
}

/// What a drill looks at besides the evidence, and when it is not made.
#[derive(Debug, Clone, Default)]
pub struct FurtherChecks {
    /// Programs of the app, of which `check` and `migrate_check` are run against the copy.
    pub commands: Option<Commands>,
    /// Where the app keeps its applied migrations, if it says so.
    pub migrations: Option<Migrations>,
    /// Look through indexes and tables with amcheck, where the server offers it.
    pub amcheck: bool,
    /// Longest time that restoring and proving may take.
    pub objective: Option<Duration>,
    /// Folder below which file trees are restored; made where it is missing. Without one, the trees are left alone.
    pub scratch: Option<PathBuf>,
    /// The app's file trees as they are configured, for what the database expects in them.
    pub trees: Vec<FileTree>,
    /// Bytes that must remain free on the drill server's disk, and on that of `scratch`.
    pub leave_free: Option<u64>,
    /// The drill starts only below this one-minute load for each processor.
    pub max_load_percent: Option<u32>,
    /// How long it may wait for that.
    pub wait: Duration,
}

impl FurtherChecks {
    /// From what the user said of the app; `size` reads sizes such as `10GiB`.
    pub fn of(
        drill: &app::Drill,
        commands: &Commands,
        migrations: Option<&Migrations>,
        size: impl Fn(&str) -> Result<u64, String>,
    ) -> Result<Self> {
        let wrong = |what: &str, e: String| Error::invalid(format!("drill.{what}: {e}"));
        Ok(Self {
            commands: drill.commands.then(|| commands.clone()),
            migrations: migrations.cloned(),
            amcheck: drill.amcheck,
            objective: drill
                .objective
                .as_deref()
                .map(parse_duration)
                .transpose()
                .map_err(|e| wrong("objective", e.to_string()))?,
            leave_free: drill
                .leave_free
                .as_deref()
                .map(size)
                .transpose()
                .map_err(|e| wrong("leave_free", e))?,
            max_load_percent: drill.max_load_percent,
            wait: USUAL_WAIT,
            ..Self::default()
        })
    }

    /// Looks at the file trees too, unless the app says that its drills leave them alone. `usual` is where they are
    /// restored if the app says nothing.
    pub fn with_files(
        self,
        drill: &app::Drill,
        trees: &[FileTree],
        usual: Option<PathBuf>,
    ) -> Self {
        let said = drill.scratch.as_ref().map(PathBuf::from);
        Self {
            scratch: said.or(usual).filter(|_| !drill.databases_only),
            trees: trees.to_vec(),
            ..self
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DrillReport {
    pub backup: String,
    pub proven: bool,
    pub databases: Vec<DrilledDatabase>,
    /// File trees that were restored, proven and removed again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<DrilledTree>,
    /// From the first byte read to the proven database: the recovery time to count on.
    pub seconds: f64,
    /// Why nothing was found out about the backup: what the drill server lacks. Neither proven nor failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unproven: Vec<String>,
    /// Why the drill was not made: the machine was busy, or its disk too full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// The measured time against the objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    /// Why the result could not be written down with the backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unrecorded: Option<String>,
    /// Databases and folders of earlier drills that were killed, and are removed now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
}

/// How the measured recovery time stands to what is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    pub seconds: f64,
    pub met: bool,
}

impl DrillReport {
    fn speaks_against_backup(&self) -> bool {
        self.databases
            .iter()
            .any(DrilledDatabase::speaks_against_backup)
            || self.files.iter().any(|tree| !tree.is_good())
    }

    /// Everything was as it should be: proven, within the objective, and written down.
    pub fn passed(&self) -> bool {
        self.proven && self.objective.as_ref().is_none_or(|o| o.met) && self.unrecorded.is_none()
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DrilledDatabase {
    pub name: String,
    /// Name of the throwaway database; dropped unless it was asked to be kept.
    pub restored_as: String,
    pub kept: bool,
    pub restore_seconds: f64,
    pub prove_seconds: f64,
    pub proof: ProofReport,
    pub assertions: Vec<AssertionResult>,
    #[serde(default)]
    pub migrations: MigrationCheck,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub structure: Option<StructureReport>,
    #[serde(default)]
    pub checks: Vec<CheckResult>,
}

impl DrilledDatabase {
    /// A difference, or an assertion that does not hold. One that could not run, a script that cannot be proven, and
    /// programs or indexes of this machine that fail, say nothing about the backup.
    fn speaks_against_backup(&self) -> bool {
        let failed = |a: &AssertionResult| !a.passed && !a.could_not_run;
        !self.proof.differences.is_empty()
            || !self.migrations.differences.is_empty()
            || self.assertions.iter().any(failed)
    }

    fn is_good(&self) -> bool {
        let in_order = |s: &StructureReport| s.problems.is_empty();
        self.proof.proven()
            && self.migrations.differences.is_empty()
            && self.assertions.iter().all(|a| a.passed)
            && self.checks.iter().all(|c| c.succeeded)
            && self.structure.as_ref().is_none_or(in_order)
    }

    /// What is not as it should be, in words.
    fn findings(&self) -> Vec<String> {
        let mut all: Vec<String> = self
            .proof
            .differences
            .iter()
            .map(ToString::to_string)
            .collect();
        all.extend(
            self.migrations
                .differences
                .iter()
                .map(|d| format!("schema version: {d}")),
        );
        let failed = self.assertions.iter().filter(|a| !a.passed);
        all.extend(failed.map(|a| format!("assertion {} gave {}", a.sql, a.answer)));
        let failed = self.checks.iter().filter(|c| !c.succeeded);
        all.extend(failed.map(|c| format!("{} failed: {}", c.command, c.output)));
        all.extend(
            self.structure
                .iter()
                .flat_map(|s| s.problems.iter().cloned()),
        );
        all
    }
}

/// Restores and proves; the backup is marked proven only when every evidence and every assertion holds.
pub fn run(
    repository: &Repository,
    request: &DrillRequest,
    context: &Context,
) -> Result<DrillReport> {
    let filter = ListFilter {
        app: request.app.clone(),
        ..ListFilter::default()
    };
    let entry = catalog::find(repository, &request.backup, &filter)?;
    let blame = |e: Error| -> Error {
        if matches!(e.code, ErrorCode::ProofFailed | ErrorCode::Damaged)
            && let Err(e) = catalog::record(repository, &entry, Finding::DrillFailed, context)
        {
            return e;
        }
        e
    };
    let manifest = catalog::manifest(repository, &entry).map_err(blame)?;
    let detail = BackupDetail {
        entry: entry.clone(),
        manifest,
    };
    let scratch = request.further.scratch.as_deref();
    let removed = remove_or_warn(Some(&request.admin), scratch, context);
    let mut report = DrillReport {
        backup: detail.entry.id.clone(),
        proven: false,
        databases: Vec::new(),
        files: Vec::new(),
        seconds: 0.0,
        unproven: Vec::new(),
        skipped: conditions::hinder(&request.further, &detail.manifest, &request.admin, context)?,
        objective: None,
        unrecorded: None,
        removed,
    };
    if report.skipped.is_some() {
        return Ok(report);
    }
    let names: Vec<String> = match &request.database {
        Some(name) => vec![name.clone()],
        None => detail
            .manifest
            .databases
            .iter()
            .map(|d| d.name.clone())
            .collect(),
    };
    let begun = Instant::now();
    let mut trees = match scratch.filter(|_| request.database.is_none()) {
        Some(scratch) => {
            files::drill(repository, request, &detail, scratch, context).map_err(blame)?
        }
        None => files::Trees::default(),
    };
    report.unproven.append(&mut trees.unproven);
    for name in &names {
        context.cancel.check()?;
        let looked = &mut trees.looked;
        let drilled = drill_database(repository, request, &detail, name, looked, context);
        match drilled.map_err(blame)? {
            Drilled::Done(database) => report.databases.push(*database),
            Drilled::Lacking(reasons) => report.unproven.extend(reasons),
        }
    }
    report.files = trees.looked.into_iter().map(|looked| looked.tree).collect();
    let (databases, files) = (&report.databases, &report.files);
    report.seconds = databases
        .iter()
        .map(|d| d.restore_seconds + d.prove_seconds)
        .chain(files.iter().map(|tree| tree.seconds))
        .sum();
    report.objective = request.further.objective.map(|limit| Objective {
        seconds: limit.as_secs_f64(),
        met: report.seconds <= limit.as_secs_f64(),
    });
    report.proven = !(databases.is_empty() && files.is_empty())
        && report.unproven.is_empty()
        && databases.iter().all(DrilledDatabase::is_good)
        && files.iter().all(DrilledTree::is_good);
    // A drill that looked at counts only, or at a part of the databases, proves less than the mark promises.
    let whole = request.prove == Proof::Full && names.len() == detail.manifest.databases.len();
    if report.proven && whole {
        let seconds = begun.elapsed().as_secs_f64();
        let proven = Finding::Proven { seconds };
        report.unrecorded = catalog::record(repository, &detail.entry, proven, context)?;
    } else if report.speaks_against_backup() {
        report.unrecorded =
            catalog::record(repository, &detail.entry, Finding::DrillFailed, context)?;
    }
    Ok(report)
}

/// Removes what drills left that were killed: databases on the server, folders below `scratch`. Their names and paths.
pub fn remove_leftovers(
    admin: Option<&ConnectOptions>,
    scratch: Option<&Path>,
    context: &Context,
) -> Result<Vec<String>> {
    let mut removed = match scratch {
        Some(scratch) => scratch::remove_abandoned(scratch)?,
        None => Vec::new(),
    };
    if let Some(admin) = admin {
        removed.extend(leftovers::remove(admin, context)?);
    }
    Ok(removed)
}

/// What an earlier drill left is no reason not to make this one.
fn remove_or_warn(
    admin: Option<&ConnectOptions>,
    scratch: Option<&Path>,
    context: &Context,
) -> Vec<String> {
    let places = [(admin, None), (None, scratch)];
    let removed = places.map(|(admin, scratch)| {
        remove_leftovers(admin, scratch, context).unwrap_or_else(|e| {
            context.progress.warn(&format!(
                "what earlier drills left could not be removed: {e}"
            ));
            Vec::new()
        })
    });
    removed.concat()
}

enum Drilled {
    Done(Box<DrilledDatabase>),
    /// The server lacks what the backup needs.
    Lacking(Vec<String>),
}

fn drill_database(
    repository: &Repository,
    request: &DrillRequest,
    detail: &BackupDetail,
    name: &str,
    trees: &mut [files::Looked],
    context: &Context,
) -> Result<Drilled> {
    let side = throwaway_name(name, context);
    let plan = restore::plan(
        repository,
        &RestoreRequest {
            backup: detail.entry.id.clone(),
            app: request.app.clone(),
            database: Some(name.to_string()),
            admin: request.admin.clone(),
            target: RestoreTarget::Into { name: side.clone() },
            selection: Selection::default(),
            content: Content::All,
            jobs: request.jobs,
            prove: request.prove,
            keep_old_secs: 0,
            no_owner: request.no_owner,
            role: None,
            throwaway: !request.keep,
            vacuum: false,
            skip_safety_backup: true,
            grace_secs: 0,
            around: restore::Around::default(),
        },
        context,
    )?;
    if let Some(reasons) = lacking(&plan.summary) {
        return Ok(Drilled::Lacking(reasons));
    }
    let copy = request.admin.with_dbname(&side);
    let outcome = restore::execute(repository, plan, context).and_then(|report| {
        files::ask(trees, name, &copy, context)?;
        Ok((look(request, detail, name, &copy, context)?, report))
    });
    let dropped = if request.keep {
        Ok(())
    } else {
        context.progress.phase(Phase::Cleanup, None);
        connect_beside(&request.admin, &[&side])
            .and_then(|mut admin| drop_database(&mut admin, &side))
            .map_err(Error::from)
    };
    // What the restore found out counts more than a database that stays behind: that one is marked and can be dropped later.
    if let Err(e) = &dropped {
        context.progress.warn(&format!(
            "the drill's database {side} could not be dropped ({e}); `pgkeep undo --list` shows it"
        ));
    }
    let (looked, report) = outcome?;
    Ok(Drilled::Done(Box::new(DrilledDatabase {
        name: name.to_string(),
        restored_as: side,
        kept: request.keep || dropped.is_err(),
        restore_seconds: report.restore_seconds,
        prove_seconds: report.prove_seconds,
        proof: report.proof,
        assertions: looked.assertions,
        migrations: looked.migrations,
        structure: looked.structure,
        checks: looked.checks,
    })))
}

/// What the drill server has not, when that and nothing else stands in the way.
fn lacking(plan: &PlanSummary) -> Option<Vec<String>> {
    let database = &plan.database;
    let count = usize::from(!database.missing_extensions.is_empty())
        + usize::from(!database.missing_tablespaces.is_empty())
        + database.missing_roles.len();
    if plan.refusals.is_empty() || plan.refusals.len() > count {
        return None;
    }
    let said = |what: &str, names: &[String]| {
        let names = names.iter();
        names
            .map(|name| format!("{what} {name} is not on the drill server"))
            .collect::<Vec<_>>()
    };
    Some(
        [
            said("extension", &database.missing_extensions),
            said("tablespace", &database.missing_tablespaces),
            said("role", &database.missing_roles),
        ]
        .concat(),
    )
}

/// What was seen of a copy besides its evidence.
struct Looked {
    assertions: Vec<AssertionResult>,
    migrations: MigrationCheck,
    structure: Option<StructureReport>,
    checks: Vec<CheckResult>,
}

fn look(
    request: &DrillRequest,
    detail: &BackupDetail,
    name: &str,
    copy: &ConnectOptions,
    context: &Context,
) -> Result<Looked> {
    let further = &request.further;
    let mut migrations = match detail.manifest.database(name) {
        Some(database) => {
            examine::migrations(copy, database, further.migrations.as_ref(), context)?
        }
        None => MigrationCheck::default(),
    };
    let structure = match further.amcheck {
        true => Some(structure::look(copy, request.jobs, &context.cancel)?),
        false => None,
    };
    let mut checks = Vec::new();
    if let Some(commands) = &further.commands {
        let about = (detail.manifest.app.as_str(), name);
        for words in &commands.check {
            checks.push(run_check(words, commands, copy, about, context)?);
        }
        if !commands.migrate_check.is_empty() {
            // Code that is ahead of the backup is what every deployment brings, and no fault of the backup.
            let ended = run_check(&commands.migrate_check, commands, copy, about, context)?;
            migrations.code_is_ahead = Some(!ended.succeeded);
        }
    }
    Ok(Looked {
        assertions: examine::ask(copy, &request.assertions, context)?,
        migrations,
        structure,
        checks,
    })
}

fn throwaway_name(name: &str, context: &Context) -> String {
    let stamp = context.clock.now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut base = name.to_string();
    // 63 bytes are PostgreSQL's limit for a name.
    while base.len() + MARK.len() + stamp.len() > 63 {
        base.pop();
    }
    format!("{base}{MARK}{stamp}")
}

/// Turns a drill that found something into an error, for callers that want one. One that was skipped found nothing.
pub fn require_proven(report: &DrillReport) -> Result<()> {
    if report.passed() || report.skipped.is_some() {
        return Ok(());
    }
    if !report.unproven.is_empty() {
        return Err(Error::new(
            ErrorCode::ProofFailed,
            format!("the backup is unproven: {}", report.unproven.join(", ")),
        )
        .hint("nothing speaks against the backup; install what is missing, or name another server for drills"));
    }
    if let Some(why) = report.unrecorded.as_ref().filter(|_| report.proven) {
        return Err(Error::new(
            ErrorCode::Storage,
            format!("the backup is proven, but that could not be written down with it: {why}"),
        )
        .hint(
            "let pgkeep write to the repository, and drill again: else nobody knows of the proof",
        ));
    }
    if report.proven {
        let allowed = report.objective.as_ref().map_or(0.0, |o| o.seconds);
        return Err(Error::new(
            ErrorCode::ProofFailed,
            format!(
                "the backup is proven, but restoring it took {:.0} s, and {allowed:.0} s are the objective",
                report.seconds
            ),
        )
        .hint("give the restore more jobs or a faster server, or raise the objective"));
    }
    let named = |name: &str, finding: String| format!("{name}: {finding}");
    let databases = report.databases.iter();
    let trees = report.files.iter();
    let details = databases
        .flat_map(|d| d.findings().into_iter().map(|f| named(&d.name, f)))
        .chain(trees.filter_map(|tree| Some(named(&tree.name, tree.difference.clone()?))))
        .collect();
    let message = match report.speaks_against_backup() {
        true => "what was restored is not what was backed up",
        false => "the restored database did not pass its checks",
    };
    Err(Error::new(ErrorCode::ProofFailed, message)
        .details(details)
        .hint("keep the older backups, run `pgkeep verify --read-data` on this one and restore with --keep to look"))
}
