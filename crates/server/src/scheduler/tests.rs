//! The scheduler on a real catalog, with a clock that is moved by hand.

use super::*;
use crate::targets::Machine;
use jiff::SignedDuration;
use pgkeep_catalog::{
    BackupRow, JobError, JobFilter, KeySource, Location, ManagedBy, OpenOptions, Outcome, Page,
};
use pgkeep_model::app::{AppDefinition, RepositoryDefinition};
use pgkeep_model::job::{JobKind, JobSpec, JobState, RestoreMode, RestoreSpec, Trigger};
use pgkeep_model::pace::Load;
use pgkeep_model::policy::{Adaptive, Frequency, LoadLimit, Policy, Retention, Schedule};
use pgkeep_postgres::connect::Environment;
use pgkeep_testkit::ManualClock;
use serde_json::json;
use std::path::PathBuf;

/// A machine that knows nothing but the time.
pub(super) fn machine() -> Machine {
    Machine {
        clock: Arc::new(ManualClock::at("2026-11-21T08:00:00Z")),
        environment: Environment::new(std::iter::empty::<(&str, &str)>()),
        hostname: "here".into(),
        username: "keeper".into(),
        tool_dirs: Vec::new(),
        key_dir: PathBuf::from("/nowhere"),
    }
}

/// A gauge that shows what the test sets.
#[derive(Default)]
struct Dial {
    load: Mutex<Load>,
    wal: Mutex<Option<u64>>,
}

impl Gauge for Dial {
    fn load(&self, _: &str, _: &AppDefinition) -> Load {
        *self.load.lock().expect("no panic")
    }

    fn wal(&self, _: &str, _: &AppDefinition) -> Option<u64> {
        *self.wal.lock().expect("no panic")
    }
}

struct Scene {
    clock: Arc<ManualClock>,
    catalog: Catalog,
    dial: Arc<Dial>,
    scheduler: Scheduler,
    folder: tempfile::TempDir,
}

impl Scene {
    /// A catalog with the app `shop` and the repository `main`, at this time.
    async fn at(time: &str) -> Self {
        let clock = Arc::new(ManualClock::at(time));
        let folder = tempfile::tempdir().expect("a folder");
        let catalog = Catalog::open(OpenOptions::new(
            Location::Sqlite(folder.path().join("catalog.sqlite")),
            KeySource::File(folder.path().join("catalog.key")),
            clock.clone(),
        ))
        .await
        .expect("opens");
        let app = AppDefinition {
            databases: vec!["shop".into()],
            repository: Some("main".into()),
            ..AppDefinition::default()
        };
        let repository = RepositoryDefinition {
            address: Some("/backups".into()),
            ..RepositoryDefinition::default()
        };
        catalog
            .put_repository("main", &repository, ManagedBy::Api, None)
            .await
            .expect("stored");
        catalog
            .put_app("shop", &app, ManagedBy::Api, None)
            .await
            .expect("stored");
        let dial = Arc::new(Dial::default());
        let scheduler = Self::scheduler(&catalog, &dial, &folder);
        Self {
            clock,
            catalog,
            dial,
            scheduler,
            folder,
        }
    }

    fn scheduler(catalog: &Catalog, dial: &Arc<Dial>, folder: &tempfile::TempDir) -> Scheduler {
        Scheduler::new(
            catalog.clone(),
            Places::inside(folder.path()),
            JobLimits::default(),
            dial.clone(),
        )
    }

    async fn repositories(&self, names: &[&str]) {
        for name in names {
            let repository = RepositoryDefinition {
                address: Some(format!("/backups/{name}")),
                ..RepositoryDefinition::default()
            };
            let put = self
                .catalog
                .put_repository(name, &repository, ManagedBy::Api, None);
            put.await.expect("stored");
        }
    }

    async fn put(&self, policy: Policy) {
        assert_eq!(policy.validate(), Ok(()));
        self.catalog
            .put_policy(&policy.name, &policy, ManagedBy::Api, None)
            .await
            .expect("stored");
    }

    fn set(&self, time: &str) {
        self.clock.set(time.parse().expect("a timestamp"));
    }

    async fn tick(&self) -> Ticked {
        self.scheduler.tick().await.expect("ticks")
    }

    /// Backup jobs, in the order in which they were made.
    async fn backups(&self) -> Vec<pgkeep_catalog::Job> {
        self.jobs(JobKind::Backup).await
    }

    async fn jobs(&self, kind: JobKind) -> Vec<pgkeep_catalog::Job> {
        let filter = JobFilter {
            kinds: vec![kind],
            ..JobFilter::default()
        };
        let page = Page {
            limit: Page::MAX,
            descending: false,
            ..Page::default()
        };
        self.catalog
            .jobs(&filter, &page)
            .await
            .expect("listed")
            .items
    }

