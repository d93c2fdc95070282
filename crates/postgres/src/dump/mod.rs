//! Dumping a database: a frozen moment, pg_dump's own table of contents, and the data read by many connections at once.
//!
//! Order of effects: [`freeze`] locks the tables, takes and exports the snapshot, and captures the table of contents that
//! pg_dump makes of it; [`dump_database`] reads the data into the sink. Nothing is changed on the server. The frozen
//! session holds locks that stop `DROP`, `TRUNCATE` and `ALTER TABLE` until it is dropped; reading and writing go on.
//!
//! What is written is pg_dump's directory format, byte for byte what `pg_dump -Fd -Z0` of the same snapshot would hold,
//! so stock pg_restore restores it without pgkeep.

mod assemble;
mod catalog;
mod directory_sink;
mod locks;
mod pattern;
mod plan;
mod ranges;
mod read;
mod run;
mod session;
mod sink;

pub use directory_sink::DirectorySink;
pub use sink::{DumpSink, NullSink, SegmentDone, SegmentWriter};

use pgkeep_model::manifest::DatabaseManifest;
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
    /// How long to wait, in all, for sessions that hold tables exclusively.
    pub lock_timeout: Duration,
}

impl Default for DumpOptions {
    fn default() -> Self {
        Self {
            jobs: std::thread::available_parallelism().map_or(2, usize::from),
            exclude_table_data: Vec::new(),
            schemas: Vec::new(),
            split_above_bytes: 128 << 20,
            lock_timeout: Duration::from_secs(120),
        }
    }
}

/// A database in the sink.
#[derive(Debug)]
pub struct DumpedDatabase {
    pub manifest: DatabaseManifest,
    /// For each member of the manifest, in order, the tokens of its segments.
    pub tokens: Vec<Vec<u64>>,
}
