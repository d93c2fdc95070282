//! The binary without any database: what it says when it is told too little, too much, or something wrong.

mod pgkeep;

use pgkeep::Pgkeep;

#[test]
fn mistakes_on_the_command_line_exit_with_2() {
    let pgkeep = Pgkeep::new();
    for args in [
        &["bakcup"][..],
        &["backup", "--jobs", "0"],
        &["restore", "--replace", "--into", "x"],
        &["backup", "--compression", "99"],
    ] {
        pgkeep.run(args).fails_with(2);
    }
}

#[test]
fn without_a_repository_the_hint_names_every_way_to_give_one() {
    let run = Pgkeep::new().run(&["list"]).fails_with(2);
    for way in ["--repo", "PGKEEP_REPO", "BACKUPS_DIR", "pgkeep.toml"] {
        assert!(run.stderr.contains(way), "{}", run.stderr);
    }
}

#[test]
fn errors_under_json_are_one_document_on_standard_output() {
    let run = Pgkeep::new().run(&["list", "--json"]).fails_with(2);
    let error = &run.json()["error"];
    assert_eq!(error["code"], "usage");
    assert_eq!(error["exit"], 2);
    assert!(error["message"].as_str().unwrap().contains("no repository"));
    assert!(error["hint"].is_string());
}

#[test]
fn an_unknown_key_in_the_file_is_refused_with_line_and_nearest_key() {
    let pgkeep = Pgkeep::new();
    pgkeep.write("pgkeep.toml", "[repository.main]\naddres = \"./backups\"\n");
    let run = pgkeep.run(&["list"]).fails_with(2);
    assert!(
        run.stderr
            .contains("pgkeep.toml:2: unknown key 'addres' in [repository.main]"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("did you mean 'address'?"),
        "{}",
        run.stderr
    );
}

#[test]
fn config_show_tells_each_source_and_no_secret() {
    let pgkeep = Pgkeep::new();
    pgkeep.write(
        "pgkeep.toml",
        "[app.shop]\ndatabases = [\"postgres://app:geheim@db/shop\"]\n[repository.main]\naddress = \"./backups\"\nkey = \"geheim\"\n",
    );
    let run = pgkeep
        .command(&["config", "show", "--json"])
        .env("DB_ADMIN_URL", "postgres://root:geheim@db/postgres")
        .output()
        .unwrap();
    let run = pgkeep::Run::of(&run).succeeds();
    assert!(
        !run.stdout.contains("geheim") && !run.stderr.contains("geheim"),
        "{}{}",
        run.stdout,
        run.stderr
    );
    let settings = run.json()["settings"].as_array().unwrap().clone();
    let source = |name: &str| {
        settings
            .iter()
            .find(|s| s["name"] == name)
            .map(|s| s["source"].as_str().unwrap().to_owned())
    };
    assert_eq!(source("admin_url").as_deref(), Some("DB_ADMIN_URL"));
    assert!(source("repository").unwrap().ends_with("pgkeep.toml"));
    assert_eq!(source("compression").as_deref(), Some("default"));
    assert!(run.stderr.contains("plain text"), "{}", run.stderr);
}

#[test]
fn a_password_on_the_command_line_is_warned_about() {
    let run = Pgkeep::new()
        .run(&[
            "backup",
            "--database-url",
            "postgres://app:geheim@127.0.0.1:1/shop",
        ])
        .fails_with(2);
    assert!(
        run.stderr.contains("can be seen by every user"),
        "{}",
        run.stderr
    );
    assert!(!run.stderr.contains("geheim"), "{}", run.stderr);
}

#[test]
fn help_shows_the_table_of_exit_codes() {
    let run = Pgkeep::new().run(&["help", "exit-codes"]).succeeds();
    assert!(run.stdout.contains("130  cancelled"), "{}", run.stdout);
    let run = Pgkeep::new().run(&["exit-codes"]).succeeds();
    assert!(run.stdout.contains("130  cancelled"), "{}", run.stdout);
}

#[test]
fn completions_are_written_for_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            Pgkeep::new()
                .run(&["completions", shell])
                .succeeds()
                .stdout
                .contains("pgkeep")
        );
    }
}

#[test]
fn init_makes_a_private_key_that_later_commands_find() {
    use std::os::unix::fs::PermissionsExt;
    let pgkeep = Pgkeep::new();
    let made = pgkeep
        .run(&["init", "--repo", "./backups", "--json"])
        .succeeds();
    let key_file = made.json()["key_file"].as_str().unwrap().to_owned();
    assert_eq!(
        std::fs::metadata(&key_file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let key = std::fs::read_to_string(&key_file).unwrap();
    assert!(!made.stdout.contains(key.trim()) && !made.stderr.contains(key.trim()));
    let listed = pgkeep
        .run(&["list", "--repo", "./backups", "--json"])
        .succeeds();
    assert_eq!(listed.json()["backups"].as_array().unwrap().len(), 0);
    let kit = pgkeep.run(&["key", "kit", "--repo", "backups/"]).succeeds();
    assert!(
        kit.stdout.contains(key.trim()) && kit.stdout.contains("restic"),
        "{}",
        kit.stdout
    );
    let again = pgkeep.run(&["init", "--repo", "./backups"]);
    assert_ne!(again.code, 0);
}

#[test]
fn a_wrong_key_and_a_folder_that_is_no_repository_exit_with_6() {
    let pgkeep = Pgkeep::new();
    pgkeep.run(&["init", "--repo", "./backups"]).succeeds();
    let wrong = pgkeep
        .command(&["list", "--repo", "./backups"])
        .env("BACKUP_ENCRYPTION_KEY", "wrong")
        .output()
        .unwrap();
    pgkeep::Run::of(&wrong).fails_with(6);
    let none = pgkeep
        .command(&["list", "--repo", "./nothing"])
        .env("BACKUP_ENCRYPTION_KEY", "any")
        .output()
        .unwrap();
    let none = pgkeep::Run::of(&none).fails_with(6);
    assert!(none.stderr.contains("init"), "{}", none.stderr);
}

#[test]
fn keys_are_added_removed_and_rotated() {
    let pgkeep = Pgkeep::new();
    pgkeep.run(&["init", "--repo", "./backups"]).succeeds();
    let repo = |args: &[&str]| pgkeep.run(&[args, &["--repo", "./backups"]].concat());
    repo(&[
        "key",
        "add",
        "--new-key-file",
        "second.key",
        "--label",
        "second site",
    ])
    .succeeds();
    repo(&["list", "--key-file", "second.key"]).succeeds();
    let keys = repo(&["key", "list", "--json"]).succeeds().json()["keys"]
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(keys.len(), 2);
    let current = keys.iter().find(|k| k["current"] == true).unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_ne!(
        repo(&["key", "remove", &current]).code,
        0,
        "the key in use must not be removed"
    );
    repo(&["key", "rotate"]).succeeds();
    let after = repo(&["key", "list", "--json"]).succeeds();
    assert!(
        !after.stdout.contains(&current),
        "the old key still opens the repository"
    );
    repo(&["list"]).succeeds();
    repo(&["list", "--key-file", "second.key"]).succeeds();
}
