//! `pgkeep apply`: the catalog becomes what the file says, and nothing else is touched.

use crate::{house::holds, pgkeep::Pgkeep};
use serde_json::Value;

const FILE: &str = "\
[repository.main]
address = \"./backups\"
key = \"hunter2-of-the-repository\"

[app.shop]
databases = [\"postgres://backup:hunter2-of-the-database@db.example.com/shop\"]

[notify.chat]
channel = \"slack\"
url = \"https://hooks.example.com/hunter2-of-the-hook\"

[policy.nightly]
app = \"shop\"
schedule = { frequency = \"daily\", at = \"02:00\" }
retention = { days = 30 }
notify = [\"chat\"]
";

fn place(file: &str) -> Pgkeep {
    let pgkeep = Pgkeep::new();
    pgkeep.write("pgkeep.toml", file);
    pgkeep
}

fn run(pgkeep: &Pgkeep, args: &[&str]) -> crate::pgkeep::Run {
    let mut command = pgkeep.command(args);
    command.env("PGKEEP_DATA_DIR", pgkeep.path().join("data"));
    crate::pgkeep::Run::of(&command.output().unwrap())
}

fn steps(answer: &Value) -> Vec<String> {
    let steps = answer["steps"].as_array().unwrap();
    steps
        .iter()
        .map(|step| {
            let word = |name: &str| step[name].as_str().unwrap().to_owned();
            format!("{} {} {}", word("action"), word("object"), word("name"))
        })
        .collect()
}

#[test]
fn applying_twice_changes_nothing() {
    let pgkeep = place(FILE);
    let first = run(&pgkeep, &["apply", "--json"]).succeeds().json();
    assert_eq!(
        steps(&first),
        [
            "create repository main",
            "create notify chat",
            "create app shop",
            "create policy nightly"
        ]
    );
    assert_eq!(first["applied"], true);
    let second = run(&pgkeep, &["apply", "--json"]).succeeds().json();
    assert_eq!(steps(&second), Vec::<String>::new());
    assert_eq!(
        (&second["unchanged"], &second["applied"]),
        (&4.into(), &false.into())
    );
    let again = run(&pgkeep, &["apply"]).succeeds();
    assert!(again.stdout.contains("nothing to do"), "{}", again.stdout);
}

#[test]
fn a_dry_run_shows_everything_and_makes_nothing() {
    let pgkeep = place(FILE);
    let plan = run(&pgkeep, &["apply", "--dry-run", "--json"]).succeeds();
    assert_eq!(steps(&plan.json()).len(), 4);
    assert!(
        !pgkeep.path().join("data").exists(),
        "a dry run made a catalog"
    );
    run(&pgkeep, &["app", "list"]).fails_with(3);
}

#[test]
fn changes_and_removals_follow_the_file_and_what_others_made_stays() {
    let pgkeep = place(FILE);
    run(&pgkeep, &["apply"]).succeeds();
    run(
        &pgkeep,
        &[
            "policy",
            "create",
            "extra",
            "--app",
            "shop",
            "--weekly",
            "--weekday",
            "sunday",
        ],
    )
    .succeeds();
    let edited = FILE
        .replace("02:00", "03:30")
        .replace("notify = [\"chat\"]\n", "");
    let without_chat = edited.split("[notify.chat]").next().unwrap().to_owned()
        + "[policy.nightly]"
        + edited.split("[policy.nightly]").nth(1).unwrap();
    pgkeep.write("pgkeep.toml", &without_chat);
    let unasked = run(&pgkeep, &["apply", "--json"]).fails_with(8);
    for said in ["- delete", "nobody is there to be asked", "add --yes"] {
        assert!(unasked.stderr.contains(said), "{}", unasked.stderr);
    }
    let plan = run(&pgkeep, &["apply", "--yes", "--json"])
        .succeeds()
        .json();
    assert_eq!(
        steps(&plan),
        ["update policy nightly", "delete notify chat"]
    );
    let changes = plan["steps"][0]["changes"].to_string();
    assert!(changes.contains("schedule.at: 02:00 → 03:30"), "{changes}");
    assert_eq!(plan["left_alone"][0], "policy extra");
    let pruned = run(&pgkeep, &["apply", "--prune", "--yes", "--json"])
        .succeeds()
        .json();
    assert_eq!(steps(&pruned), ["delete policy extra"]);

    // The audit log says it in the words of the API, under the app that it is about.
    let audit = run(&pgkeep, &["audit", "list", "--json"]).succeeds().json();
    let entries = audit["entries"].as_array().unwrap();
    let mut found: Vec<(&str, &str, Option<&str>)> = entries
        .iter()
        .filter(|entry| entry["reason"] == "pgkeep apply")
        .map(|entry| {
            let word = |name: &str| entry[name].as_str();
            (
                word("action").unwrap(),
                word("object").unwrap(),
                word("app"),
            )
        })
        .collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            ("app.put", "app/shop", Some("shop")),
            ("policy.delete", "policy/extra", Some("shop")),
            ("policy.put", "policy/nightly", Some("shop")),
            ("policy.put", "policy/nightly", Some("shop")),
            ("repository.put", "repository/main", None),
            ("target.delete", "target/chat", None),
            ("target.put", "target/chat", None),
        ]
    );
}

#[test]
fn secrets_are_shown_nowhere_and_a_changed_one_is_called_changed() {
    let pgkeep = place(FILE);
    let mut shown = String::new();
    let mut look = |args: &[&str]| {
        let run = run(&pgkeep, args).succeeds();
        shown.push_str(&run.stdout);
        shown.push_str(&run.stderr);
    };
    look(&["apply"]);
    pgkeep.write("pgkeep.toml", &FILE.replace("hunter2", "hunter3"));
    look(&["apply", "--dry-run"]);
    look(&["apply", "--json"]);
    for args in [
        &["app", "show", "shop"][..],
        &["repository", "show", "main", "--json"],
        &["repository", "list"],
        &["notify", "list"],
        &["audit", "list", "--json"],
    ] {
        look(args);
    }
    assert!(!shown.contains("hunter"), "{shown}");
    assert!(shown.contains("key: written anew"), "{shown}");
    for place in [
        "[notify.chat] holds its url in plain text",
        "[repository.main] holds its key",
        "[app.shop] holds its databases",
    ] {
        assert!(shown.contains(place), "{place}: {shown}");
    }
    assert!(
        !holds(&pgkeep.path().join("data"), "hunter"),
        "the catalog holds a secret as it is"
    );
}

#[test]
fn what_a_file_gets_wrong_is_told_before_anything_is_done() {
    for (wrong, word) in [
        (
            FILE.replace("app = \"shop\"", "app = \"shpo\""),
            "did you mean 'shop'?",
        ),
        (FILE.replace("\"02:00\"", "\"25:00\""), "schedule.at"),
        (
            FILE.replace("frequency", "frequencies"),
            "unknown key 'frequencies' in [policy.nightly.schedule]",
        ),
        (
            FILE.replace("channel = \"slack\"", "channel = \"slack\"\nhost = \"x\""),
            "unknown key 'host' in [notify.chat]",
        ),
        (
            FILE.replace("retention", "kind = \"files\"\nretention"),
            "app shop has none: describe them as [[app.shop.files]]",
        ),
    ] {
        let pgkeep = place(&wrong);
        let run = run(&pgkeep, &["apply"]).fails_with(2);
        assert!(run.stderr.contains(word), "{word}: {}", run.stderr);
        assert!(!pgkeep.path().join("data").exists());
    }
}
