use super::*;
use pgkeep_catalog::{JobError, KeySource, Location, ManagedBy, NewEvent, OpenOptions, Outcome};
use pgkeep_model::app::{AppDefinition, RepositoryDefinition};
use pgkeep_model::growth::Size;
use pgkeep_model::job::{JobKind, Trigger};
use pgkeep_testkit::ManualClock;
use serde_json::{Value, json};
use std::time::Duration;

struct Scene {
    clock: Arc<ManualClock>,
    catalog: Catalog,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::at("2026-05-01T00:00:00Z"));
        let folder = tempfile::tempdir().expect("a folder");
        let catalog = Catalog::open(OpenOptions::new(
            Location::Sqlite(folder.path().join("catalog.sqlite")),
            KeySource::File(folder.path().join("catalog.key")),
            clock.clone(),
        ))
        .await
        .expect("opens");
        for (name, address) in [("main", "/backups"), ("offsite", "s3://bucket/x")] {
            let repository = RepositoryDefinition {
                address: Some(address.into()),
                ..RepositoryDefinition::default()
            };
            let put = catalog.put_repository(name, &repository, ManagedBy::Api, None);
            put.await.expect("stored");
        }
        Self {
            clock,
            catalog,
            _folder: folder,
        }
    }

    async fn app(&self, name: &str) {
        let app = AppDefinition {
            databases: vec!["shop".into()],
            ..AppDefinition::default()
        };
        let put = self.catalog.put_app(name, &app, ManagedBy::Api, None);
        put.await.expect("stored");
    }

    async fn policy(&self, app: &str) -> Policy {
        let policy = Policy::new(&format!("nightly_{app}"), app);
        self.catalog
            .put_policy(&policy.name, &policy, ManagedBy::Api, None)
            .await
            .expect("stored");
        policy
    }

    async fn backup(&self, app: &str, repository: &str, change: impl FnOnce(&mut BackupRow)) {
        let time = self.catalog.now();
        let mut row = BackupRow {
            repository: repository.into(),
            id: format!("{app}{}", time.as_second()),
            app: app.into(),
            kind: "full".into(),
            bytes: Some(1000),
            time,
            ..BackupRow::default()
        };
        change(&mut row);
        self.catalog.upsert_backup(&row).await.expect("stored");
    }

    async fn run(&self, policy: &Policy, outcome: Outcome) {
        let now = self.catalog.now();
        let limits = crate::settings::JobLimits::default();
        for job in crate::scheduler::jobs_of_policy(policy, now, Trigger::Schedule, "test", &limits)
        {
            self.catalog.enqueue(job).await.expect("queued");
        }
        let lease = Duration::from_secs(30);
        let claim = self.catalog.claim("node", &[JobKind::Backup], lease).await;
        let claim = claim.expect("claims").expect("a job");
        let finish = self.catalog.finish(&claim.job.id, claim.fence, outcome);
        finish.await.expect("finishes");
    }

    fn hours(&self, hours: i64) {
        self.clock.advance(SignedDuration::from_hours(hours));
    }

    /// The status while a server is there that runs jobs.
    async fn report(&self) -> StatusReport {
        let beat = pgkeep_catalog::NodeBeat {
            node: "node".into(),
            host: "here".into(),
            pid: 1,
            slots: 1,
            kinds: Vec::new(),
            version: "1".into(),
        };
        self.catalog.node_beat(&beat).await.expect("beats");
        self.catalog.server_beat().await.expect("beats");
        self.report_as_it_is().await
    }

    async fn report_as_it_is(&self) -> StatusReport {
        report(&self.catalog).await.expect("a report")
    }
}

#[tokio::test]
async fn nothing_known_is_said_so() {
    let scene = Scene::new().await;
    let report = scene.report().await;
    assert_eq!(
        (report.sentence.as_str(), report.workers),
        ("no app is known", 1)
    );
}

