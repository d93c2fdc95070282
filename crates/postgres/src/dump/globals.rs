//! Roles and tablespaces, which belong to the server and not to a database.

use super::{DumpSink, SegmentDone};
use crate::{
    Error, Result,
    connect::ConnectOptions,
    inspect,
    tools::{Tools, dbname_argument},
    wire::Connection,
};
use pgkeep_model::CancelToken;
use std::io::{self, Write};

/// Writes `pg_dumpall --globals-only` into one segment of the sink; without password hashes where the role may not read them.
pub fn dump_globals(
    connection: &ConnectOptions,
    tools: &Tools,
    sink: &dyn DumpSink,
    cancel: &CancelToken,
) -> Result<SegmentDone> {
    let mut session = Connection::open_with(connection, cancel)?;
    let superuser = inspect::current_user(&mut session)?.superuser;
    session.terminate();
    let mut command = tools
        .pg_dumpall(connection)
        .args(["--globals-only", "--no-password"])
        .arg(format!(
            "--database={}",
            dbname_argument(&connection.dbname)
        ));
    if !superuser {
        command = command.arg("--no-role-passwords");
    }
    let doing = "storing roles and tablespaces";
    let mut running = command.start(cancel)?;
    let mut segment = sink.segment().map_err(|e| Error::local(doing, e))?;
    let copied = io::copy(running.stdout(), &mut segment);
    // An exit status that tells of failure says more than a short stream.
    running.finish()?;
    copied.map_err(|e| Error::local(doing, e))?;
    segment.flush().map_err(|e| Error::local(doing, e))?;
    segment.finish().map_err(|e| Error::local(doing, e))
}
