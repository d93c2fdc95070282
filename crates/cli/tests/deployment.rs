//! A deployment under guard: backup before it, its own words and status, and the way back when it fails.

#[path = "pgkeep/mod.rs"]
mod pgkeep;

use pgkeep::{
    Run,
    scene::{PHRASE, Running, Scene},
    terminal::Terminal,
};
use pgkeep_testkit::TestPostgres;
use rustix::process::Signal;

const APP: &str = r#"
[app.shop]
databases = ["env:DATABASE_URL"]
migrations = { framework = "dbmate", code = "migrations" }

[app.shop.commands]
directory = "."
migrate = ["sh", "migrate.sh"]
check = [["sh", "-c", "test -n \"$PGDATABASE\""]]
"#;

/// A shop whose code has one migration more than its database.
fn scene() -> Scene {
    let scene = Scene::on(TestPostgres::start(17));
    scene.server.psql(
        "shop",
        "DROP TABLE schema_migrations CASCADE; CREATE TABLE schema_migrations (version varchar PRIMARY KEY); INSERT INTO schema_migrations VALUES ('20260101000000')",
    );
    let psql = scene.server.bin_dir().join("psql").display().to_string();
    std::fs::create_dir(scene.pgkeep.path().join("migrations")).unwrap();
    for file in [
        "20260101000000_begin.sql",
        "20260201000000_drop_reviews.sql",
    ] {
        scene
            .pgkeep
            .write(&format!("migrations/{file}"), "-- migrate:up\nSELECT 1;\n");
    }
    let statements =
        "DROP TABLE reviews CASCADE; INSERT INTO schema_migrations VALUES ('20260201000000')";
    scene.pgkeep.write(
        "deploy.sh",
        &format!(
            "echo deploying\necho \"backup $PGKEEP_BACKUP guard $PGKEEP_GUARD\" >&2\n{psql} \"$DATABASE_URL\" -qc \"{statements}\" 2>/dev/null\nexit $1\n"
        ),
    );
    // Found by libpq's variables.
    scene.pgkeep.write(
        "migrate.sh",
        &format!("echo migrating $PGDATABASE\n{psql} -qc \"{statements}\" 2>/dev/null\n"),
    );
    scene.pgkeep.write("pgkeep.toml", APP);
    scene
}

fn guarded(scene: &Scene) -> Vec<serde_json::Value> {
    let list = scene.run(&["list", "--json"]).succeeds().json();
    let backups = list["backups"].as_array().unwrap().clone();
    let tagged = |backup: &serde_json::Value| {
        backup["tags"]
            .as_array()
            .unwrap()
            .iter()
            .any(|tag| tag == "pre-migration")
    };
    backups.into_iter().filter(tagged).collect()
}

fn reviews(scene: &Scene) -> String {
    scene.ask(
        "shop",
        "SELECT coalesce(to_regclass('reviews')::text, 'gone')",
    )
}

