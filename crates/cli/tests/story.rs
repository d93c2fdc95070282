//! The binary against a real server: back up, lose, restore, prove, undo.

mod pgkeep;

use pgkeep::{Pgkeep, Run};
use pgkeep_testkit::{ShopSize, TestPostgres};

const PHRASE: &str = "I understand this will irreversibly overwrite data";

/// A small shop on a server of its own, with a repository made for it.
struct Shop {
    server: TestPostgres,
    pgkeep: Pgkeep,
}

impl Shop {
    fn new() -> Self {
        let server = TestPostgres::start(15);
        server.load_shop("shop", ShopSize::TINY);
        let shop = Shop {
            server,
            pgkeep: Pgkeep::new(),
        };
        shop.run(&["init"]).succeeds();
        shop
    }

    fn run(&self, args: &[&str]) -> Run {
        let mut command = self.pgkeep.command(args);
        command
            .env("PGKEEP_REPO", "./backups")
            .env("DATABASE_URL", self.server.url_for("shop"))
            .env("DB_ADMIN_URL", self.server.url());
        Run::of(&command.output().unwrap())
    }

    fn backup(&self) -> String {
        let run = self.run(&["backup", "--json"]).succeeds();
        run.json()["id"].as_str().unwrap().to_owned()
    }

    fn count(&self, database: &str, table: &str) -> String {
        self.server
            .psql(database, &format!("SELECT count(*) FROM {table}"))
            .trim()
            .to_owned()
    }
}

#[test]
fn a_backup_is_listed_shown_and_verified() {
    let shop = Shop::new();
    let id = shop.backup();
    let list = shop.run(&["list", "--json"]).succeeds().json();
    assert_eq!(list["backups"][0]["id"], id.as_str());
    assert_eq!(list["backups"][0]["databases"][0], "shop");
    let shown = shop.run(&["show", &id[..8]]).succeeds();
    assert!(shown.stdout.contains("public.orders"), "{}", shown.stdout);
    shop.run(&["verify", "--read-data"]).succeeds();
    shop.run(&["check", "--read-data"]).succeeds();
    let state = shop.run(&["list"]).succeeds();
    assert!(state.stdout.contains("checked"), "{}", state.stdout);
}

#[test]
fn the_second_backup_of_unchanged_data_adds_next_to_nothing() {
    let shop = Shop::new();
    shop.backup();
    let second = shop.run(&["backup", "--json"]).succeeds().json();
    let (read, added) = (
        second["bytes_read"].as_u64().unwrap(),
        second["bytes_added"].as_u64().unwrap(),
    );
    assert!(added * 5 < read, "{added} bytes added of {read}");
}

#[test]
fn a_lost_table_comes_back_and_the_restore_can_be_undone_and_redone() {
    let shop = Shop::new();
    let orders = shop.count("shop", "orders");
    let id = shop.backup();
    shop.server.psql(
        "shop",
        "DROP TABLE reviews CASCADE; DELETE FROM order_lines; DELETE FROM orders",
    );

    let diff = shop.run(&["diff", &id, "live"]).succeeds();
    assert!(diff.stdout.contains("public.reviews"), "{}", diff.stdout);

    let dry = shop
        .run(&["restore", &id, "--replace", "--dry-run"])
        .succeeds();
    assert!(dry.stdout.contains("steps"), "{}", dry.stdout);
    assert_eq!(
        shop.count("shop", "orders"),
        "0",
        "a dry run changed the database"
    );

    let refused = shop.run(&["restore", &id, "--replace"]).fails_with(8);
    assert!(refused.stderr.contains(PHRASE), "{}", refused.stderr);
    assert_eq!(
        shop.count("shop", "orders"),
        "0",
        "a refused restore changed the database"
    );

    let restored = shop
        .run(&["restore", &id, "--replace", "--confirm", PHRASE, "--json"])
        .succeeds()
        .json();
    assert_eq!(
        restored["proof"]["differences"].as_array().unwrap().len(),
        0
    );
    assert_eq!(shop.count("shop", "orders"), orders);

    let latest = shop.run(&["show", "latest", "--json"]).succeeds().json();
    assert_eq!(
        latest["id"],
        id.as_str(),
        "the safety backup is not what `latest` means"
    );

    shop.run(&["undo", "shop", "--confirm", PHRASE]).succeeds();
    assert_eq!(shop.count("shop", "orders"), "0");
    shop.run(&["undo", "shop", "--confirm", PHRASE]).succeeds();
    assert_eq!(shop.count("shop", "orders"), orders);
}