    async fn scheduled(&self) -> Vec<String> {
        let jobs = self.backups().await;
        jobs.iter()
            .map(|job| job.scheduled_for.map_or("-".to_owned(), |t| t.to_string()))
            .collect()
    }

    /// Claims whatever may run and ends it.
    async fn work(&self, outcome: impl Fn() -> Outcome) -> usize {
        let mut done = 0;
        while let Some(claim) = self
            .catalog
            .claim("node", &JobKind::ALL, Duration::from_secs(30))
            .await
            .expect("claims")
        {
            self.catalog
                .finish(&claim.job.id, claim.fence, outcome())
                .await
                .expect("finishes");
            done += 1;
        }
        done
    }

    async fn succeed(&self) -> usize {
        self.work(|| Outcome::Succeeded(json!({}))).await
    }

    async fn fail(&self) -> usize {
        self.work(|| Outcome::Failed(JobError::new("unreachable", "the server is away")))
            .await
    }

    async fn policy_events(&self) -> Vec<String> {
        let events = self.catalog.events_after(0, 10_000).await.expect("listed");
        events
            .iter()
            .filter(|event| event.topic == "policy")
            .filter_map(|event| Some(event.data.get("change")?.as_str()?.to_owned()))
            .filter(|change| change == "overdue" || change == "recovered")
            .collect()
    }
}

fn daily(at: &str) -> Policy {
    Policy {
        schedule: Schedule {
            at: Some(at.to_owned()),
            ..Schedule::default()
        },
        ..Policy::new("nightly", "shop")
    }
}

#[tokio::test]
async fn a_day_of_ticks_makes_each_run_once() {
    let scene = Scene::at("2026-05-01T00:00:00Z").await;
    scene.put(daily("02:00")).await;
    scene
        .put(Policy {
            schedule: Schedule {
                frequency: Frequency::Hourly,
                at: Some("00:30".into()),
                ..Schedule::default()
            },
            ..Policy::new("hourly", "shop")
        })
        .await;
    for _ in 0..(24 * 60) {
        scene.clock.advance(SignedDuration::from_mins(1));
        scene.tick().await;
        scene.succeed().await;
    }
    let jobs = scene.backups().await;
    let of = |policy: &str| {
        jobs.iter()
            .filter(|job| job.policy.as_deref() == Some(policy))
            .count()
    };
    assert_eq!((of("nightly"), of("hourly")), (1, 24));
    for job in &jobs {
        let late = job
            .created_at
            .duration_since(job.scheduled_for.expect("a time"));
        assert!(late < SignedDuration::from_mins(1), "{late}");
        assert_eq!(job.trigger, Trigger::Schedule);
        assert_eq!(job.concurrency_key.as_deref(), Some("app:shop"));
    }
}

#[tokio::test]
async fn a_machine_that_slept_makes_one_run_for_all_that_it_missed() {
    let scene = Scene::at("2026-05-01T00:00:00Z").await;
    scene.put(daily("02:00")).await;
    scene.tick().await;
    scene.set("2026-05-06T09:00:00Z");
    scene.tick().await;
    assert_eq!(scene.scheduled().await, ["2026-05-06T02:00:00Z"]);
    scene.succeed().await;
    scene.tick().await;
    assert_eq!(scene.scheduled().await.len(), 1);
}

#[tokio::test]
async fn without_catching_up_a_missed_run_is_left_out() {
    let scene = Scene::at("2026-05-01T00:00:00Z").await;
    let mut policy = daily("02:00");
    policy.schedule.catch_up = false;
    scene.put(policy).await;
    scene.tick().await;
    scene.set("2026-05-06T09:00:00Z");
    let ticked = scene.tick().await;
    assert_eq!(scene.scheduled().await, [""; 0]);
    assert_eq!(ticked.next, "2026-05-07T02:00:00Z".parse().ok());
}

#[tokio::test]
async fn a_clock_that_is_set_back_repeats_no_run() {
    let scene = Scene::at("2026-05-01T00:00:00Z").await;
    scene.put(daily("02:00")).await;
    for time in ["2026-05-01T02:00:00Z", "2026-05-02T02:00:00Z"] {
        scene.set(time);
        scene.tick().await;
        scene.succeed().await;
    }
    scene.set("2026-05-01T01:00:00Z");
    for _ in 0..(30 * 6) {
        scene.clock.advance(SignedDuration::from_mins(10));
        scene.tick().await;
        scene.succeed().await;
    }
    assert_eq!(
        scene.scheduled().await,
        ["2026-05-01T02:00:00Z", "2026-05-02T02:00:00Z"]
    );
    scene.set("2026-05-03T02:00:30Z");
    scene.tick().await;
    assert_eq!(scene.scheduled().await.len(), 3);
}

