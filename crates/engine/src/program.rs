//! The app's own programs: run with a time limit, their output kept and passed on line by line.
//!
//! No shell is involved. The program finds the database by libpq's variables and by `DATABASE_URL` without its password;
//! the password comes through a password file that has no name. It is ended, with all that it started, when the
//! operation is cancelled or the limit is over.

use crate::{Context, Error, ErrorCode, Result};
use pgkeep_model::{CancelToken, app::Commands, duration::parse_duration};
use pgkeep_postgres::{connect::ConnectOptions, tools::AppProgram};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::{
    io::Read,
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    time::{Duration, Instant},
};

/// Longest time of a program where nothing else is said.
pub const USUAL_LIMIT: Duration = Duration::from_secs(30 * 60);
/// How much of a program's output is kept.
const KEPT_OUTPUT: usize = 64 << 10;
/// A line longer than this is passed on in pieces.
const LONGEST_LINE: usize = 8 << 10;
/// How often a silent program is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long what a program left in its pipe is read on after its end, should another process hold the pipe open.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A program of the app, and what it is told.
pub struct Program<'a> {
    /// The program and its arguments.
    pub words: &'a [String],
    /// Folder, variables and time limit of the app's commands.
    pub commands: &'a Commands,
    /// Database that libpq's variables lead to.
    pub database: Option<&'a ConnectOptions>,
    /// Further variables, such as `PGKEEP_APP`.
    pub extra: Vec<(String, String)>,
    /// Instead of the commands' own limit.
    pub time_limit: Option<Duration>,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Exit status; `None` when it was ended by a signal.
    pub status: Option<i32>,
    /// It was ended because it took too long.
    pub timed_out: bool,
    pub seconds: f64,
    /// The end of what it printed, on both streams, in order; passwords are masked.
    pub output: String,
}

impl Outcome {
    pub fn succeeded(&self) -> bool {
        self.status == Some(0) && !self.timed_out
    }

    /// How it ended, in words: `ended with status 3`.
    pub fn words(&self) -> String {
        match (self.timed_out, self.status) {
            (true, _) => format!("was ended after {:.0} s, its time limit", self.seconds),
            (false, Some(0)) => "succeeded".into(),
            (false, Some(status)) => format!("ended with status {status}"),
            (false, None) => "was ended by a signal".into(),
        }
    }

    /// The last lines of what it printed, for an error's details.
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let lines: Vec<&str> = self
            .output
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        let from = lines.len().saturating_sub(count);
        lines[from..]
            .iter()
            .map(|line| (*line).to_owned())
            .collect()
    }

    /// The failure as an error: `what` names the program, such as "the app's migrations".
    pub fn require(&self, what: &str) -> Result<()> {
        if self.succeeded() {
            return Ok(());
        }
        Err(
            Error::new(ErrorCode::Failed, format!("{what} {}", self.words()))
                .details(self.last_lines(20)),
        )
    }
}

/// Runs the program to its end; every line that it prints is given to `on_line`.
///
/// # Errors
/// Only when it cannot be started, or was cancelled: a program that fails is an [`Outcome`].
pub fn run(
    program: &Program<'_>,
    context: &Context,
    on_line: &mut dyn FnMut(&str),
) -> Result<Outcome> {
    let limit = limit(program)?;
    let prepared = prepare(program)?;
    let mut output = Output::new(prepared.secrets());
    // Its own token, so that the limit can end it without cancelling the operation.
    let stop = CancelToken::new();
    let _hook = context.cancel.on_cancel({
        let stop = stop.clone();
        move || stop.cancel()
    });
    let begun = Instant::now();
    let (running, pipe) = prepared.start(&stop).map_err(cannot_start)?;
    let pieces = read_apart(pipe)?;
    let mut timed_out = false;
    while !running.has_ended() {
        match pieces.recv_timeout(LOOK) {
            Ok(bytes) => output.take(&bytes, on_line),
            Err(RecvTimeoutError::Timeout) => {}
            // Its output is at an end, so it will be too, or has sent itself to the background without any.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(Duration::from_millis(5)),
        }
        if context.cancel.check().is_err() {
            stop.cancel();
        }
        if !timed_out && begun.elapsed() >= limit {
            timed_out = true;
            stop.cancel();
        }
    }
    let status = running.wait()?;
    let silence = Instant::now() + LAST_WORDS;
    while let Ok(bytes) = pieces.recv_timeout(silence.saturating_duration_since(Instant::now())) {
        output.take(&bytes, on_line);
    }
    context.cancel.check()?;
    Ok(Outcome {
        status: status.code(),
        timed_out,
        seconds: begun.elapsed().as_secs_f64(),
        output: output.finish(on_line),
    })
}

