//! What policies leave behind: retention carried out by real jobs, and runs that are left out.

use crate::{
    pgkeep::scene::wait_until,
    workshop::{APP, REPOSITORY, TestClock, Workshop},
};
use pgkeep_catalog::{Job, ManagedBy, NewJob};
use pgkeep_model::{
    app::{AppDefinition, FileTree},
    job::{ForgetSpec, JobSpec, JobState, Trigger},
    policy::{Policy, PolicyKind, Retention},
    retention::KeepPolicy,
};
use pgkeep_repository::{LockMode, Repository, storage::LocalStorage};
use pgkeep_server::{
    scheduler::{jobs_of_policy, retention::cleanup_job},
    settings::JobLimits,
};
use serde_json::Value;
use std::{fs, sync::Arc};

/// Keeps the newest one only.
fn nightly() -> Policy {
    Policy {
        retention: Retention {
            max_backups: Some(1),
            keep: KeepPolicy {
                protect_newest: 1,
                ..KeepPolicy::default()
            },
            ..Retention::default()
        },
        ..Policy::new("nightly", APP)
    }
}

impl Workshop {
    fn put_policy(&self, policy: &Policy) {
        let policy = policy.clone();
        self.ask(|catalog| async move {
            let put = catalog.put_policy(&policy.name, &policy, ManagedBy::Api, None);
            put.await
        });
    }

    /// Runs a policy to whatever end it comes to.
    fn run_policy(&self, policy: &Policy, pinned: bool) -> Job {
        let now = self.catalog.catalog().now();
        let limits = JobLimits::default();
        let mut jobs = jobs_of_policy(policy, now, Trigger::Api, "a test", &limits);
        let mut job = jobs.remove(0);
        job.max_attempts = 1;
        if let JobSpec::Backup(spec) = &mut job.spec {
            spec.pinned = pinned;
        }
        self.end_of(&self.enqueue(job))
    }

    fn clean_up(&self, policy: &Policy, dry_run: bool) -> Job {
        let now = self.catalog.catalog().now();
        let limits = JobLimits::default();
        let job = cleanup_job(policy, dry_run, Trigger::Api, "a test", now, &limits);
        self.end_of(&self.enqueue(job))
    }

    fn end_of(&self, id: &str) -> Job {
        wait_until("the job is over", || self.job(id).state.is_final());
        self.job(id)
    }

    /// The repository as somebody else on this machine opens it.
    fn open_repository(&self) -> Repository {
        let key = fs::read_to_string(self.key_file()).unwrap();
        let folder = self.scene.pgkeep.path().join("backups");
        let clock = Arc::new(TestClock);
        Repository::open(
            Arc::new(LocalStorage::new(folder)),
            &key.trim().into(),
            clock,
        )
        .unwrap()
    }

    fn ids(&self) -> Vec<String> {
        self.rows().into_iter().map(|row| row.id).collect()
    }
}

#[test]
fn a_cleanup_removes_what_the_policy_no_longer_keeps_and_nothing_else() {
    let workshop = Workshop::new();
    let node = workshop.node("one");
    let policy = nightly();
    workshop.put_policy(&policy);
    workshop.run_policy(&policy, true);
    for _ in 0..3 {
        let job = workshop.run_policy(&policy, false);
        assert_eq!(job.state, JobState::Succeeded, "{job:#?}");
    }
    let by_hand = workshop.enqueue_backup();
    workshop.wait_for_state(&by_hand, JobState::Succeeded);
    let before = workshop.ids();
    assert_eq!(before.len(), 5);

    let planned = workshop.clean_up(&policy, true);
    assert_eq!(planned.state, JobState::Succeeded, "{planned:#?}");
    let plan = planned.result.unwrap();
    let remove = plan["repositories"][0]["remove"].as_array().unwrap();
    assert_eq!(remove.len(), 2, "{plan:#}");
    assert_eq!(remove[0]["why"], "not among the newest 1");
    assert_eq!(workshop.ids(), before, "a plan removes nothing");

    let cleaned = workshop.clean_up(&policy, false);
    assert_eq!(cleaned.state, JobState::Succeeded, "{cleaned:#?}");
    let report = cleaned.result.unwrap();
    let report = &report["repositories"][0];
    assert_eq!(report["removed"].as_array().unwrap().len(), 2);
    assert!(report["pruned"].is_object(), "{report:#}");
    // Newest first: the one by hand, the newest of the policy, and the pinned one.
    let left = [before[0].clone(), before[1].clone(), before[4].clone()];
    assert_eq!(workshop.ids(), left);
    let mut stored = workshop.scene.backups();
    let mut left = left.to_vec();
    stored.sort();
    left.sort();
    assert_eq!(stored, left, "the catalog says what the repository holds");
    let again = workshop.clean_up(&policy, false);
    let again = &again.result.unwrap()["repositories"][0];
    assert!(again["removed"].as_array().unwrap().is_empty());
    assert!(again["pruned"].is_null(), "there was nothing to give back");
    node.stop();
}

