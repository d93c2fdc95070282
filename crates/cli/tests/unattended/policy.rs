//! `pgkeep policy` on a catalog that no server works on at the moment.

use crate::pgkeep::{Pgkeep, Run};

struct Desk {
    pgkeep: Pgkeep,
}

impl Desk {
    fn new() -> Self {
        let desk = Desk {
            pgkeep: Pgkeep::new(),
        };
        desk.pgkeep.write(
            "pgkeep.toml",
            "[repository.main]\naddress = \"./backups\"\n[app.shop]\ndatabases = [\"postgres://db.example.com/shop\"]\n",
        );
        desk.run(&["apply"]).succeeds();
        desk
    }

    fn run(&self, args: &[&str]) -> Run {
        let mut command = self.pgkeep.command(args);
        command.env("PGKEEP_DATA_DIR", self.pgkeep.path().join("data"));
        Run::of(&command.output().unwrap())
    }
}

#[test]
fn a_nightly_policy_is_made_changed_switched_and_removed() {
    let desk = Desk::new();
    let args = [
        "policy",
        "create",
        "nightly",
        "--app",
        "shop",
        "--daily",
        "--at",
        "2:00",
        "--time-zone",
        "Europe/Berlin",
        "--keep-days",
        "30",
        "--keep-weekly",
        "4",
    ];
    let made = desk.run(&args).succeeds();
    assert!(
        made.stdout.contains("daily at 02:00 (Europe/Berlin)"),
        "{}",
        made.stdout
    );
    desk.run(&args).fails_with(8);
    let edited = desk
        .run(&["policy", "edit", "nightly", "--at", "03:30", "--json"])
        .succeeds()
        .json();
    let definition = &edited["definition"];
    assert_eq!(definition["schedule"]["at"], "03:30");
    assert_eq!(definition["schedule"]["time_zone"], "Europe/Berlin");
    assert_eq!(definition["retention"]["days"], 30);
    assert_eq!(definition["retention"]["keep"]["weekly"], 4);
    // A time that comes from the schedule alone is no promise.
    for (shown, command) in [("next run", "list"), ("next run", "show"), ("", "next")] {
        let name: &[&str] = if command == "list" { &[] } else { &["nightly"] };
        let told = desk.run(&[&["policy", command], name].concat()).succeeds();
        assert!(told.stdout.contains(shown), "{}", told.stdout);
        assert!(
            told.stderr
                .contains("no worker is alive; start `pgkeep serve`"),
            "{}",
            told.stderr
        );
        let told = desk.run(&[&["policy", command, "--json"], name].concat());
        let note = told.succeeds().json()["not_at_present"].clone();
        assert!(
            note.as_str().unwrap().contains("no worker is alive"),
            "{note}"
        );
    }
    desk.run(&["policy", "disable", "nightly"]).succeeds();
    let list = desk.run(&["policy", "list"]).succeeds();
    assert!(list.stdout.contains("off"), "{}", list.stdout);
    assert!(!list.stderr.contains("worker"), "{}", list.stderr);
    let shown = desk
        .run(&["policy", "enable", "nightly", "--json"])
        .succeeds()
        .json();
    assert_eq!(shown["definition"]["enabled"], true);
    let unasked = desk.run(&["policy", "delete", "nightly"]).fails_with(8);
    assert!(unasked.stderr.contains("add --yes"), "{}", unasked.stderr);
    desk.run(&["policy", "delete", "nightly", "--yes"])
        .succeeds();
    desk.run(&["policy", "show", "nightly"]).fails_with(3);
}

#[test]
fn the_next_ten_runs_are_told_with_their_zone() {
    let desk = Desk::new();
    let args = [
        "policy",
        "create",
        "nightly",
        "--app",
        "shop",
        "--daily",
        "--at",
        "02:00",
        "--time-zone",
        "Asia/Kathmandu",
    ];
    desk.run(&args).succeeds();
    let next = desk.run(&["policy", "next", "nightly"]).succeeds();
    let runs: Vec<&str> = next
        .stdout
        .lines()
        .filter(|line| line.ends_with("02:00 +05:45 Asia/Kathmandu"))
        .collect();
    assert_eq!(runs.len(), 10, "{}", next.stdout);
    let three = desk
        .run(&["policy", "next", "nightly", "--count", "3", "--json"])
        .succeeds()
        .json();
    assert_eq!(three["runs"].as_array().unwrap().len(), 3);
}

#[test]
fn five_ready_policies_are_made_once() {
    let desk = Desk::new();
    let made = desk
        .run(&["policy", "defaults", "shop", "--json"])
        .succeeds()
        .json();
    assert_eq!(made["policies"].as_array().unwrap().len(), 5);
    let again = desk
        .run(&["policy", "defaults", "shop", "--json"])
        .succeeds()
        .json();
    assert_eq!(again["policies"].as_array().unwrap().len(), 0);
    assert_eq!(again["kept"].as_array().unwrap().len(), 5);
    let names = desk.run(&["policy", "list"]).succeeds().stdout;
    for name in [
        "production_daily_full",
        "production_weekly_export",
        "production_monthly_archive",
        "production_database_hourly",
        "production_pre_deployment",
    ] {
        assert!(names.contains(name), "{names}");
    }
    desk.run(&["policy", "defaults", "nobody"]).fails_with(3);
}

#[test]
fn a_script_is_asked_nothing_and_told_what_is_missing() {
    let desk = Desk::new();
    for (args, word) in [
        (
            &["policy", "create", "--app", "shop", "--daily"][..],
            "has no name",
        ),
        (&["policy", "create", "x", "--app", "shop"], "how often"),
        (
            &[
                "policy",
                "create",
                "x",
                "--app",
                "shop",
                "--daily",
                "--time-zone",
                "Europe/Atlantis",
            ],
            "time_zone",
        ),
        (
            &[
                "policy", "create", "x", "--app", "shop", "--cron", "whenever",
            ],
            "cron",
        ),
        (
            &["policy", "create", "x", "--app", "shpo", "--daily"],
            "shpo",
        ),
        (
            &["policy", "create", "x", "--daily", "--weekly"],
            "--weekly",
        ),
    ] {
        let run = desk.run(args).fails_with(2);
        assert!(run.stderr.contains(word), "{word}: {}", run.stderr);
    }
}

#[test]
fn without_a_worker_a_run_is_refused_and_reading_goes_on() {
    let desk = Desk::new();
    desk.run(&["policy", "create", "now", "--app", "shop", "--on-demand"])
        .succeeds();
    let run = desk.run(&["policy", "run", "now"]).fails_with(5);
    assert!(run.stderr.contains("no worker"), "{}", run.stderr);
    let status = desk.run(&["status"]).fails_with(11);
    assert!(
        status.stdout.contains("shop has no good backup"),
        "{}",
        status.stdout
    );
    desk.run(&["queue", "pause"]).succeeds();
    let queue = desk.run(&["queue", "status", "--json"]).succeeds().json();
    assert_eq!(queue["paused"], true);
    desk.run(&["queue", "resume"]).succeeds();
    desk.run(&["audit", "verify"]).succeeds();
}

#[test]
fn without_a_catalog_the_hint_says_how_to_get_one() {
    let pgkeep = Pgkeep::new();
    let run = pgkeep
        .run(&["policy", "list", "--data-dir", "./data"])
        .fails_with(3);
    assert!(run.stderr.contains("pgkeep serve"), "{}", run.stderr);
    assert!(!pgkeep.path().join("data").exists());
}
