//! A server's databases move to a newer major, and back.

mod pgkeep;

use pgkeep::{Pgkeep, Run, scene::PHRASE};
use pgkeep_testkit::{ShopSize, TestPostgres};
use serde_json::Value;

/// An old server with a shop and one of everything, an empty new one, and a repository.
struct Move {
    old: TestPostgres,
    new: TestPostgres,
    pgkeep: Pgkeep,
}

impl Move {
    fn to(major: u32) -> Self {
        let (old, new) = (TestPostgres::start(15), TestPostgres::start(major));
        old.load_shop("shop", ShopSize::TINY);
        old.load_everything("everything");
        new.provide_sample_extension();
        let scene = Move {
            old,
            new,
            pgkeep: Pgkeep::new(),
        };
        scene.run(&["init"]).succeeds();
        scene.pgkeep.write("pgkeep.toml", "");
        scene.run(&["apply"]).succeeds();
        scene
    }

    fn run(&self, args: &[&str]) -> Run {
        let mut command = self.pgkeep.command(args);
        command
            .env("PGKEEP_REPO", "./backups")
            // The catalog that the jobs stand in.
            .env("PGKEEP_DATA_DIR", self.pgkeep.path().join("data"))
            .env("PGKEEP_UPGRADE_FROM", self.old.url())
            .env("PGKEEP_UPGRADE_TO", self.new.url());
        Run::of(&command.output().unwrap())
    }

    /// Everything that the plan says against the upgrade.
    fn refusals(&self) -> String {
        let plan = self.run(&["upgrade", "plan", "--json"]).fails_with(8);
        lines(&plan.json()["refusals"])
    }

    fn databases(&self) -> String {
        self.new.psql(
            "postgres",
            "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE NOT datistemplate",
        )
    }
}

