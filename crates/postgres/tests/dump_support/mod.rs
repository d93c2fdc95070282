//! What the tests of dumping share.
#![allow(dead_code)] // every test file uses its own part

use pgkeep_model::{CancelToken, Phase, Progress, Silent};
use pgkeep_postgres::{
    Error, Result,
    archive::Toc,
    connect::{ConnectOptions, Environment},
    dump::{self, DirectorySink, DumpOptions, DumpedDatabase, NullSink},
    tools::{Tools, tool_dirs},
};
use pgkeep_testkit::{TestPostgres, cache_dir};
use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

pub fn resolve(url: &str) -> ConnectOptions {
    let nothing: [(&str, &str); 0] = [];
    ConnectOptions::resolve(Some(url), &Environment::new(nothing)).expect("a valid URL")
}

pub fn at(server: &TestPostgres, database: &str) -> ConnectOptions {
    resolve(&server.url_for(database))
}

pub fn tools(major: u32) -> Tools {
    let nothing: [(&str, &str); 0] = [];
    let dirs = tool_dirs(&Environment::new(nothing), Some(&cache_dir()));
    Tools::find(major, &dirs).expect("client programs are installed")
}

/// Reads everything in small ranges, so that even test tables are split.
pub fn split_small() -> DumpOptions {
    DumpOptions {
        jobs: 3,
        split_above_bytes: 0,
        range_bytes: 16 << 10,
        ..DumpOptions::default()
    }
}

/// A dump in a folder that is removed with it.
pub struct Dump {
    folder: tempfile::TempDir,
    pub dumped: DumpedDatabase,
}

impl Dump {
    pub fn of(server: &TestPostgres, database: &str, options: &DumpOptions) -> Self {
        Self::by(server, database, options, &Silent).expect("dumping")
    }

    pub fn by(
        server: &TestPostgres,
        database: &str,
        options: &DumpOptions,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let sink = DirectorySink::create(folder.path().join("dump")).expect("a new folder");
        let cancel = CancelToken::new();
        let frozen = dump::freeze(&at(server, database), options, &cancel, progress)?;
        let dumped = dump::dump_database(
            &frozen,
            &tools(server.major()),
            &sink,
            options,
            &cancel,
            progress,
        )?;
        sink.assemble(&dumped).expect("joining the segments");
        Ok(Self { folder, dumped })
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("dump")
    }

    pub fn toc(&self) -> &Toc {
        &self.dumped.toc
    }
}

/// Dumps into nothing.
pub fn dump_to_nothing(
    source: &ConnectOptions,
    tools: &Tools,
    options: &DumpOptions,
    cancel: &CancelToken,
    progress: &dyn Progress,
) -> Result<DumpedDatabase> {
    let frozen = dump::freeze(source, options, cancel, progress)?;
    dump::dump_database(&frozen, tools, &NullSink, options, cancel, progress)
}

/// Restores a dump (a folder or a file) into a new database with stock pg_restore.
///
/// With several jobs it runs once for each section: left to itself it may create a trigger on a partitioned table, which has
/// no rows to wait for, while the partitions are loaded, and then the trigger adds rows of its own.
pub fn pg_restore(server: &TestPostgres, database: &str, archive: &std::path::Path, jobs: u32) {
    server.create_database(database);
    let runs: &[&[&str]] = match jobs {
        1 => &[&[]],
        _ => &[
            &["--section=pre-data"],
            &["--section=data"],
            &["--section=post-data"],
        ],
    };
    for section in runs {
        let mut command = server.client("pg_restore");
        command
            .arg("--exit-on-error")
            .arg("-d")
            .arg(server.dsn_for(database))
            .args(*section);
        if jobs > 1 {
            command.arg(format!("-j{jobs}"));
        }
        let output = command.arg(archive).output().expect("pg_restore runs");
        assert!(
            output.status.success(),
            "pg_restore -j{jobs} {section:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// Keeps what a dump says.
#[derive(Default)]
pub struct Said {
    pub warnings: Mutex<Vec<String>>,
    pub phases: Mutex<Vec<Phase>>,
}

impl Said {
    pub fn warnings(&self) -> Vec<String> {
        self.warnings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Progress for Said {
    fn phase(&self, phase: Phase, _: Option<u64>) {
        self.phases
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(phase);
    }
    fn bytes(&self, _: u64) {}
    fn warn(&self, message: &str) {
        self.warnings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(message.to_owned());
    }
}

/// Waits until a condition holds; panics with its name when it does not within a minute.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Sessions of a dump that are still on the server.
pub fn sessions(server: &TestPostgres) -> u32 {
    server
        .psql(
            "postgres",
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pgkeep%' OR application_name = 'pg_dump'",
        )
        .parse()
        .expect("a number")
}

/// The words of an error and of its hint.
pub fn words(error: &Error) -> String {
    format!("{error}\n{}", error.hint().unwrap_or_default())
}