#[test]
fn a_failed_deployment_is_swapped_back_and_a_good_one_can_be_rolled_back() {
    let scene = scene();
    // A way back that is promised and closed: neither a backup nor the command.
    scene
        .server
        .psql("shop", "CREATE ROLE deployer LOGIN PASSWORD 'd'");
    let port = scene.server.port();
    let admin = format!("postgresql://deployer:d@127.0.0.1:{port}/postgres");
    let words = ["guard", "--on-failure", "restore", "--admin-url", &admin];
    let refused = scene
        .run(&[&words[..], &["--", "touch", "ran"]].concat())
        .fails_with(8);
    for words in [
        "the command was not run: role deployer may not create databases",
        "ALTER ROLE deployer CREATEDB",
        "--on-failure leave",
        "so deployer may not rename it",
    ] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    assert!(!scene.pgkeep.path().join("ran").exists());
    assert_eq!(guarded(&scene).len(), 0);
    let before = scene.fingerprint("shop");

    // It fails half way: everything is as before, and what it left is kept.
    let failed: Run = scene.run(&[
        "guard",
        "--on-failure",
        "restore",
        "--",
        "sh",
        "deploy.sh",
        "3",
    ]);
    let failed = failed.fails_with(3);
    assert_eq!(
        failed.stdout, "deploying\n",
        "standard output is the command's alone"
    );
    assert!(
        failed
            .stderr
            .contains("pending: 1 migration: 20260201000000"),
        "{}",
        failed.stderr
    );
    assert!(failed.stderr.contains("guard 1"), "{}", failed.stderr);
    assert!(
        failed.stderr.contains("is as it was before the command"),
        "{}",
        failed.stderr
    );
    assert_eq!(reviews(&scene), "reviews");
    assert_eq!(scene.fingerprint("shop"), before);
    let kept: Vec<String> = scene
        .databases()
        .into_iter()
        .filter(|name| name.starts_with("shop_before_"))
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(
        scene.ask(&kept[0], "SELECT count(*) FROM schema_migrations"),
        "2"
    );
    let points = guarded(&scene);
    assert_eq!(points.len(), 1);
    let description = points[0]["description"].as_str().unwrap();
    assert!(
        description.contains("before sh deploy.sh 3; pending: 1 migration: 20260201000000"),
        "{description}"
    );

    // It fails, and nobody is there to ask: nothing is changed, and the way back is named.
    let left = scene
        .run(&["guard", "--", "sh", "-c", "exit 4"])
        .fails_with(4);
    assert!(
        left.stderr.contains("pgkeep rollback-migration"),
        "{}",
        left.stderr
    );

    // A command that is not there is never mistaken for one that failed, and found out before a backup is made.
    let points = guarded(&scene).len();
    for (command, why) in [
        ("no-such-command", "No such file"),
        ("./migrate.sh", "Permission denied"),
    ] {
        let missing = scene.run(&["guard", "--", command]).fails_with(2);
        let words = format!("{command} cannot be started: {why}");
        assert!(missing.stderr.contains(&words), "{}", missing.stderr);
    }
    assert_eq!(guarded(&scene).len(), points);

    // What the app's definition calls harmless needs no backup; a failure then has nothing to go back to.
    let harmless = APP.replace(
        "code = \"migrations\"",
        "code = \"migrations\", harmless = [\"*_drop_reviews\"]",
    );
    scene.pgkeep.write("pgkeep.toml", &harmless);
    let skipped = scene
        .run(&["guard", "--", "sh", "-c", "exit 5"])
        .fails_with(5);
    for words in [
        "no backup: only what was named as harmless is pending (1 migration: 20260201000000_drop_reviews)",
        "no backup was made before it",
    ] {
        assert!(skipped.stderr.contains(words), "{}", skipped.stderr);
    }
    assert_eq!(guarded(&scene).len(), points);
    scene.pgkeep.write("pgkeep.toml", APP);

    // It succeeds, proven before, told as one document.
    let report = scene
        .run(&[
            "guard",
            "--json",
            "--prove",
            "counts",
            "--",
            "sh",
            "deploy.sh",
            "0",
        ])
        .succeeds();
    assert!(report.stderr.contains("deploying"), "{}", report.stderr);
    let report = report.json();
    assert_eq!(report["status"], 0);
    assert_eq!(report["proven"], true);
    assert_eq!(report["applied"][0]["name"], "20260201000000");
    assert_eq!(report["pending"]["names"][0], "20260201000000_drop_reviews");
    let seconds = |name: &str| report[name].as_f64().unwrap();
    let looks = seconds("look_before_seconds") + seconds("look_after_seconds");
    assert!((seconds("overhead_seconds") - looks).abs() < 1e-6 && looks > 0.0);
    assert_eq!(reviews(&scene), "gone");

    // Nothing is pending any more: no backup, where that was asked for.
    let points = guarded(&scene).len();
    let skipped = scene
        .run(&["guard", "--skip-if-nothing-pending", "--", "true"])
        .succeeds();
    assert!(
        skipped.stderr.contains("no backup: nothing is pending"),
        "{}",
        skipped.stderr
    );
    assert_eq!(guarded(&scene).len(), points);

    // Back to before it, by plan.
    let planned = scene.run(&["rollback-migration", "--dry-run"]).succeeds();
    assert!(
        planned.stdout.contains("swap: two renames"),
        "{}",
        planned.stdout
    );
    scene.run(&["rollback-migration"]).fails_with(8);
    assert_eq!(reviews(&scene), "gone");
    scene
        .run(&["rollback-migration", "--confirm", PHRASE])
        .succeeds();
    assert_eq!(reviews(&scene), "reviews");
    assert_eq!(
        scene.ask("shop", "SELECT count(*) FROM schema_migrations"),
        "1"
    );

    // The app's own migrations on a restored copy, by the configuration's commands.
    let plan = scene
        .run(&[
            "restore",
            "latest",
            "--into",
            "shop_next",
            "--migrate",
            "--check",
            "--dry-run",
        ])
        .succeeds();
    assert!(
        plan.stdout
            .contains("migrate the restored database: sh migrate.sh"),
        "{}",
        plan.stdout
    );
    let migrated = scene
        .run(&[
            "restore",
            "latest",
            "--into",
            "shop_next",
            "--migrate",
            "--check",
        ])
        .succeeds();
    assert!(
        migrated.stdout.contains("the app's migrations in"),
        "{}",
        migrated.stdout
    );
    assert!(
        migrated.stderr.contains("migrating shop_next"),
        "{}",
        migrated.stderr
    );
    assert_eq!(
        scene.ask("shop_next", "SELECT count(*) FROM schema_migrations"),
        "2"
    );
}

