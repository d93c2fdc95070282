//! Drills: what they look at besides the evidence, when they are not made, and what they leave.

mod support;

use pgkeep_engine::{
    backup,
    catalog::{self, ListFilter},
    drill::{self, DrillReport, DrillRequest, FurtherChecks},
};
use pgkeep_model::{
    app::{self, Commands, FileTree, References},
    evidence::Proof,
};
use pgkeep_postgres::restore::Mark;
use pgkeep_testkit::{ShopSize, TestPostgres};
use std::time::Duration;
use support::{Place, backup_request, connect};

/// Linux gives no process so high a number.
const NOBODY: u32 = u32::MAX >> 1;

fn request(server: &TestPostgres, further: FurtherChecks) -> DrillRequest {
    DrillRequest {
        backup: "latest".into(),
        app: None,
        database: None,
        admin: connect(server, "postgres"),
        jobs: 2,
        prove: Proof::Full,
        no_owner: false,
        assertions: Vec::new(),
        keep: false,
        further,
    }
}

fn run(place: &Place, request: &DrillRequest) -> DrillReport {
    drill::run(&place.repository, request, &place.context)
        .unwrap_or_else(|e| panic!("drill: {e} ({:?})", e.hint))
}

fn word(place: &Place) -> &'static str {
    let entry = catalog::find(&place.repository, "latest", &ListFilter::default()).expect("listed");
    entry.validity.word()
}

fn databases(server: &TestPostgres) -> String {
    server.psql(
        "postgres",
        "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE NOT datistemplate",
    )
}

#[test]
fn a_drill_looks_at_more_than_rows_and_removes_what_a_killed_one_left() {
    let server = TestPostgres::start(15);
    server.load_shop("shop", ShopSize::TINY);
    server.psql(
        "shop",
        "CREATE TABLE django_migrations (id serial PRIMARY KEY, app text, name text, applied timestamptz);
         INSERT INTO django_migrations (app, name, applied) VALUES ('shop', '0001_initial', '2026-01-01')",
    );
    let place = Place::new();
    place.backup(&server, "shop");

    // A copy of a drill whose process is gone, and a database that only has such a name.
    let left = "shop_drill_20260228T120000Z";
    let mark = Mark::Restoring {
        database: left.into(),
        host: place.context.hostname.clone(),
        pid: NOBODY,
        started_at: "2026-02-28T12:00:00Z".parse().expect("a time"),
        comment: None,
    };
    for name in [left, "my_drill_results"] {
        server.create_database(name);
    }
    let comment = mark.to_comment().replace('\'', "''");
    server.psql(
        "postgres",
        &format!("COMMENT ON DATABASE \"{left}\" IS '{comment}'"),
    );

    let commands = |check: &[&str]| Commands {
        check: vec![check.iter().map(|word| (*word).to_owned()).collect()],
        migrate_check: vec!["false".into()],
        ..Commands::default()
    };
    let all = FurtherChecks {
        // The copy, and not the live database, is what libpq's variables lead to.
        commands: Some(commands(&[
            "sh",
            "-c",
            "test \"$PGDATABASE\" = \"$PGKEEP_RESTORED_DATABASE\" && test \"$PGKEEP_DATABASE\" = shop",
        ])),
        amcheck: true,
        objective: Some(Duration::from_secs(3600)),
        ..FurtherChecks::default()
    };
    let report = run(&place, &request(&server, all.clone()));
    assert!(report.passed(), "{report:#?}");
    assert_eq!(report.removed, [left]);
    assert_eq!(databases(&server), "my_drill_results postgres shop");
    let copy = &report.databases[0];
    assert!(
        copy.structure
            .as_ref()
            .is_some_and(|s| s.indexes > 5 && s.tables > 5)
    );
    assert!(
        copy.migrations.states[0].contains("0001_initial"),
        "{:?}",
        copy.migrations
    );
    assert_eq!(copy.migrations.code_is_ahead, Some(true));
    assert_eq!(word(&place), "proven");

    // A check of the app that fails and an objective that is missed are told, and do not speak against the backup.
    let failing = FurtherChecks {
        commands: Some(commands(&["sh", "-c", "echo the cache is cold; false"])),
        ..all.clone()
    };
    let report = run(&place, &request(&server, failing));
    assert!(!report.proven);
    let told = drill::require_proven(&report)
        .expect_err("it did not pass")
        .to_string();
    assert!(told.contains("the cache is cold"), "{told}");
    let slow = FurtherChecks {
        commands: None,
        objective: Some(Duration::ZERO),
        ..all.clone()
    };
    let report = run(&place, &request(&server, slow));
    assert!(report.proven && !report.passed());
    assert_eq!(word(&place), "proven");

    let full = FurtherChecks {
        leave_free: Some(u64::MAX >> 1),
        ..all
    };
    let report = run(&place, &request(&server, full));
    assert!(report.skipped.is_some_and(|why| why.contains("MiB free")));
    assert!(report.databases.is_empty());
    assert_eq!(databases(&server), "my_drill_results postgres shop");
}

