//! Others at work at the same time: a second backup, and an application that writes.

use crate::pgkeep::scene::{Scene, wait_until};
use std::process::Stdio;

#[test]
fn a_second_backup_of_the_same_database_is_told_who_holds_it() {
    let scene = Scene::new();
    let mut holder = scene.server.client("psql");
    holder
        .args(["-d", &scene.server.dsn_for("shop"), "-c"])
        .arg("BEGIN; LOCK TABLE orders; SELECT pg_sleep(3600)")
        .stdout(Stdio::null());
    let mut holder = holder.spawn().unwrap();
    wait_until("the lock is held", || {
        scene.is_true("SELECT EXISTS (SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND locktype = 'relation' AND granted)")
    });
    let mut first = scene.start(&["backup", "--json"]);
    first.wait_for("the first backup has the database", || {
        scene
            .is_true("SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted)")
    });

    let second = scene.run(&["backup", "--json"]).fails_with(5);
    assert_eq!(second.json()["error"]["code"], "busy");
    assert!(
        second.stderr.contains("\"pgkeep backup\"") && second.stderr.contains("server process"),
        "{}",
        second.stderr
    );
    assert!(second.stderr.contains("hint: wait"), "{}", second.stderr);

    scene.server.psql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(3600)' AND pid <> pg_backend_pid()");
    holder.wait().unwrap();
    first.finish().succeeds();
    assert_eq!(scene.backups().len(), 1);
}

#[test]
fn a_backup_taken_while_pgbench_runs_is_one_moment_of_it() {
    let scene = Scene::new();
    scene.server.create_database("bank");
    let pgbench = |args: &[&str]| {
        let mut command = scene.server.client("pgbench");
        command
            .args(args)
            .arg(scene.server.dsn_for("bank"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    assert!(
        pgbench(&["-i", "-q", "-s", "2"])
            .status()
            .unwrap()
            .success()
    );
    let mut writers = pgbench(&["-n", "-c", "2", "-T", "3600"]).spawn().unwrap();
    wait_until("transactions are made", || {
        scene.ask("bank", "SELECT count(*) > 50 FROM pgbench_history") == "t"
    });
    let url = scene.server.url_for("bank");
    scene.run(&["backup", "--database-url", &url]).succeeds();
    assert!(
        writers.try_wait().unwrap().is_none(),
        "pgbench writes on while the backup runs"
    );
    let rows = |database| {
        scene
            .ask(database, "SELECT count(*) FROM pgbench_history")
            .parse::<u64>()
            .unwrap()
    };
    let by_then = rows("bank");
    wait_until("it writes after the backup", || rows("bank") > by_then);
    writers.kill().unwrap();
    writers.wait().unwrap();

    scene
        .run(&["restore", "latest", "--app", "bank", "--into", "side"])
        .succeeds();
    let sums = scene.ask(
        "side",
        "SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers), \
                (SELECT sum(bbalance) FROM pgbench_branches), (SELECT sum(delta) FROM pgbench_history)",
    );
    let sums: Vec<&str> = sums.split('|').collect();
    assert!(sums.iter().all(|sum| *sum == sums[0]), "{sums:?}");
    assert!(
        rows("side") > 50 && rows("side") < rows("bank"),
        "the moment lies in the middle of the writing"
    );
}
