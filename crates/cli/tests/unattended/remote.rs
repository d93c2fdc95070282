//! The same commands on a server as on a repository here: same answers, same exit codes.

use crate::{
    house::{House, Served},
    pgkeep::{Pgkeep, Run, scene::PHRASE},
};
use serde_json::Value;

struct Afar<'a> {
    served: Served<'a>,
    elsewhere: Pgkeep,
    token: String,
}

impl<'a> Afar<'a> {
    fn new(house: &'a House) -> Self {
        let served = house.serve();
        let token = served.admin_token();
        Afar {
            served,
            elsewhere: Pgkeep::new(),
            token,
        }
    }

    fn run(&self, args: &[&str]) -> Run {
        self.served
            .asked_from_afar(&self.elsewhere, &self.token, args)
    }

    fn json(&self, args: &[&str]) -> Value {
        to_millis(self.run(&[args, &["--json"]].concat()).succeeds().json())
    }
}

/// Times to the millisecond, which is as closely as the catalog knows them.
fn to_millis(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, to_millis(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(to_millis).collect(),
        Value::String(text) => match text.strip_suffix('Z').and_then(|t| t.split_once('.')) {
            Some((seconds, rest)) if seconds.len() == 19 && seconds.as_bytes()[10] == b'T' => {
                let millis = rest.get(..3).unwrap_or(rest).trim_end_matches('0');
                format!("{seconds}.{millis}Z").into()
            }
            _ => text.into(),
        },
        other => other,
    }
}

#[test]
fn a_backup_from_afar_is_listed_shown_and_verified_as_here() {
    let house = House::new("");
    let afar = Afar::new(&house);
    let made = afar.json(&[
        "backup",
        "--description",
        "from afar",
        "--tag",
        "x",
        "--pin",
    ]);
    let id = made["id"].as_str().unwrap();
    let here =
        |args: &[&str]| to_millis(house.run(&[args, &["--json"]].concat()).succeeds().json());
    assert_eq!(afar.json(&["list"])["backups"], here(&["list"])["backups"]);
    assert_eq!(afar.json(&["show", &id[..8]]), here(&["show", &id[..8]]));
    assert_eq!(
        afar.run(&["show"]).succeeds().stdout,
        house.run(&["show"]).succeeds().stdout
    );
    assert_eq!(afar.json(&["verify"]), here(&["verify"]));
    assert_eq!(
        afar.json(&["check"])["problems"],
        here(&["check"])["problems"]
    );
    let tagged = afar.json(&["tag", "latest", "--add", "y", "--unpin"]);
    assert_eq!(
        (&tagged["pinned"], &tagged["tags"][1]),
        (&false.into(), &"y".into())
    );
    afar.json(&["backup"]);
    let diff = afar.json(&["diff", &id[..8], "latest"]);
    assert_eq!(diff, here(&["diff", &id[..8], "latest"]));
    assert_eq!(diff["same"], true);
}

#[test]
fn a_restore_from_afar_is_planned_confirmed_proven_and_undone() {
    let house = House::new("");
    let afar = Afar::new(&house);
    afar.json(&["backup"]);
    let beside = afar.json(&["restore", "latest", "--into", "shop_check"]);
    assert_eq!(beside["database"], "shop_check");
    assert_eq!(beside["proof"]["differences"].as_array().unwrap().len(), 0);
    // Who restores all of a backup has proven it, as a drill does.
    let shown = afar.json(&["show"]);
    assert!(shown["validity"]["proven_at"].is_string(), "{shown}");
    let listed = house.run(&["list", "--json"]).succeeds().json();
    assert!(listed["backups"][0]["validity"]["proven_at"].is_string());
    house.shop.psql("shop", "DROP TABLE order_lines CASCADE");
    afar.run(&["restore", "latest", "--replace"]).fails_with(8);
    let plan = afar
        .run(&["restore", "latest", "--replace", "--dry-run"])
        .succeeds();
    assert!(
        plan.stdout
            .contains("is replaced once the restored one is proven"),
        "{}",
        plan.stdout
    );
    let replaced = afar.json(&["restore", "latest", "--replace", "--confirm", PHRASE]);
    assert!(replaced["kept_as"].is_string());
    let lines = || {
        house
            .shop
            .psql("shop", "SELECT to_regclass('order_lines') IS NOT NULL")
    };
    assert_eq!(lines().trim(), "t");
    let kept = afar.json(&["undo", "--list"]);
    assert_eq!(kept["databases"][0]["name"], replaced["kept_as"]);
    afar.run(&["undo", "shop"]).fails_with(8);
    afar.run(&["undo", "shop", "--confirm", PHRASE]).succeeds();
    assert_eq!(lines().trim(), "f");
}

