//! Processes that die: of a job, of the worker, of both; and one that sleeps through its lease.

use crate::{
    pgkeep::scene::{reading, wait_until},
    workshop::{APP, REPOSITORY, Workshop},
};
use pgkeep_model::job::{JobSpec, JobState, RestoreMode, RestoreSpec};
use rustix::process::Signal;
use std::{io::Write, process::Stdio, time::Duration};

#[test]
fn a_job_whose_process_is_killed_is_taken_up_again_and_leaves_one_backup() {
    let workshop = Workshop::new();
    workshop.scene.add_bulk(10);
    let way = workshop.scene.way(reading(5));
    workshop.connect_by(Some(&way));
    let node = workshop.node("one");
    let id = workshop.enqueue_backup();
    workshop.wait_until_held(&id, &way);
    workshop.process_of(&id).unwrap().signal(Signal::KILL);
    wait_until("the death is noticed", || workshop.job(&id).error.is_some());
    assert_eq!(workshop.job(&id).error.unwrap().code, "worker_lost");
    way.release();
    let job = workshop.wait_for_state(&id, JobState::Succeeded);
    assert_eq!(job.attempts, 2);
    assert_eq!(workshop.scene.backups().len(), 1);
    assert_eq!(workshop.rows().len(), 1);
    workshop.wait_until_nothing_is_left_of(&id);
    node.stop();
}

#[test]
fn a_restore_whose_process_is_killed_fails_with_the_reason_and_changed_nothing() {
    let workshop = Workshop::new();
    workshop.scene.add_bulk(10);
    let (backup, _) = workshop.scene.backup();
    let before = workshop.scene.fingerprint("shop");
    let databases = workshop.scene.databases();
    let way = workshop.scene.way(|passing| passing.says("COPY"));
    workshop.connect_by(Some(&way));
    let node = workshop.node("one");
    let id = workshop.enqueue(workshop.draft(JobSpec::Restore(RestoreSpec {
        skip_safety_backup: true,
        keep_old_secs: 3600,
        ..RestoreSpec::new(APP, REPOSITORY, backup, RestoreMode::Replace("shop".into()))
    })));
    workshop.wait_until_held(&id, &way);
    workshop.process_of(&id).unwrap().signal(Signal::KILL);
    let job = workshop.wait_for_state(&id, JobState::Failed);
    let error = job.error.unwrap();
    assert_eq!(error.code, "worker_lost");
    assert!(error.message.contains("signal: 9"), "{error:?}");
    assert_eq!(job.attempts, 1);
    workshop.wait_until_nothing_is_left_of(&id);
    way.release();
    node.stop();
    assert_eq!(workshop.scene.fingerprint("shop"), before);
    // The unfinished database stands beside, marked; the next look after left-overs drops it.
    let dropped = workshop.scene.run(&["undo", "--drop-expired"]).succeeds();
    assert_eq!(workshop.scene.databases(), databases, "{}", dropped.stdout);
}

#[test]
fn a_job_whose_worker_is_killed_ends_by_itself_and_the_next_worker_does_it() {
    let workshop = Workshop::new();
    workshop.scene.add_bulk(10);
    let way = workshop.scene.way(reading(5));
    workshop.connect_by(Some(&way));
    let worker = workshop.worker();
    let id = workshop.enqueue_backup();
    workshop.wait_until_held(&id, &way);
    assert!(workshop.process_of(&id).is_some());
    worker.kill9();
    // Held as it is, it can neither go on nor hang on: it gives the job back and is gone.
    workshop.wait_until_logged(&id, "server is gone");
    way.release();
    workshop.wait_until_nothing_is_left_of(&id);
    let job = workshop.job(&id);
    assert_eq!((job.state, job.attempts), (JobState::Queued, 0), "{job:#?}");
    assert_eq!(workshop.scene.backups(), [""; 0]);

    let next = workshop.worker();
    workshop.wait_for_state(&id, JobState::Succeeded);
    assert_eq!(workshop.scene.backups().len(), 1);
    next.signal(Signal::TERM);
    assert_eq!(next.finish().code, 0);
}

#[test]
fn a_worker_that_is_asked_to_end_hands_its_jobs_back() {
    let workshop = Workshop::new();
    workshop.scene.add_bulk(10);
    let way = workshop.scene.way(reading(5));
    workshop.connect_by(Some(&way));
    let worker = workshop.worker();
    let id = workshop.enqueue_backup();
    workshop.wait_until_held(&id, &way);
    worker.signal(Signal::TERM);
    workshop.wait_until_logged(&id, "server is gone");
    way.release();
    let run = worker.finish();
    assert_eq!(run.code, 0, "{run:?}");
    let job = workshop.job(&id);
    assert_eq!((job.state, job.attempts), (JobState::Queued, 0), "{job:#?}");
    assert_eq!(job.error, None);
    workshop.wait_until_nothing_is_left_of(&id);
    let nodes = workshop.ask(|catalog| async move { catalog.nodes().await });
    assert_eq!(nodes.len(), 0, "{nodes:?}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test is about the process")]
fn a_process_that_wakes_after_its_lease_publishes_nothing() {
    let workshop = Workshop::new();
    workshop.scene.add_bulk(10);
    let way = workshop.scene.way(reading(5));
    workshop.connect_by(Some(&way));
    let id = workshop.enqueue_backup();
    let lease = Duration::from_secs(3);
    let claim = workshop
        .ask(|catalog| async move {
            let kinds = pgkeep_model::job::JobKind::ALL;
            catalog.claim("sleeper", &kinds, lease).await
        })
        .unwrap();
    assert_eq!(claim.job.id, id);
    let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_pgkeep"))
        .args(["run-job", "--job", &id, "--fence", &claim.fence.to_string()])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let order = serde_json::json!({
        "data_dir": workshop.places.data_dir,
        "catalog": { "sqlite": workshop.places.data_dir.join("catalog.sqlite") },
        "catalog_key": workshop.places.catalog_key,
        "lease_millis": 3000,
    });
    let mut stdin = process.stdin.take().unwrap();
    writeln!(stdin, "{order}").unwrap();
    workshop.wait_until_held(&id, &way);
    let sleeper = workshop.process_of(&id).unwrap();
    sleeper.signal(Signal::STOP);
    wait_until("its lease runs out", || {
        !workshop
            .ask(|catalog| async move { catalog.reconcile(catalog.now()).await })
            .is_empty()
    });
    assert_eq!(workshop.job(&id).state, JobState::Queued);
    // It finds all the rest of the way open when it wakes.
    way.release();
    sleeper.signal(Signal::CONT);
    let status = process.wait().unwrap();
    assert!(!status.success(), "{status}");
    drop(stdin);
    assert_eq!(workshop.scene.backups(), [""; 0]);
    let job = workshop.job(&id);
    assert_eq!((job.state, job.result), (JobState::Queued, None));

    let node = workshop.node("awake");
    let job = workshop.wait_for_state(&id, JobState::Succeeded);
    assert_eq!(job.attempts, 2);
    assert_eq!(workshop.scene.backups().len(), 1);
    node.stop();
}