#[tokio::test]
async fn a_clock_that_had_been_years_ahead_stops_nothing() {
    let scene = Scene::at("2026-05-01T00:00:00Z").await;
    scene.put(daily("02:00")).await;
    scene.tick().await;
    scene.set("2030-01-01T12:00:00Z");
    scene.tick().await;
    scene.succeed().await;
    scene.set("2026-05-02T01:00:00Z");
    scene.tick().await;
    // What had been due before it jumped is made up for, and the next run comes in its time.
    scene.succeed().await;
    scene.set("2026-05-02T02:00:00Z");
    scene.tick().await;
    let scheduled = scene.scheduled().await;
    assert!(
        scheduled.contains(&"2026-05-02T02:00:00Z".to_owned()),
        "{scheduled:?}"
    );
}

#[tokio::test]
async fn several_schedulers_on_one_catalog_make_one_job() {
    let scene = Arc::new(Scene::at("2026-05-01T00:00:00Z").await);
    scene.put(daily("02:00")).await;
    for day in 1..=5 {
        scene.set(&format!("2026-05-0{day}T02:00:00Z"));
        let ticks = (0..8).map(|_| {
            let scene = scene.clone();
            tokio::spawn(async move {
                let other = Scene::scheduler(&scene.catalog, &scene.dial, &scene.folder);
                other.tick().await.expect("ticks");
                // However soon it is over, the others do not make it again.
                scene.succeed().await;
            })
        });
        for tick in ticks.collect::<Vec<_>>() {
            tick.await.expect("no panic");
        }
        assert_eq!(scene.backups().await.len(), day);
    }
}

#[tokio::test]
async fn the_next_run_waits_until_the_last_one_is_over() {
    let scene = Scene::at("2026-05-01T00:00:00Z").await;
    scene
        .put(Policy {
            schedule: Schedule {
                frequency: Frequency::Hourly,
                ..Schedule::default()
            },
            ..Policy::new("hourly", "shop")
        })
        .await;
    for hour in 1..=9 {
        scene.set(&format!("2026-05-01T0{hour}:00:00Z"));
        scene.tick().await;
    }
    assert_eq!(scene.scheduled().await, ["2026-05-01T01:00:00Z"]);
    scene.succeed().await;
    scene.tick().await;
    assert_eq!(
        scene.scheduled().await,
        ["2026-05-01T01:00:00Z", "2026-05-01T09:00:00Z"]
    );
}

#[tokio::test]
async fn each_repository_gets_a_job_of_its_own() {
    let scene = Scene::at("2026-05-01T00:00:00Z").await;
    scene.repositories(&["offsite"]).await;
    let repositories = vec!["main".to_owned(), "offsite".to_owned()];
    scene
        .put(Policy {
            repositories: repositories.clone(),
            ..daily("02:00")
        })
        .await;
    scene.set("2026-05-01T02:00:00Z");
    scene.tick().await;
    let jobs = scene.backups().await;
    let named: Vec<_> = jobs
        .iter()
        .filter_map(|job| job.repository.clone())
        .collect();
    assert_eq!(named, repositories);
    scene.tick().await;
    scene.succeed().await;
    scene.tick().await;
    assert_eq!(scene.backups().await.len(), 2);
}

#[tokio::test]
async fn what_is_missing_of_a_run_is_made_up_for() {
    let scene = Scene::at("2026-05-01T00:00:00Z").await;
    scene.repositories(&["offsite", "third"]).await;
    let policy = Policy {
        repositories: vec!["main".to_owned(), "offsite".to_owned()],
        ..daily("02:00")
    };
    scene.put(policy.clone()).await;
    scene.tick().await;
    // A scheduler that died after the first of the two.
    scene.set("2026-05-01T02:00:00Z");
    scene.tick().await;
    let jobs = scene.backups().await;
    assert_eq!(jobs.len(), 2);
    let one = Policy {
        repositories: vec!["main".to_owned(), "third".to_owned()],
        ..policy
    };
    scene.put(one).await;
    scene.succeed().await;
    scene.set("2026-05-01T02:05:00Z");
    scene.tick().await;
    assert_eq!(scene.backups().await.len(), 3);
    scene.set("2026-05-01T02:30:00Z");
    scene.tick().await;
    assert_eq!(scene.backups().await.len(), 3);
}

#[tokio::test]
async fn disabled_policies_and_those_on_demand_make_nothing() {
    let scene = Scene::at("2026-05-01T00:00:00Z").await;
    scene
        .put(Policy {
            enabled: false,
            ..daily("02:00")
        })
        .await;
    scene
        .put(Policy {
            schedule: Schedule {
                frequency: Frequency::OnDemand,
                ..Schedule::default()
            },
            ..Policy::new("deploy", "shop")
        })
        .await;
    scene.tick().await;
    scene.set("2026-05-09T03:00:00Z");
    scene.tick().await;
    assert_eq!(scene.backups().await.len(), 0);
    // Switched on, it does not run for the time when it was off.
    scene.put(daily("02:00")).await;
    scene.tick().await;
    assert_eq!(scene.backups().await.len(), 0);
    scene.set("2026-05-10T02:00:00Z");
    scene.tick().await;
    assert_eq!(scene.scheduled().await, ["2026-05-10T02:00:00Z"]);
}

