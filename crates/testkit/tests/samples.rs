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

fn everything_survives_stock_tools(major: u32) {
    let server = TestPostgres::builder(major)
        .setting("wal_level", "logical")
        .start();
    server.load_everything("everything");
    copy_by_stock_tools(&server, "everything");
    assert_same_text(
        &server.pg_dump_schema("everything"),
        &server.pg_dump_schema("copy"),
    );
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

fn copy_by_stock_tools(server: &TestPostgres, database: &str) {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let dump = dir.path().join("dump");
    let status = server
        .client("pg_dump")
        .args(["-Fd", "-Z0", "-f"])
        .arg(&dump)
        .arg("-d")
        .arg(server.dsn_for(database))
        .status()
        .expect("pg_dump starts");
    assert!(status.success());
    server.create_database("copy");
    let status = server
        .client("pg_restore")
        .args(["--exit-on-error", "-d"])
        .arg(server.dsn_for("copy"))
        .arg(&dump)
        .status()
        .expect("pg_restore starts");
    assert!(status.success());
}

/// Names the first lines that differ; the whole of both would fill screens.
fn assert_same_text(before: &str, after: &str) {
    for (number, (left, right)) in before.lines().zip(after.lines()).enumerate() {
        assert_eq!(left, right, "line {}", number + 1);
    }
    assert_eq!(before.lines().count(), after.lines().count());
}
