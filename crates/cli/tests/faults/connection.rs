//! The way to the server is cut, or the server goes away, while a backup reads.

use crate::pgkeep::{
    Run,
    proxy::{HoldingProxy, Passing, Side},
    scene::{Scene, reading},
};
use rustix::process::Signal;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn a_session_that_an_administrator_ends_fails_the_backup_and_nothing_else() {
    let scene = Scene::new();
    let (first, _) = scene.backup();
    scene.add_bulk(20);
    let way = scene.way(reading(5));
    let mut backup = scene.start_by(&way, &["backup", "--json"]);
    backup.wait_for("rows are read", || way.holds() && scene.copies("COPY TO"));
    let ended = scene.ask(
        "postgres",
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_progress_copy",
    );
    assert_eq!(ended, "t", "the one session that reads");
    way.release();
    let run = backup.finish().fails_with(7);
    assert!(run.stderr.contains("bulk"), "{}", run.stderr);
    assert_eq!(run.json()["error"]["code"], "database");
    // A server that was sending at that moment hangs up without a word.
    assert!(
        run.stderr.contains("57P01") || run.stderr.contains("connection to the server was lost"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("hint:"), "{}", run.stderr);
    assert_as_before(&scene, &first);
}

#[test]
fn a_connection_cut_in_the_middle_of_the_rows_fails_the_backup_and_nothing_else() {
    let scene = Scene::new();
    let (first, _) = scene.backup();
    scene.add_bulk(20);
    for limit in [2_000, 300_000, 15_000_000] {
        let way = scene.way(move |passing| passing.from == Side::Server && passing.total > limit);
        let mut backup = scene.start_by(&way, &["backup"]);
        backup.wait_for("so much has come", || way.holds());
        way.cut();
        let run = backup.finish().fails_with(7);
        assert!(
            run.stderr.contains("connection to the server was lost")
                || run.stderr.contains("cannot connect")
                || run.stderr.contains("pg_dump"),
            "after {limit} bytes: {}",
            run.stderr
        );
        assert!(
            run.stderr.contains("hint:"),
            "after {limit} bytes: {}",
            run.stderr
        );
        scene.wait_until_nothing_is_left();
    }
    assert_as_before(&scene, &first);
}

#[test]
fn a_backup_ends_when_told_to_also_where_nothing_comes_through_any_more() {
    let scene = Scene::new();
    let (first, _) = scene.backup();
    scene.add_bulk(20);
    let stuck = AtomicBool::new(false);
    let way = scene.way(move |passing| {
        if passing.from == Side::Server && passing.total > 5_000_000 {
            stuck.store(true, Ordering::SeqCst);
        }
        stuck.load(Ordering::SeqCst)
    });
    let mut backup = scene.start_by(&way, &["backup"]);
    backup.wait_for("nothing comes through", || way.holds());
    backup.signal(Signal::TERM);
    let run = backup.finish().fails_with(130);
    assert!(run.stderr.contains("cancelled"), "{}", run.stderr);
    scene.wait_until_nothing_is_left();
    assert_as_before(&scene, &first);
}

#[test]
fn a_backup_ends_when_told_to_also_while_it_connects() {
    let scene = Scene::new();
    let (first, _) = scene.backup();
    let in_login = |passing: &Passing<'_>| passing.from == Side::Server;
    let after_login = |passing: &Passing<'_>| {
        passing.from == Side::Client && passing.says("SET statement_timeout = 0")
    };
    for way in [scene.way(in_login), scene.way(after_login)] {
        let mut backup = scene.start_by(&way, &["backup"]);
        backup.wait_for("nobody answers", || way.holds());
        backup.signal(Signal::TERM);
        let run = backup.finish().fails_with(130);
        assert!(run.stderr.contains("cancelled"), "{}", run.stderr);
    }
    scene.wait_until_nothing_is_left();
    assert_as_before(&scene, &first);
}

#[test]
fn a_server_that_dies_fails_the_backup_and_takes_the_next_one() {
    let mut scene = Scene::new();
    let (first, _) = scene.backup();
    scene.add_bulk(20);
    scene.ask("postgres", "CHECKPOINT");
    let way = scene.way(reading(5));
    let mut backup = scene.start_by(&way, &["backup"]);
    backup.wait_for("rows are read", || way.holds() && scene.copies("COPY TO"));
    scene.server.kill9();
    way.release();
    let run = backup.finish().fails_with(7);
    assert!(run.stderr.contains("hint:"), "{}", run.stderr);
    let down = scene.run(&["backup"]).fails_with(7);
    assert!(
        down.stderr.contains("check that the server runs"),
        "{}",
        down.stderr
    );
    scene.server.start_again();
    assert_as_before(&scene, &first);
}

#[test]
fn timeouts_set_on_the_role_stop_neither_backup_nor_restore() {
    let scene = Scene::new();
    scene.add_bulk(20);
    scene.server.psql(
        "postgres",
        "ALTER ROLE postgres SET statement_timeout = '1s'; \
         ALTER ROLE postgres SET lock_timeout = '1s'; \
         ALTER ROLE postgres SET idle_in_transaction_session_timeout = '1s'; \
         ALTER ROLE postgres SET idle_session_timeout = '1s'",
    );
    // All sessions last longer than that: those that work and those that only wait.
    let lasts = |by: &HoldingProxy, command| {
        by.holds()
            && scene.is_true(&format!(
                "SELECT EXISTS (SELECT FROM pg_stat_progress_copy JOIN pg_stat_activity USING (pid) \
                 WHERE command = '{command}' AND clock_timestamp() - query_start > '2s')"
            ))
    };
    let way = scene.way(reading(5));
    let mut backup = scene.start_by(&way, &["backup"]);
    backup.wait_for("reading lasts", || lasts(&way, "COPY TO"));
    way.release();
    backup.finish().succeeds();

    let way = scene.way(|passing| {
        passing.database() == "side" && passing.from == Side::Client && passing.bytes > 5_000_000
    });
    let mut restore = scene.start_by(&way, &["restore", "latest", "--into", "side"]);
    restore.wait_for("writing lasts", || lasts(&way, "COPY FROM"));
    way.release();
    restore.finish().succeeds();
    scene.run(&["drill"]).succeeds();
}

/// The earlier backup is whole, the repository is clean, and the next backup is made.
fn assert_as_before(scene: &Scene, first: &str) {
    scene.wait_until_nothing_is_left();
    assert_eq!(scene.backups(), [first]);
    scene.run(&["check", "--read-data"]).succeeds();
    scene.run(&["restore", first, "--into", "side"]).succeeds();
    let (next, _) = scene.backup();
    let run: Run = scene.run(&["verify", &next, "--read-data"]);
    run.succeeds();
}
