//! What the engine's tests share: a repository in a folder, and requests with the usual choices.
#![allow(dead_code)]

use pgkeep_engine::{
    Context,
    backup::{self, BackupReport, BackupRequest},
    restore::{self, Content, RestoreReport, RestoreRequest, RestoreTarget, Selection},
    storage::{self, RepositoryAddress},
};
use pgkeep_model::{CancelToken, Silent, evidence::Proof, manifest::BackupKind};
use pgkeep_postgres::connect::{ConnectOptions, Environment};
use pgkeep_repository::{Repository, storage::StorageOptions};
use pgkeep_testkit::{Installation, ManualClock, TestPostgres};
use std::sync::Arc;

pub const PASSWORD: &str = "correct horse battery staple";

/// A repository that goes away with the test.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub repository: Repository,
    pub context: Context,
    pub clock: Arc<ManualClock>,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = Arc::new(ManualClock::at("2026-03-01T12:00:00Z"));
        let context = context(clock.clone());
        let address = address(&folder.path().join("repo").display().to_string());
        storage::init(&address, "", &context).expect("init");
        let repository = storage::open(&address, &context).expect("open");
        Self {
            folder,
            repository,
            context,
            clock,
        }
    }

    pub fn path(&self) -> String {
        self.folder.path().join("repo").display().to_string()
    }

    pub fn backup(&self, server: &TestPostgres, database: &str) -> BackupReport {
        backup::run(
            &self.repository,
            &backup_request(server, database),
            &self.context,
        )
        .unwrap_or_else(|e| panic!("backup of {database}: {e} ({:?})", e.hint))
    }

    pub fn restore(&self, request: &RestoreRequest) -> RestoreReport {
        let plan = restore::plan(&self.repository, request, &self.context)
            .unwrap_or_else(|e| panic!("plan: {e} ({:?})", e.hint));
        assert!(
            plan.summary.refusals.is_empty(),
            "{:?}",
            plan.summary.refusals
        );
        restore::execute(&self.repository, plan, &self.context)
            .unwrap_or_else(|e| panic!("restore: {e} ({:?})", e.hint))
    }
}

pub fn address(path: &str) -> RepositoryAddress {
    RepositoryAddress {
        address: path.to_string(),
        options: StorageOptions::default(),
        password: PASSWORD.to_string().into(),
    }
}

pub fn context(clock: Arc<ManualClock>) -> Context {
    Context {
        clock,
        cancel: CancelToken::new(),
        progress: Arc::new(Silent),
        hostname: "test-host".into(),
        username: "tester".into(),
        tool_dirs: [15, 17, 18]
            .into_iter()
            .filter_map(Installation::find)
            .map(|installation| installation.bin_dir)
            .collect(),
    }
}

pub fn connect(server: &TestPostgres, database: &str) -> ConnectOptions {
    ConnectOptions::resolve(Some(&server.url_for(database)), &Environment::default())
        .expect("a valid URL")
}

pub fn backup_request(server: &TestPostgres, database: &str) -> BackupRequest {
    BackupRequest {
        app: "shop".into(),
        environment: "test".into(),
        kind: BackupKind::Full,
        description: String::new(),
        tags: Vec::new(),
        pinned: false,
        databases: vec![connect(server, database)],
        globals: true,
        jobs: 2,
        compression_level: 1,
        exclude_table_data: Vec::new(),
        schemas: Vec::new(),
        lock_timeout: None,
        origin: pgkeep_engine::catalog::Origin::default(),
        read_back_all: false,
        application: pgkeep_engine::application::Application::default(),
    }
}

pub fn restore_request(server: &TestPostgres, target: RestoreTarget) -> RestoreRequest {
    RestoreRequest {
        backup: "latest".into(),
        app: None,
        database: None,
        admin: connect(server, "postgres"),
        target,
        selection: Selection::default(),
        content: Content::All,
        jobs: 2,
        prove: Proof::Full,
        keep_old_secs: 24 * 3600,
        no_owner: false,
        role: None,
        throwaway: false,
        vacuum: false,
        skip_safety_backup: false,
        grace_secs: 0,
        around: restore::Around::default(),
    }
}

pub fn into(name: &str) -> RestoreTarget {
    RestoreTarget::Into { name: name.into() }
}

pub fn replace(name: &str) -> RestoreTarget {
    RestoreTarget::Replace { name: name.into() }
}
