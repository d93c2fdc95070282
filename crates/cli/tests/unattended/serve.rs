//! `pgkeep serve` from its first start on.

use crate::{
    asking::Asking,
    house::House,
    pgkeep::{
        Run,
        scene::{PHRASE, wait_until},
    },
};
use serde_json::json;

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

    // Another word of the environment is taken in when that is asked for, and nothing goes for a word that is missing.
    let changed = |args: &[&str]| {
        let mut command = command(args);
        command.env("BACKUP_SCHEDULE_CRON", "45 3 * * *");
        Run::of(&command.output().unwrap()).succeeds()
    };
    let plan = changed(&["apply", "--dry-run"]);
    assert!(plan.stdout.contains("45 3 * * *"), "{}", plan.stdout);
    let done = changed(&["apply", "--json"]).json();
    assert_eq!(done["file"], "the environment");
    assert_eq!(done["steps"].as_array().unwrap().len(), 1, "{done:#}");
    let again = changed(&["apply", "--json"]).json();
    assert_eq!(again["steps"], json!([]));
    let mut silent = command(&["apply", "--json"]);
    silent.env_remove("BACKUP_SCHEDULE_CRON");
    let silent = Run::of(&silent.output().unwrap()).succeeds().json();
    assert_eq!(silent["steps"], json!([]));
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

    // A server goes on with the file that it has open, also where that was deleted.
    let data = house.pgkeep.path().join("data");
    let server = std::fs::File::create(data.join("serve.lock")).unwrap();
    server.lock().unwrap();
    let refused = house.run(&["catalog", "rebuild", "--yes"]).fails_with(5);
    assert!(
        refused.stderr.contains("a server works with this catalog"),
        "{}",
        refused.stderr
    );
    drop(server);
    house.run(&["catalog", "rebuild", "--yes"]).succeeds();
}

