//! Killed (SIGKILL) and interrupted (SIGINT) at several moments.

use crate::pgkeep::{
    proxy::{HoldingProxy, Passing, Side},
    scene::{PHRASE, Running, Scene, on_one_processor, processes, reading, wait_until},
};

/// Packs that the first backup of the shop makes: one of data, one of trees.
const PACKS_OF_FIRST: usize = 2;

#[test]
fn a_backup_killed_at_any_moment_loses_nothing() {
    let scene = Scene::new();
    let (first, _) = scene.backup();
    assert_eq!(scene.packs().len(), PACKS_OF_FIRST);
    let before = scene.fingerprint("shop");
    scene.add_bulk(40);
    let assert_harmless = |what| {
        scene.wait_until_nothing_is_left();
        let check = scene.run(&["check", "--read-data", "--json"]);
        let check = check.succeeds().json();
        let problems = check["problems"].as_array().unwrap();
        assert_eq!(problems.len(), 0, "{what}: {check:#}");
        assert_eq!(scene.backups(), [first.as_str()], "{what}");
    };

    // It is the first to take over the snapshot.
    let way = scene
        .way(|passing| passing.from == Side::Client && passing.says("SET TRANSACTION SNAPSHOT"));
    let mut backup = scene.start_by(&way, &["backup"]);
    let pid = backup.id();
    backup.wait_for("pg_dump runs", || {
        way.holds() && processes().any(|p| p.name() == "pg_dump" && p.parent() == Some(pid))
    });
    backup.kill9();
    assert_harmless("pg_dump runs");

    let way = scene.way(reading(5));
    let mut backup = scene.start_by(&way, &["backup"]);
    backup.wait_for("rows are read", || way.holds() && scene.copies("COPY TO"));
    backup.kill9();
    assert_harmless("rows are read");

    let (backup, _way) = backup_with_a_pack_stored(&scene);
    backup.kill9();
    assert_harmless("a pack is stored");

    let (last, _) = scene.backup();
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
    let (backup, way) = backup_with_a_pack_stored(&scene);
    let run = backup.interrupt(&way).fails_with(130);
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

/// A backup of 40 MB that is held where it has read three quarters of them and stored a pack of 16 MiB at least.
fn backup_with_a_pack_stored(scene: &Scene) -> (Running, HoldingProxy) {
    assert_eq!(scene.packs().len(), PACKS_OF_FIRST);
    let way = scene.way(reading(60));
    let mut backup = on_one_processor(|| scene.start_by(&way, &["backup"]));
    backup.wait_for("a pack is stored", || {
        way.holds() && scene.packs().len() > PACKS_OF_FIRST
    });
    (backup, way)
}

/// A point to hold a restore at, and what can be seen of it then.
struct Moment {
    what: &'static str,
    rule: fn(&Passing<'_>) -> bool,
    sign: fn(&Scene) -> bool,
}

const LAST_MOMENT: &str = "the rows are proven";

const RESTORE_MOMENTS: [Moment; 4] = [
    Moment {
        what: "the new database exists and says nothing of itself",
        rule: |passing| passing.from == Side::Client && passing.says("COMMENT ON DATABASE"),
        sign: |scene| scene.databases().iter().any(|name| is_new(name)),
    },
    Moment {
        what: "the new database exists",
        rule: |passing| {
            in_new_database(passing) && passing.from == Side::Client && passing.says("CREATE TABLE")
        },
        sign: |scene| scene.databases().iter().any(|name| is_new(name)),
    },
    Moment {
        what: "rows are written",
        rule: |passing| {
            in_new_database(passing) && passing.from == Side::Client && passing.bytes > 3_000_000
        },
        sign: |scene| scene.copies("COPY FROM"),
    },
    Moment {
        what: LAST_MOMENT,
        rule: |passing| {
            in_new_database(passing) && passing.from == Side::Server && passing.bytes > 5_000_000
        },
        sign: |scene| {
            scene.is_true("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname <> 'shop' AND query ILIKE 'COPY %TO STDOUT%' AND state = 'active')")
        },
    },
];

fn in_new_database(passing: &Passing<'_>) -> bool {
    is_new(passing.database())
}

fn is_new(database: &str) -> bool {
    database == "side" || database.starts_with("shop_")
}

fn restore_killed_at_every_moment(args: &[&str]) {
    let scene = Scene::new();
    scene.add_bulk(10);
    let (id, _) = scene.backup();
    scene.server.psql("shop", "DELETE FROM order_lines");
    let live = scene.fingerprint("shop");
    let databases = scene.databases();
    let replaces = args.contains(&"--replace");

    for Moment { what, rule, sign } in RESTORE_MOMENTS {
        let way = scene.way(rule);
        let args = [&["restore", id.as_str(), "--no-safety-backup"], args].concat();
        let mut restore = scene.start_by(&way, &args);
        restore.wait_for(what, || way.holds() && sign(&scene));
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
        if replaces && what == LAST_MOMENT {
            break;
        }
        let dropped = scene.run(&["undo", "--drop-expired"]).succeeds();
        assert!(dropped.stdout.contains(left), "{what}: {}", dropped.stdout);
        assert_eq!(scene.databases(), databases, "{what}");
    }

    // A replacing restore clears away by itself what a killed one left, and says so before.
    let again = [&["restore", id.as_str()], args].concat();
    if replaces {
        let plan = scene.run(&[again.as_slice(), &["--dry-run"]].concat());
        let plan = plan.succeeds().stdout;
        assert!(
            plan.contains("which a restore that did not end left behind"),
            "{plan}"
        );
    }
    scene.run(&again).succeeds();
    let unfinished = |name: &String| name.contains("_pgkeep_");
    let left: Vec<String> = scene.databases().into_iter().filter(unfinished).collect();
    assert!(left.is_empty(), "{left:?}");
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
fn a_killed_drill_leaves_a_copy_that_the_next_one_removes() {
    let scene = Scene::new();
    scene.add_bulk(10);
    let (id, _) = scene.backup();
    let databases = scene.databases();
    let [_, Moment { what, rule, sign }, ..] = RESTORE_MOMENTS;
    let way = scene.way(rule);
    let mut drill = scene.start_by(&way, &["drill", &id]);
    drill.wait_for(what, || way.holds() && sign(&scene));
    drill.kill9();
    scene.wait_until_nothing_is_left();
    let left: Vec<String> = scene.databases().difference(&databases).cloned().collect();
    assert_eq!(left.len(), 1, "{what}: {left:?}");

    let report = scene.run(&["drill", &id, "--json"]).succeeds().json();
    assert_eq!(report["removed"], serde_json::json!(left));
    assert_eq!(report["proven"], true);
    assert_eq!(scene.databases(), databases);
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
        .arg("BEGIN; SELECT count(*) FROM orders; SELECT pg_sleep(3600)")
        .stdout(std::process::Stdio::null());
    let mut holder = holder.spawn().unwrap();
    wait_until("a transaction is open", || {
        scene.is_true("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep(3600)' AND pid <> pg_backend_pid())")
    });

    let mut restore = scene.start(&[
        "restore",
        &id,
        "--replace",
        "--grace",
        "1h",
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
    scene.server.psql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(3600)' AND pid <> pg_backend_pid()");
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
        for Moment { what, rule, sign } in RESTORE_MOMENTS {
            let way = scene.way(rule);
            let mut restore = scene.start_by(&way, &[&["restore", id.as_str()], mode].concat());
            restore.wait_for(what, || way.holds() && sign(&scene));
            let run = restore.interrupt(&way).fails_with(130);
            assert!(run.stderr.contains("cancelled"), "{}", run.stderr);
            scene.wait_until_nothing_is_left();
            assert_eq!(scene.databases(), databases, "{what} of {mode:?}");
            assert_eq!(scene.fingerprint("shop"), live);
        }
    }
    scene.run(&["restore", &id, "--into", "side"]).succeeds();
}
