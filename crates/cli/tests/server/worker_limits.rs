//! Jobs that are stopped: by somebody, by their limits, by the app's one maintenance slot.

use crate::{
    pgkeep::scene::{reading, wait_until},
    workshop::{Workshop, backup},
};
use pgkeep_catalog::NewJob;
use pgkeep_model::job::JobState;

impl Workshop {
    /// Waits until the job's backup is held on `way`.
    #[track_caller]
    pub fn wait_until_held(&self, job: &str, way: &crate::pgkeep::proxy::HoldingProxy) {
        wait_until("the job is held", || {
            let now = self.job(job);
            assert!(!now.state.is_final(), "{now:#?}");
            way.holds()
        });
    }
}

#[test]
fn a_job_that_is_cancelled_ends_cleanly_and_leaves_nothing() {
    let workshop = Workshop::new();
    workshop.scene.add_bulk(10);
    let way = workshop.scene.way(reading(5));
    workshop.connect_by(Some(&way));
    let node = workshop.node("one");
    let id = workshop.enqueue_backup();
    workshop.wait_until_held(&id, &way);
    workshop.ask(|catalog| {
        let id = id.clone();
        async move { catalog.cancel(&id).await }
    });
    workshop.wait_until_logged(&id, "asked to cancel");
    way.release();
    let job = workshop.wait_for_state(&id, JobState::Cancelled);
    assert_eq!(job.attempts, 1);
    assert_eq!(workshop.scene.backups(), [""; 0]);
    workshop.wait_until_nothing_is_left_of(&id);
    node.stop();
}

#[test]
fn the_soft_limit_cancels_cleanly_and_the_job_fails_with_the_reason() {
    let workshop = Workshop::new();
    workshop.scene.add_bulk(10);
    let way = workshop.scene.way(reading(5));
    workshop.connect_by(Some(&way));
    let node = workshop.node("one");
    let id = workshop.enqueue(NewJob {
        soft_limit_secs: 2,
        ..workshop.draft(backup())
    });
    workshop.wait_until_logged(&id, "soft limit");
    way.release();
    let job = workshop.wait_for_state(&id, JobState::Failed);
    let error = job.error.unwrap();
    assert_eq!(error.code, "time_limit");
    assert!(error.message.contains("soft limit of 2 s"), "{error:?}");
    assert_eq!(job.attempts, 1, "it would only be as slow again");
    assert_eq!(workshop.scene.backups(), [""; 0]);
    workshop.wait_until_nothing_is_left_of(&id);
    node.stop();
}

#[test]
fn the_hard_limit_kills_a_process_that_no_longer_listens() {
    let workshop = Workshop::new();
    workshop.scene.add_bulk(10);
    let way = workshop.scene.way(reading(5));
    workshop.connect_by(Some(&way));
    let node = workshop.node("one");
    let id = workshop.enqueue(NewJob {
        soft_limit_secs: 0,
        hard_limit_secs: 5,
        ..workshop.draft(backup())
    });
    wait_until("it runs", || workshop.process_of(&id).is_some());
    let process = workshop.process_of(&id).unwrap();
    process.signal(rustix::process::Signal::STOP);
    let job = workshop.wait_for_state(&id, JobState::Failed);
    let error = job.error.unwrap();
    assert_eq!(error.code, "time_limit");
    assert!(error.message.contains("hard limit of 5 s"), "{error:?}");
    workshop.wait_until_nothing_is_left_of(&id);
    assert_eq!(workshop.scene.backups(), [""; 0]);
    node.stop();
}

#[test]
fn one_job_at_a_time_works_on_an_app() {
    let workshop = Workshop::new();
    workshop.scene.add_bulk(10);
    let way = workshop.scene.way(reading(5));
    workshop.connect_by(Some(&way));
    let node = workshop.node("one");
    let first = workshop.enqueue_backup();
    let second = workshop.enqueue_backup();
    workshop.wait_until_held(&first, &way);
    // A job of another kind that was queued later begins although the app's slot is taken: there is a free worker.
    let other = workshop.enqueue(workshop.draft(pgkeep_model::job::JobSpec::Sync(
        pgkeep_model::job::RepositorySpec {
            repository: crate::workshop::REPOSITORY.into(),
        },
    )));
    workshop.wait_for_state(&other, JobState::Succeeded);
    assert_eq!(workshop.job(&second).state, JobState::Queued);
    way.release();
    workshop.wait_for_state(&first, JobState::Succeeded);
    workshop.wait_for_state(&second, JobState::Succeeded);
    assert_eq!(workshop.scene.backups().len(), 2);
    node.stop();
}
