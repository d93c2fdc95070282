//! What people hear of jobs, lateness and disks: a real catalog, a real receiver, a clock moved by hand.

use super::{Asked, MEMORY, Notifier, ask_server, send_test};
use crate::{settings::Places, targets::Machine};
use jiff::SignedDuration;
use pgkeep_catalog::{
    Catalog, JobError, KeySource, Location, ManagedBy, NewJob, OpenOptions, Outcome,
};
use pgkeep_model::{
    app::AppDefinition,
    job::{BackupSpec, CleanupSpec, JobSpec, PruneSpec, RestoreMode, RestoreSpec, Trigger},
    notice::{Channel, NoticeKind, NotificationTarget},
    policy::{Policy, Schedule},
};
use pgkeep_postgres::connect::Environment;
use pgkeep_testkit::{HttpReceiver, ManualClock};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use url::Url;

mod keeping;
mod trouble;

struct Scene {
    clock: Arc<ManualClock>,
    catalog: Catalog,
    machine: Arc<Machine>,
    receiver: HttpReceiver,
    folder: TempDir,
}

impl Scene {
    /// One target, `hook`, that hears of everything but success.
    async fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at("2026-03-01T12:00:00Z"));
        let catalog = Catalog::open(OpenOptions::new(
            Location::Sqlite(folder.path().join("catalog.sqlite")),
            KeySource::Key([7; 32]),
            clock.clone(),
        ))
        .await
        .unwrap();
        let environment = Environment::new([("HOOK", "unset")]);
        let scene = Scene {
            machine: Arc::new(Machine::here(clock.clone(), environment)),
            clock,
            catalog,
            receiver: HttpReceiver::start(),
            folder,
        };
        scene.target("hook", |_| {}).await;
        scene.notifier().read_events().await.unwrap();
        scene
    }

    async fn target(&self, name: &str, change: impl FnOnce(&mut NotificationTarget)) {
        let mut target = NotificationTarget {
            name: name.into(),
            channel: Channel::Webhook {
                url: self.receiver.url(&format!("/{name}")).into(),
                secret: None,
            },
            on: Vec::new(),
            default: true,
            enabled: true,
            repeat_secs: 3_600,
        };
        change(&mut target);
        self.catalog
            .put_target(name, &target, ManagedBy::Api, None)
            .await
            .unwrap();
    }

    async fn policy(&self, name: &str, notify: &[&str]) {
        let policy = Policy {
            name: name.into(),
            app: "shop".into(),
            schedule: Schedule {
                at: Some("02:00".into()),
                ..Schedule::default()
            },
            notify: notify.iter().map(|name| (*name).to_owned()).collect(),
            ..serde_json::from_value(json!({ "app": "shop" })).unwrap()
        };
        let shop = AppDefinition::default();
        let put = self.catalog.put_app("shop", &shop, ManagedBy::Api, None);
        put.await.unwrap();
        self.catalog
            .put_policy(name, &policy, ManagedBy::Api, None)
            .await
            .unwrap();
    }

    /// Another one each time, as after a restart.
    fn notifier(&self) -> Notifier {
        Notifier::new(
            self.catalog.clone(),
            self.machine.clone(),
            Some(Url::parse("https://ops.example/").unwrap()),
            &Places::inside(self.folder.path()),
        )
    }

    async fn job(&self, job: NewJob, outcome: Outcome) {
        self.catalog.enqueue(job).await.unwrap();
        let claim = self
            .catalog
            .claim("node", &[], Duration::from_secs(30))
            .await
            .unwrap()
            .expect("a job waits");
        self.clock.advance(SignedDuration::from_secs(72));
        self.catalog
            .finish(&claim.job.id, claim.fence, outcome)
            .await
            .unwrap();
    }

    /// A scheduled backup of shop.
    fn new_backup(&self, policy: Option<&str>) -> NewJob {
        let spec = JobSpec::Backup(BackupSpec {
            app: "shop".into(),
            ..BackupSpec::default()
        });
        NewJob {
            app: Some("shop".into()),
            repository: Some("main".into()),
            policy: policy.map(str::to_owned),
            ..NewJob::new(spec, Trigger::Schedule, "scheduler", self.catalog.now())
        }
    }

    /// A scheduled backup of shop that ends so.
    async fn backup(&self, policy: Option<&str>, outcome: Outcome) {
        self.job(self.new_backup(policy), outcome).await;
    }

    /// Reads, sends, and gives what was received: `/path type summary` of each message.
    async fn heard(&self) -> Vec<String> {
        let notifier = self.notifier();
        notifier.read_events().await.unwrap();
        self.sent(&notifier).await
    }

    async fn heard_of_lateness(&self) -> Vec<String> {
        let notifier = self.notifier();
        notifier.look_for_late().await.unwrap();
        self.sent(&notifier).await
    }

    async fn sent(&self, notifier: &Notifier) -> Vec<String> {
        notifier.send_due().await.unwrap();
        let mut heard: Vec<String> = self
            .catalog
            .deliveries(None, 1_000)
            .await
            .unwrap()
            .iter()
            .filter(|delivery| delivery.sent_at == Some(self.catalog.now()))
            .map(|_| self.receiver.next_request())
            .map(|request| match request.body.is_empty() {
                true => request.target,
                false => {
                    let body: Value = serde_json::from_str(&request.body).unwrap();
                    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                    format!(
                        "{} {} {}",
                        request.target,
                        text(&body["type"]),
                        text(&body["data"]["summary"])
                    )
                }
            })
            .collect();
        assert!(self.receiver.is_empty(), "nothing else was sent");
        heard.sort();
        // What is sent now must not count as sent at the next look.
        self.clock.advance(SignedDuration::from_secs(1));
        heard
    }
}