#[test]
fn a_signal_for_guard_is_the_commands_and_its_end_is_guards() {
    let scene = scene();
    let ready = scene.pgkeep.path().join("ready");
    let script = format!(
        "trap 'echo heard; exit 9' TERM; touch {}; while :; do sleep 0.05; done",
        ready.display()
    );
    let mut running: Running = scene.start(&["guard", "--", "sh", "-c", &script]);
    running.wait_for("the command runs", || ready.exists());
    running.signal(Signal::TERM);
    let ended = running.finish().fails_with(9);
    assert_eq!(ended.stdout, "heard\n");
    assert!(
        ended.stderr.contains("ended with status 9"),
        "{}",
        ended.stderr
    );
    assert_eq!(guarded(&scene).len(), 1);
}

/// Guard at a terminal of its own.
fn at_a_terminal(scene: &Scene, command: &[&str]) -> Terminal {
    let args = [&["guard", "--"], command].concat();
    let mut command = scene.pgkeep.child(&args);
    command.envs(scene.environment());
    Terminal::start_session(&command)
}

fn kept(scene: &Scene) -> usize {
    let databases = scene.databases();
    databases
        .iter()
        .filter(|name| name.starts_with("shop_before_"))
        .count()
}

#[test]
fn a_person_at_a_terminal_is_asked_after_a_failure_and_only_a_yes_goes_back() {
    let scene = scene();
    let before = scene.fingerprint("shop");

    // No; and what was typed before the question is no answer to it.
    let go = scene.pgkeep.path().join("go");
    let script = format!(
        "echo ready to go; while [ ! -e {} ]; do sleep 0.05; done; sh deploy.sh 3",
        go.display()
    );
    let mut terminal = at_a_terminal(&scene, &["sh", "-c", &script]);
    terminal.wait_for("ready to go");
    terminal.type_in("y\r");
    std::fs::write(&go, "").unwrap();
    terminal.wait_for("swap: two renames");
    terminal.wait_for("ended with status 3. Go back to backup");
    terminal.wait_for("[y/N]");
    terminal.type_in("n\r");
    terminal.wait_for("everything is left as it is");
    terminal.wait_for("pgkeep rollback-migration --app shop");
    assert_eq!(terminal.finish(), 3);
    assert_eq!((reviews(&scene).as_str(), kept(&scene)), ("gone", 0));
    scene
        .run(&["rollback-migration", "--confirm", PHRASE])
        .succeeds();
    assert_eq!(
        (scene.fingerprint("shop"), kept(&scene)),
        (before.clone(), 1)
    );

    // Ctrl-C is the command's while it runs, and a no to the question.
    let script = "trap 'exit 7' INT; echo ready to go; while :; do sleep 0.05; done";
    let mut terminal = at_a_terminal(&scene, &["sh", "-c", script]);
    terminal.wait_for("ready to go");
    terminal.press_ctrl_c();
    terminal.wait_for("ended with status 7. Go back to backup");
    terminal.wait_for("[y/N]");
    terminal.press_ctrl_c();
    terminal.wait_for("everything is left as it is");
    assert!(
        !terminal.text().contains("cancelling"),
        "{}",
        terminal.text()
    );
    assert_eq!(terminal.finish(), 7);
    assert_eq!(kept(&scene), 1);

    // Yes.
    let mut terminal = at_a_terminal(&scene, &["sh", "deploy.sh", "4"]);
    terminal.wait_for("[y/N]");
    terminal.type_in("y\r");
    terminal.wait_for("is as it was before the command");
    assert_eq!(terminal.finish(), 4);
    assert_eq!((scene.fingerprint("shop"), kept(&scene)), (before, 2));

    // The window is closed while the command runs: that is told to the command, and there is nobody to be asked.
    let heard = scene.pgkeep.path().join("heard");
    let script = format!(
        "trap 'touch {}; exit 9' HUP; echo ready to go; while :; do sleep 0.05; done",
        heard.display()
    );
    let mut terminal = at_a_terminal(&scene, &["sh", "-c", &script]);
    terminal.wait_for("ready to go");
    terminal.close();
    assert_eq!(terminal.finish(), 9);
    assert!(heard.exists());
    assert_eq!(kept(&scene), 2);
    assert_eq!(guarded(&scene).len(), 4);
}
