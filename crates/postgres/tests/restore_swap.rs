//! Putting a database in another's place while it is in use, and back.

mod restore_support;

use jiff::{SignedDuration, Timestamp};
use pgkeep_model::{CancelToken, Silent, manifest::DatabaseProperties};
use pgkeep_postgres::{
    Error,
    restore::{self, Mark, SwapOptions, SwapSummary},
    wire::Connection,
};
use pgkeep_testkit::TestPostgres;
use restore_support::{at, mark, wait_until};
use std::{thread, time::Duration};

fn now() -> Timestamp {
    "2026-11-21T08:05:09Z".parse().expect("a valid time")
}

fn options() -> SwapOptions {
    SwapOptions {
        keep_until: Some(now() + SignedDuration::from_hours(24)),
        grace: Duration::from_millis(300),
        ..SwapOptions::new(now())
    }
}

fn swap(server: &TestPostgres, options: &SwapOptions) -> Result<SwapSummary, Error> {
    restore::swap(
        &at(server, "postgres"),
        "shop",
        "shop_new",
        options,
        &CancelToken::new(),
        &Silent,
    )
}

fn one(server: &TestPostgres, database: &str, sql: &str) -> String {
    server.psql(database, sql)
}

/// A live database that holds 1, and a replacement that holds 2.
fn live_and_replacement(server: &TestPostgres) {
    server.create_database("shop");
    server.psql(
        "shop",
        "CREATE TABLE t AS SELECT 1 AS n; COMMENT ON DATABASE shop IS 'the shop'",
    );
    let properties = DatabaseProperties {
        encoding: "UTF8".into(),
        collate: "C".into(),
        ctype: "C".into(),
        locale_provider: "libc".into(),
        connection_limit: -1,
        allow_connections: true,
        ..Default::default()
    };
    restore::create_database(
        &at(server, "postgres"),
        "shop_new",
        &properties,
        &Default::default(),
        &mark("shop"),
        &CancelToken::new(),
    )
    .expect("the replacement is made");
    server.psql("shop_new", "CREATE TABLE t AS SELECT 2 AS n");
    // A session is seen for a moment longer than its client.
    wait_until(
        server,
        "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname LIKE 'shop%'",
    );
}

#[test]
fn a_database_in_use_is_swapped_and_undone_and_redone() {
    let server = TestPostgres::start(15);
    live_and_replacement(&server);
    let mut idle = Connection::open(&at(&server, "shop")).expect("a session");
    let mut busy = Connection::open(&at(&server, "shop")).expect("a session");
    busy.execute("BEGIN; SELECT * FROM t")
        .expect("a transaction");

    let done = swap(&server, &options()).expect("swapped");
    assert_eq!(
        done.kept_as.as_deref(),
        Some("shop_before_20261121T080509Z")
    );
    assert_eq!(done.ended.len(), 2, "{:?}", done.ended);
    assert!(!done.blocked.is_zero());
    assert_eq!(one(&server, "shop", "SELECT n FROM t"), "2");
    for session in [&mut idle, &mut busy] {
        assert!(session.query("SELECT 1").is_err(), "the session was ended");
    }

    let mut admin = Connection::open(&at(&server, "postgres")).expect("a session");
    let kept = restore::kept_databases(&mut admin, "shop").expect("listed");
    assert_eq!(kept.len(), 1);
    assert!(
        matches!(&kept[0].mark, Mark::Kept { comment: Some(c), .. } if c == "the shop"),
        "{kept:?}"
    );
    assert!(
        kept[0]
            .mark
            .is_expired(now() + SignedDuration::from_hours(24))
    );

    let later = SwapOptions {
        now: now() + SignedDuration::from_secs(60),
        ..options()
    };
    let undo = |options: &SwapOptions| {
        restore::undo(
            &at(&server, "postgres"),
            "shop",
            None,
            options,
            &CancelToken::new(),
            &Silent,
        )
    };
    let (back, _) = undo(&later).expect("undone");
    assert_eq!(back.name, "shop_before_20261121T080509Z");
    assert_eq!(one(&server, "shop", "SELECT n FROM t"), "1");
    let comment =
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'shop'";
    assert_eq!(one(&server, "shop", comment), "the shop");

    let redo = SwapOptions {
        now: now() + SignedDuration::from_secs(120),
        ..options()
    };
    undo(&redo).expect("redone");
    assert_eq!(one(&server, "shop", "SELECT n FROM t"), "2");
}

#[test]
fn the_kept_database_can_be_dropped_but_not_one_whose_mark_changed() {
    let server = TestPostgres::start(15);
    live_and_replacement(&server);
    swap(&server, &options()).expect("swapped");
    let mut admin = Connection::open(&at(&server, "postgres")).expect("a session");
    let kept = restore::list_marked(&mut admin).expect("listed").remove(0);
    let (back, _) = restore::undo(
        &at(&server, "postgres"),
        "shop",
        None,
        &SwapOptions {
            now: now() + SignedDuration::from_secs(1),
            ..options()
        },
        &CancelToken::new(),
        &Silent,
    )
    .expect("undone");
    assert!(
        !restore::drop_marked(&mut admin, &back).expect("looked for"),
        "it is no longer there under that name"
    );
    let left = restore::list_marked(&mut admin).expect("listed").remove(0);
    assert_ne!(left.name, kept.name);
    assert!(restore::drop_marked(&mut admin, &left).expect("dropped"));
    assert_eq!(one(&server, "shop", "SELECT n FROM t"), "1");
}