fn failed() -> Outcome {
    Outcome::Failed(JobError {
        hint: Some("start it".into()),
        ..JobError::new("unreachable", "the server refused the connection")
    })
}

fn succeeded() -> Outcome {
    Outcome::Succeeded(
        json!({ "id": "8c1f02aa55", "rows": 1204331, "bytes_read": 13002342, "bytes_added": 1024 }),
    )
}

const FAILED: &str =
    "/hook pgkeep.failure backup of shop failed: the server refused the connection";
const RECOVERED: &str = "/hook pgkeep.recovery backup of shop works again";

#[tokio::test]
async fn a_failure_is_told_once_and_its_end_too() {
    let scene = Scene::new().await;
    scene.backup(None, succeeded()).await;
    assert_eq!(scene.heard().await, Vec::<String>::new());
    scene.backup(None, failed()).await;
    assert_eq!(scene.heard().await, [FAILED]);
    scene.backup(None, failed()).await;
    assert_eq!(scene.heard().await, Vec::<String>::new());
    scene.backup(None, succeeded()).await;
    assert_eq!(scene.heard().await, [RECOVERED]);
    scene.backup(None, succeeded()).await;
    assert_eq!(scene.heard().await, Vec::<String>::new());
    scene.backup(None, failed()).await;
    assert_eq!(scene.heard().await, [FAILED], "a new episode is new news");
}

#[tokio::test]
async fn lasting_bad_news_is_repeated_after_the_targets_own_time() {
    let scene = Scene::new().await;
    scene
        .target("often", |target| target.repeat_secs = 60)
        .await;
    scene.backup(None, failed()).await;
    assert_eq!(scene.heard().await.len(), 2);
    scene.clock.advance(SignedDuration::from_mins(2));
    scene.backup(None, failed()).await;
    assert_eq!(scene.heard().await, [FAILED.replace("/hook", "/often")]);
    scene.clock.advance(SignedDuration::from_mins(70));
    scene.backup(None, failed()).await;
    assert_eq!(scene.heard().await.len(), 2);
}

#[tokio::test]
async fn a_restart_tells_nothing_twice_and_forgets_nothing() {
    let scene = Scene::new().await;
    let before = scene.catalog.setting(MEMORY).await.unwrap().unwrap();
    scene.backup(None, failed()).await;
    assert_eq!(scene.heard().await.len(), 1);
    assert_eq!(scene.heard().await, Vec::<String>::new());
    // As if the crash had come after the messages were handed in, and memory had been lost to an old copy.
    scene.catalog.put_setting(MEMORY, &before).await.unwrap();
    assert_eq!(scene.heard().await, Vec::<String>::new());
    // Events that came while nobody read are still read.
    scene.backup(None, succeeded()).await;
    scene.backup(Some("nightly"), failed()).await;
    assert_eq!(scene.heard().await, [FAILED, RECOVERED]);
}