#[tokio::test]
async fn a_changed_schedule_does_not_run_for_the_past_and_another_change_does_no_harm() {
    let scene = Scene::at("2026-05-01T00:00:00Z").await;
    scene.put(daily("02:00")).await;
    scene.tick().await;
    scene.set("2026-05-01T12:00:00Z");
    scene.put(daily("10:00")).await;
    scene.tick().await;
    assert_eq!(scene.backups().await.len(), 0);
    // The run of the next day is missed, then the description is changed: it is still made.
    scene.set("2026-05-02T11:00:00Z");
    scene
        .put(Policy {
            description: "changed".into(),
            ..daily("10:00")
        })
        .await;
    scene.tick().await;
    assert_eq!(scene.scheduled().await, ["2026-05-02T10:00:00Z"]);
}

#[tokio::test]
async fn a_missed_run_does_not_start_within_a_blackout() {
    let scene = Scene::at("2026-05-01T00:00:00Z").await;
    let mut policy = daily("02:00");
    policy.schedule.blackout = vec![pgkeep_model::policy::Blackout {
        from: "08:00".into(),
        to: "18:00".into(),
        days: Vec::new(),
    }];
    scene.put(policy).await;
    scene.tick().await;
    scene.set("2026-05-01T09:00:00Z");
    let ticked = scene.tick().await;
    assert_eq!(ticked.waiting.len(), 1);
    assert_eq!(scene.backups().await.len(), 0);
    scene.set("2026-05-01T18:00:00Z");
    scene.tick().await;
    assert_eq!(scene.scheduled().await, ["2026-05-01T02:00:00Z"]);
}

#[tokio::test]
async fn a_busy_database_is_left_alone_until_the_deadline() {
    let scene = Scene::at("2026-05-01T00:00:00Z").await;
    scene
        .put(Policy {
            load_limit: Some(LoadLimit {
                active_sessions: Some(5),
                load_percent: None,
                deadline_secs: 3600,
            }),
            ..daily("02:00")
        })
        .await;
    let busy = |sessions| {
        scene.dial.load.lock().expect("no panic").active_sessions = sessions;
    };
    busy(Some(9));
    scene.set("2026-05-01T02:00:00Z");
    let ticked = scene.tick().await;
    assert_eq!(
        ticked.waiting,
        [(
            "nightly".to_owned(),
            "9 sessions are active, more than 5".to_owned()
        )]
    );
    scene.set("2026-05-01T02:59:59Z");
    scene.tick().await;
    assert_eq!(scene.backups().await.len(), 0);
    scene.set("2026-05-01T03:00:00Z");
    scene.tick().await;
    assert_eq!(scene.scheduled().await, ["2026-05-01T02:00:00Z"]);
    scene.succeed().await;
    // The next day it is quiet by half past two.
    scene.set("2026-05-02T02:00:00Z");
    scene.tick().await;
    busy(None);
    scene.set("2026-05-02T02:30:00Z");
    scene.tick().await;
    assert_eq!(scene.backups().await.len(), 2);
}

#[tokio::test]
async fn much_writing_brings_runs_forward() {
    let scene = Scene::at("2026-05-01T00:00:00Z").await;
    scene
        .put(Policy {
            adaptive: Some(Adaptive {
                at_least_every_secs: 7200,
                at_most_every_secs: 600,
                bytes_changed: 1000,
            }),
            schedule: Schedule {
                frequency: Frequency::OnDemand,
                ..Schedule::default()
            },
            ..Policy::new("busy", "shop")
        })
        .await;
    let written = |bytes| *scene.dial.wal.lock().expect("no panic") = Some(bytes);
    written(10_000);
    scene.tick().await;
    written(20_000);
    scene.set("2026-05-01T00:09:00Z");
    scene.tick().await;
    assert_eq!(
        scene.backups().await.len(),
        0,
        "not more often than allowed"
    );
    scene.set("2026-05-01T00:10:00Z");
    scene.tick().await;
    assert_eq!(scene.backups().await.len(), 1);
    scene.tick().await;
    scene.succeed().await;
    written(20_999);
    scene.set("2026-05-01T02:00:00Z");
    scene.tick().await;
    assert_eq!(scene.backups().await.len(), 1, "too little was written");
    scene.set("2026-05-01T02:10:00Z");
    scene.tick().await;
    assert_eq!(
        scene.backups().await.len(),
        2,
        "the longest interval is over"
    );
}

