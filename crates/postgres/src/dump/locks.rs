//! Locking every table of a dump without standing in anyone's way.
//!
//! Order of effects: list the tables; begin; lock them in batches, each waiting at most [`PATIENCE`]; only then take the
//! snapshot; look again in the snapshot for tables that came meanwhile. A snapshot without locks loses rows to a
//! concurrent TRUNCATE and columns to ALTER TABLE.
//!
//! While one batch waits, the locks of the batches before it would hold up whoever wants those tables exclusively, and
//! two such waits can be a deadlock. So a wait that takes longer than a moment gives up *everything*, lets the others
//! pass, and starts again after a pause, until [`DumpOptions::lock_timeout`] is used up.

use super::{DumpOptions, catalog, session};
use crate::{Error, Result, wire::Connection};
use pgkeep_model::{CancelToken, Progress, evidence::QualifiedName};
use std::{
    thread,
    time::{Duration, Instant},
};

/// How long locks are held while waiting for another.
const PATIENCE: Duration = Duration::from_millis(500);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Tables in one LOCK statement.
const BATCH: usize = 200;
/// After so many times of finding new tables, those are locked late, as pg_dump does.
const MAX_RELISTS: usize = 8;

/// The waiting that a whole freeze may do, over all its attempts.
pub(super) struct Waiting {
    deadline: Instant,
    pause: Duration,
    told: Option<String>,
}

impl Waiting {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            deadline: Instant::now() + limit,
            pause: FIRST_PAUSE,
            told: None,
        }
    }

    /// Pauses before the next attempt; an error when the time is used up.
    pub(super) fn pause(
        &mut self,
        holders: &str,
        cancel: &CancelToken,
        progress: &dyn Progress,
    ) -> Result<()> {
        if Instant::now() >= self.deadline {
            return Err(Error::busy(
                format!("the tables could not be locked for reading: {holders}"),
                "wait for that session to finish or end it (pg_terminate_backend), or wait longer with --lock-timeout",
            ));
        }
        if self.told.as_deref() != Some(holders) {
            progress.warn(&format!(
                "waiting to lock the tables for reading: {holders}"
            ));
            self.told = Some(holders.to_owned());
        }
        let until = Instant::now() + self.pause;
        while Instant::now() < until {
            cancel.check()?;
            thread::sleep(Duration::from_millis(50).min(self.pause));
        }
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

/// Begins a transaction in which every table of the dump is locked and the snapshot is taken; returns the snapshot's exported name.
pub(super) fn lock_and_export(
    connection: &mut Connection,
    options: &DumpOptions,
    waiting: &mut Waiting,
    cancel: &CancelToken,
    progress: &dyn Progress,
) -> Result<String> {
    let mut relists = 0;
    loop {
        cancel.check()?;
        let tables = catalog::tables_to_lock(connection, options)?;
        catalog::require_readable(connection, &tables)?;
        session::begin(connection)?;
        match lock_all(connection, &tables) {
            Ok(()) => {}
            Err(error) => {
                let oids: Vec<u32> = tables.iter().map(|t| t.oid).collect();
                connection.execute("ROLLBACK")?;
                match error.sqlstate() {
                    // lock_not_available, deadlock_detected
                    Some("55P03" | "40P01") => {
                        let holders = describe_holders(connection, &oids)?;
                        waiting.pause(&holders, cancel, progress)?;
                    }
                    // undefined_table, invalid_schema_name: dropped or renamed since it was listed
                    Some("42P01" | "3F000") if relists < MAX_RELISTS => relists += 1,
                    _ => return Err(error),
                }
                continue;
            }
        }
        let snapshot = connection
            .query_value("SELECT pg_export_snapshot()")
            .map_err(explain_export)?
            .unwrap_or_default();
        let late = catalog::tables_not_locked(connection, options)?;
        if late.is_empty() {
            return Ok(snapshot);
        }
        relists += 1;
        if relists > MAX_RELISTS {
            // The application makes tables faster than they can be listed. Those made in the instant between listing
            // and snapshot are locked now, after it: no more is lost than with pg_dump, which always does so.
            if lock_all(connection, &late).is_ok() {
                return Ok(snapshot);
            }
        }
        connection.execute("ROLLBACK")?;
    }
}

fn lock_all(connection: &mut Connection, tables: &[catalog::Lockable]) -> Result<()> {
    connection.execute(&format!(
        "SET LOCAL lock_timeout = {}",
        PATIENCE.as_millis()
    ))?;
    for batch in tables.chunks(BATCH) {
        connection
            .execute(&lock_statement(batch.iter().map(|t| &t.name), false))
            .map_err(|e| e.doing("locking the tables for reading"))?;
    }
    connection.execute("SET LOCAL lock_timeout = 0").map(drop)
}

/// Locks tables so that no one can drop, truncate or alter them; reading and writing go on.
pub(super) fn lock_statement<'a>(
    names: impl Iterator<Item = &'a QualifiedName>,
    no_wait: bool,
) -> String {
    let names: Vec<String> = names.map(|n| format!("ONLY {}", n.quoted())).collect();
    let no_wait = if no_wait { " NOWAIT" } else { "" };
    format!(
        "LOCK TABLE {} IN ACCESS SHARE MODE{no_wait}",
        names.join(", ")
    )
}

