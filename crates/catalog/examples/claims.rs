//! Prints how fast the catalog hands out jobs, and how fast it lists 10,000 backups.
//!
//! `cargo run --release -p pgkeep-catalog --example claims -- [FOLDER | postgres://…] [WORKERS] [JOBS]`
//!
//! The folder should lie on the disk that the server's catalog would lie on: a claim ends with a durable commit.

use jiff::Timestamp;
use pgkeep_catalog::{
    BackupFilter, BackupRow, BackupSort, Catalog, CatalogError, KeySource, Location, NewJob,
    OpenOptions, Page, Result,
};
use pgkeep_model::Clock;
use pgkeep_model::job::{AppSpec, JobSpec, Trigger};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const LEASE: Duration = Duration::from_secs(30);
const BACKUPS: u32 = 10_000;

/// The time at the start, moved on by the monotonic clock.
#[derive(Debug)]
struct Running(Timestamp, Instant);

impl Clock for Running {
    fn now(&self) -> Timestamp {
        self.0 + self.1.elapsed()
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let place = arguments.next();
    let mut number = |default| {
        arguments
            .next()
            .map_or(default, |text| text.parse().expect("a number"))
    };
    let (workers, jobs): (usize, usize) = (number(8), number(2000));
    let folder = tempfile::tempdir_in(match &place {
        Some(place) if !place.starts_with("postgres") => PathBuf::from(place),
        _ => std::env::temp_dir(),
    })
    .expect("a folder can be made");
    let location = match place {
        Some(url) if url.starts_with("postgres") => Location::Postgres(url.into()),
        _ => Location::Sqlite(folder.path().join("catalog.sqlite")),
    };
    let clock = std::sync::Arc::new(Running(Timestamp::UNIX_EPOCH, Instant::now()));
    let key = KeySource::File(folder.path().join("catalog.key"));
    let begun = Instant::now();
    let catalog = Catalog::open(OpenOptions::new(location, key, clock)).await?;
    println!("open            {:>9.1} ms", millis(begun));

    let begun = Instant::now();
    spread(&catalog, workers, jobs, |catalog, _| async move {
        let spec = JobSpec::Doctor(AppSpec {
            app: "shop".to_owned(),
        });
        let job = NewJob::new(spec, Trigger::Internal, "example", catalog.now());
        catalog.enqueue(job).await.map(drop)
    })
    .await?;
    println!("enqueue         {:>9.0} jobs/s", rate(begun, jobs));

    let begun = Instant::now();
    spread(&catalog, workers, jobs, |catalog, number| async move {
        let claim = catalog.claim(&format!("n{number}"), &[], LEASE).await?;
        assert!(claim.is_some(), "there is a job for each claim");
        Ok(())
    })
    .await?;
    println!(
        "claim           {:>9.0} claims/s by {workers} workers",
        rate(begun, jobs)
    );

    let rows: Vec<BackupRow> = (0..BACKUPS).map(row).collect();
    let begun = Instant::now();
    catalog.upsert_backups(&rows).await?;
    println!("write backups   {:>9.0} rows/s", rate(begun, rows.len()));
    for (what, filter, sort) in [
        ("list", BackupFilter::default(), BackupSort::Time),
        ("list by size", BackupFilter::default(), BackupSort::Bytes),
        (
            "search text",
            BackupFilter {
                text: Some("release 77".to_owned()),
                ..BackupFilter::default()
            },
            BackupSort::Time,
        ),
    ] {
        let page = Page {
            limit: 100,
            ..Page::default()
        };
        catalog.backups(&filter, sort, &page).await?;
        let begun = Instant::now();
        catalog.backups(&filter, sort, &page).await?;
        println!("{what:<15} {:>9.1} ms of {BACKUPS} backups", millis(begun));
    }
    Ok(())
}

/// Does something `count` times, by `workers` tasks.
async fn spread<F, O>(catalog: &Catalog, workers: usize, count: usize, work: F) -> Result<()>
where
    F: Fn(Catalog, usize) -> O + Clone + Send + 'static,
    O: Future<Output = Result<()>> + Send,
{
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..workers {
        let (catalog, work) = (catalog.clone(), work.clone());
        tasks.spawn(async move {
            for number in (worker..count).step_by(workers) {
                work(catalog.clone(), number).await?;
            }
            Ok::<(), CatalogError>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic")?;
    }
    Ok(())
}

fn row(number: u32) -> BackupRow {
    BackupRow {
        repository: "main".to_owned(),
        id: format!("{:08x}{number:056x}", number.wrapping_mul(2_654_435_761)),
        app: format!("app{}", number % 20),
        environment: "production".to_owned(),
        kind: "full".to_owned(),
        time: Timestamp::UNIX_EPOCH + Duration::from_secs(u64::from(number) * 3600),
        databases: vec!["shop".to_owned()],
        description: format!("release {number}"),
        tags: vec!["nightly".to_owned()],
        bytes: Some(u64::from(number) * 7919 % 1_000_003),
        seconds: Some(f64::from(number % 97)),
        hostname: "db1".to_owned(),
        username: "postgres".to_owned(),
        ..BackupRow::default()
    }
}

fn millis(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
}

fn rate(begun: Instant, count: usize) -> f64 {
    count as f64 / begun.elapsed().as_secs_f64()
}