#[test]
fn nothing_is_removed_while_the_newest_backup_failed() {
    let workshop = Workshop::new();
    let node = workshop.node("one");
    let policy = nightly();
    workshop.put_policy(&policy);
    for _ in 0..2 {
        workshop.run_policy(&policy, false);
    }
    let nowhere = AppDefinition {
        databases: vec![workshop.scene.server.url_for("no_such_database").into()],
        repository: Some(REPOSITORY.into()),
        ..AppDefinition::default()
    };
    workshop.ask(|catalog| async move {
        let put = catalog.put_app(APP, &nowhere, ManagedBy::Api, None);
        put.await
    });
    assert_eq!(workshop.run_policy(&policy, false).state, JobState::Failed);
    let cleaned = workshop.clean_up(&policy, false);
    assert_eq!(cleaned.state, JobState::Succeeded, "{cleaned:#?}");
    let report = cleaned.result.unwrap();
    let held = report["repositories"][0]["held"].as_str().unwrap();
    assert!(held.contains("newest backup of shop failed"), "{held}");
    assert_eq!(workshop.ids().len(), 2);

    workshop.connect_by(None);
    workshop.run_policy(&policy, false);
    workshop.clean_up(&policy, false);
    assert_eq!(workshop.ids().len(), 1);
    node.stop();
}

#[test]
fn exported_files_go_with_their_backup() {
    let workshop = Workshop::new();
    let node = workshop.node("one");
    let folder = workshop.places.data_dir.join("out");
    let policy = Policy {
        kind: PolicyKind::Export,
        export_to: Some(folder.display().to_string()),
        ..nightly()
    };
    workshop.put_policy(&policy);
    let files = || {
        let entries = fs::read_dir(&folder).unwrap().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        names.sort();
        names
    };
    let first = workshop.run_policy(&policy, false);
    assert_eq!(first.state, JobState::Succeeded, "{first:#?}");
    let written = files();
    assert_eq!(written.len(), 1, "one package: {written:?}");
    assert!(
        written[0].to_string_lossy().ends_with(".tar"),
        "{written:?}"
    );
    fs::write(folder.join("mine.txt"), "not pgkeep's").unwrap();
    // Names of exports carry their second.
    wait_until("another second", || {
        let job = workshop.run_policy(&policy, false);
        job.state == JobState::Succeeded
    });
    let cleaned = workshop.clean_up(&policy, false);
    assert_eq!(cleaned.state, JobState::Succeeded, "{cleaned:#?}");
    let left = files();
    assert!(left.contains(&"mine.txt".into()), "{left:?}");
    assert!(written.iter().all(|name| !left.contains(name)), "{left:?}");
    node.stop();
}

#[test]
fn a_run_is_left_out_only_while_nothing_is_written() {
    let workshop = Workshop::new();
    let node = workshop.node("one");
    let policy = Policy {
        skip_if_unchanged: true,
        ..Policy::new("careful", APP)
    };
    workshop.put_policy(&policy);
    // A backup marks pages and the server's own work ends: then nothing is written any more.
    let settle = || {
        let mut last = None;
        wait_until("a run is left out", || {
            let job = workshop.run_policy(&policy, false);
            let skipped = job.state == JobState::Skipped;
            assert!(skipped || job.state == JobState::Succeeded, "{job:#?}");
            last = Some(job);
            skipped
        });
        last.unwrap().result.unwrap()
    };
    let result = settle();
    let newest = workshop.ids().remove(0);
    assert_eq!(result["backup"], newest.as_str());

    let sql = "INSERT INTO settled VALUES (1)";
    workshop
        .scene
        .server
        .psql("shop", "CREATE TABLE settled (id int)");
    workshop.scene.server.psql("shop", sql);
    let job = workshop.run_policy(&policy, false);
    assert_eq!(job.state, JobState::Succeeded, "{job:#?}");

    // The backup that holds what did not change is gone: then it is made anew.
    settle();
    let newest = workshop.ids().remove(0);
    let forget = workshop.enqueue(workshop.draft(JobSpec::Forget(ForgetSpec {
        repository: REPOSITORY.into(),
        backups: vec![newest],
        prune: false,
    })));
    workshop.wait_for_state(&forget, JobState::Succeeded);
    let job = workshop.run_policy(&policy, false);
    assert_eq!(job.state, JobState::Succeeded, "{job:#?}");
    node.stop();
}