#[tokio::test]
async fn a_new_catalog_tells_no_history() {
    let scene = Scene::new().await;
    scene
        .catalog
        .put_setting(MEMORY, &Value::Null)
        .await
        .unwrap();
    scene.backup(None, failed()).await;
    assert_eq!(scene.heard().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_policy_chooses_who_hears_and_a_ping_hears_its_successes_only() {
    let scene = Scene::new().await;
    scene.target("team", |target| target.default = false).await;
    scene
        .target("happy", |target| {
            target.default = false;
            target.on = vec![NoticeKind::Success];
        })
        .await;
    let ping = Channel::DeadManPing {
        url: scene.receiver.url("/ping").into(),
    };
    scene.target("ping", |target| target.channel = ping).await;
    scene.policy("nightly", &["team", "ping", "happy"]).await;

    scene.backup(Some("nightly"), failed()).await;
    assert_eq!(scene.heard().await, [FAILED.replace("/hook", "/team")]);
    scene.backup(Some("nightly"), succeeded()).await;
    assert_eq!(
        scene.heard().await,
        [
            "/happy pgkeep.success backup of shop succeeded",
            "/ping",
            "/team pgkeep.recovery backup of shop works again",
        ]
    );
    scene
        .backup(Some("nightly"), Outcome::Skipped(json!({})))
        .await;
    assert_eq!(
        scene.heard().await,
        [
            "/happy pgkeep.success backup of shop was not needed: nothing has changed since the last one",
            "/ping",
        ]
    );
    // A backup by hand says nothing of the policy.
    scene.backup(None, succeeded()).await;
    assert_eq!(scene.heard().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_message_says_what_happened_and_what_to_do() {
    let scene = Scene::new().await;
    scene.backup(None, failed()).await;
    scene.notifier().read_events().await.unwrap();
    scene.notifier().send_due().await.unwrap();
    let request = scene.receiver.next_request();
    let body: Value = serde_json::from_str(&request.body).unwrap();
    let data = &body["data"];
    assert_eq!(data["hint"], "start it");
    assert_eq!(data["facts"]["duration"], "1 min 12 s");
    assert_eq!(data["facts"]["repository"], "main");
    let job = data["job"].as_str().unwrap();
    assert_eq!(data["link"], format!("https://ops.example/jobs/{job}"));
    assert_eq!(
        request.header("webhook-id"),
        Some(format!("{job}-failed").as_str())
    );
}

#[tokio::test]
async fn restores_are_told_and_watched_commands_are_not() {
    let scene = Scene::new().await;
    let now = scene.catalog.now();
    let restore = JobSpec::Restore(RestoreSpec {
        keep_old_secs: 3_600,
        ..RestoreSpec::new(
            "shop",
            "main",
            "8c1f02aa55",
            RestoreMode::Replace("shop".into()),
        )
    });
    let restore = NewJob {
        app: Some("shop".into()),
        ..NewJob::new(restore, Trigger::Cli, "ann", now)
    };
    scene
        .job(
            restore,
            Outcome::Succeeded(json!({ "backup": "8c1f02aa55", "rows": 3 })),
        )
        .await;
    assert_eq!(
        scene.heard().await,
        ["/hook pgkeep.restore restore of shop succeeded"]
    );

    let prune = |trigger| {
        let spec = JobSpec::Prune(PruneSpec {
            repository: "main".into(),
            ..PruneSpec::default()
        });
        NewJob {
            repository: Some("main".into()),
            ..NewJob::new(spec, trigger, "ann", now)
        }
    };
    scene.job(prune(Trigger::Cli), failed()).await;
    scene
        .job(prune(Trigger::Schedule), Outcome::Cancelled)
        .await;
    assert_eq!(scene.heard().await, Vec::<String>::new());
    scene.job(prune(Trigger::Schedule), failed()).await;
    assert_eq!(
        scene.heard().await,
        ["/hook pgkeep.failure prune of main failed: the server refused the connection"]
    );
    scene
        .job(prune(Trigger::Schedule), Outcome::Succeeded(json!({})))
        .await;
    assert_eq!(
        scene.heard().await,
        ["/hook pgkeep.recovery prune of main works again"]
    );
    scene
        .job(prune(Trigger::Schedule), Outcome::Succeeded(json!({})))
        .await;
    assert_eq!(scene.heard().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_cleanup_is_told_when_it_removed_something() {
    let scene = Scene::new().await;
    scene.policy("nightly", &[]).await;
    let cleanup = || {
        let spec = JobSpec::Cleanup(CleanupSpec {
            policy: "nightly".into(),
            dry_run: false,
        });
        NewJob {
            app: Some("shop".into()),
            policy: Some("nightly".into()),
            ..NewJob::new(spec, Trigger::Internal, "scheduler", scene.catalog.now())
        }
    };
    let removed = |ids: &[&str]| {
        Outcome::Succeeded(json!({ "repositories": [{ "removed": ids }, { "removed": [] }] }))
    };
    scene.job(cleanup(), removed(&[])).await;
    assert_eq!(scene.heard().await, Vec::<String>::new());
    scene.job(cleanup(), removed(&["a", "b"])).await;
    assert_eq!(
        scene.heard().await,
        ["/hook pgkeep.cleanup cleanup by nightly removed 2 backups"]
    );
}

#[tokio::test]
async fn a_good_backup_of_a_policy_makes_good_what_failed_by_hand() {
    let scene = Scene::new().await;
    scene.policy("nightly", &[]).await;
    scene.backup(None, failed()).await;
    assert_eq!(scene.heard().await, [FAILED]);
    scene.backup(Some("nightly"), succeeded()).await;
    assert_eq!(scene.heard().await, [RECOVERED]);
    scene.backup(None, succeeded()).await;
    assert_eq!(scene.heard().await, Vec::<String>::new());
    // A policy's own backups are more than what somebody makes beside them.
    scene.backup(Some("nightly"), failed()).await;
    assert_eq!(scene.heard().await, [FAILED]);
    scene.backup(None, succeeded()).await;
    assert_eq!(scene.heard().await, Vec::<String>::new());
    scene.backup(Some("nightly"), succeeded()).await;
    assert_eq!(scene.heard().await, [RECOVERED]);
}

#[tokio::test]
async fn a_test_that_a_shell_asks_for_is_sent_by_the_server_with_its_own_environment() {
    let scene = Scene::new().await;
    let asked = async || {
        let target = scene.catalog.target("hook").await.unwrap().value;
        let notifier = scene.notifier();
        let server = async {
            loop {
                notifier.send_due().await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            asked = ask_server(&scene.catalog, &target) => asked.unwrap(),
            () = server => unreachable!("it goes on"),
        }
    };
    assert_eq!(asked().await, Asked::NobodyThere);
    let beat = pgkeep_catalog::NodeBeat {
        node: "node".into(),
        host: "here".into(),
        pid: 1,
        slots: 1,
        kinds: Vec::new(),
        version: "1".into(),
    };
    scene.catalog.node_beat(&beat).await.unwrap();
    assert_eq!(asked().await, Asked::NobodyThere, "a worker sends none");
    scene.catalog.server_beat().await.unwrap();
    assert_eq!(asked().await, Asked::Arrived);
    assert_eq!(scene.receiver.next_request().target, "/hook");
    scene
        .target("hook", |target| {
            target.channel = Channel::Slack {
                url: "env:NOT_OF_THE_SERVER".into(),
            };
        })
        .await;
    scene.clock.advance(SignedDuration::from_secs(1));
    let Asked::Failed(why) = asked().await else {
        panic!("the server has no such variable");
    };
    assert!(why.contains("NOT_OF_THE_SERVER"), "{why}");
    // Nobody waits for the outcome of a test tomorrow.
    let later = scene.catalog.now() + SignedDuration::from_hours(12);
    assert_eq!(scene.catalog.due_deliveries(later, 10).await.unwrap(), []);
}

#[tokio::test]
async fn silence_is_told_repeated_and_its_end_is_told() {
    const LATE: &str = "/hook pgkeep.overdue nightly of shop is overdue: the run of 2026-03-02 02:00 UTC has not succeeded";
    let scene = Scene::new().await;
    scene.policy("nightly", &[]).await;
    assert_eq!(scene.heard_of_lateness().await, Vec::<String>::new());
    scene.clock.set("2026-03-02T02:05:00Z".parse().unwrap());
    assert_eq!(scene.heard_of_lateness().await, Vec::<String>::new());
    scene.clock.set("2026-03-02T02:20:00Z".parse().unwrap());
    assert_eq!(scene.heard_of_lateness().await, [LATE]);
    scene.clock.set("2026-03-02T02:40:00Z".parse().unwrap());
    assert_eq!(scene.heard_of_lateness().await, Vec::<String>::new());
    scene.clock.set("2026-03-02T03:30:00Z".parse().unwrap());
    assert_eq!(scene.heard_of_lateness().await, [LATE]);

    scene.backup(Some("nightly"), succeeded()).await;
    assert_eq!(scene.heard().await, Vec::<String>::new());
    assert_eq!(
        scene.heard_of_lateness().await,
        ["/hook pgkeep.recovery nightly of shop runs on time again"]
    );
    assert_eq!(scene.heard_of_lateness().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_late_policy_has_recovered_when_a_run_was_good_and_not_when_one_begins() {
    let scene = Scene::new().await;
    scene.policy("nightly", &[]).await;
    scene.clock.set("2026-03-02T02:01:00Z".parse().unwrap());
    scene.backup(Some("nightly"), succeeded()).await;
    scene.heard().await;
    scene.clock.set("2026-03-03T02:20:00Z".parse().unwrap());
    assert_eq!(scene.heard_of_lateness().await.len(), 1);

    // It waits for a worker, and then runs: not late any more by the clock, and nothing is good yet.
    let catalog = &scene.catalog;
    let waiting = scene.new_backup(Some("nightly"));
    catalog.enqueue(waiting).await.unwrap();
    assert_eq!(scene.heard_of_lateness().await, Vec::<String>::new());
    let claim = catalog.claim("node", &[], Duration::from_secs(30)).await;
    let claim = claim.unwrap().expect("a job waits");
    assert_eq!(scene.heard_of_lateness().await, Vec::<String>::new());
    let cancelled = catalog.finish(&claim.job.id, claim.fence, Outcome::Cancelled);
    cancelled.await.unwrap();
    assert_eq!(scene.heard_of_lateness().await, Vec::<String>::new());
    // Nor does a schedule that was changed make anything good.
    let mut policy = catalog.policy("nightly").await.unwrap().value;
    policy.schedule.at = Some("23:00".into());
    let put = catalog.put_policy("nightly", &policy, ManagedBy::Api, None);
    put.await.unwrap();
    assert_eq!(scene.heard_of_lateness().await, Vec::<String>::new());

    scene.backup(Some("nightly"), succeeded()).await;
    scene.heard().await;
    assert_eq!(
        scene.heard_of_lateness().await,
        ["/hook pgkeep.recovery nightly of shop runs on time again"]
    );
}

#[tokio::test]
async fn lateness_in_a_paused_queue_says_that_nothing_can_be_started() {
    let scene = Scene::new().await;
    scene.policy("nightly", &[]).await;
    scene.catalog.pause_queue("ann").await.unwrap();
    scene.clock.set("2026-03-02T02:20:00Z".parse().unwrap());
    let notifier = scene.notifier();
    notifier.look_for_late().await.unwrap();
    notifier.send_due().await.unwrap();
    let body: Value = serde_json::from_str(&scene.receiver.next_request().body).unwrap();
    assert_eq!(
        body["data"]["summary"],
        "nightly of shop is overdue: the run of 2026-03-02 02:00 UTC has not succeeded; the queue is paused since 2026-03-01 12:00 UTC by ann"
    );
    let hint = body["data"]["hint"].as_str().unwrap();
    assert!(hint.contains("`pgkeep queue resume`"), "{hint}");
    assert!(!hint.contains("by hand"), "{hint}");
}

/// A log that is read afterwards.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_job_is_one_line_of_the_log_also_where_it_cannot_be_written_down_that_it_was_read() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _log = tracing::subscriber::set_default(subscriber);
    let scene = Scene::new().await;
    let notifier = scene.notifier();
    let before = scene.catalog.setting(MEMORY).await.unwrap().unwrap();
    for outcome in [succeeded(), failed()] {
        scene.backup(None, outcome).await;
        for _ in 0..3 {
            notifier.read_events().await.unwrap();
            // As if that had not been stored.
            scene.catalog.put_setting(MEMORY, &before).await.unwrap();
        }
    }
    let lines = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let count = |what: &str| lines.lines().filter(|line| line.contains(what)).count();
    assert_eq!(count("backup of shop succeeded"), 1, "{lines}");
    assert_eq!(count("backup of shop failed"), 1, "{lines}");
}

#[tokio::test]
async fn a_failed_run_is_not_late_but_the_one_after_it_that_stays_away_is() {
    let scene = Scene::new().await;
    scene.policy("nightly", &[]).await;
    scene.clock.set("2026-03-02T02:01:00Z".parse().unwrap());
    scene.backup(Some("nightly"), failed()).await;
    assert_eq!(scene.heard().await, [FAILED]);
    scene.clock.set("2026-03-02T05:00:00Z".parse().unwrap());
    assert_eq!(scene.heard_of_lateness().await, Vec::<String>::new());
    scene.clock.set("2026-03-03T02:30:00Z".parse().unwrap());
    assert_eq!(
        scene.heard_of_lateness().await,
        [
            "/hook pgkeep.overdue nightly of shop is overdue: the run of 2026-03-03 02:00 UTC has not succeeded"
        ]
    );
    // A run that comes late and fails is a failure, and no end of anything.
    scene.backup(Some("nightly"), failed()).await;
    scene.heard().await;
    assert_eq!(scene.heard_of_lateness().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_policy_that_is_switched_off_is_no_longer_late_and_nobody_calls_that_a_recovery() {
    let scene = Scene::new().await;
    scene.policy("nightly", &[]).await;
    scene.clock.set("2026-03-02T02:20:00Z".parse().unwrap());
    assert_eq!(scene.heard_of_lateness().await.len(), 1);
    let mut policy = scene.catalog.policy("nightly").await.unwrap().value;
    policy.enabled = false;
    scene
        .catalog
        .put_policy("nightly", &policy, ManagedBy::Api, None)
        .await
        .unwrap();
    assert_eq!(scene.heard_of_lateness().await, Vec::<String>::new());
    assert_eq!(
        scene
            .notifier()
            .memory()
            .await
            .unwrap()
            .subjects("overdue/"),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn a_target_that_is_busy_is_tried_again_and_one_that_refuses_is_not() {
    let scene = Scene::new().await;
    scene
        .receiver
        .answer(503, &[("Retry-After", "600")], "later");
    scene.backup(None, failed()).await;
    let notifier = scene.notifier();
    notifier.read_events().await.unwrap();
    notifier.send_due().await.unwrap();
    scene.receiver.next_request();
    scene.clock.advance(SignedDuration::from_secs(599));
    notifier.send_due().await.unwrap();
    assert!(scene.receiver.is_empty(), "it asked to be left alone");
    scene.clock.advance(SignedDuration::from_secs(1));
    scene.receiver.answer(410, &[], "gone");
    notifier.send_due().await.unwrap();
    scene.receiver.next_request();
    let delivery = &scene.catalog.deliveries(Some("hook"), 1).await.unwrap()[0];
    assert_eq!(delivery.attempts, 2);
    assert!(
        delivery
            .error
            .as_deref()
            .is_some_and(|error| error.ends_with("410: gone"))
    );
    scene.clock.advance(SignedDuration::from_hours(48));
    notifier.send_due().await.unwrap();
    assert!(scene.receiver.is_empty(), "it was given up");
}

#[tokio::test]
async fn a_target_is_found_by_reference_when_it_is_used() {
    let scene = Scene::new().await;
    let file = scene.folder.path().join("hook");
    std::fs::write(&file, format!("{}\n", scene.receiver.url("/by-file"))).unwrap();
    let target = |url: String| NotificationTarget {
        name: "ref".into(),
        channel: Channel::Slack { url: url.into() },
        on: Vec::new(),
        default: false,
        enabled: true,
        repeat_secs: 0,
    };
    let test =
        async |target: NotificationTarget| send_test(&target, &scene.catalog, &scene.machine).await;
    let by_file = test(target(format!("file:{}", file.display()))).await;
    by_file.expect("it arrives");
    let request = scene.receiver.next_request();
    assert_eq!(request.target, "/by-file");
    assert!(request.body.contains("This is a test of the target ref"));
    let error = test(target("env:NOT_SET_ANYWHERE".into()))
        .await
        .unwrap_err();
    assert!(
        error.message.contains("NOT_SET_ANYWHERE") && error.hint.is_some(),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_is_removed_before_it_was_sent_is_given_up() {
    let scene = Scene::new().await;
    scene.backup(None, failed()).await;
    let notifier = scene.notifier();
    notifier.read_events().await.unwrap();
    scene.catalog.delete_target("hook", None).await.unwrap();
    notifier.send_due().await.unwrap();
    assert!(scene.receiver.is_empty());
    let delivery = &scene.catalog.deliveries(None, 1).await.unwrap()[0];
    assert_eq!(
        delivery.error.as_deref(),
        Some("target hook is no longer there")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_notifier_tells_by_itself_and_ends_when_it_is_asked_to() {
    let scene = Scene::new().await;
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(scene.notifier().run(shutdown.clone()));
    scene.backup(None, failed()).await;
    // The disk of this machine may be nearly full, which it tells as well.
    tokio::task::block_in_place(|| {
        let refused = "the server refused the connection";
        while !scene.receiver.next_request().body.contains(refused) {}
    });
    shutdown.cancel();
    running.await.unwrap();
}
