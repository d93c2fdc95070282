//! Restoring an imported SQL script: psql in one transaction, stopped by its first error.

use super::{RestoreOptions, RestoreSummary, analyze, source::DumpSource};
use crate::{Error, Result, connect::ConnectOptions, tools::Tools};
use pgkeep_model::{
    CancelToken, Phase, Progress,
    manifest::{DatabaseManifest, MemberContent},
};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    time::Instant,
};

#[allow(clippy::too_many_arguments)] // the parts of one restore
pub(super) fn restore(
    target: &ConnectOptions,
    manifest: &DatabaseManifest,
    source: &dyn DumpSource,
    tools: &Tools,
    options: &RestoreOptions,
    cancel: &CancelToken,
    progress: &dyn Progress,
) -> Result<RestoreSummary> {
    if options.schema_only
        || options.data_only
        || !options.tables.is_empty()
        || !options.schemas.is_empty()
    {
        return Err(Error::refused(
            "a plain SQL script can only be restored whole",
            "restore it into a database of its own, back that up, and take the part you want from that backup",
        ));
    }
    let member = manifest
        .members
        .iter()
        .find(|m| m.what == MemberContent::Script)
        .ok_or_else(|| Error::Refused {
            what: format!("the backup of {} holds no script", manifest.name),
            hint: None,
        })?;
    let doing = "reading the script";
    let script = source.read(member).map_err(|e| Error::local(doing, e))?;
    let mut summary = RestoreSummary::default();
    progress.phase(Phase::Data, Some(member.size));
    let started = Instant::now();
    let mut command = tools
        .psql(target)
        .args([
            "--quiet",
            "--single-transaction",
            "--set=ON_ERROR_STOP=1",
            "--output=/dev/null",
            "--file=-",
        ])
        .setting("default_transaction_read_only", "off")
        .setting("synchronous_commit", "off")
        .setting("statement_timeout", "0");
    if let Some(role) = &options.role {
        command = command.setting("role", role);
    }
    let mut psql = command.with_stdin().start(cancel)?;
    let mut stdin = psql
        .stdin()
        .ok_or_else(|| Error::local(doing, io::ErrorKind::BrokenPipe.into()))?;
    match feed(script, &mut stdin, cancel, progress) {
        Ok(bytes) => summary.bytes = bytes,
        // psql has stopped, and says why.
        Err(Stop::Pipe(e)) if e.kind() == io::ErrorKind::BrokenPipe => {}
        Err(Stop::Pipe(e)) => return Err(Error::local("sending the script to psql", e)),
        Err(Stop::Source(e)) => {
            psql.stop();
            return Err(match cancel.is_cancelled() {
                true => Error::Cancelled,
                false => Error::local(doing, e),
            });
        }
        Err(Stop::Command(line, command)) => {
            psql.stop();
            return Err(Error::refused(
                format!(
                    "line {line} of the script is the psql command {command:?}, which could leave the target database"
                ),
                "dump again without --create, or remove that line",
            ));
        }
    }
    drop(stdin);
    psql.finish()?;
    summary.phases.push((Phase::Data, started.elapsed()));
    if options.analyze || options.vacuum {
        progress.phase(Phase::Analyze, None);
        summary.timed(Phase::Analyze, || {
            analyze::analyze_all(
                target,
                options.jobs,
                manifest,
                options.vacuum,
                |_| true,
                cancel,
                progress,
            )
        })?;
    }
    Ok(summary)
}

/// Why feeding ended early.
#[derive(Debug)]
enum Stop {
    Source(io::Error),
    Pipe(io::Error),
    Command(u64, String),
}

/// Passes the script on line by line. Lines that psql would take as its own commands are refused, other than those
/// that pg_dump writes: everything else in a script is run by the server, in the target database.
fn feed(
    script: impl Read,
    psql: &mut impl Write,
    cancel: &CancelToken,
    progress: &dyn Progress,
) -> Result<u64, Stop> {
    let mut script = BufReader::with_capacity(256 * 1024, script);
    let (mut line, mut number, mut bytes) = (Vec::new(), 0, 0);
    let (mut copy_begun, mut in_copy) = (false, false);
    loop {
        line.clear();
        if script.read_until(b'\n', &mut line).map_err(Stop::Source)? == 0 {
            psql.flush().map_err(Stop::Pipe)?;
            return Ok(bytes);
        }
        number += 1;
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if in_copy {
            in_copy = text.strip_suffix(b"\r").unwrap_or(text) != b"\\.";
        } else if copy_begun || text.starts_with(b"COPY ") {
            // A name with a newline in it puts the statement on several lines.
            in_copy = text.trim_ascii_end().ends_with(b"FROM stdin;");
            copy_begun = !in_copy;
        } else if text.starts_with(b"\\")
            && ![&b"\\restrict "[..], b"\\unrestrict "]
                .iter()
                .any(|c| text.starts_with(c))
        {
            return Err(Stop::Command(
                number,
                String::from_utf8_lossy(text).trim().to_owned(),
            ));
        }
        if number % 1024 == 0 {
            cancel
                .check()
                .map_err(|e| Stop::Source(io::Error::other(e)))?;
        }
        psql.write_all(&line).map_err(Stop::Pipe)?;
        bytes += line.len() as u64;
        progress.bytes(line.len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgkeep_model::Silent;

    fn check(script: &str) -> Result<String, Stop> {
        let mut out = Vec::new();
        feed(script.as_bytes(), &mut out, &CancelToken::new(), &Silent)?;
        Ok(String::from_utf8(out).expect("was text"))
    }

    #[test]
    fn what_pg_dump_writes_passes_unchanged() {
        let script = "\\restrict k\nCOPY public.t (a) FROM stdin;\n\\N\n\\connect\n\\.\n\nSELECT 1;\n\\unrestrict k";
        assert_eq!(check(script).expect("passes"), script);
    }

    #[test]
    fn a_name_with_a_newline_does_not_hide_its_rows() {
        let script = "COPY public.\"odd\nname\" (a) FROM stdin;\n\\N\n\\.\n\nSELECT 1;\n";
        assert_eq!(check(script).expect("passes"), script);
    }

    #[test]
    fn commands_that_leave_the_database_are_refused() {
        let refused = check("SELECT 1;\n\\connect live\n");
        assert!(
            matches!(refused, Err(Stop::Command(2, ref c)) if c == "\\connect live"),
            "{refused:?}"
        );
        assert!(matches!(check("\\! rm\n"), Err(Stop::Command(1, _))));
    }
}
