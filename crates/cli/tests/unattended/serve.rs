//! `pgkeep serve` from its first start on.

use crate::{
    house::House,
    pgkeep::{Run, scene::wait_until},
};

const NIGHTLY: &str = "\
[policy.nightly]
app = \"shop\"
schedule = { frequency = \"daily\", at = \"02:00\" }
retention = { days = 30 }
";

#[test]
fn the_first_start_takes_in_the_file_and_a_policy_runs_when_it_is_told_to() {
    let house = House::new(NIGHTLY);
    let served = house.serve();
    assert!(served.log().contains("3 created"), "{}", served.log());
    let run = house.run(&["policy", "run", "nightly"]).succeeds();
    assert!(run.stdout.contains("stored object"), "{}", run.stdout);
    let list = house.run(&["list", "--json"]).succeeds().json();
    assert_eq!(list["backups"][0]["policy"], "nightly");
    let status = house.run(&["status", "--json"]).succeeds().json();
    assert_eq!(status["alarm"], false);
    assert_eq!(
        status["apps"][0]["last_good"]["id"],
        list["backups"][0]["id"]
    );
    let jobs = house
        .run(&["job", "list", "--kind", "backup", "--json"])
        .succeeds()
        .json();
    let job = &jobs["jobs"][0];
    assert_eq!(
        (&job["state"], &job["policy"]),
        (&"succeeded".into(), &"nightly".into())
    );
    let short = &job["id"].as_str().unwrap()[..28];
    house.run(&["job", "show", short]).succeeds();
    house.run(&["job", "log", short]).succeeds();
    let plan = house
        .run(&["policy", "cleanup", "nightly", "--dry-run"])
        .succeeds();
    assert!(
        plan.stdout.contains("0 backups would be removed, 1 kept"),
        "{}",
        plan.stdout
    );
    assert_eq!(served.terminate(), 0);
}

#[test]
fn a_setup_token_is_offered_only_while_there_is_no_account() {
    let house = House::new("");
    let served = house.serve();
    assert!(served.log().contains("setup token"), "{}", served.log());
    let second = house.run(&["serve", "--listen", "127.0.0.1:0"]);
    let second = second.fails_with(1);
    assert!(
        second
            .stderr
            .contains("another server works with the catalog")
            && second.stderr.contains("hint: end that one first"),
        "{}",
        second.stderr
    );
    served.admin_token();
    assert_eq!(served.terminate(), 0);
    let served = house.serve();
    assert!(!served.log().contains("setup token"), "{}", served.log());
}

#[test]
fn a_server_without_a_file_takes_app_repository_and_policy_from_its_environment() {
    let house = House::new("");
    std::fs::remove_file(house.pgkeep.path().join("pgkeep.toml")).unwrap();
    let command = |args: &[&str]| {
        let mut command = house.pgkeep.command(args);
        command
            .env("PGKEEP_DATA_DIR", house.pgkeep.path().join("data"))
            .env("DATABASE_URL", house.shop.url_for("shop"))
            .env("BACKUPS_DIR", "./backups")
            .env("BACKUP_SCHEDULE_CRON", "0 2 * * *")
            .env("BACKUP_RETENTION_DAYS", "14");
        command
    };
    let made = Run::of(&command(&["catalog", "rebuild", "--json"]).output().unwrap()).succeeds();
    assert_eq!(made.json()["repositories"][0]["repository"], "main");
    let policies = Run::of(&command(&["policy", "list", "--json"]).output().unwrap()).succeeds();
    let policy = &policies.json()["policies"][0];
    assert_eq!(policy["definition"]["schedule"]["cron"], "0 2 * * *");
    assert_eq!(policy["definition"]["retention"]["days"], 14);
    let app = Run::of(
        &command(&["app", "show", "shop", "--json"])
            .output()
            .unwrap(),
    )
    .succeeds();
    assert_eq!(app.json()["definition"]["databases"][0], "env:DATABASE_URL");
}

#[test]
fn what_is_done_by_hand_is_a_job_of_the_catalog_too() {
    let house = House::new("");
    let bare = house.run(&["backup", "--json"]).succeeds().json();
    assert!(
        !house.pgkeep.path().join("data").exists(),
        "a backup by hand made a catalog"
    );
    house.run(&["apply"]).succeeds();
    let made = house.run(&["backup", "--json"]).succeeds().json();
    house.run(&["verify", "--read-data"]).succeeds();
    house.run(&["drill", "--app", "shop"]).succeeds();
    let jobs = house.run(&["job", "list", "--json"]).succeeds().json();
    let by_hand: Vec<(&str, &str)> = jobs["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|job| job["trigger"] == "cli")
        .map(|job| {
            (
                job["kind"].as_str().unwrap(),
                job["state"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        by_hand,
        [
            ("drill", "succeeded"),
            ("verify", "succeeded"),
            ("backup", "succeeded")
        ]
    );
    // The server lists what was made while it was not there.
    let served = house.serve();
    wait_until("the server knows of both backups", || {
        let status = house.run(&["status", "--json"]).json();
        status["apps"][0]["backups"] == 2
    });
    let list = house.run(&["list", "--json"]).succeeds().json();
    assert_eq!(list["backups"][0]["id"], bare["id"]);
    assert_eq!(list["backups"][1]["id"], made["id"]);
    assert!(list["backups"][1]["job"].is_string());
    assert_eq!(served.terminate(), 0);
}

#[test]
fn a_lost_catalog_is_made_again_from_the_file_and_the_repositories() {
    let house = House::new(NIGHTLY);
    house.run(&["apply"]).succeeds();
    house.run(&["backup"]).succeeds();
    house.run(&["catalog", "backup", "copy.sqlite"]).succeeds();
    house
        .run(&["catalog", "backup", "copy.sqlite"])
        .fails_with(8);
    std::fs::remove_dir_all(house.pgkeep.path().join("data")).unwrap();
    let rebuilt = house
        .run(&["catalog", "rebuild", "--yes", "--json"])
        .succeeds()
        .json();
    assert_eq!(rebuilt["repositories"][0]["backups"], 1);
    let status = house.run(&["status", "--json"]).succeeds().json();
    assert_eq!(status["apps"][0]["backups"], 1);
    assert_eq!(status["apps"][0]["policies"][0]["name"], "nightly");
}

#[test]
fn a_catalog_whose_key_is_gone_is_refused_and_no_new_key_is_made() {
    let house = House::new("");
    house.run(&["apply"]).succeeds();
    let key = house.pgkeep.path().join("data/catalog.key");
    std::fs::remove_file(&key).unwrap();
    let run = house.run(&["serve"]).fails_with(6);
    assert!(run.stderr.contains("key file"), "{}", run.stderr);
    assert!(!key.exists());
}