#[tokio::test]
async fn an_app_tells_what_it_has_and_what_would_be_lost() {
    let scene = Scene::new().await;
    scene.app("shop").await;
    let policy = scene.policy("shop").await;
    let proven = |row: &mut BackupRow| {
        row.proven_at = Some(row.time);
        row.proven_seconds = Some(12.5);
        row.policy = Some("nightly_shop".into());
    };
    scene.backup("shop", "main", proven).await;
    scene.hours(3);
    scene.run(&policy, Outcome::Succeeded(json!({}))).await;
    scene
        .backup("shop", "offsite", |row| {
            row.policy = Some("nightly_shop".into())
        })
        .await;
    scene.hours(2);
    let report = scene.report().await;
    assert_eq!(
        report.sentence,
        "shop is safe: last good backup 2 hours ago"
    );
    let shop = &report.apps[0];
    assert_eq!(shop.health.rpo_seconds, Some(7200));
    assert_eq!((shop.backups, shop.health.score), (2, 100));
    assert_eq!(shop.last_good_bytes, Some(1000));
    assert_eq!(shop.proven_seconds, Some(12.5));
    assert_eq!(shop.oldest, "2026-05-01T00:00:00Z".parse().ok());
    let held: Vec<_> = shop
        .repositories
        .iter()
        .map(|r| (r.repository.as_str(), r.backups, r.offsite))
        .collect();
    assert_eq!(held, [("main", 1, false), ("offsite", 1, true)]);
    let policy = &shop.policies[0];
    assert_eq!(policy.backups, 2);
    assert_eq!(policy.next_run, "2026-05-02T02:00:00Z".parse().ok());
    assert_eq!(policy.last_state.as_deref(), Some("succeeded"));
    assert_eq!(report.queue.depth.get("succeeded"), Some(&1));
}

#[tokio::test]
async fn the_worst_app_comes_first() {
    let scene = Scene::new().await;
    for app in ["blog", "shop", "wiki"] {
        scene.app(app).await;
        scene.policy(app).await;
    }
    let proven = |row: &mut BackupRow| row.proven_at = Some(row.time);
    scene.backup("blog", "main", proven).await;
    scene.backup("wiki", "main", |_| ()).await;
    let report = scene.report().await;
    let order: Vec<_> = report
        .apps
        .iter()
        .map(|app| app.health.app.as_str())
        .collect();
    assert_eq!(order, ["shop", "wiki", "blog"]);
    assert_eq!(report.state, HealthState::NoBackup);
    assert_eq!(
        report.sentence,
        "shop has no good backup (and 1 more of 3 apps)"
    );
    let seen = only_apps(&report, &["blog".to_owned(), "wiki".to_owned()]);
    assert_eq!(
        seen.sentence,
        "no backup of wiki was ever proven by a restore"
    );
    assert_eq!(seen.apps.len(), 2);
    let none = only_apps(&report, &[]);
    assert_eq!(none.sentence, "no app is known");
}

#[tokio::test]
async fn failures_in_a_row_are_counted_and_silence_is_overdue() {
    let scene = Scene::new().await;
    scene.app("shop").await;
    let policy = scene.policy("shop").await;
    scene
        .backup("shop", "main", |row| row.proven_at = Some(row.time))
        .await;
    for _ in 0..3 {
        scene.hours(1);
        let away = JobError::new("unreachable", "the server is away");
        scene.run(&policy, Outcome::Failed(away)).await;
    }
    let report = scene.report().await;
    assert_eq!(
        report.sentence,
        "policy nightly_shop of shop failed 3 times in a row, last just now: the server is away"
    );
    let shop = &report.apps[0];
    // Besides those, there is the hint that no recovery kit is confirmed.
    let states: Vec<_> = shop.health.findings.iter().map(|f| f.state).collect();
    assert_eq!(
        states,
        [
            HealthState::Failing,
            HealthState::Overdue,
            HealthState::NoRecoveryKit
        ]
    );
    assert!(shop.policies[0].overdue.is_some());
    scene.run(&policy, Outcome::Succeeded(json!({}))).await;
    assert_eq!(scene.report().await.state, HealthState::Ok);
}

#[tokio::test]
async fn a_backup_whose_drill_failed_is_not_the_last_good_one() {
    let scene = Scene::new().await;
    scene.app("shop").await;
    scene.policy("shop").await;
    scene.backup("shop", "main", |_| ()).await;
    scene.hours(1);
    scene
        .backup("shop", "main", |row| row.drill_failed_at = Some(row.time))
        .await;
    let report = scene.report().await;
    assert_eq!(report.state, HealthState::DrillFailed);
    assert_eq!(report.apps[0].health.rpo_seconds, Some(3600));
}