#[test]
fn a_restore_beside_the_live_database_leaves_it_alone() {
    let shop = Shop::new();
    shop.backup();
    let orders = shop.count("shop", "orders");
    shop.run(&["restore", "latest", "--into", "shop_side"])
        .succeeds();
    assert_eq!(shop.count("shop_side", "orders"), orders);
    let again = shop.run(&["restore", "latest", "--into", "shop_side"]);
    assert_ne!(
        again.code, 0,
        "an existing database must not be restored into"
    );
}

#[test]
fn a_drill_proves_the_backup_and_leaves_nothing() {
    let shop = Shop::new();
    shop.backup();
    let databases = shop
        .server
        .psql("postgres", "SELECT count(*) FROM pg_database");
    let drill = shop
        .run(&[
            "drill",
            "--assert",
            "SELECT count(*) > 0 FROM orders",
            "--json",
        ])
        .succeeds()
        .json();
    assert_eq!(drill["proven"], true);
    assert_eq!(
        shop.server
            .psql("postgres", "SELECT count(*) FROM pg_database"),
        databases
    );
    assert!(shop.run(&["list"]).succeeds().stdout.contains("proven"));
    shop.run(&["drill", "--assert", "SELECT false"])
        .fails_with(4);
}

#[test]
fn an_export_is_read_by_stock_pg_restore_and_comes_back_by_import() {
    let shop = Shop::new();
    shop.backup();
    shop.run(&["export", "latest", "--output", "shop.pgcustom"])
        .succeeds();
    let file = shop.pgkeep.path().join("shop.pgcustom");
    let list = shop
        .server
        .client("pg_restore")
        .arg("-l")
        .arg(&file)
        .output()
        .unwrap();
    assert!(
        list.status.success()
            && String::from_utf8_lossy(&list.stdout).contains("TABLE DATA public orders"),
        "{list:?}"
    );
    shop.run(&["import", "shop.pgcustom", "--app", "imported"])
        .succeeds();
    let list = shop
        .run(&["list", "--app", "imported", "--json"])
        .succeeds()
        .json();
    assert_eq!(list["backups"][0]["kind"], "import");
}

