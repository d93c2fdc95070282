//! A drill: restore a backup into a throwaway database, prove it, ask the user's own questions, drop it again.

use crate::{
    Context, Error, ErrorCode, Result,
    catalog::{self, Finding, ListFilter},
    restore::{self, Content, ProofReport, RestoreRequest, RestoreTarget, Selection},
};
use pgkeep_model::{Phase, evidence::Proof};
use pgkeep_postgres::{
    connect::ConnectOptions,
    restore::{connect_beside, drop_database},
    wire::Connection,
};
use pgkeep_repository::Repository;
use serde::{Deserialize, Serialize};
use std::time::Instant;

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
}

#[derive(Debug, Serialize, Deserialize)]
pub struct DrillReport {
    pub backup: String,
    pub proven: bool,
    pub databases: Vec<DrilledDatabase>,
    /// From the first byte read to the proven database: the recovery time to count on.
    pub seconds: f64,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct DrilledDatabase {
    pub name: String,
    /// Name of the throwaway database; dropped unless it was asked to be kept.
    pub restored_as: String,
    pub kept: bool,
    pub restore_seconds: f64,
    pub prove_seconds: f64,
    pub proof: ProofReport,
    pub assertions: Vec<AssertionResult>,
}

impl DrilledDatabase {
    /// A difference, or an assertion that does not hold. One that could not run, and a script that cannot be proven, say
    /// nothing about the backup.
    fn speaks_against_backup(&self) -> bool {
        let failed = |a: &AssertionResult| !a.passed && !a.could_not_run;
        !self.proof.differences.is_empty() || self.assertions.iter().any(failed)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct AssertionResult {
    pub sql: String,
    pub passed: bool,
    /// The server refused the statement, so nothing is known of what it asks for.
    pub could_not_run: bool,
    /// What the statement gave, or the server's error.
    pub answer: String,
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
    let detail = catalog::show(repository, &request.backup, &filter)?;
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
    let mut databases = Vec::new();
    for name in &names {
        context.cancel.check()?;
        let drilled = drill_database(repository, request, &detail.entry.id, name, context);
        if let Err(e) = &drilled
            && matches!(e.code, ErrorCode::ProofFailed | ErrorCode::Damaged)
        {
            catalog::record(repository, &detail.entry, Finding::DrillFailed, context)?;
        }
        databases.push(drilled?);
    }
    let seconds = databases
        .iter()
        .map(|d| d.restore_seconds + d.prove_seconds)
        .sum::<f64>();
    let proven = databases
        .iter()
        .all(|d| d.proof.proven() && d.assertions.iter().all(|a| a.passed));
    // A drill that looked at counts only, or at a part of the databases, proves less than the mark promises.
    let whole = request.prove == Proof::Full && names.len() == detail.manifest.databases.len();
    if proven && whole {
        let seconds = begun.elapsed().as_secs_f64();
        catalog::record(
            repository,
            &detail.entry,
            Finding::Proven { seconds },
            context,
        )?;
    } else if databases.iter().any(DrilledDatabase::speaks_against_backup) {
        catalog::record(repository, &detail.entry, Finding::DrillFailed, context)?;
    }
    Ok(DrillReport {
        backup: detail.entry.id,
        proven,
        databases,
        seconds,
    })
}

fn drill_database(
    repository: &Repository,
    request: &DrillRequest,
    backup: &str,
    name: &str,
    context: &Context,
) -> Result<DrilledDatabase> {
    let side = throwaway_name(name, context);
    let plan = restore::plan(
        repository,
        &RestoreRequest {
            backup: backup.to_string(),
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
    let outcome = restore::execute(repository, plan, context)
        .and_then(|report| Ok((ask(request, &side, context)?, report)));
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
    let (assertions, report) = outcome?;
    Ok(DrilledDatabase {
        name: name.to_string(),
        restored_as: side,
        kept: request.keep || dropped.is_err(),
        restore_seconds: report.restore_seconds,
        prove_seconds: report.prove_seconds,
        proof: report.proof,
        assertions,
    })
}

fn throwaway_name(name: &str, context: &Context) -> String {
    let stamp = context.clock.now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut base = name.to_string();
    // 63 bytes are PostgreSQL's limit for a name.
    while base.len() + "_drill_".len() + stamp.len() > 63 {
        base.pop();
    }
    format!("{base}_drill_{stamp}")
}

fn ask(request: &DrillRequest, side: &str, context: &Context) -> Result<Vec<AssertionResult>> {
    if request.assertions.is_empty() {
        return Ok(Vec::new());
    }
    let mut connection = Connection::open(&request.admin.with_dbname(side))?;
    let mut results = Vec::new();
    for sql in &request.assertions {
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

/// Turns a drill that found something into an error, for callers that want one.
pub fn require_proven(report: &DrillReport) -> Result<()> {
    if report.proven {
        return Ok(());
    }
    let mut details = Vec::new();
    for database in &report.databases {
        details.extend(
            database
                .proof
                .differences
                .iter()
                .map(|d| format!("{}: {d}", database.name)),
        );
        let failed = database.assertions.iter().filter(|a| !a.passed);
        details.extend(
            failed.map(|a| format!("{}: assertion {} gave {}", database.name, a.sql, a.answer)),
        );
    }
    Err(Error::new(ErrorCode::ProofFailed, "the restored database is not what was backed up")
        .details(details)
        .hint("keep the older backups, run `pgkeep verify --read-data` on this one and restore with --keep to look"))
}
