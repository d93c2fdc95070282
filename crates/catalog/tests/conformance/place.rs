//! Where a case has its catalog.

use pgkeep_catalog::{BackupRow, Catalog, CatalogError, KeySource, Location, NewJob, OpenOptions};
use pgkeep_model::Clock;
use pgkeep_model::job::{
    AppSpec, BackupSpec, CleanupSpec, GuardSpec, JobKind, JobSpec, RestoreMode, RestoreSpec,
    Trigger, UpgradeSpec,
};
use pgkeep_testkit::{ManualClock, TestPostgres};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

pub const LEASE: Duration = Duration::from_secs(30);

pub struct Place {
    pub clock: Arc<ManualClock>,
    pub dir: TempDir,
    pub location: Location,
}

impl Place {
    pub fn sqlite() -> Place {
        let dir = TempDir::new().expect("a folder for the test");
        let location = Location::Sqlite(dir.path().join("data/catalog.sqlite"));
        Place::new(dir, location)
    }

    pub fn postgres(server: &TestPostgres, database: &str) -> Place {
        server.create_database(database);
        let dir = TempDir::new().expect("a folder for the test");
        Place::new(dir, Location::Postgres(server.url_for(database).into()))
    }

    fn new(dir: TempDir, location: Location) -> Place {
        Place {
            clock: Arc::new(ManualClock::at("2026-03-01T12:00:00Z")),
            dir,
            location,
        }
    }

    pub fn key_file(&self) -> PathBuf {
        self.dir.path().join("catalog.key")
    }

    pub fn options(&self) -> OpenOptions {
        OpenOptions {
            align_clock: false,
            ..OpenOptions::new(
                self.location.clone(),
                KeySource::File(self.key_file()),
                self.clock.clone(),
            )
        }
    }

    pub async fn open(&self) -> Catalog {
        Catalog::open(self.options())
            .await
            .expect("a catalog opens")
    }

    pub async fn refusal(&self, options: OpenOptions) -> CatalogError {
        Catalog::open(options)
            .await
            .expect_err("the catalog must be refused")
    }

    pub fn advance(&self, secs: i64) {
        self.clock.advance(jiff::SignedDuration::from_secs(secs));
    }

    /// Runs a statement behind the catalog's back.
    pub async fn tamper(&self, sql: &'static str) {
        match &self.location {
            Location::Sqlite(path) => {
                let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display()))
                    .await
                    .expect("the file opens");
                sqlx::raw_sql(sql).execute(&pool).await.expect(sql);
                pool.close().await;
            }
            Location::Postgres(url) => {
                use secrecy::ExposeSecret as _;
                let pool = sqlx::PgPool::connect(url.expose_secret())
                    .await
                    .expect("the server answers");
                let mut connection = pool.acquire().await.expect("the server answers");
                sqlx::raw_sql("SET search_path TO pgkeep")
                    .execute(&mut *connection)
                    .await
                    .expect("the schema is there");
                sqlx::raw_sql(sql)
                    .execute(&mut *connection)
                    .await
                    .expect(sql);
                drop(connection);
                pool.close().await;
            }
        }
    }

    /// Everything that is stored, as it lies there.
    pub async fn stored_bytes(&self) -> Vec<u8> {
        match &self.location {
            Location::Sqlite(path) => {
                let mut bytes = std::fs::read(path).expect("the file is there");
                let log = path.with_extension("sqlite-wal");
                bytes.extend(std::fs::read(log).expect("the log is there while it is open"));
                bytes
            }
            Location::Postgres(url) => {
                use secrecy::ExposeSecret as _;
                let pool = sqlx::PgPool::connect(url.expose_secret())
                    .await
                    .expect("the server answers");
                let all: String = sqlx::query_scalar(
                    "SELECT string_agg(t.x, E'\\n') FROM (
                        SELECT schema_to_xml('pgkeep', true, false, '')::text AS x) t",
                )
                .fetch_one(&pool)
                .await
                .expect("the schema is there");
                pool.close().await;
                all.into_bytes()
            }
        }
    }
}

/// A job of a kind that is taken up again.
pub fn backup_job(catalog: &Catalog, app: &str) -> NewJob {
    let spec = JobSpec::Backup(BackupSpec {
        app: app.to_owned(),
        ..BackupSpec::default()
    });
    NewJob {
        app: Some(app.to_owned()),
        ..NewJob::new(spec, Trigger::Api, "ann", catalog.now())
    }
}

/// A job of a kind that is not.
pub fn restore_job(catalog: &Catalog, app: &str) -> NewJob {
    NewJob {
        app: Some(app.to_owned()),
        ..NewJob::new(
            spec_of(JobKind::Restore, app),
            Trigger::Api,
            "ann",
            catalog.now(),
        )
    }
}

/// Something to do of each kind.
pub fn spec_of(kind: JobKind, app: &str) -> JobSpec {
    let app = app.to_owned();
    match kind {
        JobKind::Backup => JobSpec::Backup(BackupSpec {
            app,
            ..BackupSpec::default()
        }),
        JobKind::Restore => JobSpec::Restore(RestoreSpec {
            keep_old_secs: 60,
            ..RestoreSpec::new(app, "main", "latest", RestoreMode::Into("copy".to_owned()))
        }),
        JobKind::Undo => JobSpec::Undo(pgkeep_model::job::UndoSpec {
            app,
            database: Some("shop".to_owned()),
            ..Default::default()
        }),
        JobKind::Verify => JobSpec::Verify(Default::default()),
        JobKind::Drill => JobSpec::Drill(Default::default()),
        JobKind::Cleanup => JobSpec::Cleanup(CleanupSpec::default()),
        JobKind::Forget => JobSpec::Forget(Default::default()),
        JobKind::Prune => JobSpec::Prune(Default::default()),
        JobKind::Check => JobSpec::Check(Default::default()),
        JobKind::Export => JobSpec::Export(Default::default()),
        JobKind::Import => JobSpec::Import(Default::default()),
        JobKind::Diff => JobSpec::Diff(Default::default()),
        JobKind::Doctor => JobSpec::Doctor(AppSpec { app }),
        JobKind::Sync => JobSpec::Sync(Default::default()),
        JobKind::CatalogBackup => JobSpec::CatalogBackup(Default::default()),
        JobKind::Guard => JobSpec::Guard(GuardSpec {
            app,
            ..Default::default()
        }),
        JobKind::Upgrade => JobSpec::Upgrade(UpgradeSpec {
            app,
            ..Default::default()
        }),
    }
}

/// A backup of the app `shop` in the repository `main`.
pub fn backup_row(number: u32, place: &Place) -> BackupRow {
    BackupRow {
        repository: "main".to_owned(),
        id: format!("{number:08x}{:056x}", 0xabc),
        app: "shop".to_owned(),
        environment: "production".to_owned(),
        kind: "full".to_owned(),
        time: place.clock.now() + Duration::from_secs(u64::from(number) * 60),
        databases: vec!["shop".to_owned()],
        hostname: "db1".to_owned(),
        username: "postgres".to_owned(),
        ..BackupRow::default()
    }
}
