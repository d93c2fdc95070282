//! PgBouncer around a swap: paused, so that clients wait instead of failing, and resumed whatever happens.
//!
//! PAUSE waits for running transactions. It is given the grace time; after that the swap goes on and ends the sessions,
//! which lets PAUSE through as well.

use crate::{Context, Error, ErrorCode, Result};
use pgkeep_model::evidence::quote_ident;
use pgkeep_postgres::{
    connect::ConnectOptions,
    wire::{CancelHandle, Connection},
};
use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

/// Longest wait for an answer of the console.
const ANSWER: Duration = Duration::from_secs(10);

/// A database as PgBouncer knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PooledDatabase {
    /// The name that clients use.
    pub name: String,
    pub paused: bool,
}

/// What PgBouncer leads to the live database, paused; resumed when the value goes away.
pub struct Pooler<'a> {
    console: &'a ConnectOptions,
    names: Vec<String>,
    waiting: Vec<CancelHandle>,
    context: &'a Context,
}

impl<'a> Pooler<'a> {
    /// Pauses every name under which PgBouncer offers the database.
    pub fn pause(
        console: &'a ConnectOptions,
        database: &str,
        grace: Duration,
        context: &'a Context,
    ) -> Result<Self> {
        let found = pooled(console, database)?;
        if found.is_empty() {
            context.progress.warn(&format!(
                "PgBouncer knows no database {database}, so none is paused"
            ));
        }
        let mut pooler = Self {
            console,
            names: Vec::new(),
            waiting: Vec::new(),
            context,
        };
        let end = Instant::now() + grace;
        for database in found.into_iter().filter(|database| !database.paused) {
            let (handle, done) = pause_apart(console, &database.name)?;
            pooler.names.push(database.name.clone());
            pooler.waiting.push(handle);
            loop {
                let left = end.saturating_duration_since(Instant::now());
                match done.recv_timeout(left.min(Duration::from_millis(100))) {
                    Ok(Ok(())) => break,
                    Ok(Err(e)) => {
                        // This one is not paused, so there is nothing to resume.
                        pooler.names.pop();
                        return Err(console_failed(e.into()));
                    }
                    Err(RecvTimeoutError::Timeout) if left.is_zero() => break,
                    Err(RecvTimeoutError::Timeout) => context.cancel.check()?,
                    Err(RecvTimeoutError::Disconnected) => {
                        return Err(Error::new(
                            ErrorCode::Failed,
                            "the thread that pauses PgBouncer ended",
                        ));
                    }
                }
            }
        }
        Ok(pooler)
    }

    /// Lets the clients through again.
    pub fn resume(mut self) -> Result<()> {
        let names = std::mem::take(&mut self.names);
        resume_all(self.console, &names)
    }
}

impl Drop for Pooler<'_> {
    fn drop(&mut self) {
        if !self.names.is_empty()
            && let Err(e) = resume_all(self.console, &self.names)
        {
            self.context.progress.warn(&format!(
                "PgBouncer could not be resumed ({e}): run RESUME {} in its console",
                self.names.join(", ")
            ));
        }
        // A PAUSE that still waits has nothing to wait for any more.
        for handle in &self.waiting {
            handle.cancel();
        }
    }
}

/// The names under which PgBouncer offers a database of the server.
pub fn pooled(console: &ConnectOptions, database: &str) -> Result<Vec<PooledDatabase>> {
    let mut connection = open(console)?;
    let rows = connection
        .query("SHOW DATABASES")
        .map_err(|e| console_failed(e.into()))?;
    Ok(rows
        .iter()
        .filter(|row| row.text("database") == database && row.text("name") != "pgbouncer")
        .map(|row| PooledDatabase {
            name: row.text("name"),
            paused: row.parse::<u32>("paused").is_some_and(|n| n != 0),
        })
        .collect())
}

fn open(console: &ConnectOptions) -> Result<Connection> {
    let mut options = console.clone();
    options.connect_timeout = Some(options.connect_timeout.map_or(ANSWER, |t| t.min(ANSWER)));
    Connection::open_console(&options).map_err(|e| console_failed(e.into()))
}

type Done = Receiver<pgkeep_postgres::Result<()>>;

/// PAUSE blocks its connection, so it has one and a thread of its own.
fn pause_apart(console: &ConnectOptions, name: &str) -> Result<(CancelHandle, Done)> {
    let mut connection = open(console)?;
    let handle = connection.cancel_handle();
    let (sender, receiver) = channel();
    let statement = format!("PAUSE {}", quote_ident(name));
    std::thread::Builder::new()
        .name("pgbouncer-pause".into())
        .spawn(move || {
            let outcome = connection.execute(&statement).map(|_| ());
            // Nobody listens any more once the swap went on without it.
            let _ = sender.send(outcome);
        })?;
    Ok((handle, receiver))
}

fn resume_all(console: &ConnectOptions, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let mut connection = open(console)?;
    for name in names {
        if let Err(e) = connection.execute(&format!("RESUME {}", quote_ident(name))) {
            // One that was resumed by somebody else meanwhile is as good.
            if !e.to_string().contains("not paused") {
                return Err(console_failed(e.into()));
            }
        }
    }
    Ok(())
}

fn console_failed(error: Error) -> Error {
    let hint = error.hint.clone();
    let error = error.context("PgBouncer");
    match hint {
        Some(_) => error,
        None => error.hint("`pgbouncer` of the app's fence must lead to the console (database pgbouncer) as one of its admin_users"),
    }
}
