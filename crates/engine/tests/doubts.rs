//! A backup that holds far less than the one before is in doubt, and so is a clock that is wrong: nothing older goes.

mod support;

use jiff::{SignedDuration, tz::TimeZone};
use pgkeep_engine::{
    application::Application,
    backup::{self, BackupReport, BackupRequest},
    catalog::{self, ListFilter, Relabel},
    forget::{self, ForgetRequest},
};
use pgkeep_model::{
    app::FileTree,
    retention::{ForgetPlan, KeepPolicy},
};
use pgkeep_testkit::TestPostgres;
use std::fs;
use support::{Place, backup_request};

fn plan(place: &Place) -> ForgetPlan {
    let request = ForgetRequest::Policy {
        policy: KeepPolicy {
            last: 1,
            protect_newest: 1,
            ..KeepPolicy::default()
        },
        filter: ListFilter::default(),
        zone: TimeZone::UTC,
    };
    forget::plan(&place.repository, &request, &place.context).expect("planned")
}

fn take(place: &Place, request: &BackupRequest) -> BackupReport {
    place.clock.advance(SignedDuration::from_secs(60));
    backup::run(&place.repository, request, &place.context).expect("backed up")
}

#[test]
fn a_backup_that_lost_its_content_is_in_doubt_until_it_is_accepted_or_made_good() {
    let server = TestPostgres::start(17);
    server.psql(
        "postgres",
        "CREATE TABLE orders AS SELECT n, 'order ' || n AS what FROM generate_series(1, 5000) n",
    );
    let place = Place::new();
    let media = place.folder.path().join("media");
    fs::create_dir(&media).expect("made");
    fs::write(media.join("one.jpg"), "x").expect("written");
    let request = BackupRequest {
        application: Application {
            files: vec![FileTree {
                name: "media".into(),
                path: media.display().to_string(),
                ..FileTree::default()
            }],
            ..Application::default()
        },
        ..backup_request(&server, "postgres")
    };
    let first = take(&place, &request);
    assert_eq!(first.shrunk, None);
    let second = take(&place, &request);
    assert_eq!(second.shrunk, None);
    assert_eq!(plan(&place).remove.len(), 1);

    server.psql("postgres", "DROP TABLE orders");
    fs::remove_file(media.join("one.jpg")).expect("removed");
    let wiped = take(&place, &request);
    let shrunk = wiped.shrunk.as_ref().expect("in doubt");
    assert_eq!(shrunk.since, second.id);
    assert_eq!(
        shrunk.reasons,
        [
            "database postgres holds no table; the backup of 2026-03-01 12:02 UTC held 1 with 5,000 rows",
            "folder media holds no file; the backup of 2026-03-01 12:02 UTC held 1 file of 1 bytes",
        ]
    );
    assert!(
        shrunk
            .reasons
            .iter()
            .all(|reason| wiped.warnings.contains(reason))
    );
    let manifest = |id: &str| {
        let detail = catalog::show(&place.repository, id, &ListFilter::default());
        detail.expect("shown")
    };
    let detail = manifest(&wiped.id);
    assert_eq!(detail.manifest.shrunk.as_ref(), Some(shrunk));
    assert_eq!(detail.entry.validity.word(), "shrunk");

    // A second one like it is measured against the good one, too, and does not settle the doubt.
    let again = take(&place, &request);
    assert_eq!(again.shrunk.expect("in doubt").since, second.id);
    let held = plan(&place);
    assert_eq!(held.remove, []);
    let why: Vec<String> = held
        .keep
        .iter()
        .flat_map(|(_, why)| why)
        .map(ToString::to_string)
        .collect();
    assert!(
        why.iter()
            .any(|why| why.contains("holds far less than the one before")),
        "{why:?}"
    );

    // Back to what it was: what is old may go, and the good ones count among themselves.
    server.psql(
        "postgres",
        "CREATE TABLE orders AS SELECT n FROM generate_series(1, 5000) n",
    );
    fs::write(media.join("one.jpg"), "x").expect("written");
    let back = take(&place, &request);
    assert_eq!(back.shrunk, None);
    let gone: Vec<String> = plan(&place).remove.into_iter().map(|(id, _)| id).collect();
    assert!(
        gone.contains(&first.id) && gone.contains(&second.id),
        "{gone:?}"
    );
    assert!(!gone.contains(&back.id));

    // Accepted, a small one is what the next is measured against.
    server.psql("postgres", "DROP TABLE orders");
    let small = take(&place, &request);
    assert!(small.shrunk.is_some() && plan(&place).remove.is_empty());
    let accepted = Relabel {
        add_tags: vec!["accepted".into()],
        ..Relabel::default()
    };
    let entry = catalog::relabel(&place.repository, &small.id, &accepted).expect("accepted");
    assert_eq!(entry.validity.shrunk, None);
    assert!(!plan(&place).remove.is_empty());
    assert_eq!(take(&place, &request).shrunk, None);
}

#[test]
fn a_clock_that_is_wrong_is_told_and_lets_nothing_go() {
    let server = TestPostgres::start(17);
    let place = Place::new();
    let request = backup_request(&server, "postgres");
    let newest = take(&place, &request);
    // The clock of the tests stands in March; the server's does not.
    assert!(
        newest
            .warnings
            .iter()
            .any(|warning| warning.contains("the clock of this machine is")),
        "{:?}",
        newest.warnings
    );
    take(&place, &request);
    place.clock.advance(SignedDuration::from_hours(-240));
    let earlier = take(&place, &request);
    assert!(
        earlier
            .warnings
            .iter()
            .any(|warning| warning.contains("is dated 9 days before one that is there already")),
        "{:?}",
        earlier.warnings
    );
    let held = plan(&place);
    assert_eq!(held.remove, []);
    let why: Vec<String> = held
        .keep
        .iter()
        .flat_map(|(_, why)| why)
        .map(ToString::to_string)
        .collect();
    assert!(why.iter().any(|why| why.contains("yet to come")), "{why:?}");
}