#[test]
fn a_lost_catalog_comes_back_from_the_copy_in_the_repository() {
    const PASSWORD: &str = "a long enough passphrase";
    let house = House::new(NIGHTLY);
    house.run(&["apply"]).succeeds();
    house.pgkeep.write("password", &format!("{PASSWORD}\n"));
    let ann = ["user", "create", "ann", "--role", "admin"];
    let ann = [&ann[..], &["--password-file", "password"]].concat();
    house.run(&ann).succeeds();
    let none = house.run(&["catalog", "restore"]).fails_with(3);
    assert!(none.stderr.contains("holds no copy"), "{}", none.stderr);
    let none = house.run(&["catalog", "restore", "no-such-file"]);
    let none = none.fails_with(3);
    assert!(none.stderr.contains("catalog backup"), "{}", none.stderr);
    let none = house.run(&["catalog", "restore", "pgkeep.toml"]);
    none.fails_with(2);
    // Among the first that it does.
    let served = house.serve();
    let copies = || {
        house
            .run(&["catalog", "copies", "--json"])
            .succeeds()
            .json()
    };
    wait_until("the repository holds a copy", || {
        !copies()["copies"].as_array().unwrap().is_empty()
    });
    let beside = house.run(&["catalog", "restore"]).fails_with(5);
    assert!(
        beside.stderr.contains("end `pgkeep serve`"),
        "{}",
        beside.stderr
    );
    assert_eq!(served.terminate(), 0);
    let later = house.run(&["backup", "--json"]).succeeds().json();

    // What holds something is not written over without the phrase.
    let whole = house.run(&["catalog", "restore", "--json"]).fails_with(8);
    assert!(whole.stdout.contains("--confirm"), "{}", whole.stdout);

    // Without its key file, or with another one, a copy is nothing, and no key is made.
    let (data, key_file) = (house.data(), house.data().join("catalog.key"));
    let key = std::fs::read(&key_file).unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    let lost = house.run(&["catalog", "restore"]).fails_with(6);
    for words in ["there is no key file", "pgkeep catalog rebuild"] {
        assert!(lost.stderr.contains(words), "{}", lost.stderr);
    }
    assert!(!data.exists());
    std::fs::create_dir(&data).unwrap();
    let other = format!("pgkeep-catalog-key:v1:{}\n", "A".repeat(43));
    std::fs::write(&key_file, other).unwrap();
    let lost = house.run(&["catalog", "restore"]).fails_with(6);
    assert!(lost.stderr.contains("holds the key"), "{}", lost.stderr);

    std::fs::write(&key_file, key).unwrap();
    let plan = house.run(&["catalog", "restore", "--dry-run", "--json"]);
    let plan = plan.succeeds().json();
    assert_eq!(
        (&plan["holds"]["users"], &plan["holds"]["apps"]),
        (&1.into(), &1.into())
    );
    assert_eq!(
        (&plan["restored"], &plan["replaces"]),
        (&false.into(), &().into())
    );
    assert!(
        !data.join("catalog.sqlite").exists(),
        "a dry run made a catalog"
    );
    let done = house.run(&["catalog", "restore"]).succeeds();
    for words in [
        "1 account",
        "comes back",
        "stays lost",
        "restored the catalog",
    ] {
        let shown = format!("{}{}", done.stderr, done.stdout);
        assert!(shown.contains(words), "{shown}");
    }
    house.run(&["audit", "verify"]).succeeds();
    let audit = house.run(&["audit", "list", "--json"]).succeeds().json();
    assert_eq!(audit["entries"][0]["action"], "catalog.restore");
    let policies = house.run(&["policy", "list", "--json"]).succeeds().json();
    assert_eq!(policies["policies"][0]["name"], "nightly");
    // A backup that is younger than the copy is listed all the same.
    let status = house.run(&["status", "--json"]).json();
    assert_eq!(status["apps"][0]["last_good"]["id"], later["id"]);
    let served = house.serve();
    assert!(!served.log().contains("setup token"), "{}", served.log());
    let login = json!({ "name": "ann", "password": PASSWORD });
    let answer = Asking::new(&served, "").without_token("POST", "/session", &login);
    assert_eq!(answer.status, 200);
    assert_eq!(served.terminate(), 0);

    // Going back with the phrase keeps what was there, as a copy like any other.
    let ben = ["user", "create", "ben", "--role", "viewer"];
    let ben = [&ben[..], &["--password-file", "password"]].concat();
    house.run(&ben).succeeds();
    let users = || {
        let list = house.run(&["user", "list", "--json"]).succeeds().json();
        let users = list["users"].as_array().unwrap().clone();
        let mut names: Vec<String> = users
            .iter()
            .map(|user| user["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort_unstable();
        names
    };
    let id = copies()["copies"][0]["id"].as_str().unwrap().to_owned();
    let back = ["catalog", "restore", "--copy", &id[..8], "--json"];
    let back = house.run(&[&back[..], &["--confirm", PHRASE]].concat());
    let back = back.succeeds().json();
    assert_eq!(users(), ["ann"]);
    let kept = back["kept"].as_str().unwrap();
    let again = house.run(&["catalog", "restore", kept, "--confirm", PHRASE]);
    again.succeeds();
    assert_eq!(users(), ["ann", "ben"]);
    house.run(&["audit", "verify"]).succeeds();
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

#[test]
fn a_catalog_in_postgresql_is_not_replaced_beneath_a_server_that_runs_no_jobs() {
    let house = House::new("workers = 0\n");
    house.shop.create_database("kept");
    let file = std::fs::read_to_string(house.pgkeep.path().join("pgkeep.toml")).unwrap();
    let place = house.shop.url_for("kept");
    house
        .pgkeep
        .write("pgkeep.toml", &format!("catalog = \"{place}\"\n{file}"));
    house.run(&["apply"]).succeeds();
    house.run(&["catalog", "backup", "copy"]).succeeds();
    let restore = ["catalog", "restore", "copy", "--confirm", PHRASE];
    let served = house.serve();
    let refused = house.run(&restore).fails_with(5);
    for words in [
        "a server works with this catalog",
        "end every `pgkeep serve`",
    ] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    served.kill9();
    house.run(&restore).succeeds();
    house.serve();
}
