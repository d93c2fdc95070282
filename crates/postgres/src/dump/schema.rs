//! The schema alone: what pg_dump says of a database now, without a row being read.

use super::{DumpOptions, capture::table_of_contents, session};
use crate::{Error, Result, archive::Toc, connect::ConnectOptions, tools::Tools};
use pgkeep_model::CancelToken;

/// Reads the table of contents that a dump of the database would have now. `tools` picks the pg_dump for a server's
/// major.
///
/// # Errors
/// A database that cannot be reached or read; a table that stays locked exclusively.
pub fn schema_of(
    options: &ConnectOptions,
    tools: impl FnOnce(u32) -> Result<Tools>,
    cancel: &CancelToken,
) -> Result<Toc> {
    let mut connection = session::open(options, cancel)?;
    let tools = tools(connection.server_version_num() / 10_000)?;
    session::begin(&mut connection)?;
    let missing = |what: &str| Error::Protocol {
        doing: "reading the schema".into(),
        what: format!("the server does not tell its {what}"),
    };
    let snapshot = connection
        .query_value("SELECT pg_catalog.pg_export_snapshot()")?
        .ok_or_else(|| missing("snapshot"))?;
    let encoding = connection
        .parameter("server_encoding")
        .map(str::to_owned)
        .ok_or_else(|| missing("encoding"))?;
    table_of_contents(
        options,
        &tools,
        &snapshot,
        &encoding,
        &DumpOptions::default(),
        cancel,
    )
}
