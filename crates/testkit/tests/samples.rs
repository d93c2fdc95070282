//! The sample databases load everywhere, and stock tools carry them over unchanged, so that a difference after a restore by
//! pgkeep is pgkeep's.

use pgkeep_testkit::{ShopSize, TestPostgres};

#[test]
fn everything_survives_stock_tools_on_15() {
    everything_survives_stock_tools(15);
}

#[test]
fn everything_survives_stock_tools_on_17() {
    everything_survives_stock_tools(17);
}

#[test]
fn everything_survives_stock_tools_on_18() {
    everything_survives_stock_tools(18);
}

#[test]
fn everything_survives_an_upgrade_from_15_to_17() {
    everything_survives_an_upgrade(15, 17);
}

#[test]
fn everything_survives_an_upgrade_from_15_to_18() {
    everything_survives_an_upgrade(15, 18);
}

fn everything_survives_stock_tools(major: u32) {
    let server = logical(major);
    server.load_everything("everything");
    copy_by_stock_tools(&server, "everything", &server, "copy");
    assert_same_text(
        &server.pg_dump_schema("everything"),
        &server.pg_dump_schema("copy"),
    );
}

/// A newer server words some definitions differently, so the first copy is compared with its own copy, not with the original.
fn everything_survives_an_upgrade(from: u32, to: u32) {
    let (old, new) = (logical(from), logical(to));
    old.load_everything("everything");
    new.provide_sample_extension();
    new.create_sample_roles();
    copy_by_stock_tools(&old, "everything", &new, "first");
    copy_by_stock_tools(&new, "first", &new, "second");
    assert_same_text(&new.pg_dump_schema("first"), &new.pg_dump_schema("second"));
}

fn logical(major: u32) -> TestPostgres {
    TestPostgres::builder(major)
        .setting("wal_level", "logical")
        .start()
}

#[test]
fn the_shop_is_the_same_each_time() {
    let server = TestPostgres::start(17);
    let query = "SELECT count(*), sum(total_cents), (SELECT md5(string_agg(payload::text, '' ORDER BY id)) FROM events) FROM orders";
    server.load_shop("one", ShopSize::TINY);
    server.load_shop("two", ShopSize::TINY);
    assert_eq!(server.psql("one", query), server.psql("two", query));
    assert!(server.psql("one", query).starts_with("150|"));
}

#[test]
fn a_skewed_shop_has_one_big_table() {
    let server = TestPostgres::start(15);
    server.load_shop(
        "shop",
        ShopSize {
            scale: 0.2,
            skewed: true,
        },
    );
    let share = "SELECT sum(pg_table_size(oid)) FILTER (WHERE relname = 'events') / sum(pg_table_size(oid)) > 0.85
                 FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    assert_eq!(server.psql("shop", share), "t");
}

/// Copies a database with the tools of the newer server.
fn copy_by_stock_tools(source: &TestPostgres, database: &str, target: &TestPostgres, copy: &str) {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let dump = dir.path().join("dump");
    let mut command = target.client("pg_dump");
    command.args(["-Fd", "-Z0", "-f"]).arg(&dump);
    command.arg("-d").arg(source.dsn_for(database));
    assert!(command.status().expect("pg_dump starts").success());

    target.create_database(copy);
    let mut command = target.client("pg_restore");
    command.args(["--exit-on-error", "-d"]);
    command.arg(target.dsn_for(copy)).arg(&dump);
    assert!(command.status().expect("pg_restore starts").success());
}

/// Names the first lines that differ; the whole of both would fill screens.
fn assert_same_text(before: &str, after: &str) {
    for (number, (left, right)) in before.lines().zip(after.lines()).enumerate() {
        assert_eq!(left, right, "line {}", number + 1);
    }
    assert_eq!(before.lines().count(), after.lines().count());
}
