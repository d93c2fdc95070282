//! Dumping a database: a frozen moment, pg_dump's own table of contents, and the data read by many connections at once.
//!
//! Order of effects: [`freeze`] locks the tables, then takes and exports the snapshot; [`dump_database`] captures the
//! table of contents that pg_dump makes of it and reads the data into the sink. Nothing is changed on the server. The frozen
//! session holds locks that stop `DROP`, `TRUNCATE` and `ALTER TABLE` until it is dropped; reading and writing go on.
//!
//! What is written is pg_dump's directory format, byte for byte what `pg_dump -Fd -Z0` of the same snapshot would hold,
//! so stock pg_restore restores it without pgkeep.

mod assemble;
pub(crate) mod capture;
mod catalog;
mod directory_sink;
mod frozen;
mod globals;
mod locks;
mod pattern;
mod plan;
pub(crate) mod ranges;
mod read;
mod run;
mod schema;
pub(crate) mod session;
mod sink;

pub use directory_sink::DirectorySink;
pub use frozen::{Frozen, each_text, freeze};
pub use globals::dump_globals;
pub use schema::schema_of;
pub use sink::{DumpSink, NullSink, SegmentDone, SegmentWriter};

use crate::{Result, archive::Toc, migrations, tools::Tools, wire::Connection};
use pgkeep_model::{
    CancelToken, Phase, Progress,
    app::Migrations,
    evidence::DatabaseEvidence,
    manifest::{DatabaseContent, DatabaseManifest},
};
use std::time::Duration;

/// What to dump and how.
#[derive(Debug, Clone)]
pub struct DumpOptions {
    /// Connections that read at once.
    pub jobs: usize,
    /// Tables whose definition is kept and whose rows are not, as pg_dump's patterns.
    pub exclude_table_data: Vec<String>,
    /// Limits the dump to these schemas, as pg_dump's patterns; empty means all.
    pub schemas: Vec<String>,
    /// Tables larger than this (with TOAST data) are read in ranges side by side.
    pub split_above_bytes: u64,
    /// Bytes that each range aims at.
    pub range_bytes: u64,
    /// How long to wait, in all, for sessions that hold tables exclusively.
    pub lock_timeout: Duration,
    /// How the schema version is found out; by looking for the tables of known frameworks where absent.
    pub migrations: Option<Migrations>,
}

impl Default for DumpOptions {
    fn default() -> Self {
        Self {
            jobs: std::thread::available_parallelism().map_or(2, usize::from),
            exclude_table_data: Vec::new(),
            schemas: Vec::new(),
            split_above_bytes: 128 << 20,
            range_bytes: ranges::RANGE_BYTES,
            lock_timeout: Duration::from_secs(120),
            migrations: None,
        }
    }
}

/// A database in the sink.
#[derive(Debug)]
pub struct DumpedDatabase {
    /// `path` is left empty for whoever names the folder.
    pub manifest: DatabaseManifest,
    /// What `toc.dat` holds.
    pub toc: Toc,
    /// For each member of the manifest, in order, the tokens of its segments.
    pub tokens: Vec<Vec<u64>>,
}

/// Reads the frozen database into the sink.
///
/// # Errors
/// The first failure of any connection, of pg_dump or of the sink; the others are stopped. [`crate::Error::Cancelled`] when
/// `cancel` was the cause.
pub fn dump_database(
    frozen: &Frozen,
    tools: &Tools,
    sink: &dyn DumpSink,
    options: &DumpOptions,
    cancel: &CancelToken,
    progress: &dyn Progress,
) -> Result<DumpedDatabase> {
    let mut moment = frozen.moment();
    let moment = &mut *moment;

    // 1. pg_dump names what there is to read, and how to make it again.
    progress.phase(Phase::Schema, None);
    let toc = frozen::capture(moment, &frozen.options, tools, options, cancel, progress)?;

    // 2. What the catalogs must tell is asked before the long reading, while nothing else uses the session.
    let plan = plan::make(&toc, &mut moment.connection, options)?;
    let names: Vec<String> = archive_extensions(&plan.toc);
    let known = assemble::Known {
        extensions: catalog::extensions(&mut moment.connection, &names)?,
        sequence_names: catalog::sequence_names(&mut moment.connection)?,
        manifest: describe(moment, &toc, options)?,
    };

    // 3. The data, by all connections at once.
    progress.phase(Phase::Data, Some(plan.estimated_bytes));
    let task = run::Task {
        plan: &plan,
        sink,
        progress,
        options: &frozen.options,
        snapshot: &moment.snapshot,
        encoding: &moment.encoding,
        jobs: options.jobs,
    };
    session::prefer_plain_scans(&mut moment.connection)?;
    let results = run::run(&task, &mut moment.connection, cancel)?;

    // 4. Members and evidence, now that every part is known.
    assemble::assemble(&plan, results, known, sink, progress)
}

fn archive_extensions(toc: &Toc) -> Vec<String> {
    let extensions = crate::archive::extensions(toc);
    extensions.into_iter().map(|(name, _)| name).collect()
}

/// The manifest without members and evidence.
fn describe(
    moment: &mut frozen::Moment,
    toc: &Toc,
    options: &DumpOptions,
) -> Result<DatabaseManifest> {
    let mut server = moment.server.clone();
    server.pg_dump_version = toc.header.dump_version().into_owned();
    let versions = schema_versions(&mut moment.connection, options)?;
    let mut warnings = moment.warnings.clone();
    warnings.extend(versions.warnings);
    Ok(DatabaseManifest {
        name: moment.connection.dbname().to_owned(),
        path: String::new(),
        content: DatabaseContent::Directory,
        server,
        properties: moment.properties.clone(),
        evidence: DatabaseEvidence::default(),
        members: Vec::new(),
        excluded_data: catalog::excluded_tables(&mut moment.connection, options)?,
        only_schemas: options.schemas.clone(),
        warnings,
        migrations: versions.states,
        taken_over_from: None,
        mark: None,
    })
}

/// What the snapshot says of applied migrations; nothing of it can fail a backup but a lost connection.
fn schema_versions(
    connection: &mut Connection,
    options: &DumpOptions,
) -> Result<migrations::Found> {
    let configured = options.migrations.as_ref();
    let elsewhere = configured
        .and_then(|m| m.database.as_deref())
        .is_some_and(|name| name != connection.dbname());
    match elsewhere {
        true => Ok(migrations::Found::default()),
        false => migrations::look(connection, configured),
    }
}