#[tokio::test]
async fn a_policy_that_cannot_be_followed_does_not_stop_the_others() {
    let scene = Scene::at("2026-05-01T00:00:00Z").await;
    let mut broken = daily("02:00");
    broken.name = "broken".into();
    broken.schedule.time_zone = Some("Mars/Olympus".into());
    scene
        .catalog
        .put_policy("broken", &broken, ManagedBy::Api, None)
        .await
        .expect("stored");
    scene.put(daily("02:00")).await;
    scene.set("2026-05-01T02:00:00Z");
    scene.tick().await;
    assert_eq!(scene.scheduled().await, ["2026-05-01T02:00:00Z"]);
}

#[tokio::test]
async fn a_cleanup_follows_each_backup_of_a_policy_with_retention() {
    let scene = Scene::at("2026-05-01T00:00:00Z").await;
    scene
        .put(Policy {
            retention: Retention {
                days: Some(7),
                ..Retention::default()
            },
            ..daily("02:00")
        })
        .await;
    scene.set("2026-05-01T02:00:00Z");
    scene.tick().await;
    assert_eq!(scene.jobs(JobKind::Cleanup).await.len(), 0);
    scene.set("2026-05-01T02:05:00Z");
    scene.succeed().await;
    scene.set("2026-05-01T02:06:00Z");
    scene.tick().await;
    let cleanups = scene.jobs(JobKind::Cleanup).await;
    assert_eq!(cleanups.len(), 1);
    assert_eq!(cleanups[0].concurrency_key.as_deref(), Some("app:shop"));
    scene.succeed().await;
    scene.set("2026-05-01T20:00:00Z");
    scene.tick().await;
    assert_eq!(scene.jobs(JobKind::Cleanup).await.len(), 1);
    // A run that failed is none to clean up after.
    scene.set("2026-05-02T02:00:00Z");
    scene.tick().await;
    scene.fail().await;
    scene.tick().await;
    assert_eq!(scene.jobs(JobKind::Cleanup).await.len(), 1);
}

#[tokio::test]
async fn a_cleanup_with_a_clock_of_its_own_follows_that() {
    let scene = Scene::at("2026-05-01T00:00:00Z").await;
    scene
        .put(Policy {
            retention: Retention {
                days: Some(7),
                ..Retention::default()
            },
            cleanup_cron: Some("0 5 * * *".into()),
            ..daily("02:00")
        })
        .await;
    for (time, cleanups) in [
        ("2026-05-01T02:00:00Z", 0),
        ("2026-05-01T04:59:00Z", 0),
        ("2026-05-01T05:00:00Z", 1),
        ("2026-05-01T05:01:00Z", 1),
        ("2026-05-02T02:00:00Z", 1),
        ("2026-05-02T05:00:00Z", 2),
    ] {
        scene.set(time);
        scene.tick().await;
        assert_eq!(scene.jobs(JobKind::Cleanup).await.len(), cleanups, "{time}");
        scene.succeed().await;
    }
}

#[tokio::test]
async fn silence_is_an_alarm_that_is_told_once() {
    let scene = Scene::at("2026-05-01T00:00:00Z").await;
    scene.put(daily("02:00")).await;
    scene.set("2026-05-01T02:00:00Z");
    scene.tick().await;
    scene.succeed().await;
    scene.set("2026-05-02T02:00:00Z");
    scene.tick().await;
    assert_eq!(scene.policy_events().await, [""; 0]);
    scene.set("2026-05-02T05:00:00Z");
    scene.tick().await;
    scene.tick().await;
    assert_eq!(scene.policy_events().await, ["overdue"]);
    scene.fail().await;
    scene.set("2026-05-02T09:00:00Z");
    scene.tick().await;
    assert_eq!(scene.policy_events().await, ["overdue"]);
    scene.set("2026-05-03T02:00:00Z");
    scene.tick().await;
    scene.succeed().await;
    scene.tick().await;
    assert_eq!(scene.policy_events().await, ["overdue", "recovered"]);
}

#[tokio::test]
async fn a_run_that_waits_in_a_paused_queue_is_overdue_like_one_that_was_not_made() {
    let scene = Scene::at("2026-05-01T00:00:00Z").await;
    scene.put(daily("02:00")).await;
    scene.set("2026-05-01T02:00:00Z");
    scene.tick().await;
    assert_eq!(scene.backups().await.len(), 1, "it waits for its turn");
    // One whose turn comes has the time that a run may take.
    scene.set("2026-05-01T02:11:00Z");
    scene.tick().await;
    assert!(scene.policy_events().await.is_empty());
    scene.catalog.pause_queue("somebody").await.expect("paused");
    scene.tick().await;
    assert_eq!(scene.policy_events().await, ["overdue"]);
    let report = crate::status::report(&scene.catalog)
        .await
        .expect("a report");
    assert!(report.queue.paused);
    assert!(report.apps[0].policies[0].overdue.is_some(), "{report:#?}");
    scene.catalog.resume_queue().await.expect("resumed");
    scene.succeed().await;
    scene.tick().await;
    assert_eq!(scene.policy_events().await, ["overdue", "recovered"]);
}