fn lines(list: &Value) -> String {
    let list = list.as_array().unwrap();
    list.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_server_moves_from_15_to_17_and_back() {
    let scene = Move::to(17);
    scene.old.psql(
        "shop",
        "CREATE EXTENSION adminpack;
         CREATE VIEW busy AS SELECT buffers_backend FROM pg_stat_bgwriter;
         CREATE TABLE odd (system_user text);
         ALTER DATABASE shop SET force_parallel_mode = off;
         ALTER DATABASE shop SET work_mem = '8MB'",
    );
    let against = scene.refusals();
    for what in [
        "extension adminpack is gone",
        "view public.busy (pg_stat_bgwriter.buffers_backend)",
        "column system_user of public.odd",
    ] {
        assert!(against.contains(what), "{what} is not in {against}");
    }
    scene.run(&["upgrade", "run"]).fails_with(8);
    assert_eq!(
        scene.databases(),
        "postgres",
        "a refused upgrade made something"
    );

    scene.old.psql(
        "shop",
        "DROP EXTENSION adminpack; DROP VIEW busy; DROP TABLE odd",
    );
    let plan = scene.run(&["upgrade", "plan", "--json"]).succeeds().json();
    let to_know = lines(&plan["warnings"]);
    assert!(
        to_know.contains("force_parallel_mode of database shop"),
        "{to_know}"
    );
    assert!(lines(&plan["new_roles"]).contains("ev_owner"));
    assert_eq!(plan["databases"].as_array().unwrap().len(), 2);

    let report = scene
        .run(&[
            "upgrade",
            "run",
            "--fence",
            "--report",
            "upgrade.md",
            "--json",
        ])
        .succeeds()
        .json();
    assert_eq!(report["succeeded"], true);
    for database in report["databases"].as_array().unwrap() {
        assert_eq!(
            database["proof"]["differences"].as_array().unwrap().len(),
            0
        );
        assert!(
            database["structure"]["indexes"].as_u64().unwrap() > 5,
            "{database}"
        );
        assert_eq!(
            database["structure"]["problems"].as_array().unwrap().len(),
            0
        );
    }
    let written = std::fs::read_to_string(scene.pgkeep.path().join("upgrade.md")).unwrap();
    assert!(written.contains("## Database everything"), "{written}");
    assert!(scene.pgkeep.path().join("upgrade.json").exists());
    assert!(!written.contains("SCRAM") && !written.contains("tenant-password"));

    // The old one is fenced, the new one is not, and its roles came along with their passwords.
    let count = "SELECT count(*) FROM customers";
    assert_eq!(scene.old.psql("shop", count), scene.new.psql("shop", count));
    let refused = scene
        .old
        .try_psql("shop", "DELETE FROM reviews")
        .unwrap_err();
    assert!(refused.contains("read-only"), "{refused}");
    assert_eq!(
        scene.new.psql("shop", "SHOW default_transaction_read_only"),
        "off"
    );
    assert_eq!(scene.new.psql("shop", "SHOW work_mem"), "8MB");
    let password = "SELECT rolpassword FROM pg_authid WHERE rolname = 'ev_tenant'";
    assert_eq!(
        scene.old.psql("postgres", password),
        scene.new.psql("postgres", password)
    );

    scene.run(&["upgrade", "verify"]).succeeds();
    // Nothing that pgkeep did itself counts as written.
    let plan = scene
        .run(&["upgrade", "rollback", "--dry-run", "--json"])
        .succeeds()
        .json();
    assert_eq!(plan["databases"][1]["written"].as_array().unwrap().len(), 0);
    assert_eq!(plan["fenced"].as_array().unwrap().len(), 2);
    // Every role that it made would go, unless something else uses it by then.
    let stay = |plan: &Value| {
        let roles = plan["roles"].as_array().unwrap().iter();
        let staying = roles.filter(|role| role["stays_because"].is_string());
        let staying = staying.map(|role| role["name"].as_str().unwrap().to_owned());
        staying.collect::<Vec<_>>()
    };
    assert!(plan["roles"].to_string().contains("ev_owner"), "{plan:#}");
    assert_eq!(stay(&plan), Vec::<String>::new());

    scene
        .new
        .psql("shop", "DELETE FROM reviews; CREATE TABLE later (id int)");
    let differs = scene
        .run(&["upgrade", "verify", "--json"])
        .fails_with(4)
        .json();
    assert!(
        differs.to_string().contains("table public.reviews rows"),
        "{differs}"
    );
    let refused = scene
        .run(&["upgrade", "rollback", "--confirm", PHRASE])
        .fails_with(8);
    assert!(
        refused.stderr.contains("public.reviews"),
        "{}",
        refused.stderr
    );
    scene.run(&["upgrade", "rollback", "--force"]).fails_with(8);
    assert_eq!(scene.databases(), "everything postgres shop");

    // A database that took the name is not the one that was made.
    scene.new.psql(
        "postgres",
        "ALTER DATABASE everything RENAME TO moved; CREATE DATABASE everything OWNER ev_writer",
    );
    let plan = scene
        .run(&["upgrade", "rollback", "--force", "--dry-run", "--json"])
        .succeeds()
        .json();
    assert_eq!(stay(&plan), ["ev_reader", "ev_writer"], "{plan:#}");
    let steps = lines(&plan["steps"]);
    for words in [
        "leave role ev_writer: database everything needs it",
        "leave role ev_reader: role ev_writer is a member of it",
    ] {
        assert!(steps.contains(words), "{steps}");
    }
    let report = scene
        .run(&[
            "upgrade",
            "rollback",
            "--force",
            "--confirm",
            PHRASE,
            "--json",
        ])
        .succeeds()
        .json();
    assert_eq!(scene.databases(), "everything postgres");
    let left = scene.new.psql(
        "postgres",
        "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE rolname LIKE 'ev%'",
    );
    assert_eq!(left, "ev_reader ev_writer", "{report:#}");
    assert!(report["roles_dropped"].to_string().contains("ev_owner"));
    assert_eq!(report["roles_left"].as_array().unwrap().len(), 2);

    // Both stand in the catalog, with what they did.
    let jobs = scene.run(&["job", "list", "--json"]).succeeds().json();
    let jobs: Vec<&Value> = jobs["jobs"].as_array().unwrap().iter().collect();
    let ran: Vec<_> = jobs.iter().filter(|job| job["kind"] == "upgrade").collect();
    assert_eq!(ran.len(), 2, "{jobs:#?}");
    assert!(
        ran.iter().all(|job| job["state"] == "succeeded"),
        "{ran:#?}"
    );
    scene.old.psql("shop", "DELETE FROM reviews");
}

#[test]
fn a_server_moves_from_15_to_18_and_stays() {
    let scene = Move::to(18);
    let report = scene.run(&["upgrade", "run", "--json"]).succeeds().json();
    assert_eq!(report["succeeded"], true, "{report}");
    assert_eq!(report["fenced"], false);
    scene.run(&["upgrade", "verify"]).succeeds();
    // The old server takes writes all the while.
    scene.old.psql(
        "shop",
        "INSERT INTO customers SELECT * FROM customers WHERE false",
    );
    let again = scene.refusals();
    assert!(again.contains("database shop exists already"), "{again}");

    let mark =
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'shop'";
    assert!(scene.new.psql("postgres", mark).starts_with("pgkeep {"));
    scene.run(&["upgrade", "accept"]).succeeds();
    assert_eq!(
        scene.new.psql("postgres", mark),
        scene.old.psql("postgres", mark)
    );
    scene
        .run(&["upgrade", "rollback", "--confirm", PHRASE])
        .fails_with(3);
    assert_eq!(scene.databases(), "everything postgres shop");
}