#[test]
fn a_drill_from_afar_proves_the_backup() {
    let house = House::new("");
    let afar = Afar::new(&house);
    afar.json(&["backup"]);
    let good = afar.json(&["drill", "--assert", "SELECT count(*) > 0 FROM orders"]);
    assert_eq!(good["proven"], true);
    let bad = afar
        .run(&["drill", "--assert", "SELECT false", "--json"])
        .fails_with(4);
    assert_eq!(bad.json()["proven"], false);
    afar.run(&["status"]).fails_with(11);
}

#[test]
fn a_dump_travels_to_the_server_and_back() {
    let house = House::new("");
    let afar = Afar::new(&house);
    afar.json(&["backup"]);
    afar.run(&["export", "latest", "--output", "shop.pgcustom"])
        .succeeds();
    assert!(afar.elsewhere.path().join("shop.pgcustom").exists());
    let taken_in = afar.json(&[
        "import",
        "shop.pgcustom",
        "--app",
        "shop",
        "--description",
        "by hand",
    ]);
    let shown = afar.json(&["show", &taken_in["id"].as_str().unwrap()[..8]]);
    assert_eq!(shown["kind"], "import");
    afar.run(&["export", "latest", "--output", "shop.pgcustom"])
        .fails_with(8);
}

#[test]
fn folders_packages_and_pipes_travel_and_what_is_named_wrongly_is_told() {
    let house = House::new("");
    let afar = Afar::new(&house);
    let made = afar.json(&[
        "backup",
        "--exclude-table-data",
        "order_l*",
        "--environment",
        "staging",
    ]);
    let id = made["id"].as_str().unwrap();
    let shown = afar.json(&["show", &id[..2]]);
    assert_eq!(
        (&shown["partial"], &shown["environment"]),
        (&true.into(), &"staging".into())
    );
    // As local commands say it, whatever the server says.
    let unknown = afar.run(&["show", "zz"]).fails_with(3);
    assert!(
        unknown.stderr.contains("no backup with id zz"),
        "{}",
        unknown.stderr
    );
    afar.run(&["verify", "--app", "nope"]).fails_with(3);
    let unknown = afar
        .run(&["list", "--repo", "/elsewhere/backups"])
        .fails_with(3);
    assert!(
        unknown.stderr.contains("it knows main"),
        "{}",
        unknown.stderr
    );

    // A folder comes as one and goes as one; packed by hand, its names begin with "./".
    let export = [
        "export",
        id,
        "--format",
        "directory",
        "--output",
        "shop.dir",
    ];
    afar.json(&export);
    let folder = afar.elsewhere.path().join("shop.dir");
    assert!(folder.join("toc.dat").is_file());
    afar.run(&export).fails_with(8);
    let packed = afar.elsewhere.path().join("packed.tar");
    assert_cmd::Command::new("tar")
        .arg("-cf")
        .arg(&packed)
        .arg("-C")
        .arg(&folder)
        .arg(".")
        .assert()
        .success();
    let package = afar.json(&["export", id, "--package"]);
    let package = package["location"].as_str().unwrap();
    for (at, what) in ["shop.dir", "packed.tar", package].iter().enumerate() {
        let taken = afar.json(&["import", what, "--app", "shop"]);
        let taken = taken["id"].as_str().unwrap();
        let beside = format!("beside_{at}");
        let restored = afar.json(&["restore", taken, "--into", &beside]);
        assert_eq!(restored["proof"]["level"], "full", "{what}: {restored}");
        assert_eq!(restored["rows"], made["databases"][0]["rows"], "{what}");
    }
    house
        .run(&["import", &packed.display().to_string(), "--app", "shop"])
        .succeeds();
    let mut piped = afar.elsewhere.command(&["import", "-", "--app", "shop"]);
    piped
        .env("PGKEEP_SERVER", afar.served.url())
        .env("PGKEEP_TOKEN", &afar.token)
        .pipe_stdin(&packed)
        .unwrap();
    Run::of(&piped.output().unwrap()).succeeds();
}