#[test]
fn each_kind_of_policy_makes_what_it_says() {
    let workshop = Workshop::new();
    let media = workshop.places.data_dir.join("media");
    let out = workshop.places.data_dir.join("out");
    fs::create_dir(&media).unwrap();
    fs::write(media.join("a.jpg"), "a picture").unwrap();
    let server = &workshop.scene.server;
    let app = AppDefinition {
        databases: vec![server.url_for("shop").into()],
        repository: Some(REPOSITORY.into()),
        files: vec![FileTree {
            name: "media".into(),
            path: media.display().to_string(),
            ..FileTree::default()
        }],
        ..AppDefinition::default()
    };
    workshop.ask(|catalog| async move { catalog.put_app(APP, &app, ManagedBy::Api, None).await });
    let node = workshop.node("one");
    let run = |kind: PolicyKind, change: &dyn Fn(&mut Policy)| {
        let mut policy = Policy {
            kind,
            ..Policy::new(kind.as_str(), APP)
        };
        change(&mut policy);
        policy.validate().unwrap();
        workshop.put_policy(&policy);
        let job = workshop.run_policy(&policy, false);
        assert_eq!(job.state, JobState::Succeeded, "{job:#?}");
        job.result.unwrap()
    };
    let plain = |kind| run(kind, &|_| {});
    let holds = |report: &Value| {
        let len = |what: &str| report[what].as_array().map_or(0, Vec::len);
        (len("databases"), len("files"))
    };
    let full = plain(PolicyKind::Full);
    assert_eq!((holds(&full), &full["kind"]), ((1, 1), &"full".into()));
    for kind in [PolicyKind::Incremental, PolicyKind::Differential] {
        let report = plain(kind);
        assert_eq!(
            (holds(&report), &report["kind"]),
            ((1, 1), &kind.as_str().into())
        );
        let tree = &report["files"][0];
        assert_eq!(
            (&tree["files"], &tree["digest"]),
            (&1.into(), &full["files"][0]["digest"])
        );
        assert_eq!(report["parent"], full["id"], "{report:#}");
    }
    assert_eq!(holds(&plain(PolicyKind::Files)), (0, 1));
    assert_eq!(holds(&plain(PolicyKind::Database)), (1, 0));

    // For somebody's key, compressed, in the policy's own folder.
    let key = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let exported = run(PolicyKind::Export, &|policy| {
        policy.export_to = Some(out.display().to_string());
        policy.export_recipients = vec![key.into()];
        policy.export_zstd = true;
    });
    assert_eq!(holds(&exported), (1, 1));
    let package = exported["exports"][0].as_str().unwrap();
    assert!(package.starts_with(out.to_str().unwrap()), "{package}");
    assert!(package.ends_with(".tar.zst.age"), "{package}");
    let start = fs::read(package).unwrap();
    assert!(start.starts_with(b"age-encryption.org/v1\n-> X25519 "));
    node.stop();
}

#[test]
fn a_cleanup_removes_beside_another_apps_backup_and_gives_the_space_back_afterwards() {
    let workshop = Workshop::on_postgres();
    let node = workshop.node("one");
    let policy = nightly();
    workshop.put_policy(&policy);
    for _ in 0..2 {
        workshop.run_policy(&policy, false);
    }
    // A backup of another app, as far as the repository can tell.
    let repository = workshop.open_repository();
    let held = repository.lock(LockMode::Shared, "backup").unwrap();
    let now = workshop.catalog.catalog().now();
    let limits = JobLimits::default();
    let draft = || cleanup_job(&policy, false, Trigger::Api, "a test", now, &limits);
    let id = workshop.enqueue(draft());
    wait_until("it is put back for the sake of the space", || {
        let job = workshop.job(&id);
        assert!(!job.state.is_final(), "{job:#?}");
        job.state == JobState::Queued && job.error.is_some()
    });
    let error = workshop.job(&id).error.unwrap();
    assert!(error.message.contains("1 backup is removed"), "{error:#?}");
    assert_eq!(workshop.ids().len(), 1);

    drop(held);
    let at_once = format!("UPDATE pgkeep.jobs SET run_at = created_at WHERE id = '{id}'");
    workshop.scene.server.psql("keeper", &at_once);
    let cleaned = workshop.end_of(&id);
    assert_eq!(cleaned.state, JobState::Succeeded, "{cleaned:#?}");
    let report = cleaned.result.unwrap();
    assert!(
        report["repositories"][0]["pruned"].is_object(),
        "{report:#}"
    );

    // What must not be changed while packs are deleted is not changed by hand either.
    let prune = repository.lock(LockMode::Exclusive, "prune").unwrap();
    let tag = ["tag", "latest", "--add", "seen", "--pin"];
    workshop.scene.run(&tag).fails_with(5);
    drop(prune);

    // The last attempt leaves the space to the next cleanup: what was to go is gone.
    workshop.run_policy(&policy, false);
    let held = repository.lock(LockMode::Shared, "backup").unwrap();
    let last = NewJob {
        max_attempts: 1,
        ..draft()
    };
    let id = workshop.enqueue(last);
    let cleaned = workshop.end_of(&id);
    assert_eq!(cleaned.state, JobState::Succeeded, "{cleaned:#?}");
    let report = cleaned.result.unwrap();
    let report = &report["repositories"][0];
    assert_eq!(report["removed"].as_array().unwrap().len(), 1);
    assert_eq!(report["space_waits"], true, "{report:#}");
    assert_eq!(workshop.ids().len(), 1);
    drop(held);
    node.stop();
}
