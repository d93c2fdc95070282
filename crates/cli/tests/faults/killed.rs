//! Killed (SIGKILL) and interrupted (SIGINT) at several moments.

use crate::pgkeep::scene::{PHRASE, Scene, processes, wait_until};
use rustix::process::Signal;

type Moment = (&'static str, fn(&Scene, u32) -> bool);

/// In the order in which a backup comes to them.
const BACKUP_MOMENTS: [Moment; 4] = [
    ("pg_dump runs", |_, pid| {
        processes().any(|p| p.name() == "pg_dump" && p.parent() == Some(pid))
    }),
    ("rows are read", |scene, _| scene.copies("COPY TO")),
    ("a pack is stored", |scene, _| {
        scene.packs().len() > PACKS_OF_FIRST
    }),
    ("the index is written", |scene, _| scene.indexes() > 1),
];

/// Packs that the first backup of the shop makes: one of data, one of trees.
const PACKS_OF_FIRST: usize = 2;

#[test]
fn a_backup_killed_at_any_moment_loses_nothing() {
    let scene = Scene::new();
    let (first, _) = scene.backup();
    assert_eq!(scene.packs().len(), PACKS_OF_FIRST);
    let before = scene.fingerprint("shop");
    scene.add_bulk(40);

    for (what, moment) in BACKUP_MOMENTS {
        // Each moment is met from the same state of the repository.
        let mut backup = scene.start(&["backup"]);
        let pid = backup.id();
        let met = backup.meets(what, || moment(&scene, pid));
        // The last moment lies so near the end that a fast backup passes it.
        assert!(
            met || what == "the index is written",
            "it ended before {what}"
        );
        backup.kill9();
        scene.wait_until_nothing_is_left();

        let check = scene
            .run(&["check", "--read-data", "--json"])
            .succeeds()
            .json();
        assert_eq!(
            check["problems"].as_array().unwrap().len(),
            0,
            "{what}: {check:#}"
        );
        assert!(scene.backups().contains(&first), "{what}");
    }

    let (last, added) = scene.backup();
    assert!(
        added < 20_000_000,
        "{added} bytes were stored again, of 40 MB that the killed backup had stored and indexed"
    );
    scene.run(&["verify", "--read-data"]).succeeds();
    scene.run(&["drill", &first]).succeeds();
    scene.run(&["restore", &first, "--into", "side"]).succeeds();
    assert_eq!(scene.fingerprint("side"), before);
    scene.run(&["drill", &last]).succeeds();
}

#[test]
fn an_interrupted_backup_publishes_nothing_and_the_next_one_goes_on_from_there() {
    let scene = Scene::new();
    let (first, _) = scene.backup();
    scene.add_bulk(40);
    let mut backup = scene.start(&["backup"]);
    backup.wait_for("a pack is stored", || scene.packs().len() > PACKS_OF_FIRST);
    backup.signal(Signal::INT);
    let run = backup.finish().fails_with(130);
    assert!(run.stderr.contains("cancelled"), "{}", run.stderr);
    scene.wait_until_nothing_is_left();
    assert_eq!(scene.backups(), [first]);
    let check = scene.run(&["check", "--json"]).succeeds().json();
    assert_eq!(
        check["notes"].as_array().unwrap().len(),
        0,
        "what was stored is indexed: {check:#}"
    );

    let (_, added) = scene.backup();
    assert!(added < 30_000_000, "{added} bytes were stored again");
}

const RESTORE_MOMENTS: [Moment; 3] = [
    ("the new database exists", |scene, _| {
        scene
            .databases()
            .iter()
            .any(|name| name == "side" || name.starts_with("shop_"))
    }),
    ("rows are written", |scene, _| scene.copies("COPY FROM")),
    ("the rows are proven", |scene, _| {
        scene.is_true("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname <> 'shop' AND query ILIKE 'COPY %TO STDOUT%' AND state = 'active')")
    }),
];

fn restore_killed_at_every_moment(args: &[&str]) {
    let scene = Scene::new();
    scene.add_bulk(10);
    let (id, _) = scene.backup();
    scene.server.psql("shop", "DELETE FROM order_lines");
    let live = scene.fingerprint("shop");
    let databases = scene.databases();

    for (what, moment) in RESTORE_MOMENTS {
        let mut restore =
            scene.start(&[&["restore", id.as_str(), "--no-safety-backup"], args].concat());
        let pid = restore.id();
        restore.wait_for(what, || moment(&scene, pid));
        restore.kill9();
        scene.wait_until_nothing_is_left();
        assert_eq!(scene.fingerprint("shop"), live, "{what}");

        let left: Vec<String> = scene.databases().difference(&databases).cloned().collect();
        let [left] = left.as_slice() else {
            panic!("{what}: one database is left behind, not {left:?}");
        };
        let list = scene.run(&["undo", "--list"]).succeeds();
        assert!(
            list.stdout.contains(left) && list.stdout.contains("unfinished restore of"),
            "{what}: {}",
            list.stdout
        );
        let dropped = scene.run(&["undo", "--drop-expired"]).succeeds();
        assert!(dropped.stdout.contains(left), "{what}: {}", dropped.stdout);
        assert_eq!(scene.databases(), databases, "{what}");
    }

    scene
        .run(&[&["restore", id.as_str()], args].concat())
        .succeeds();
    let check = scene.run(&["check"]).succeeds();
    assert!(
        check.stdout.contains("no problems found"),
        "{}",
        check.stdout
    );
}

#[test]
fn a_restore_beside_killed_at_any_moment_leaves_what_can_be_dropped() {
    restore_killed_at_every_moment(&["--into", "side"]);
}

#[test]
fn a_replacing_restore_killed_at_any_moment_leaves_the_live_database_alone() {
    restore_killed_at_every_moment(&["--replace", "--confirm", PHRASE]);
}

#[test]
fn a_replacing_restore_killed_while_it_waits_to_swap_leaves_the_live_database_open() {
    let scene = Scene::new();
    let (id, _) = scene.backup();
    scene.server.psql("shop", "DELETE FROM order_lines");
    let live = scene.fingerprint("shop");
    let mut holder = scene.server.client("psql");
    holder
        .args(["-d", &scene.server.dsn_for("shop"), "-c"])
        .arg("BEGIN; SELECT count(*) FROM orders; SELECT pg_sleep(60)")
        .stdout(std::process::Stdio::null());
    let mut holder = holder.spawn().unwrap();
    wait_until("a transaction is open", || {
        scene.is_true("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' AND pid <> pg_backend_pid())")
    });

    let mut restore = scene.start(&[
        "restore",
        &id,
        "--replace",
        "--grace",
        "30s",
        "--no-safety-backup",
        "--confirm",
        PHRASE,
    ]);
    restore.wait_for("the new database is finished and nobody is in it", || {
        scene.is_true(
            "SELECT EXISTS (SELECT FROM pg_database WHERE datname LIKE 'shop\\_pgkeep%') \
             AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname LIKE 'shop\\_pgkeep%') \
             AND EXISTS (SELECT FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid WHERE l.locktype = 'advisory' AND a.application_name LIKE 'pgkeep%' AND a.datname = 'postgres')",
        )
    });
    restore.kill9();
    scene.wait_until_nothing_is_left();
    assert_eq!(scene.fingerprint("shop"), live);
    assert!(
        holder.try_wait().unwrap().is_none(),
        "the transaction was ended"
    );
    scene.server.psql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' AND pid <> pg_backend_pid()");
    holder.wait().unwrap();
    scene.run(&["undo", "--drop-expired"]).succeeds();
    scene
        .run(&["restore", &id, "--replace", "--confirm", PHRASE])
        .succeeds();
    assert_ne!(scene.fingerprint("shop"), live);
}

#[test]
fn an_interrupted_restore_takes_its_database_away() {
    let scene = Scene::new();
    scene.add_bulk(10);
    let (id, _) = scene.backup();
    let live = scene.fingerprint("shop");
    let databases = scene.databases();
    let modes: [&[&str]; 2] = [
        &["--into", "side"],
        &["--replace", "--no-safety-backup", "--confirm", PHRASE],
    ];
    for mode in modes {
        for (what, moment) in RESTORE_MOMENTS {
            let mut restore = scene.start(&[&["restore", id.as_str()], mode].concat());
            let pid = restore.id();
            restore.wait_for(what, || moment(&scene, pid));
            restore.signal(Signal::INT);
            let run = restore.finish().fails_with(130);
            assert!(run.stderr.contains("cancelled"), "{}", run.stderr);
            scene.wait_until_nothing_is_left();
            assert_eq!(scene.databases(), databases, "{what} of {mode:?}");
            assert_eq!(scene.fingerprint("shop"), live);
        }
    }
    scene.run(&["restore", &id, "--into", "side"]).succeeds();
}