#[test]
fn what_the_drill_server_lacks_makes_a_backup_unproven_and_not_failed() {
    let (server, other) = (TestPostgres::start(15), TestPostgres::start(17));
    server.load_shop("shop", ShopSize::TINY);
    server.psql(
        "shop",
        "CREATE ROLE clerk; CREATE TABLE desks (id int); ALTER TABLE desks OWNER TO clerk",
    );
    let place = Place::new();
    place.backup(&server, "shop");
    let report = run(&place, &request(&other, FurtherChecks::default()));
    assert_eq!(report.unproven, ["role clerk is not on the drill server"]);
    assert!(!report.proven && report.databases.is_empty());
    assert_eq!(word(&place), "stored");
    let told = drill::require_proven(&report)
        .expect_err("it is unproven")
        .to_string();
    assert!(told.contains("the backup is unproven"), "{told}");

    other.psql("postgres", "CREATE ROLE clerk");
    assert!(run(&place, &request(&other, FurtherChecks::default())).proven);
    assert_eq!(word(&place), "proven");
}

#[test]
fn file_trees_are_restored_proven_and_asked_for_by_the_restored_database() {
    let server = TestPostgres::start(17);
    server.create_database("shop");
    server.psql(
        "shop",
        "CREATE TABLE documents (file text);
         INSERT INTO documents VALUES ('a/one.txt'), ('two.txt'), ('lost.txt')",
    );
    let place = Place::new();
    let media = place.folder.path().join("media");
    std::fs::create_dir_all(media.join("a")).expect("made");
    for (name, text) in [("a/one.txt", "1"), ("two.txt", "22"), ("extra.txt", "333")] {
        std::fs::write(media.join(name), text).expect("written");
    }
    let tree = FileTree {
        name: "media".into(),
        path: media.display().to_string(),
        references: Some(References {
            sql: "SELECT file FROM documents".into(),
            ..References::default()
        }),
        ..FileTree::default()
    };
    let mut taken = backup_request(&server, "shop");
    taken.application.files = vec![tree.clone()];
    backup::run(&place.repository, &taken, &place.context).expect("backed up");

    let drills = place.folder.path().join("drills");
    let further = |drill: &app::Drill| {
        FurtherChecks::default().with_files(
            drill,
            std::slice::from_ref(&tree),
            Some(drills.clone()),
        )
    };
    let empty = || std::fs::read_dir(&drills).map_or(true, |mut all| all.next().is_none());
    let all = further(&app::Drill::default());
    let report = run(&place, &request(&server, all.clone()));
    assert!(report.passed(), "{report:#?}");
    let found = &report.files[0];
    assert_eq!((found.files, found.bytes, found.proven), (3, 6, true));
    let asked = found.references.as_ref().expect("asked");
    assert_eq!(asked.missing, ["lost.txt"]);
    assert_eq!(asked.orphaned, ["extra.txt"]);
    assert_eq!(found.difference, None, "it is as it was");
    assert!(empty(), "nothing is left");
    assert_eq!(word(&place), "proven");

    // No room, or no place: nothing was found out about the files, and nothing speaks against the backup.
    let full = FurtherChecks {
        leave_free: Some(u64::MAX >> 1),
        ..all.clone()
    };
    let nowhere = FurtherChecks {
        scratch: Some("/proc/drills".into()),
        ..all.clone()
    };
    for (further, why) in [(full, "MiB free"), (nowhere, "no folder for drills")] {
        let report = drill::run(
            &place.repository,
            &request(&server, further),
            &place.context,
        );
        let report = report.expect("made");
        let told = format!("{:?} {:?}", report.unproven, report.skipped);
        assert!(told.contains(why), "{told}");
        assert!(!report.proven && report.files.is_empty() && empty());
    }
    let databases_only = app::Drill {
        databases_only: true,
        ..app::Drill::default()
    };
    let report = run(&place, &request(&server, further(&databases_only)));
    assert!(report.proven && report.files.is_empty());

    // A machine that is too busy for all the time allowed; any load is too much here.
    let busy = FurtherChecks {
        max_load_percent: Some(0),
        ..all
    };
    let report = run(&place, &request(&server, busy));
    assert!(report.skipped.is_some_and(|why| why.contains("below 0")));
}