#[tokio::test]
async fn a_run_that_proved_that_nothing_was_written_counts_as_a_backup() {
    let scene = Scene::new().await;
    scene.app("shop").await;
    let policy = scene.policy("shop").await;
    scene.backup("shop", "main", |_| ()).await;
    let id = scene.report().await.apps[0]
        .last_good
        .clone()
        .expect("one")
        .id;
    scene.hours(5);
    scene
        .run(&policy, Outcome::Skipped(json!({ "backup": id })))
        .await;
    scene.hours(1);
    assert_eq!(scene.report().await.apps[0].health.rpo_seconds, Some(3600));
    // Of another backup it says nothing.
    scene
        .run(&policy, Outcome::Skipped(json!({ "backup": "other" })))
        .await;
    assert_eq!(
        scene.report().await.apps[0].health.rpo_seconds,
        Some(6 * 3600)
    );
}

#[tokio::test]
async fn copies_elsewhere_disks_and_keys_are_judged_from_what_the_catalog_knows() {
    let scene = Scene::new().await;
    scene.app("shop").await;
    let policy = Policy {
        repositories: vec!["main".into(), "offsite".into()],
        ..scene.policy("shop").await
    };
    let put = scene
        .catalog
        .put_policy(&policy.name, &policy, ManagedBy::Api, None);
    put.await.expect("stored");
    let proven = |row: &mut BackupRow| row.proven_at = Some(row.time);
    let found = async || {
        let report = scene.report().await;
        let told = |f: &health::Finding| {
            let about = f.repository.as_deref().unwrap_or("-");
            format!("{} {about} {:?}", f.state.as_str(), f.days)
        };
        let shop = &report.apps[0].health;
        (
            shop.is_alarm(),
            shop.findings.iter().map(told).collect::<Vec<_>>(),
        )
    };
    scene.backup("shop", "main", proven).await;
    scene.backup("shop", "offsite", |_| ()).await;
    for repository in ["main", "offsite"] {
        let confirmed = scene.catalog.confirm_recovery_kit(repository).await;
        confirmed.expect("confirmed");
    }
    assert_eq!(found().await, (false, Vec::new()));

    // Every day the local one grows by a GiB, and nothing goes elsewhere any more.
    for day in 1..=3 {
        scene.hours(24);
        scene.backup("shop", "main", proven).await;
        let size = Size {
            at: scene.catalog.now(),
            stored_bytes: day << 30,
            free_bytes: (9 - day) << 30,
        };
        let recorded = scene.catalog.record_size("main", &size).await;
        recorded.expect("recorded");
    }
    let (alarm, states) = found().await;
    assert!(alarm, "{states:?}");
    assert_eq!(
        states[1..],
        [
            "offsite_behind offsite Some(3)",
            "storage_filling main Some(6)"
        ]
    );
    assert!(states[0].starts_with("overdue"), "{states:?}");
    assert_eq!(
        keeping::of_repositories(&scene.catalog)
            .await
            .expect("read")["main"]
            .growth,
        Some(pgkeep_model::growth::Growth {
            bytes_per_day: 1 << 30,
            free_bytes: 6 << 30,
            full_in_days: Some(6.0),
        })
    );

    // A new copy is enough.
    scene.backup("shop", "offsite", |_| ()).await;
    let followed = found().await.1;
    assert!(
        !followed.iter().any(|f| f.starts_with("offsite")),
        "{followed:?}"
    );
}

#[tokio::test]
async fn the_report_is_plain_json() {
    let scene = Scene::new().await;
    scene.app("shop").await;
    let report = scene.report().await;
    let value = serde_json::to_value(&report).expect("plain values");
    assert_eq!(value["state"], Value::from("no_backup"));
    assert_eq!(value["apps"][0]["app"], Value::from("shop"));
    assert_eq!(
        serde_json::from_value::<StatusReport>(value).expect("the same"),
        report
    );
}

