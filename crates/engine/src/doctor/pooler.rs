//! The PgBouncer in front of the databases: whether it can be paused for a swap, and whether a restore that was killed left
//! it paused, which is made good at once, for clients wait.

use super::{DoctorRequest, Findings, Severity};
use crate::{Result, fence};
use pgkeep_postgres::{connect::ConnectOptions, restore::Paused};

const SUBJECT: &str = "PgBouncer";

pub(super) fn look(request: &DoctorRequest, findings: &mut Findings) {
    if let Some(admin) = &request.admin
        && let Err(e) = look_for_left(request.pgbouncer.as_ref(), admin, findings)
    {
        findings.error(SUBJECT, e);
    }
    if let Some(console) = &request.pgbouncer {
        for database in &request.databases {
            match fence::pooled(console, &database.dbname) {
                Ok(found) => say(&database.dbname, &found, findings),
                Err(e) => return findings.error(SUBJECT, e),
            }
        }
    }
}

fn look_for_left(
    console: Option<&ConnectOptions>,
    admin: &ConnectOptions,
    findings: &mut Findings,
) -> Result<()> {
    if let Some(console) = console {
        let resumed = fence::resume_left_over(console, admin)?;
        if !resumed.is_empty() {
            findings.add(
                Severity::Note,
                SUBJECT,
                format!(
                    "held {} paused since a restore that did not end; it lets clients through again",
                    resumed.join(", ")
                ),
                "",
            );
        }
    }
    for Paused { console, names, .. } in fence::left_paused(admin)? {
        let names = names.join(", ");
        findings.add(
            Severity::Problem,
            SUBJECT,
            format!("a restore that did not end left {names} paused at {console}"),
            &format!(
                "run RESUME {names} in its console, or name that console as `pgbouncer` of the app's fence and call the doctor again"
            ),
        );
    }
    Ok(())
}

fn say(database: &str, found: &[fence::PooledDatabase], findings: &mut Findings) {
    if found.is_empty() {
        return findings.add(
            Severity::Warning,
            SUBJECT,
            format!("knows no database {database}, so none is paused when it is replaced"),
            "check which server and database its [databases] section leads to",
        );
    }
    for pooled in found {
        match pooled.paused {
            false => findings.good(SUBJECT, format!("{} leads to {database}", pooled.name)),
            true => findings.add(
                Severity::Warning,
                SUBJECT,
                format!("holds {} paused, and not for pgkeep", pooled.name),
                "run RESUME in its console once whoever paused it agrees",
            ),
        }
    }
}
