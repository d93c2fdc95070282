//! Looking for what would make a backup or a restore fail, before it does; each finding comes with its remedy.

mod pooler;

use crate::{
    Context, Error, Result,
    catalog::{self, ListFilter},
    restore, shown,
    storage::{self, RepositoryAddress},
};
use jiff::Timestamp;
use pgkeep_postgres::{connect::ConnectOptions, inspect, tools::Tools, wire::Connection};
use pgkeep_repository::storage as stores;
use serde::{Deserialize, Serialize};

#[derive(Clone)]
pub struct DoctorRequest {
    pub databases: Vec<ConnectOptions>,
    pub admin: Option<ConnectOptions>,
    /// Console of the PgBouncer in front of the databases.
    pub pgbouncer: Option<ConnectOptions>,
    pub repository: Option<RepositoryAddress>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Good,
    Note,
    Warning,
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Finding {
    pub severity: Severity,
    /// What was looked at: `client tools`, `database shop`, `repository`.
    pub subject: String,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct DoctorReport {
    pub findings: Vec<Finding>,
    /// False when there is a [`Severity::Problem`].
    pub healthy: bool,
}

/// Looks at tools, databases, the admin connection and the repository. What cannot be looked at is a finding, not an error.
pub fn run(request: &DoctorRequest, context: &Context) -> Result<DoctorReport> {
    let mut findings = Findings::default();
    let tools = Tools::all(&context.tool_dirs);
    look_at_tools(&tools, &mut findings);
    for options in &request.databases {
        context.cancel.check()?;
        let subject = options.describe();
        if let Err(e) = look_at_database(options, &subject, context, &mut findings) {
            findings.error(&subject, e);
        }
    }
    if let Some(admin) = &request.admin {
        context.cancel.check()?;
        let subject = format!("restores through {}", admin.describe());
        if let Err(e) = look_at_admin(admin, &subject, context, &mut findings) {
            findings.error(&subject, e);
        }
    }
    pooler::look(request, &mut findings);
    if let Some(address) = &request.repository {
        context.cancel.check()?;
        if let Err(e) = look_at_repository(address, context, &mut findings) {
            findings.error("repository", e);
        }
    }
    let findings = findings.list;
    Ok(DoctorReport {
        healthy: findings.iter().all(|f| f.severity != Severity::Problem),
        findings,
    })
}

#[derive(Default)]
struct Findings {
    list: Vec<Finding>,
}

impl Findings {
    fn add(&mut self, severity: Severity, subject: &str, message: impl Into<String>, remedy: &str) {
        self.list.push(Finding {
            severity,
            subject: subject.to_string(),
            message: message.into(),
            remedy: (!remedy.is_empty()).then(|| remedy.to_string()),
        });
    }

    fn good(&mut self, subject: &str, message: impl Into<String>) {
        self.add(Severity::Good, subject, message, "");
    }

    fn error(&mut self, subject: &str, e: Error) {
        self.add(
            Severity::Problem,
            subject,
            e.message,
            e.hint.as_deref().unwrap_or_default(),
        );
    }
}

fn look_at_tools(tools: &[Tools], findings: &mut Findings) {
    let subject = "client tools";
    if tools.is_empty() {
        findings.add(
            Severity::Problem,
            subject,
            "no pg_dump and pg_restore were found",
            "install PostgreSQL's client package (postgresql-client-17 or the like), or set PGKEEP_PG_BINDIR",
        );
    }
    for tool in tools {
        findings.good(
            subject,
            format!("pg_dump {} in {}", tool.version(), tool.dir().display()),
        );
    }
}

fn look_at_database(
    options: &ConnectOptions,
    subject: &str,
    context: &Context,
    findings: &mut Findings,
) -> Result<()> {
    let mut connection = Connection::open_with(options, &context.cancel)?;
    let facts = inspect::server_facts(&mut connection)?;
    let major = facts.version_num / 10_000;
    if (14..=18).contains(&major) {
        findings.good(subject, format!("PostgreSQL {} answers", facts.version));
    } else {
        findings.add(
            Severity::Warning,
            subject,
            format!(
                "PostgreSQL {} is outside of what pgkeep is tested with (14 to 18)",
                facts.version
            ),
            "upgrade the server, or try a drill before you rely on it",
        );
    }
    if let Err(e) = Tools::for_dump(major, &context.tool_dirs) {
        findings.error(subject, e.into());
    }
    look_at_transport(options, &connection, subject, findings);
    let user = inspect::current_user(&mut connection)?;
    if user.superuser {
        findings.add(
            Severity::Note,
            subject,
            format!("{} is a superuser; a backup needs only to read", user.name),
            "make a role for it: CREATE ROLE backup LOGIN; GRANT pg_read_all_data TO backup",
        );
    }
    for table in inspect::unreadable_tables(&mut connection)? {
        findings.add(
            Severity::Problem,
            subject,
            format!("{} cannot be read: {}", table.name, table.reason),
            &table.remedy,
        );
    }
    look_at_relations(&mut connection, subject, facts.in_recovery, findings)?;
    look_at_clock(facts.snapshot_at, subject, context, findings);
    Ok(())
}

fn look_at_transport(
    options: &ConnectOptions,
    connection: &Connection,
    subject: &str,
    findings: &mut Findings,
) {
    if !connection.is_encrypted() && options.hosts.iter().all(|h| h.socket_path().is_none()) {
        findings.add(
            Severity::Warning,
            subject,
            "the connection is not encrypted",
            "turn ssl on at the server and use sslmode=verify-full",
        );
    }
    for warning in &options.warnings {
        findings.add(Severity::Warning, subject, warning.clone(), "");
    }
}

fn look_at_relations(
    connection: &mut Connection,
    subject: &str,
    in_recovery: bool,
    findings: &mut Findings,
) -> Result<()> {
    let relations = inspect::relations(connection)?;
    let names = |chosen: Vec<&inspect::Relation>| {
        let shown: Vec<String> = chosen.iter().take(5).map(|r| r.name.to_string()).collect();
        match chosen.len() {
            n if n > 5 => format!("{} and {} more", shown.join(", "), n - 5),
            _ => shown.join(", "),
        }
    };
    let unlogged: Vec<_> = relations
        .iter()
        .filter(|r| r.persistence == 'u' && r.kind == 'r')
        .collect();
    if !unlogged.is_empty() {
        let (severity, what) = match in_recovery {
            true => (
                Severity::Warning,
                "have no rows on this standby, so a backup holds none",
            ),
            false => (Severity::Note, "are emptied by the server after a crash"),
        };
        findings.add(
            severity,
            subject,
            format!("unlogged tables {} {what}", names(unlogged)),
            "",
        );
    }
    let foreign: Vec<_> = relations.iter().filter(|r| r.kind == 'f').collect();
    if !foreign.is_empty() {
        let message = format!(
            "rows of foreign tables ({}) are not part of a backup",
            names(foreign)
        );
        findings.add(
            Severity::Note,
            subject,
            message,
            "back up the server that holds them",
        );
    }
    let bytes: u64 = relations.iter().map(|r| r.heap_bytes + r.toast_bytes).sum();
    let tables = relations.iter().filter(|r| r.kind == 'r').count();
    findings.good(
        subject,
        format!("{tables} tables with {} MiB of rows", bytes >> 20),
    );
    Ok(())
}

fn look_at_clock(
    server: Option<Timestamp>,
    subject: &str,
    context: &Context,
    findings: &mut Findings,
) {
    let Some(server) = server else { return };
    let apart = (context.clock.now() - server)
        .total(jiff::Unit::Second)
        .unwrap_or(0.0)
        .abs();
    if apart > 60.0 {
        findings.add(
            Severity::Warning,
            subject,
            format!("its clock and this machine's are {apart:.0} s apart"),
            "set up time synchronisation (chrony, systemd-timesyncd) on both",
        );
    }
}

fn look_at_admin(
    admin: &ConnectOptions,
    subject: &str,
    context: &Context,
    findings: &mut Findings,
) -> Result<()> {
    let mut connection = Connection::open_with(admin, &context.cancel)?;
    let user = inspect::current_user(&mut connection)?;
    match user.superuser || user.create_db {
        true => findings.good(subject, format!("{} may create databases", user.name)),
        false => findings.add(
            Severity::Problem,
            subject,
            format!(
                "{} may not create databases, so nothing can be restored beside or drilled",
                user.name
            ),
            &format!(
                "ALTER ROLE \"{}\" CREATEDB, or give another role in DB_ADMIN_URL",
                user.name
            ),
        ),
    }
    for leftover in restore::leftovers(admin, context)? {
        let (severity, remedy) = match leftover.expired {
            true => (Severity::Warning, "`pgkeep undo --drop-expired` drops it"),
            false => (Severity::Note, ""),
        };
        let message = format!(
            "{} ({} MiB): {}",
            leftover.name,
            leftover.size_bytes >> 20,
            leftover.why
        );
        findings.add(severity, subject, message, remedy);
    }
    Ok(())
}

fn look_at_repository(
    address: &RepositoryAddress,
    context: &Context,
    findings: &mut Findings,
) -> Result<()> {
    let store = stores::open(&address.address, &address.options)?;
    let subject = format!("repository {}", store.location());
    let repository = storage::open(address, context)?;
    let probe = stores::probe(&*store);
    match probe.is_usable() {
        true => findings.good(
            &subject,
            "can be written, read back, listed and deleted from",
        ),
        false => findings.add(
            Severity::Problem,
            &subject,
            format!("the storage lacks: {}", probe.lacks().join(", ")),
            "check its permissions and free space",
        ),
    }
    let backups = catalog::list(&repository, &ListFilter::default())?;
    let proven = backups
        .iter()
        .rev()
        .find(|b| b.validity.proven_at.is_some());
    match (backups.last(), proven) {
        (None, _) => findings.add(
            Severity::Note,
            &subject,
            "holds no backup yet",
            "`pgkeep backup` makes one",
        ),
        (Some(newest), None) => findings.add(
            Severity::Warning,
            &subject,
            format!(
                "{} backups, the newest of {}, none of them ever proven",
                backups.len(),
                shown(newest.time)
            ),
            "`pgkeep drill` restores the newest into a throwaway database and proves it",
        ),
        (Some(newest), Some(proven)) => findings.good(
            &subject,
            format!(
                "{} backups, the newest of {}; the newest proven one is {} of {}",
                backups.len(),
                shown(newest.time),
                proven.short_id(),
                shown(proven.time)
            ),
        ),
    }
    let location = store.location();
    if std::path::Path::new(&location).is_dir() {
        look_at_disk(std::path::Path::new(&location), &subject, findings);
    }
    Ok(())
}

/// Less is soon full, whatever share of the disk it is.
const LITTLE_ROOM: u64 = 512 << 20;

fn look_at_disk(folder: &std::path::Path, subject: &str, findings: &mut Findings) {
    let Ok(stat) = rustix::fs::statvfs(folder) else {
        return;
    };
    let free = stat.f_bavail * stat.f_frsize;
    let percent = free as f64 * 100.0 / (stat.f_blocks * stat.f_frsize).max(1) as f64;
    if percent < 10.0 || free < LITTLE_ROOM {
        findings.add(
            Severity::Warning,
            subject,
            format!("its disk has {} MiB free, {percent:.0} %", free >> 20),
            "make room, or let old backups go with `pgkeep forget` and `pgkeep prune`",
        );
    } else {
        findings.good(subject, format!("its disk has {} MiB free", free >> 20));
    }
}