#[tokio::test]
async fn an_answer_is_shared_for_a_second() {
    let scene = Scene::new().await;
    let cache = StatusCache::default();
    let ask = async || cache.report(&scene.catalog).await.expect("a report");
    let first = ask().await;
    let progress = NewEvent::new("progress", "of a job");
    scene.catalog.publish(progress).await.expect("written");
    assert!(Arc::ptr_eq(&ask().await, &first));
    scene.clock.advance(FRESH);
    assert!(!Arc::ptr_eq(&ask().await, &first));
}

#[tokio::test]
async fn what_happened_is_in_the_next_answer() {
    let scene = Scene::new().await;
    let cache = StatusCache::default();
    let ask = async || cache.report(&scene.catalog).await.expect("a report");
    let apps = async || ask().await.report.apps.len();
    assert_eq!(apps().await, 0);
    scene.app("shop").await;
    assert_eq!(apps().await, 1);
    let making = cache.making.lock().await;
    scene.app("blog").await;
    let waits = tokio::time::timeout(Duration::from_millis(100), apps());
    assert!(waits.await.is_err(), "the answer before is out of date");
    drop(making);
    assert_eq!(apps().await, 2);
}

#[tokio::test]
async fn while_a_newer_answer_is_made_the_one_before_is_given_for_a_while() {
    let scene = Scene::new().await;
    let cache = StatusCache::default();
    let ask = async || cache.report(&scene.catalog).await.expect("a report");
    let first = ask().await;
    let making = cache.making.try_lock().expect("nobody makes one");
    scene.clock.advance(FRESH);
    assert!(Arc::ptr_eq(&ask().await, &first));
    scene.clock.advance(STALE);
    let waits = tokio::time::timeout(Duration::from_millis(100), ask());
    assert!(waits.await.is_err(), "it is too old");
    drop(making);
    assert!(!Arc::ptr_eq(&ask().await, &first));
}

#[tokio::test]
async fn an_answer_is_written_once() {
    let scene = Scene::new().await;
    let answer = StatusCache::default();
    let answer = answer.report(&scene.catalog).await.expect("a report");
    let text = answer.wire(|report| Bytes::from(report.sentence.clone()));
    assert_eq!(text, "no app is known");
    assert_eq!(answer.wire(|_| Bytes::new()), text);
}

#[tokio::test]
async fn a_backup_that_lost_its_content_is_an_alarm_until_it_is_accepted_or_made_good() {
    let scene = Scene::new().await;
    scene.app("shop").await;
    scene.policy("shop").await;
    let databases = |row: &mut BackupRow| {
        row.databases = vec!["shop".into()];
        row.proven_at = Some(row.time);
    };
    scene.backup("shop", "main", databases).await;
    scene.hours(1);
    let mut bad = None;
    let shrunk = |row: &mut BackupRow| {
        row.databases = vec!["shop".into()];
        row.proven_at = Some(row.time);
        row.shrunk = Some("database shop holds no table".into());
        bad = Some(row.clone());
    };
    scene.backup("shop", "main", shrunk).await;
    let report = scene.report().await;
    let shop = &report.apps[0];
    assert_eq!(shop.health.state, HealthState::Shrunk);
    assert!(
        report.sentence.contains("database shop holds no table"),
        "{}",
        report.sentence
    );
    // Neither a good one nor a proof: those before are.
    assert_eq!(
        shop.last_good.as_ref().map(|point| point.id.as_str()),
        Some("shop1777593600")
    );
    assert_eq!(
        shop.last_proven.as_ref().map(|point| point.id.as_str()),
        Some("shop1777593600")
    );

    // Files alone settle nothing; the database does.
    scene.hours(1);
    let files = |row: &mut BackupRow| row.files = vec!["media".into()];
    scene.backup("shop", "main", files).await;
    assert_eq!(scene.report().await.state, HealthState::Shrunk);
    let mut accepted = bad.expect("made");
    accepted.shrunk = None;
    scene
        .catalog
        .upsert_backup(&accepted)
        .await
        .expect("stored");
    assert_ne!(scene.report().await.state, HealthState::Shrunk);
}