#[tokio::test]
async fn lists_of_backups_are_read_at_start_and_every_hour_and_the_catalog_is_copied_daily() {
    let scene = Scene::at("2026-05-01T00:00:00Z").await;
    let counts = async || {
        let sync = scene.jobs(JobKind::Sync).await.len();
        (sync, scene.jobs(JobKind::CatalogBackup).await.len())
    };
    scene.tick().await;
    assert_eq!(counts().await, (1, 1));
    scene.succeed().await;
    scene.set("2026-05-01T00:59:00Z");
    scene.tick().await;
    assert_eq!(counts().await, (1, 1));
    scene.set("2026-05-01T01:00:30Z");
    scene.tick().await;
    scene.succeed().await;
    assert_eq!(counts().await, (2, 1));
    // A server that starts anew reads them at once.
    scene.set("2026-05-01T01:10:00Z");
    let other = Scene::scheduler(&scene.catalog, &scene.dial, &scene.folder);
    other.tick().await.expect("ticks");
    scene.succeed().await;
    assert_eq!(counts().await, (3, 1));
    scene.set("2026-05-02T00:01:00Z");
    scene.tick().await;
    assert_eq!(counts().await, (4, 2));
}

async fn with_backups(scene: &Scene, policy: &str, days: &[u32]) {
    for day in days {
        let row = BackupRow {
            repository: "main".into(),
            id: format!("{day:064x}"),
            app: "shop".into(),
            kind: "full".into(),
            time: format!("2026-05-{day:02}T02:00:00Z")
                .parse()
                .expect("a time"),
            policy: Some(policy.to_owned()),
            ..BackupRow::default()
        };
        scene.catalog.upsert_backup(&row).await.expect("stored");
    }
}

fn removed(plans: &[retention::CleanupPlan]) -> Vec<i8> {
    let gone = plans.iter().flat_map(|plan| &plan.remove);
    gone.map(|gone| gone.time.to_zoned(jiff::tz::TimeZone::UTC).day())
        .collect()
}

#[tokio::test]
async fn a_preview_tells_what_goes_and_what_is_kept_and_why() {
    let scene = Scene::at("2026-05-20T12:00:00Z").await;
    let policy = Policy {
        retention: Retention {
            days: Some(10),
            ..Retention::default()
        },
        ..daily("02:00")
    };
    scene.put(policy.clone()).await;
    with_backups(&scene, "nightly", &[1, 2, 3, 4, 15, 16]).await;
    with_backups(&scene, "another", &[5]).await;
    let preview = async || {
        retention::preview(&scene.catalog, &policy)
            .await
            .expect("planned")
    };
    let plans = preview().await;
    // The newest three stay in any case; the fourth is the oldest that the days would keep.
    assert_eq!(removed(&plans), [3, 2, 1]);
    assert_eq!(plans[0].remove[0].why, "older than 10 days");
    assert_eq!(plans[0].keep[2].reasons, ["among the newest whole backups"]);

    // One that a restore is about to read stays.
    let restore = RestoreSpec {
        keep_old_secs: 0,
        ..RestoreSpec::new(
            "shop",
            "main",
            format!("{:064x}", 2),
            RestoreMode::Into("copy".into()),
        )
    };
    let job = crate::jobs::draft(
        JobSpec::Restore(restore),
        Trigger::Api,
        "somebody",
        scene.catalog.now(),
        &JobLimits::default(),
    );
    scene.catalog.enqueue(job).await.expect("queued");
    assert_eq!(removed(&preview().await), [3, 1]);

    // Nothing goes while the newest backup of the app failed.
    let run = jobs_of_policy(
        &policy,
        scene.catalog.now(),
        Trigger::Api,
        "somebody",
        &JobLimits::default(),
    );
    for job in run {
        scene.catalog.enqueue(job).await.expect("queued");
    }
    scene.fail().await;
    let plans = preview().await;
    assert_eq!(removed(&plans), [0; 0]);
    let why = plans[0].held.as_deref().expect("held");
    assert_eq!(why, "the newest backup of shop failed: the server is away");
}

