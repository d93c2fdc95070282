//! PgBouncer around a swap: paused, so that clients wait instead of failing, and resumed whatever happens.
//!
//! PAUSE waits for running transactions. It is given the grace time; after that the swap goes on and ends the sessions,
//! which lets PAUSE through as well.
//!
//! Order of effects: what is about to be paused is written beside the mark of the database that will be swapped in, then it
//! is paused; it is resumed, then the note goes. A process that dies in between leaves the note, and no living one holds
//! the claim: [`resume_left_over`] resumes just those names. A pause of somebody else's is never touched.

use super::claim::{Claim, What};
use crate::{Context, Error, ErrorCode, Result};
use pgkeep_model::evidence::quote_ident;
use pgkeep_postgres::{
    connect::ConnectOptions,
    restore::{self as pg, Paused},
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

/// The swap that PgBouncer is paused for.
#[derive(Clone, Copy)]
pub struct PausedFor<'a> {
    pub admin: &'a ConnectOptions,
    pub live: &'a str,
    /// The marked database that will take its place.
    pub replacement: &'a str,
}

/// What PgBouncer leads to the live database, paused; resumed when the value goes away.
pub struct Pooler<'a> {
    console: &'a ConnectOptions,
    admin: &'a ConnectOptions,
    /// What is written down; `names` of these are paused.
    noted: Paused,
    names: Vec<String>,
    waiting: Vec<CancelHandle>,
    context: &'a Context,
    /// Holds the claim by which a living pause is told from one that was left.
    claim: Option<Claim>,
}

impl<'a> Pooler<'a> {
    /// Pauses every name under which PgBouncer offers the database.
    pub fn pause(
        console: &'a ConnectOptions,
        swap: PausedFor<'a>,
        grace: Duration,
        context: &'a Context,
    ) -> Result<Self> {
        let found = pooled(console, swap.live)?;
        if found.is_empty() {
            context.progress.warn(&format!(
                "PgBouncer knows no database {}, so none is paused",
                swap.live
            ));
        }
        let found: Vec<String> = found
            .into_iter()
            .filter(|database| !database.paused)
            .map(|database| database.name)
            .collect();
        let mut pooler = Self {
            console,
            admin: swap.admin,
            noted: Paused {
                console: address(console),
                database: swap.live.to_owned(),
                names: found.clone(),
            },
            names: Vec::new(),
            waiting: Vec::new(),
            context,
            claim: None,
        };
        if found.is_empty() {
            return Ok(pooler);
        }
        let claim = Claim::take(swap.admin, What::Pause, swap.live)?.ok_or_else(|| {
            Error::new(
                ErrorCode::Busy,
                format!("another restore has paused PgBouncer for {}", swap.live),
            )
            .hint("wait until it has ended")
        })?;
        pooler.claim = Some(claim);
        let mut beside = pg::connect_beside(swap.admin, &[swap.live, swap.replacement])?;
        pg::note_pause(&mut beside, swap.replacement, pooler.noted.clone())?;
        drop(beside);
        let end = Instant::now() + grace;
        for name in found {
            let (handle, done) = pause_apart(console, &name)?;
            pooler.names.push(name);
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
        self.let_through()
    }

    fn let_through(&mut self) -> Result<()> {
        let names = std::mem::take(&mut self.names);
        resume_all(self.console, &names)?;
        if self.claim.is_some() {
            let mut beside = pg::connect_beside(self.admin, &[])?;
            pg::forget_pause(&mut beside, &self.noted)?;
            self.claim = None;
        }
        Ok(())
    }
}

impl Drop for Pooler<'_> {
    fn drop(&mut self) {
        if self.claim.is_some()
            && let Err(e) = self.let_through()
        {
            self.context.progress.warn(&format!(
                "PgBouncer could not be resumed ({e}): run RESUME {} in its console, or `pgkeep doctor`",
                self.noted.names.join(", ")
            ));
        }
        // A PAUSE that still waits has nothing to wait for any more.
        for handle in &self.waiting {
            handle.cancel();
        }
    }
}

/// Host and port of a console, as they are written down.
fn address(console: &ConnectOptions) -> String {
    let hosts: Vec<String> = console.hosts.iter().map(ToString::to_string).collect();
    hosts.join(",")
}

/// Pauses that were left by somebody who died, on whichever console.
pub fn left_over(admin: &ConnectOptions) -> Result<Vec<Paused>> {
    let noted = pg::list_marked(&mut pg::connect_beside(admin, &[])?)?;
    let mut left = Vec::new();
    for paused in noted.into_iter().filter_map(|marked| marked.paused) {
        if !Claim::is_held(admin, What::Pause, &paused.database)? {
            left.push(paused);
        }
    }
    Ok(left)
}

/// Resumes what a restore paused on this console and did not resume because it was killed; the names.
pub fn resume_left_over(console: &ConnectOptions, admin: &ConnectOptions) -> Result<Vec<String>> {
    let here = address(console);
    let mut resumed = Vec::new();
    for paused in left_over(admin)? {
        if paused.console != here {
            continue;
        }
        let Some(_claim) = Claim::take(admin, What::Pause, &paused.database)? else {
            continue;
        };
        resume_all(console, &paused.names)?;
        pg::forget_pause(&mut pg::connect_beside(admin, &[])?, &paused)?;
        resumed.extend(paused.names);
    }
    Ok(resumed)
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