#[test]
fn clients_that_connect_all_the_time_do_not_stop_a_swap() {
    let server = TestPostgres::start(15);
    live_and_replacement(&server);
    let target = at(&server, "shop");
    thread::scope(|scope| {
        let stop = CancelToken::new();
        for _ in 0..4 {
            let (stop, target) = (stop.clone(), &target);
            scope.spawn(move || {
                while !stop.is_cancelled() {
                    if let Ok(mut connection) = Connection::open(target) {
                        let _ = connection.query("SELECT n FROM t");
                    }
                }
            });
        }
        let done = swap(&server, &options());
        stop.cancel();
        done.expect("swapped");
    });
    assert_eq!(one(&server, "shop", "SELECT n FROM t"), "2");
}

#[test]
fn obstacles_are_named_and_nothing_changes() {
    let server = TestPostgres::builder(15)
        .setting("max_prepared_transactions", "5")
        .setting("wal_level", "logical")
        .start();
    live_and_replacement(&server);
    let check = |make: &str, unmake: &str, word: &str| {
        server.psql("shop", make);
        let error = swap(&server, &options()).expect_err("refused");
        assert!(
            error.to_string().contains(word) && error.hint().is_some(),
            "{error}"
        );
        assert_eq!(one(&server, "shop", "SELECT n FROM t"), "1");
        server.psql("shop", unmake);
    };
    check(
        "BEGIN; INSERT INTO t VALUES (9); PREPARE TRANSACTION 'two phases'",
        "ROLLBACK PREPARED 'two phases'",
        "prepared transaction",
    );
    check(
        "SELECT pg_create_logical_replication_slot('feed', 'pgoutput')",
        "SELECT pg_drop_replication_slot('feed')",
        "replication slot feed",
    );
    check(
        "CREATE SUBSCRIPTION sub CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p \
           WITH (connect = false, slot_name = NONE); \
         UPDATE pg_subscription SET subenabled = true",
        "UPDATE pg_subscription SET subenabled = false; DROP SUBSCRIPTION sub",
        "subscription sub",
    );
    swap(&server, &options()).expect("swapped once nothing is in the way");
}

#[test]
fn a_database_that_is_gone_is_replaced_all_the_same() {
    let server = TestPostgres::start(15);
    live_and_replacement(&server);
    server.psql("postgres", "DROP DATABASE shop");
    let done = swap(&server, &options()).expect("renamed");
    assert_eq!(done.kept_as, None);
    assert_eq!(one(&server, "shop", "SELECT n FROM t"), "2");
    let comment = "SELECT shobj_description(oid, 'pg_database') IS NULL FROM pg_database WHERE datname = 'shop'";
    assert_eq!(one(&server, "shop", comment), "t");
}

#[test]
fn an_owner_who_is_no_superuser_can_swap_and_undo() {
    let server = TestPostgres::start(15);
    server.psql(
        "postgres",
        "CREATE ROLE plain LOGIN CREATEDB; CREATE DATABASE shop OWNER plain; CREATE DATABASE shop_new OWNER plain",
    );
    let mut plain = at(&server, "postgres");
    plain.user = "plain".into();
    let _own = Connection::open(&plain.with_dbname("shop")).expect("a session");
    let done = restore::swap(
        &plain,
        "shop",
        "shop_new",
        &options(),
        &CancelToken::new(),
        &Silent,
    )
    .expect("swapped");
    assert_eq!(done.ended.len(), 1);
    let later = SwapOptions {
        now: now() + SignedDuration::from_secs(1),
        ..options()
    };
    restore::undo(&plain, "shop", None, &later, &CancelToken::new(), &Silent).expect("undone");
}

#[test]
fn sessions_that_cannot_be_ended_leave_everything_as_it_was() {
    let server = TestPostgres::start(15);
    server.psql(
        "postgres",
        "CREATE ROLE plain LOGIN CREATEDB; CREATE DATABASE shop OWNER plain; CREATE DATABASE shop_new OWNER plain",
    );
    let mut plain = at(&server, "postgres");
    plain.user = "plain".into();
    let mut boss = Connection::open(&at(&server, "shop")).expect("a superuser's session");
    let options = SwapOptions {
        timeout: Duration::from_millis(100),
        ..options()
    };
    let error = restore::swap(
        &plain,
        "shop",
        "shop_new",
        &options,
        &CancelToken::new(),
        &Silent,
    )
    .expect_err("refused");
    assert!(error.to_string().contains("session"), "{error}");
    boss.query("SELECT 1").expect("the session lives");
    let names = "SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database WHERE datname LIKE 'shop%'";
    assert_eq!(one(&server, "postgres", names), "shop,shop_new");
}
