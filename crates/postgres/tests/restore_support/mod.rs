//! What the tests of restoring share: connecting to test servers, and a backup of a database as the tests know it.
#![allow(dead_code)] // every test file uses its own part

use pgkeep_model::{
    CancelToken, Silent,
    evidence::{Proof, compare},
    manifest::DatabaseManifest,
};
use pgkeep_postgres::{
    connect::{ConnectOptions, Environment},
    dump::{self, DirectorySink, DumpOptions},
    prove,
    restore::{self, DirectorySource, Mark, PropertyOptions, RestoreOptions, RestoreSummary},
    tools::{Tools, tool_dirs},
};
use pgkeep_testkit::{TestPostgres, cache_dir};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

pub fn at(server: &TestPostgres, database: &str) -> ConnectOptions {
    let nothing: [(&str, &str); 0] = [];
    ConnectOptions::resolve(Some(&server.url_for(database)), &Environment::new(nothing))
        .expect("a valid URL")
}

pub fn tools(major: u32) -> Tools {
    let nothing: [(&str, &str); 0] = [];
    let dirs: Vec<PathBuf> = tool_dirs(&Environment::new(nothing), Some(&cache_dir()));
    Tools::find(major, &dirs).expect("client programs are installed")
}

/// A dump in a folder.
pub struct Backup {
    pub folder: tempfile::TempDir,
    pub manifest: DatabaseManifest,
}

impl Backup {
    pub fn of(server: &TestPostgres, database: &str) -> Self {
        Self::with(server, database, &DumpOptions::default())
    }

    pub fn with(server: &TestPostgres, database: &str, options: &DumpOptions) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let sink = DirectorySink::create(folder.path().join("dump")).expect("a new folder");
        let (cancel, target) = (CancelToken::new(), at(server, database));
        let tools = tools(server.major());
        let frozen = dump::freeze(&target, options, &cancel, &Silent).expect("freezing");
        let dumped = dump::dump_database(&frozen, &tools, &sink, options, &cancel, &Silent)
            .expect("dumping");
        sink.assemble(&dumped).expect("writing the folder");
        Self {
            folder,
            manifest: dumped.manifest,
        }
    }

    pub fn source(&self) -> DirectorySource {
        DirectorySource::new(self.folder.path().join("dump"))
    }

    /// Creates the database and restores into it.
    pub fn restore(
        &self,
        server: &TestPostgres,
        name: &str,
        options: &RestoreOptions,
    ) -> RestoreSummary {
        self.try_restore(server, name, options)
            .unwrap_or_else(|e| panic!("restoring {name}: {e}"))
    }

    pub fn try_restore(
        &self,
        server: &TestPostgres,
        name: &str,
        options: &RestoreOptions,
    ) -> pgkeep_postgres::Result<RestoreSummary> {
        let (cancel, admin) = (CancelToken::new(), at(server, "postgres"));
        restore::create_database(
            &admin,
            name,
            &self.manifest.properties,
            &options.properties(),
            &mark(name),
            &cancel,
        )?;
        restore::restore_into(
            &admin.with_dbname(name),
            &self.manifest,
            &self.source(),
            &tools(server.major()),
            options,
            &cancel,
            &Silent,
        )
    }

    /// Fails unless the database's evidence is the backup's.
    pub fn assert_proven(&self, server: &TestPostgres, name: &str) {
        let differences = self.differences(server, name, Proof::Full);
        assert!(differences.is_empty(), "{name}: {differences:#?}");
    }

    pub fn differences(&self, server: &TestPostgres, name: &str, proof: Proof) -> Vec<String> {
        let target = at(server, name);
        let cancel = CancelToken::new();
        let found = prove::collect(
            &target,
            &self.manifest,
            &tools(server.major()),
            2,
            proof,
            &cancel,
            &Silent,
        )
        .expect("the evidence can be collected");
        compare(&self.manifest.evidence, &found, proof)
            .iter()
            .map(ToString::to_string)
            .collect()
    }
}

pub fn mark(database: &str) -> Mark {
    Mark::Restoring {
        database: database.into(),
        host: "test".into(),
        pid: std::process::id(),
        started_at: "2026-11-21T08:00:00Z".parse().expect("a valid time"),
        comment: None,
    }
}

/// Asks until the answer is true.
pub fn wait_until(server: &TestPostgres, condition: &str) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while server.psql("postgres", condition) != "t" {
        assert!(Instant::now() < deadline, "never true: {condition}");
    }
}

pub fn plain_properties() -> PropertyOptions {
    PropertyOptions::default()
}
