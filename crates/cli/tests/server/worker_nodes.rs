//! Several machines on one catalog.

use crate::{
    pgkeep::scene::{reading, wait_until},
    workshop::Workshop,
};
use pgkeep_model::job::JobState;
use std::time::Duration;

#[test]
fn what_a_failed_machine_left_another_one_finishes() {
    let workshop = Workshop::on_postgres();
    workshop.scene.add_bulk(10);
    let way = workshop.scene.way(reading(5));
    workshop.connect_by(Some(&way));
    let first = workshop.node_with("first", Duration::from_secs(5));
    let id = workshop.enqueue_backup();
    workshop.wait_until_held(&id, &way);
    let claimed_by = workshop.job(&id).node.unwrap();
    assert!(claimed_by.starts_with("first-"), "{claimed_by}");

    let second = workshop.node_with("second", Duration::from_secs(5));
    wait_until("both are seen", || {
        workshop.ask(|catalog| async move { catalog.live_workers().await }) == 2
    });
    first.fail();
    workshop.wait_until_nothing_is_left_of(&id);
    way.release();
    let job = workshop.wait_for_state(&id, JobState::Succeeded);
    assert_eq!(job.attempts, 2);
    assert!(job.node.unwrap().starts_with("second-"));
    assert_eq!(workshop.scene.backups().len(), 1);
    assert_eq!(workshop.rows().len(), 1);
    second.stop();
}
