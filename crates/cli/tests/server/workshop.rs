//! A shop with its repository, a catalog that knows both, and nodes that take jobs.

use crate::pgkeep::{
    Run,
    proxy::HoldingProxy,
    scene::{Running, Scene, wait_until},
};
use pgkeep_catalog::{
    BackupFilter, BackupRow, BackupSort, Catalog, Job, ManagedBy, NewJob, OpenOptions, Page,
    blocking::Blocking,
};
use pgkeep_model::{
    Clock,
    app::{AppDefinition, RepositoryDefinition},
    job::{BackupSpec, JobSpec, JobState, Trigger},
};
use pgkeep_server::{
    jobs,
    settings::{CatalogPlace, JobLimits, Places, WorkSettings},
    worker::{Supervisor, open_options},
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

pub const APP: &str = "shop";
pub const REPOSITORY: &str = "main";

#[derive(Debug)]
pub struct TestClock;

impl Clock for TestClock {
    #[expect(clippy::disallowed_methods, reason = "the binary has its own clock")]
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}

pub struct Workshop {
    pub scene: Scene,
    pub catalog: Blocking,
    pub places: Places,
}

impl Workshop {
    pub fn new() -> Self {
        let scene = Scene::new();
        let places = Places::inside(scene.pgkeep.path().join("data"));
        Self::with(scene, places)
    }

    /// With the catalog in a database of the shop's server.
    pub fn on_postgres() -> Self {
        let scene = Scene::new();
        scene.server.create_database("keeper");
        let mut places = Places::inside(scene.pgkeep.path().join("data"));
        places.catalog = CatalogPlace::Postgres(scene.server.url_for("keeper").into());
        Self::with(scene, places)
    }

    fn with(scene: Scene, places: Places) -> Self {
        std::fs::create_dir_all(&places.data_dir).unwrap();
        let catalog = Blocking::open(options(&places, true)).unwrap();
        let workshop = Self {
            scene,
            catalog,
            places,
        };
        let repository = RepositoryDefinition {
            address: Some(
                workshop
                    .scene
                    .pgkeep
                    .path()
                    .join("backups")
                    .display()
                    .to_string(),
            ),
            key: Some(format!("file:{}", workshop.key_file().display()).into()),
            ..RepositoryDefinition::default()
        };
        workshop.ask(|catalog| async move {
            catalog
                .put_repository(REPOSITORY, &repository, ManagedBy::Api, None)
                .await
        });
        workshop.connect_by(None);
        workshop
    }

    pub fn key_file(&self) -> PathBuf {
        let folder = self.scene.pgkeep.path().join(".config/pgkeep");
        let mut files = std::fs::read_dir(folder).unwrap().flatten();
        files.next().unwrap().path()
    }

    /// Makes the app's database be reached directly, or by a way on which it can be held.
    pub fn connect_by(&self, way: Option<&HoldingProxy>) {
        let server = &self.scene.server;
        let direct = format!(":{}/", server.port());
        let url = |url: String| match way {
            Some(way) => url.replace(&direct, &format!(":{}/", way.port())),
            None => url,
        };
        let app = AppDefinition {
            databases: vec![url(server.url_for("shop")).into()],
            admin_url: Some(url(server.url()).into()),
            repository: Some(REPOSITORY.into()),
            ..AppDefinition::default()
        };
        self.ask(|catalog| async move { catalog.put_app(APP, &app, ManagedBy::Api, None).await });
    }

    #[track_caller]
    pub fn ask<T, F>(&self, question: impl FnOnce(Catalog) -> F) -> T
    where
        F: Future<Output = pgkeep_catalog::Result<T>>,
    {
        self.catalog.block_on(question).unwrap()
    }

    pub fn draft(&self, spec: JobSpec) -> NewJob {
        let now = self.catalog.catalog().now();
        jobs::draft(spec, Trigger::Api, "a test", now, &JobLimits::default())
    }

    /// Puts a job into the queue and gives its id.
    pub fn enqueue(&self, job: NewJob) -> String {
        self.ask(|catalog| async move { catalog.enqueue(job).await })
            .job()
            .id
            .clone()
    }

    pub fn enqueue_backup(&self) -> String {
        self.enqueue(self.draft(backup()))
    }

    pub fn job(&self, id: &str) -> Job {
        self.ask(|catalog| async move { catalog.job(id).await })
    }

    #[track_caller]
    pub fn wait_for_state(&self, id: &str, state: JobState) -> Job {
        wait_until(state.as_str(), || {
            let now = self.job(id);
            assert!(
                !now.state.is_final() || now.state == state,
                "{}: {now:#?}",
                state.as_str()
            );
            now.state == state
        });
        self.job(id)
    }

    pub fn rows(&self) -> Vec<BackupRow> {
        let (filter, page) = (BackupFilter::default(), Page::default());
        self.ask(|catalog| async move { catalog.backups(&filter, BackupSort::Time, &page).await })
            .items
    }

    pub fn log(&self, id: &str) -> Vec<String> {
        self.ask(|catalog| async move { catalog.job_log(id, 0, 1000).await })
            .into_iter()
            .map(|line| line.text)
            .collect()
    }

    #[track_caller]
    pub fn wait_until_logged(&self, id: &str, words: &str) {
        wait_until(words, || {
            self.log(id).iter().any(|line| line.contains(words))
        });
    }

    /// A worker in this process, whose jobs are processes of the binary.
    pub fn node(&self, name: &str) -> Node {
        self.node_with(name, Duration::from_secs(30))
    }

    pub fn node_with(&self, name: &str, lease: Duration) -> Node {
        let runtime = Runtime::new().unwrap();
        let stop = CancellationToken::new();
        let (places, stopping) = (self.places.clone(), stop.clone());
        let work = WorkSettings {
            slots: 2,
            program: env!("CARGO_BIN_EXE_pgkeep").into(),
            node: Some(name.into()),
            lease,
            ..WorkSettings::default()
        };
        let task = runtime.spawn(async move {
            let catalog = Catalog::open(options(&places, false)).await.unwrap();
            Supervisor::of_server(catalog, places, work, "here")
                .run(stopping)
                .await;
        });
        Node {
            runtime,
            stop,
            task,
        }
    }

    /// A command in a terminal of the server's machine.
    pub fn by_hand(&self, args: &[&str]) -> Run {
        let mut command = self.scene.pgkeep.command(args);
        command
            .envs(self.scene.environment())
            .env("PGKEEP_DATA_DIR", &self.places.data_dir);
        Run::of(&command.output().unwrap())
    }

    /// `pgkeep worker` as a process.
    pub fn worker(&self) -> Running {
        let mut command = self.scene.pgkeep.child(&["worker"]);
        command
            .env("PGKEEP_DATA_DIR", &self.places.data_dir)
            .envs(std::env::var_os("PGKEEP_CACHE").map(|cache| ("PGKEEP_CACHE", cache)));
        Running::start(command)
    }

    /// The process of a job.
    pub fn process_of(&self, job: &str) -> Option<JobProcess> {
        process_of(job)
    }

    #[track_caller]
    pub fn wait_until_nothing_is_left_of(&self, job: &str) {
        wait_until("the job's process is gone", || process_of(job).is_none());
        self.wait_until_no_session_is_left();
    }

    /// The catalog's own sessions, where it lies on the same server, stay.
    #[track_caller]
    pub fn wait_until_no_session_is_left(&self) {
        wait_until("no session of a job is left", || {
            self.scene.is_true(
                "SELECT NOT EXISTS (SELECT FROM pg_stat_activity \
                 WHERE application_name LIKE 'pgkeep%' AND application_name <> 'pgkeep catalog')",
            )
        });
    }
}

fn options(places: &Places, create: bool) -> OpenOptions {
    open_options(places, Arc::new(TestClock), create)
}

pub fn backup() -> JobSpec {
    JobSpec::Backup(BackupSpec {
        app: APP.into(),
        ..BackupSpec::default()
    })
}

/// A worker of a machine that may fail.
pub struct Node {
    runtime: Runtime,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Node {
    /// Ends in order: what runs is handed back.
    pub fn stop(self) {
        self.stop.cancel();
        self.runtime.block_on(self.task).unwrap();
    }

    /// Is gone from one moment to the next, with the processes of its jobs.
    pub fn fail(self) {
        self.runtime.shutdown_background();
    }
}

pub struct JobProcess(rustix::process::Pid);

impl JobProcess {
    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.0, signal).unwrap();
    }
}

fn process_of(job: &str) -> Option<JobProcess> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.into_iter().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        let found = line.contains("run-job") && line.contains(job);
        found.then(|| rustix::process::Pid::from_raw(pid).map(JobProcess))?
    })
}
