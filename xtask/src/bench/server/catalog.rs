//! What is measured at the catalog itself: jobs handed out, and rows that make lists long.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::ensure;
use pgkeep_catalog::{BackupRow, Catalog, KeySource, Location, NewJob, OpenOptions};
use pgkeep_model::Clock;
use pgkeep_model::job::{AppSpec, JobSpec, Trigger};

const LEASE: Duration = Duration::from_secs(30);
const WORKERS: usize = 8;
/// No repository of this name is defined, so that no look into one brings the list up to date.
const REPOSITORY: &str = "elsewhere";

#[derive(Debug)]
struct Now;

impl Clock for Now {
    fn now(&self) -> jiff::Timestamp {
        SystemTime::now()
            .try_into()
            .expect("the year has four digits")
    }
}

async fn open(folder: &Path) -> pgkeep_catalog::Result<Catalog> {
    let location = Location::Sqlite(folder.join("catalog.sqlite"));
    let key = KeySource::File(folder.join("catalog.key"));
    Catalog::open(OpenOptions::new(location, key, Arc::new(Now))).await
}

/// Jobs that workers took in a second from a catalog of their own, each by a durable commit.
pub(super) fn claims_per_second(folder: &Path, jobs: usize) -> anyhow::Result<f64> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let catalog = open(folder).await?;
        for _ in 0..jobs {
            let spec = JobSpec::Doctor(AppSpec { app: "shop".into() });
            let job = NewJob::new(spec, Trigger::Internal, "bench", catalog.now());
            catalog.enqueue(job).await?;
        }
        let begun = Instant::now();
        let mut workers = tokio::task::JoinSet::new();
        for number in 0..WORKERS {
            let catalog = catalog.clone();
            workers.spawn(async move {
                let (node, mut taken) = (format!("bench-{number}"), 0);
                while catalog.claim(&node, &[], LEASE).await?.is_some() {
                    taken += 1;
                }
                Ok::<usize, pgkeep_catalog::CatalogError>(taken)
            });
        }
        let mut taken = 0;
        while let Some(worker) = workers.join_next().await {
            taken += worker??;
        }
        let took = begun.elapsed().as_secs_f64();
        ensure!(taken == jobs, "{taken} of {jobs} jobs were taken");
        Ok(taken as f64 / took)
    })
}

/// Writes rows of backups of one app, an hour apart, into a catalog that is there.
pub(super) fn add_backups(folder: &Path, app: &str, count: u32) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let catalog = open(folder).await?;
        let newest = catalog.now() - Duration::from_secs(3600 * 24);
        let rows: Vec<BackupRow> = (0..count)
            .map(|number| BackupRow {
                repository: REPOSITORY.into(),
                id: format!("{:08x}{number:056x}", number.wrapping_mul(2_654_435_761)),
                app: app.into(),
                environment: "production".into(),
                kind: "full".into(),
                time: newest - Duration::from_secs(u64::from(number) * 3600),
                databases: vec!["shop".into()],
                description: format!("release {number}"),
                tags: vec!["nightly".into()],
                bytes: Some(u64::from(number) * 7919 % 1_000_003),
                seconds: Some(f64::from(number % 97)),
                hostname: "db1".into(),
                username: "postgres".into(),
                ..BackupRow::default()
            })
            .collect();
        catalog.upsert_backups(&rows).await?;
        catalog.close().await;
        Ok(())
    })
}