#[tokio::test]
async fn nobody_there_to_make_backups_is_told_within_minutes() {
    let scene = Scene::new().await;
    scene.app("shop").await;
    scene.policy("shop").await;
    scene.backup("shop", "main", |_| {}).await;
    let minutes = |minutes| scene.clock.advance(SignedDuration::from_mins(minutes));
    scene.report().await;
    minutes(1);
    assert_ne!(
        scene.report_as_it_is().await.state,
        HealthState::NobodyWorks
    );
    minutes(3);
    let report = scene.report_as_it_is().await;
    assert_eq!(report.state, HealthState::NobodyWorks);
    assert!(
        report
            .sentence
            .contains("the last sign of life was 4 minutes ago"),
        "{}",
        report.sentence
    );
    assert!(report.apps[0].health.is_alarm());
    // Workers plan nothing and tell nobody: they alone are no comfort.
    let beat = |node: &str| pgkeep_catalog::NodeBeat {
        node: node.into(),
        host: "here".into(),
        pid: 1,
        slots: 1,
        kinds: Vec::new(),
        version: "1".into(),
    };
    let catalog = &scene.catalog;
    catalog.node_beat(&beat("node")).await.expect("beats");
    let report = scene.report_as_it_is().await;
    assert_eq!(report.state, HealthState::NobodyWorks);
    assert_eq!((report.workers, report.scheduler), (1, false));
    assert!(
        report.sentence.contains("no server is there to start"),
        "{}",
        report.sentence
    );
    // Nor is a server that runs nothing.
    catalog.drop_node("node").await.expect("left");
    minutes(4);
    catalog.server_beat().await.expect("beats");
    let report = scene.report_as_it_is().await;
    assert_eq!((report.workers, report.scheduler), (0, true));
    assert!(
        report.sentence.contains("no worker is there"),
        "{}",
        report.sentence
    );
    catalog.node_beat(&beat("node")).await.expect("beats");
    assert_ne!(
        scene.report_as_it_is().await.state,
        HealthState::NobodyWorks
    );
    // One that left in order is gone from the list, and not from memory.
    scene.catalog.drop_node("node").await.expect("left");
    let left = scene.catalog.now().to_string();
    scene
        .catalog
        .put_setting(doubts::LEFT_AT, &left.into())
        .await
        .expect("stored");
    assert_ne!(
        scene.report_as_it_is().await.state,
        HealthState::NobodyWorks
    );
    minutes(2);
    assert_eq!(
        scene.report_as_it_is().await.state,
        HealthState::NobodyWorks
    );
}

#[tokio::test]
async fn backups_that_vanished_are_an_alarm_until_they_are_back_or_the_loss_is_accepted() {
    let scene = Scene::new().await;
    scene.app("shop").await;
    scene.policy("shop").await;
    scene.backup("shop", "main", |_| {}).await;
    let gone = |id: &str| doubts::Gone {
        id: id.into(),
        app: "shop".into(),
        time: scene.catalog.now(),
    };
    let note = async |gone: Vec<doubts::Gone>, there: &str| {
        let noted = doubts::note_vanished(&scene.catalog, "main", gone, |id| id == there);
        noted.await.expect("noted");
        scene.report().await.state
    };
    let lost = note(vec![gone("aaaaaaaa1"), gone("bbbbbbbb1")], "").await;
    assert_eq!(lost, HealthState::Vanished);
    let report = scene.report().await;
    assert!(
        report.sentence.contains("aaaaaaaa, bbbbbbbb"),
        "{}",
        report.sentence
    );
    assert_eq!(note(Vec::new(), "aaaaaaaa1").await, HealthState::Vanished);
    assert_ne!(note(Vec::new(), "bbbbbbbb1").await, HealthState::Vanished);
    assert_eq!(
        note(vec![gone("cccccccc1")], "").await,
        HealthState::Vanished
    );
    let loss = doubts::accept_loss(&scene.catalog, "main")
        .await
        .expect("accepted");
    assert_eq!(loss.map(|loss| loss.backups.len()), Some(1));
    assert_ne!(scene.report().await.state, HealthState::Vanished);

    let away = Some("its folder /backups is not there".to_owned());
    doubts::note_unreachable(&scene.catalog, "main", away)
        .await
        .expect("noted");
    assert_eq!(scene.report().await.state, HealthState::Vanished);
    doubts::note_unreachable(&scene.catalog, "main", None)
        .await
        .expect("noted");
    assert_ne!(scene.report().await.state, HealthState::Vanished);
}