fn limit(program: &Program<'_>) -> Result<Duration> {
    match (program.time_limit, &program.commands.timeout) {
        (Some(limit), _) => Ok(limit),
        (None, None) => Ok(USUAL_LIMIT),
        (None, Some(text)) => parse_duration(text)
            .map_err(|e| Error::invalid(format!("time limit of the app's commands: {e}"))),
    }
}

fn prepare(program: &Program<'_>) -> Result<AppProgram> {
    let commands = program.commands;
    let mut prepared = AppProgram::new(program.words).directory(commands.directory.as_deref());
    if let Some(database) = program.database {
        prepared = prepared.database(database, commands.url_variable.as_deref());
    }
    for (name, value) in &commands.environment {
        prepared = prepared.variable(name, value)?;
    }
    for (name, value) in &program.extra {
        prepared = prepared.plain_variable(name, value);
    }
    Ok(prepared)
}

fn cannot_start(error: pgkeep_postgres::Error) -> Error {
    let error = Error::from(error);
    match error.code {
        ErrorCode::Tools => Error::new(ErrorCode::Failed, error.message)
            .hint("check the command and its `directory` in the app's configuration"),
        _ => error,
    }
}

/// Reads the pipe in a thread of its own, so that silence can be told from work. The thread ends with the pipe, or when
/// nobody listens any more.
fn read_apart(mut pipe: std::io::PipeReader) -> Result<Receiver<Vec<u8>>> {
    let (sender, receiver) = sync_channel(16);
    std::thread::Builder::new()
        .name("program-output".into())
        .spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        })?;
    Ok(receiver)
}

/// Cuts what a program prints into lines, masks secrets and keeps the end.
struct Output {
    secrets: Vec<SecretString>,
    /// The line that is not complete yet.
    open: Vec<u8>,
    kept: String,
}

impl Output {
    fn new(secrets: Vec<SecretString>) -> Self {
        Self {
            secrets,
            open: Vec::new(),
            kept: String::new(),
        }
    }

    fn take(&mut self, bytes: &[u8], on_line: &mut dyn FnMut(&str)) {
        for byte in bytes {
            match byte {
                b'\n' => self.line(on_line),
                _ => self.open.push(*byte),
            }
            if self.open.len() >= LONGEST_LINE {
                self.line(on_line);
            }
        }
    }

    fn line(&mut self, on_line: &mut dyn FnMut(&str)) {
        let mut line = String::from_utf8_lossy(&self.open).into_owned();
        self.open.clear();
        if line.ends_with('\r') {
            line.pop();
        }
        for secret in &self.secrets {
            if line.contains(secret.expose_secret()) {
                line = line.replace(secret.expose_secret(), "***");
            }
        }
        on_line(&line);
        self.kept.push_str(&line);
        self.kept.push('\n');
        if self.kept.len() > 2 * KEPT_OUTPUT {
            self.shorten();
        }
    }

    fn shorten(&mut self) {
        let mut from = self.kept.len().saturating_sub(KEPT_OUTPUT);
        while !self.kept.is_char_boundary(from) {
            from += 1;
        }
        self.kept.drain(..from);
    }

    fn finish(mut self, on_line: &mut dyn FnMut(&str)) -> String {
        if !self.open.is_empty() {
            self.line(on_line);
        }
        self.shorten();
        self.kept
    }
}

#[cfg(test)]
mod tests;
