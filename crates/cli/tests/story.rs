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
    shop.run(&["forget", "--keep-last", "1", "--protect-newest", "0"])
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