/// Who holds, or waits for, the only kind of lock that a dump conflicts with.
fn describe_holders(connection: &mut Connection, oids: &[u32]) -> Result<String> {
    let rows = connection.query(&format!(
        "SELECT n.nspname, c.relname, l.granted, a.pid, a.usename, a.application_name, \
           to_char(a.query_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), left(a.query, 60) \
         FROM pg_locks l \
           JOIN pg_class c ON c.oid = l.relation \
           JOIN pg_namespace n ON n.oid = c.relnamespace \
           LEFT JOIN pg_stat_activity a ON a.pid = l.pid \
         WHERE l.mode = 'AccessExclusiveLock' \
           AND l.database = (SELECT oid FROM pg_database \
             WHERE datname = current_database()) \
           AND l.relation = ANY ({}) \
         ORDER BY l.granted DESC, a.query_start LIMIT 5",
        catalog::oid_array(oids.iter().copied())
    ))?;
    let one = |row: crate::wire::Row<'_>| {
        let text = |i: usize| row.get(i).unwrap_or_default();
        let verb = if text(2) == "t" {
            "is locked"
        } else {
            "is wanted"
        };
        let who = match row.get(3) {
            None => "by a prepared transaction or a session that pgkeep may not see".to_owned(),
            Some(pid) => format!(
                "by process {pid} (user {}, application \"{}\", since {} UTC: {})",
                text(4),
                text(5),
                text(6),
                text(7).split_whitespace().collect::<Vec<_>>().join(" "),
            ),
        };
        format!("{}.{} {verb} exclusively {who}", text(0), text(1))
    };
    if rows.is_empty() {
        return Ok("another session held one of them exclusively".into());
    }
    Ok(rows.iter().map(one).collect::<Vec<_>>().join("; "))
}

/// Sessions that wait for a lock which this connection's own session holds; empty when nobody does.
pub(super) fn describe_waiters(connection: &mut Connection) -> Result<Vec<String>> {
    let rows = connection.query(
        "SELECT a.pid, a.usename, a.application_name, left(a.query, 60) \
         FROM pg_stat_activity a \
         WHERE a.wait_event_type = 'Lock' \
           AND pg_backend_pid() = ANY (pg_blocking_pids(a.pid)) \
         ORDER BY a.query_start LIMIT 5",
    )?;
    Ok(rows
        .iter()
        .map(|row| {
            let text = |i: usize| row.get(i).unwrap_or_default();
            format!(
                "process {} (user {}, application \"{}\": {})",
                text(0),
                text(1),
                text(2),
                text(3).split_whitespace().collect::<Vec<_>>().join(" ")
            )
        })
        .collect())
}

fn explain_export(error: Error) -> Error {
    error.doing("taking the snapshot that the backup is read from")
}