#[tokio::test]
async fn nothing_goes_while_the_newest_backup_is_in_doubt_and_it_takes_nobodys_place() {
    let scene = Scene::at("2026-05-20T12:00:00Z").await;
    let policy = Policy {
        retention: Retention {
            max_backups: Some(2),
            keep: pgkeep_model::retention::KeepPolicy {
                protect_newest: 1,
                ..Default::default()
            },
            ..Retention::default()
        },
        ..daily("02:00")
    };
    scene.put(policy.clone()).await;
    with_backups(&scene, "nightly", &[1, 2, 3, 4]).await;
    let mut bad = BackupRow {
        repository: "main".into(),
        id: format!("{:064x}", 5),
        app: "shop".into(),
        kind: "full".into(),
        time: "2026-05-05T02:00:00Z".parse().expect("a time"),
        policy: Some("nightly".into()),
        databases: vec!["shop".into()],
        shrunk: Some("database shop holds no table".into()),
        ..BackupRow::default()
    };
    scene.catalog.upsert_backup(&bad).await.expect("stored");
    let preview = async || {
        let planned = retention::preview(&scene.catalog, &policy).await;
        planned.expect("planned")
    };
    let plans = preview().await;
    assert_eq!(removed(&plans), [0; 0]);
    let why = plans[0].held.as_deref().expect("held");
    assert!(
        why.contains("holds far less than the one before (database shop holds no table)"),
        "{why}"
    );
    // A newer one that holds the database again settles it; the one in doubt is none of the newest two.
    let good = BackupRow {
        id: format!("{:064x}", 6),
        time: "2026-05-06T02:00:00Z".parse().expect("a time"),
        shrunk: None,
        ..bad.clone()
    };
    scene.catalog.upsert_backup(&good).await.expect("stored");
    assert_eq!(removed(&preview().await), [3, 2, 1]);
    // Accepted, it is one like any other.
    bad.shrunk = None;
    scene.catalog.upsert_backup(&bad).await.expect("stored");
    assert_eq!(removed(&preview().await), [4, 3, 2, 1]);
    // A date to come says that the order of dates is wrong.
    let to_come = BackupRow {
        id: format!("{:064x}", 7),
        time: "2026-06-01T02:00:00Z".parse().expect("a time"),
        ..bad.clone()
    };
    scene.catalog.upsert_backup(&to_come).await.expect("stored");
    let plans = preview().await;
    assert_eq!(removed(&plans), [0; 0]);
    assert!(
        plans[0]
            .held
            .as_deref()
            .is_some_and(|why| why.contains("yet to come"))
    );
}

#[tokio::test]
async fn a_run_by_hand_is_the_same_as_one_of_the_schedule() {
    let policy = Policy {
        description: "{policy} {date}".into(),
        tags: vec!["a".into()],
        compression: Some(5),
        ..daily("02:00")
    };
    let at = "2026-05-20T12:00:00Z".parse().expect("a time");
    let jobs = jobs_of_policy(&policy, at, Trigger::Cli, "me", &JobLimits::default());
    assert_eq!(jobs.len(), 1);
    let JobSpec::Backup(spec) = &jobs[0].spec else {
        panic!("{:?}", jobs[0].spec);
    };
    assert_eq!(spec.description, "nightly 2026-05-20");
    assert_eq!(spec.policy.as_deref(), Some("nightly"));
    assert_eq!(
        (spec.compression, spec.tags.as_slice()),
        (Some(5), &["a".to_owned()][..])
    );
    assert_eq!(jobs[0].policy.as_deref(), Some("nightly"));
    assert_eq!(jobs[0].dedup_key, None);
}

#[tokio::test]
async fn the_loop_makes_runs_and_ends_with_the_server() {
    let scene = Scene::at("2026-05-01T02:00:00Z").await;
    scene.put(daily("02:00")).await;
    scene.set("2026-05-02T02:00:00Z");
    let shutdown = CancellationToken::new();
    let mut changed = scene.catalog.changed();
    let loops = scene.scheduler.run(&shutdown);
    let watch = async {
        while scene.backups().await.is_empty() {
            changed.changed().await.expect("the catalog is open");
        }
        assert_eq!(scene.backups().await[0].state, JobState::Queued);
        shutdown.cancel();
    };
    tokio::join!(loops, watch);
}

#[tokio::test]
async fn an_abandoned_upload_goes_with_its_file_when_its_time_is_over() {
    let scene = Scene::at("2026-05-01T02:00:00Z").await;
    let begin = async |expires_at: &str| {
        let upload = pgkeep_catalog::people::uploads::NewUpload {
            owner: "ann".into(),
            app: None,
            file_name: "shop.dump".into(),
            size_bytes: None,
            sha256: None,
            expires_at: expires_at.parse().expect("a time"),
        };
        let upload = scene.catalog.create_upload(&upload).await.expect("begun");
        let folder = Places::inside(scene.folder.path()).incoming();
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join(&upload.id);
        std::fs::write(&file, "half of it").expect("written");
        (upload.id, file)
    };
    let (old, old_file) = begin("2026-05-01T03:00:00Z").await;
    let (new, new_file) = begin("2026-05-02T03:00:00Z").await;
    scene.tick().await;
    assert!(old_file.exists(), "its time is not over");
    scene.set("2026-05-01T03:00:01Z");
    scene.tick().await;
    assert!(!old_file.exists() && new_file.exists());
    let left = scene.catalog.uploads(None).await.expect("listed");
    let left: Vec<_> = left.into_iter().map(|upload| upload.id).collect();
    assert_eq!(left, [new], "{old} is gone");
}

