//! Getting pg_dump's own table of contents of the frozen moment.
//!
//! `pg_dump -Fc` writes the whole table of contents before any data, so it is started with its output on a pipe, read
//! up to there, and stopped. That gives exactly pg_dump's entries, dependencies and order for every version, without
//! doing any of its work again.

use super::DumpOptions;
use crate::{
    Error, Result,
    archive::{ArchiveError, Toc, read_custom_header},
    connect::ConnectOptions,
    tools::Tools,
};
use pgkeep_model::CancelToken;
use std::{
    io::{self, BufReader},
    time::Duration,
};

/// How long pg_dump waits for a table that someone else has begun to wait for exclusively.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Runs pg_dump in the exported snapshot as far as its table of contents.
pub(crate) fn table_of_contents(
    connection: &ConnectOptions,
    tools: &Tools,
    snapshot: &str,
    encoding: &str,
    options: &DumpOptions,
    cancel: &CancelToken,
) -> Result<Toc> {
    let mut command = tools
        .pg_dump(connection)
        .args(["--format=custom", "--compress=0", "--no-password"])
        .arg(format!("--snapshot={snapshot}"))
        // The database's own encoding: nothing is converted, nothing can be lost.
        .arg(format!("--encoding={encoding}"))
        .arg(format!("--lock-wait-timeout={}", LOCK_PATIENCE.as_millis()));
    for pattern in &options.schemas {
        command = command.arg(format!("--schema={pattern}"));
    }
    for pattern in &options.exclude_table_data {
        command = command.arg(format!("--exclude-table-data={pattern}"));
    }
    let mut running = command.start(cancel)?;
    let read = read_custom_header(BufReader::with_capacity(64 << 10, running.stdout()));
    let error = match read {
        Ok(toc) => {
            // It is in the middle of the first table, blocked on the pipe; what it says about that is of no interest.
            running.stop();
            return Ok(toc);
        }
        Err(error) => error,
    };
    cancel.check()?;
    match error {
        // It gave up before it wrote anything, and says why on its error output and by its exit status.
        ArchiveError::Truncated { .. } => {
            running.finish()?;
            Err(unreadable(
                "it ended without an error and without a table of contents",
            ))
        }
        ArchiveError::Io(source) => {
            Err(Error::local("reading pg_dump's table of contents", source))
        }
        other => Err(unreadable(&other.to_string())),
    }
}

fn unreadable(what: &str) -> Error {
    Error::local(
        "reading pg_dump's table of contents",
        io::Error::new(io::ErrorKind::InvalidData, what.to_owned()),
    )
}