#[test]
fn forget_keeps_the_pinned_and_prune_frees_the_rest() {
    let shop = Shop::new();
    let first = shop.backup();
    for _ in 0..2 {
        shop.backup();
    }
    shop.run(&["tag", &first, "--pin"]).succeeds();
    shop.run(&["forget", &first]).fails_with(8);
    let plan = shop
        .run(&[
            "forget",
            "--keep-last",
            "1",
            "--protect-newest",
            "0",
            "--dry-run",
            "--json",
        ])
        .succeeds()
        .json();
    assert_eq!(plan["plan"]["remove"].as_array().unwrap().len(), 1);
    shop.run(&[
        "forget",
        "--keep-last",
        "1",
        "--protect-newest",
        "0",
        "--yes",
    ])
    .succeeds();
    assert_eq!(
        shop.run(&["list", "--json"]).succeeds().json()["backups"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    shop.run(&["prune", "--grace", "0"]).succeeds();
    shop.run(&["check", "--read-data"]).succeeds();
}

#[test]
fn a_server_that_is_down_and_a_wrong_database_exit_with_7() {
    let shop = Shop::new();
    let down = shop
        .run(&[
            "backup",
            "--database-url",
            "postgres://postgres@127.0.0.1:1/shop",
        ])
        .fails_with(7);
    assert!(down.stderr.contains("127.0.0.1"), "{}", down.stderr);
    let unknown = shop
        .run(&["backup", "--database-url", &shop.server.url_for("nosuch")])
        .fails_with(7);
    assert!(unknown.stderr.contains("nosuch"), "{}", unknown.stderr);
}

#[test]
fn doctor_finds_a_healthy_set_up_healthy() {
    let shop = Shop::new();
    let report = shop.run(&["doctor", "--json"]).succeeds().json();
    assert_eq!(report["healthy"], true, "{report:#}");
}

#[test]
fn ctrl_c_ends_a_backup_that_waits_for_a_lock_and_leaves_nothing_behind() {
    let shop = Shop::new();
    let mut holder = shop.server.client("psql");
    holder
        .args(["-d", &shop.server.dsn_for("shop"), "-c"])
        .arg("BEGIN; LOCK TABLE orders; SELECT pg_sleep(3600)");
    let mut holder = holder.stdout(std::process::Stdio::null()).spawn().unwrap();
    wait_until("the lock is held", || shop.locks("AccessExclusiveLock") > 0);

    let mut command = shop.pgkeep.child(&["backup"]);
    command
        .env("PGKEEP_REPO", "./backups")
        .env("DATABASE_URL", shop.server.url_for("shop"));
    let backup = command
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("the backup is connected", || shop.sessions() > 0);
    let pid = rustix::process::Pid::from_raw(i32::try_from(backup.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let run = Run::of(&backup.wait_with_output().unwrap()).fails_with(130);
    assert!(run.stderr.contains("cancelled"), "{}", run.stderr);

    wait_until("its sessions are gone", || shop.sessions() == 0);
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(
        shop.run(&["list", "--json"]).succeeds().json()["backups"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    shop.server.psql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()");
    shop.backup();
}

#[test]
fn a_password_is_shown_nowhere() {
    let server = TestPostgres::builder(15).hba("scram-sha-256").start();
    server.load_shop("shop", ShopSize::TINY);
    let pgkeep = Pgkeep::new();
    let secret = server.superuser_password();
    let run = |args: &[&str], url: &str| {
        let mut command = pgkeep.command(args);
        command
            .env("PGKEEP_REPO", "./backups")
            .env("DATABASE_URL", url);
        let run = Run::of(&command.output().unwrap());
        assert!(
            !run.stdout.contains(secret) && !run.stderr.contains(secret),
            "{run:?}"
        );
        run
    };
    let url = server.url_for("shop");
    run(&["init"], &url).succeeds();
    run(&["backup", "--verbose"], &url).succeeds();
    run(&["show", "--json"], &url).succeeds();
    run(&["config", "show"], &url).succeeds();
    run(&["restore", "--into", "side", "--dry-run"], &url).succeeds();
    run(&["restore", "--into", "side", "--json"], &url).succeeds();
    run(&["backup"], &server.url_for("missing")).fails_with(7);
    let wrong = format!(
        "postgres://postgres:falsch@127.0.0.1:{}/shop",
        server.port()
    );
    let refused = run(&["backup"], &wrong).fails_with(7);
    assert!(!refused.stderr.contains("falsch"), "{}", refused.stderr);
}

#[test]
fn parts_of_a_backup_are_restored_by_table_and_by_kind() {
    let shop = Shop::new();
    shop.backup();
    let products = shop.count("shop", "products");
    shop.run(&[
        "restore",
        "--into",
        "one_table",
        "--table",
        "public.products",
    ])
    .succeeds();
    assert_eq!(shop.count("one_table", "products"), products);
    assert_eq!(
        shop.server
            .psql("one_table", "SELECT to_regclass('public.orders') IS NULL")
            .trim(),
        "t"
    );
    shop.run(&["restore", "--into", "no_rows", "--schema-only"])
        .succeeds();
    assert_eq!(shop.count("no_rows", "products"), "0");
}

#[test]
fn several_databases_become_one_recovery_point() {
    let shop = Shop::new();
    shop.server.create_database("billing");
    shop.server.psql(
        "billing",
        "CREATE TABLE invoice AS SELECT generate_series(1, 10) AS id",
    );
    shop.run(&[
        "backup", "--dbname", "shop", "--dbname", "billing", "--app", "platform",
    ])
    .succeeds();
    let list = shop
        .run(&["list", "--app", "platform", "--json"])
        .succeeds()
        .json();
    assert_eq!(list["backups"][0]["databases"].as_array().unwrap().len(), 2);
    let unclear = shop.run(&["restore", "--into", "side"]).fails_with(2);
    assert!(
        unclear.stderr.contains("--database: "),
        "{}",
        unclear.stderr
    );
    shop.run(&["restore", "--into", "side", "--database", "billing"])
        .succeeds();
    assert_eq!(shop.count("side", "invoice"), "10");
}

/// Waits for something that another process does.
#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while !holds() {
        assert!(
            std::time::Instant::now() < deadline,
            "waited in vain until {what}"
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

impl Shop {
    /// Sessions of pgkeep and its tools in the shop.
    fn sessions(&self) -> u32 {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'shop' AND (application_name LIKE 'pgkeep%' OR application_name = 'pg_dump')";
        self.server.psql("postgres", sql).trim().parse().unwrap()
    }

    fn locks(&self, mode: &str) -> u32 {
        let sql = format!(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'relation' AND granted AND mode = '{mode}'"
        );
        self.server.psql("postgres", &sql).trim().parse().unwrap()
    }
}