#[test]
fn a_backup_that_is_older_than_the_catalog_is_known_to_it() {
    let house = House::new("");
    house.run(&["backup"]).succeeds();
    house.run(&["apply", "--yes"]).succeeds();
    let status = house.run(&["status"]);
    assert!(!status.stdout.contains("has no good backup"), "{status:?}");
    // Without a server, what a command changes is known as well.
    house
        .run(&["restore", "latest", "--into", "beside"])
        .succeeds();
    let status = house.run(&["status"]);
    assert!(!status.stdout.contains("was ever proven"), "{status:?}");
}

#[test]
fn policies_jobs_and_the_file_work_from_afar() {
    let house = House::new("");
    let afar = Afar::new(&house);
    afar.elsewhere.write(
        "more.toml",
        &(std::fs::read_to_string(house.pgkeep.path().join("pgkeep.toml"))
            .unwrap()
            .replace(
                "\"./backups\"",
                &format!("\"{}\"", house.pgkeep.path().join("backups").display()),
            )
            + "[policy.release]\napp = \"shop\"\nschedule = { frequency = \"on_demand\" }\n"),
    );
    let applied = afar.json(&["apply", "more.toml"]);
    assert!(
        applied["steps"].to_string().contains("release"),
        "{applied}"
    );
    let run = afar.json(&["policy", "run", "release"]);
    assert_eq!(run["jobs"][0]["state"], "succeeded");
    let listed = afar.json(&["job", "list", "--policy", "release"]);
    assert_eq!(listed["jobs"][0]["id"], run["jobs"][0]["id"]);
    let status = afar.run(&["status"]).succeeds();
    assert!(status.stdout.lines().count() > 2, "{}", status.stdout);
    let audit = afar.json(&["audit", "list"]);
    assert!(
        audit["entries"].to_string().contains("ann (token ci)"),
        "{audit}"
    );
}

#[test]
fn who_may_not_is_told_so_with_the_code_for_it() {
    let house = House::new("");
    let afar = Afar::new(&house);
    let args = ["token", "create", "looks", "--role", "viewer", "--json"];
    afar.run(&args).fails_with(6);
    let viewer = house.run(&args).succeeds().json();
    let viewer = viewer["token"].as_str().unwrap();
    let as_viewer = |args: &[&str]| afar.served.asked_from_afar(&afar.elsewhere, viewer, args);
    as_viewer(&["list"]).succeeds();
    let refused = as_viewer(&["backup"]).fails_with(6);
    assert!(refused.stderr.contains("operate"), "{}", refused.stderr);
    let unknown = afar
        .served
        .asked_from_afar(&afar.elsewhere, "pgk_nothing", &["list"])
        .fails_with(6);
    assert!(unknown.stderr.contains("hint:"), "{}", unknown.stderr);
    for args in [
        &["serve"][..],
        &["worker"],
        &["catalog", "path"],
        &["backup", "--database-url", "postgres://x/y"],
    ] {
        afar.run(args).fails_with(2);
    }
    afar.run(&["show", "deadbeef"]).fails_with(3);
}

#[test]
fn a_token_is_not_sent_in_plain_text_to_another_machine() {
    let pgkeep = Pgkeep::new();
    let run = |url: &str| {
        let mut command = pgkeep.command(&["status"]);
        command
            .env("PGKEEP_SERVER", url)
            .env("PGKEEP_TOKEN", "pgk_secret");
        Run::of(&command.output().unwrap())
    };
    let refused = run("http://pgkeep.example.com").fails_with(8);
    assert!(!refused.stderr.contains("pgk_secret"));
    run("http://127.0.0.1:9").fails_with(10);
    run("not an address").fails_with(2);
}
