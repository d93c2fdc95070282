//! PgBouncer, when the restore that paused it is killed before it can resume it.

use crate::pgkeep::{
    proxy::Side,
    scene::{PHRASE, Scene},
};
use pgkeep_engine::fence;
use pgkeep_postgres::connect::{ConnectOptions, Environment};
use pgkeep_testkit::PgBouncer;

#[test]
fn clients_that_a_killed_restore_made_wait_are_let_through_by_the_doctor() {
    let scene = Scene::new();
    let bouncer = PgBouncer::start(&scene.server, "store", "shop");
    let console = bouncer.url_for("pgbouncer");
    scene.pgkeep.write(
        "pgkeep.toml",
        &format!(
            "[app.shop]\ndatabases = [\"env:DATABASE_URL\"]\n\n[app.shop.fence]\npgbouncer = \"{console}\"\n"
        ),
    );
    let console = ConnectOptions::resolve(Some(&console), &Environment::default()).unwrap();
    let paused = || fence::pooled(&console, "shop").unwrap()[0].paused;
    let (backup, _) = scene.backup();
    let before = scene.fingerprint("shop");

    // The swap is the first thing that happens while it is paused.
    let way = scene.way(|passing| passing.from == Side::Client && passing.says("RENAME TO"));
    let mut restore = scene.start_by(
        &way,
        &["restore", &backup, "--replace", "--confirm", PHRASE],
    );
    restore.wait_for("the swap", || way.holds());
    assert!(paused());
    restore.kill9();
    scene.wait_until_nothing_is_left();
    assert!(paused(), "nobody has resumed it");

    let report = scene.run(&["doctor", "--json"]).succeeds();
    assert!(
        report.stdout.contains(
            "held store paused since a restore that did not end; it lets clients through again"
        ),
        "{}",
        report.stdout
    );
    assert!(!paused());
    assert_eq!(scene.fingerprint("shop"), before);
    let dropped = scene.run(&["undo", "--drop-expired"]).succeeds();
    assert!(
        dropped.stdout.contains("shop_pgkeep_"),
        "{}",
        dropped.stdout
    );
}
