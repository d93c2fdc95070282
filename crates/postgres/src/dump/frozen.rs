//! A moment of a database, held still.

use super::{
    DumpOptions, capture, catalog,
    locks::{self, Waiting},
    session,
};
use crate::{
    Error, Result, archive::Toc, connect::ConnectOptions, inspect, tools::Tools, wire::Connection,
};
use pgkeep_model::{
    CancelToken, Progress,
    manifest::{DatabaseProperties, ServerFacts},
};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A session that holds every table locked for reading and a snapshot exported, until it is dropped.
#[derive(Debug)]
pub struct Frozen {
    pub(super) options: ConnectOptions,
    server_version_num: u32,
    pub(super) moment: Mutex<Moment>,
}

/// What belongs to the snapshot; all of it changes together when a moment has to be taken again.
#[derive(Debug)]
pub(super) struct Moment {
    pub connection: Connection,
    pub snapshot: String,
    pub encoding: String,
    pub server: ServerFacts,
    pub properties: DatabaseProperties,
    pub warnings: Vec<String>,
}

/// Locks the database's tables and takes a snapshot that other sessions can share.
///
/// # Errors
/// Patterns that match nothing; a table that the role may not read, or not whole; tables that stay locked by others for longer than
/// [`DumpOptions::lock_timeout`].
pub fn freeze(
    options: &ConnectOptions,
    dump: &DumpOptions,
    cancel: &CancelToken,
    progress: &dyn Progress,
) -> Result<Frozen> {
    let mut connection = session::open(options, cancel)?;
    catalog::require_matches(&mut connection, dump)?;
    let mut waiting = Waiting::new(dump.lock_timeout);
    let moment = take_moment(&mut connection, dump, &mut waiting, cancel, progress)?;
    Ok(Frozen {
        options: options.clone(),
        server_version_num: connection.server_version_num(),
        moment: Mutex::new(moment.with(connection)),
    })
}

impl Frozen {
    /// For example 150020; what pg_dump must be at least as new as.
    pub fn server_version_num(&self) -> u32 {
        self.server_version_num
    }

    /// Runs a `SELECT` of one column in the frozen moment and hands on each text that is not null. Unqualified names are
    /// found as in any session of this role. May be used again after a failure.
    pub fn each_text(&self, select: &str, mut each: impl FnMut(&str)) -> Result<()> {
        each_text(&mut self.moment().connection, select, &mut each)
    }

    pub(super) fn moment(&self) -> MutexGuard<'_, Moment> {
        self.moment.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a `SELECT` of one column in the transaction that is open, and hands on each text that is not null. Unqualified names
/// are found as in any session of this role. The transaction goes on after a failure.
pub fn each_text(
    connection: &mut Connection,
    select: &str,
    each: &mut dyn FnMut(&str),
) -> Result<()> {
    let select = select.trim().trim_end_matches(';');
    connection.execute("SAVEPOINT question; SET LOCAL search_path TO DEFAULT")?;
    let asked = connection.copy_out(&format!("COPY ({select}\n) TO STDOUT"), |row| {
        let row = row.strip_suffix(b"\n").unwrap_or(row);
        if row != b"\\N" {
            each(&String::from_utf8_lossy(&unescape(row)));
        }
        Ok(())
    });
    connection.execute("ROLLBACK TO SAVEPOINT question; RELEASE SAVEPOINT question")?;
    asked.map(drop)
}

/// One field of COPY text as it was before it was escaped.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut bytes = field.iter();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'b') => 8,
                Some(b't') => b'\t',
                Some(b'n') => b'\n',
                Some(b'v') => 11,
                Some(b'f') => 12,
                Some(b'r') => b'\r',
                Some(other) => *other,
                None => b'\\',
            },
            other => *other,
        });
    }
    out
}

/// Captures the table of contents. When someone has begun to wait exclusively for a locked table, pg_dump cannot lock
/// it too; nothing has been read yet, so everything is let go, they pass, and the moment is taken again.
pub(super) fn capture(
    moment: &mut Moment,
    options: &ConnectOptions,
    tools: &Tools,
    dump: &DumpOptions,
    cancel: &CancelToken,
    progress: &dyn Progress,
) -> Result<Toc> {
    let mut waiting = Waiting::new(dump.lock_timeout);
    loop {
        let captured = capture::table_of_contents(
            options,
            tools,
            &moment.snapshot,
            &moment.encoding,
            dump,
            cancel,
        );
        let error = match captured {
            Ok(toc) => return Ok(toc),
            Err(error) => error,
        };
        cancel.check()?;
        let waiters = locks::describe_waiters(&mut moment.connection)?;
        if waiters.is_empty() {
            return Err(error);
        }
        moment.connection.execute("ROLLBACK")?;
        let who = format!("{} wants a table exclusively", waiters.join(", "));
        waiting.pause(&who, cancel, progress)?;
        let taken = take_moment(&mut moment.connection, dump, &mut waiting, cancel, progress)?;
        taken.replace(moment);
    }
}

/// A [`Moment`] without its connection.
struct Taken {
    snapshot: String,
    encoding: String,
    server: ServerFacts,
    properties: DatabaseProperties,
    warnings: Vec<String>,
}

impl Taken {
    fn with(self, connection: Connection) -> Moment {
        Moment {
            connection,
            snapshot: self.snapshot,
            encoding: self.encoding,
            server: self.server,
            properties: self.properties,
            warnings: self.warnings,
        }
    }

    fn replace(self, moment: &mut Moment) {
        moment.snapshot = self.snapshot;
        moment.encoding = self.encoding;
        moment.server = self.server;
        moment.properties = self.properties;
        moment.warnings = self.warnings;
    }
}

fn take_moment(
    connection: &mut Connection,
    dump: &DumpOptions,
    waiting: &mut Waiting,
    cancel: &CancelToken,
    progress: &dyn Progress,
) -> Result<Taken> {
    let snapshot = locks::lock_and_export(connection, dump, waiting, cancel, progress)?;
    let taken_at = catalog::server_time(connection)?;
    let mut server = inspect::server_facts(connection)?;
    server.snapshot_at = Some(taken_at);
    let database = connection.dbname().to_owned();
    let properties = inspect::database_properties(connection, &database)?;
    let encoding = connection
        .parameter("server_encoding")
        .map(str::to_owned)
        .ok_or_else(|| Error::Protocol {
            doing: "taking the snapshot".into(),
            what: "the server does not tell its encoding".into(),
        })?;
    Ok(Taken {
        warnings: warnings(connection, dump, server.in_recovery)?,
        snapshot,
        encoding,
        server,
        properties,
    })
}

/// What the user should know about the content of this backup.
fn warnings(
    connection: &mut Connection,
    dump: &DumpOptions,
    in_recovery: bool,
) -> Result<Vec<String>> {
    let (unlogged, foreign) = catalog::special_tables(connection, dump)?;
    let mut warnings = Vec::new();
    if in_recovery && !unlogged.is_empty() {
        warnings.push(format!(
            "the server is a standby, where unlogged tables have no rows: the rows of {} are not in this backup",
            unlogged.join(", ")
        ));
    }
    if !foreign.is_empty() {
        warnings.push(format!(
            "rows of foreign tables live on other servers and are not in this backup: {}",
            foreign.join(", ")
        ));
    }
    Ok(warnings)
}