#[tokio::test]
async fn the_newest_backup_is_drilled_as_often_as_its_app_says() {
    let scene = Scene::at("2026-05-20T12:00:00Z").await;
    with_backups(&scene, "nightly", &[18, 19]).await;
    let drills = async || {
        scene.tick().await;
        scene.jobs(JobKind::Drill).await.len()
    };
    assert_eq!(drills().await, 0, "nobody asked for drills");

    let mut app = scene.catalog.app("shop").await.expect("read").value;
    app.drill.every = Some("7d".into());
    scene
        .catalog
        .put_app("shop", &app, ManagedBy::Api, None)
        .await
        .expect("stored");
    scene.set("2026-05-20T12:02:00Z");
    assert_eq!(drills().await, 1);
    let JobSpec::Drill(spec) = scene.jobs(JobKind::Drill).await.remove(0).spec else {
        panic!("a drill");
    };
    assert_eq!(spec.backup, format!("{:064x}", 19));
    for (time, count) in [
        ("2026-05-20T12:10:00Z", 1),
        ("2026-05-27T12:01:00Z", 1),
        ("2026-05-27T12:02:00Z", 2),
    ] {
        scene.set(time);
        assert_eq!(drills().await, count, "at {time}");
    }
}

#[tokio::test]
async fn a_policy_has_its_own_newest_backup_drilled_as_often_as_it_says() {
    let scene = Scene::at("2026-05-20T12:00:00Z").await;
    let policy = Policy {
        drill: Some("12h".into()),
        ..daily("02:00")
    };
    scene.put(policy.clone()).await;
    with_backups(&scene, &policy.name, &[17, 18]).await;
    // The app's newest is of another policy, and drilled once a week.
    with_backups(&scene, "another", &[19]).await;
    let mut app = scene.catalog.app("shop").await.expect("read").value;
    app.drill.every = Some("7d".into());
    let put = scene.catalog.put_app("shop", &app, ManagedBy::Api, None);
    put.await.expect("stored");
    let drilled = async || {
        scene.tick().await;
        let mut drilled = Vec::new();
        for job in scene.jobs(JobKind::Drill).await {
            if let JobSpec::Drill(spec) = job.spec {
                let day = u32::from_str_radix(&spec.backup, 16).expect("a number");
                drilled.push((day, spec.policy));
            }
        }
        drilled.sort();
        drilled
    };
    let own = || (18, Some(policy.name.clone()));
    let first = [own(), (19, None)];
    assert_eq!(drilled().await, first);
    scene.set("2026-05-20T23:58:00Z");
    assert_eq!(drilled().await, first);
    scene.set("2026-05-21T00:02:00Z");
    assert_eq!(drilled().await, [own(), own(), (19, None)]);

    let off = Policy {
        enabled: false,
        ..policy.clone()
    };
    scene.put(off).await;
    scene.set("2026-05-22T00:00:00Z");
    assert_eq!(drilled().await.len(), 3);
}

#[tokio::test]
async fn an_app_behind_pgbouncer_is_examined_at_start_and_after_a_restore_that_failed() {
    let scene = Scene::at("2026-11-21T08:00:00Z").await;
    let examined = async || scene.jobs(JobKind::Doctor).await.len();
    scene.tick().await;
    assert_eq!(examined().await, 0, "it has no PgBouncer");
    let mut shop = scene.catalog.app("shop").await.expect("it is there").value;
    shop.fence.pgbouncer = Some("env:PGBOUNCER_URL".into());
    scene
        .catalog
        .put_app("shop", &shop, ManagedBy::Api, None)
        .await
        .expect("stored");
    let again = Scene::scheduler(&scene.catalog, &scene.dial, &scene.folder);
    let look = async || {
        scene.clock.advance(SignedDuration::from_mins(2));
        again.tick().await.expect("ticks")
    };
    look().await;
    assert_eq!(examined().await, 1, "the server has just started");
    scene.succeed().await;
    look().await;
    assert_eq!(examined().await, 1);

    let restore = || async {
        let target = RestoreMode::Replace("shop".into());
        let spec = JobSpec::Restore(RestoreSpec::new("shop", "main", "latest", target));
        let (now, limits) = (scene.catalog.now(), JobLimits::default());
        let job = crate::jobs::draft(spec, Trigger::Api, "ann", now, &limits);
        scene.catalog.enqueue(job).await.expect("queued");
    };
    restore().await;
    scene.succeed().await;
    look().await;
    assert_eq!(examined().await, 1, "nothing speaks for a pause");
    restore().await;
    scene.clock.advance(SignedDuration::from_mins(1));
    scene.fail().await;
    look().await;
    look().await;
    assert_eq!(examined().await, 2, "once for each that failed");
    scene.succeed().await;
    look().await;
    assert_eq!(examined().await, 2);
}
