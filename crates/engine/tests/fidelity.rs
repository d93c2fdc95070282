//! The bar: what comes out of a restore is what went into the backup, object for object and row for row.

mod support;

use pgkeep_testkit::{ShopSize, TestPostgres};
use support::{Place, into, restore_request};

/// Backs `database` up on one server, restores it on another, and compares schema and evidence.
fn round_trip(source: &TestPostgres, database: &str, target: &TestPostgres) {
    let place = Place::new();
    let stored = place.backup(source, database);
    let report = place.restore(&restore_request(target, into("again")));
    assert!(report.proof.proven(), "{:#?}", report.proof.differences);
    assert_eq!(report.rows, stored.rows);
    assert!(report.proof.rows_compared == stored.rows && stored.rows > 0);
    // A newer server words some definitions anew; the tests of the `postgres` crate compare those with stock tools' copies.
    if source.major() == target.major() {
        assert_same_text(
            &source.pg_dump_schema(database),
            &target.pg_dump_schema("again"),
        );
    }
}

fn assert_same_text(before: &str, after: &str) {
    let differing = before.lines().zip(after.lines()).find(|(a, b)| a != b);
    assert!(
        before == after,
        "the schemas differ, first at {differing:?}; {} and {} lines",
        before.lines().count(),
        after.lines().count()
    );
}

fn everything_on(major: u32) {
    let server = TestPostgres::builder(major)
        .setting("wal_level", "logical")
        .start();
    server.load_everything("everything");
    round_trip(&server, "everything", &server);
}

#[test]
fn everything_comes_back_on_15() {
    everything_on(15);
}

#[test]
fn everything_comes_back_on_17() {
    everything_on(17);
}

#[test]
fn everything_comes_back_on_18() {
    everything_on(18);
}

#[test]
fn the_shop_comes_back_on_15_17_and_18() {
    for major in [15, 17, 18] {
        let server = TestPostgres::start(major);
        server.load_shop("shop", ShopSize::TINY);
        round_trip(&server, "shop", &server);
    }
}

#[test]
fn the_shop_moves_from_15_to_17_and_18() {
    let old = TestPostgres::start(15);
    old.load_shop("shop", ShopSize::TINY);
    for major in [17, 18] {
        round_trip(&old, "shop", &TestPostgres::start(major));
    }
}

#[test]
fn sample_databases_come_back_where_they_are_at_hand() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let server = TestPostgres::start(15);
    let mut tried = 0;
    for name in ["chinook", "pagila"] {
        let file = folder.join(format!("{name}.sql"));
        let Ok(sql) = std::fs::read_to_string(&file) else {
            println!("not at hand: {name}.sql");
            continue;
        };
        server.create_database(name);
        server.psql(name, &sql);
        round_trip_under_own_name(&server, name);
        tried += 1;
    }
    println!("{tried} of 2 sample databases tried");
}

fn round_trip_under_own_name(server: &TestPostgres, name: &str) {
    let target = TestPostgres::start(server.major());
    round_trip(server, name, &target);
}
