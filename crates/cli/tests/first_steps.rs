//! What somebody meets who uses the binary for the first time: misspelt names, missing files, folders that are in use, and
//! answers that must not claim more than is known.

mod pgkeep;

use pgkeep::{
    Pgkeep, Run,
    scene::{PHRASE, Scene},
};
use std::{os::unix::fs::PermissionsExt, process::Command};

/// Runs with libpq's variables for the server alone, as on a machine where `PGHOST` is set for everybody.
fn run_with_server_only(scene: &Scene, args: &[&str]) -> Run {
    let url = scene.server.url();
    let host = url.split('@').nth(1).unwrap().split('/').next().unwrap();
    let (host, port) = host.split_once(':').unwrap();
    let mut command = scene.pgkeep.command(args);
    command
        .env("PGKEEP_REPO", "./backups")
        .env("PGHOST", host)
        .env("PGPORT", port)
        .env("PGUSER", "postgres");
    Run::of(&command.output().unwrap())
}

#[test]
fn a_misspelt_app_is_refused_instead_of_backing_up_something_else() {
    let scene = Scene::new();
    scene.pgkeep.write(
        "pgkeep.toml",
        "[app.shop]\ndatabases = [\"shop\"]\n[app.billing]\ndatabases = [\"billing\"]\n",
    );
    let run = run_with_server_only(&scene, &["backup", "--app", "shp"]).fails_with(2);
    assert!(run.stderr.contains("no app 'shp'"), "{}", run.stderr);
    assert!(
        run.stderr.contains("did you mean 'shop'?"),
        "{}",
        run.stderr
    );
    assert!(scene.backups().is_empty());
    run_with_server_only(&scene, &["backup", "--app", "shop"]).succeeds();
    run_with_server_only(&scene, &["backup", "--app", "other", "--dbname", "shop"]).succeeds();
    scene.run(&["backup", "--app", "third"]).succeeds();
    assert_eq!(scene.backups().len(), 3);
}

#[test]
fn a_server_without_a_database_is_not_enough_to_back_up() {
    let scene = Scene::new();
    let run = run_with_server_only(&scene, &["backup"]).fails_with(2);
    for way in ["--database-url", "DATABASE_URL", "pgkeep.toml"] {
        assert!(run.stderr.contains(way), "{}", run.stderr);
    }
    assert!(scene.backups().is_empty());
}

#[test]
fn an_empty_database_is_backed_up_with_a_warning() {
    let scene = Scene::new();
    scene.server.create_database("hollow");
    let run = scene.run(&["backup", "--dbname", "hollow"]).succeeds();
    assert!(
        run.stderr.contains("database hollow has no tables"),
        "{}",
        run.stderr
    );
    let whole = scene.run(&["backup"]).succeeds();
    assert!(!whole.stderr.contains("no tables"), "{}", whole.stderr);
}

#[test]
fn a_comparison_with_live_takes_the_app_and_all_its_databases() {
    let scene = Scene::new();
    scene.server.create_database("billing");
    scene
        .server
        .psql("billing", "CREATE TABLE invoice AS SELECT 1 AS id");
    scene.run(&["backup", "--app", "shop"]).succeeds();
    let both = ["--dbname", "shop", "--dbname", "billing"];
    scene
        .run(&[&["backup", "--app", "platform"][..], &both].concat())
        .succeeds();
    let diff = |args: &[&str]| {
        let args = [&["diff", "latest", "live", "--json"][..], args].concat();
        scene.run(&args)
    };
    diff(&[]).fails_with(2);
    assert_eq!(diff(&["--app", "shop"]).succeeds().json()["same"], true);

    scene
        .server
        .psql("billing", "INSERT INTO invoice VALUES (2)");
    let changed = diff(&["--app", "platform"]).succeeds().json();
    let databases = changed["databases"].as_array().unwrap();
    assert_eq!(databases.len(), 2, "{changed}");
    let billing = databases.iter().find(|db| db["name"] == "billing").unwrap();
    assert_eq!(billing["tables"][0]["rows_to"], 2);
    let only = diff(&["--app", "platform", "--database", "shop"]).succeeds();
    assert_eq!(only.json()["same"], true);

    scene.server.psql("postgres", "DROP DATABASE billing");
    let lost = diff(&["--app", "platform"]).succeeds().json();
    let left_out = lost["not_compared"][0].as_str().unwrap();
    assert!(left_out.starts_with("billing: "), "{left_out}");
}

#[test]
fn what_does_not_exist_exits_with_3_and_what_is_damaged_with_4() {
    let scene = Scene::new();
    scene.backup();
    scene.run(&["import", "nosuch.pgcustom"]).fails_with(3);
    scene
        .run(&["restore", "--table", "nonesuch", "--into", "side"])
        .fails_with(3);
    scene.run(&["key", "remove", "zzz"]).fails_with(3);
    let list = scene.run(&["list", "--app", "nosuch"]).succeeds();
    assert!(
        list.stderr.contains("no backup of app 'nosuch'") && list.stderr.contains("shop"),
        "{}",
        list.stderr
    );
    let missing = scene.run(&["show", "--app", "nosuch"]).fails_with(3);
    assert!(
        missing.stderr.contains("backups of shop"),
        "{}",
        missing.stderr
    );

    scene
        .run(&["export", "--output", "whole.pgcustom"])
        .succeeds();
    let whole = std::fs::read(scene.pgkeep.path().join("whole.pgcustom")).unwrap();
    for part in [1, 5, 9] {
        let cut = &whole[..whole.len() * part / 10];
        std::fs::write(scene.pgkeep.path().join("cut.pgcustom"), cut).unwrap();
        let run = scene.run(&["import", "cut.pgcustom"]).fails_with(4);
        assert!(
            run.stderr.contains("cut.pgcustom") && run.stderr.contains("directory, tar"),
            "{}",
            run.stderr
        );
    }
    assert_eq!(scene.backups().len(), 1);
}

#[test]
fn a_repository_is_made_only_in_a_place_of_its_own() {
    let pgkeep = Pgkeep::new();
    let run = pgkeep.run(&["list", "--repo", "./none"]).fails_with(6);
    assert!(
        run.stderr.contains("there is no repository at") && run.stderr.contains("pgkeep init"),
        "{}",
        run.stderr
    );
    std::fs::create_dir(pgkeep.path().join("used")).unwrap();
    pgkeep.write("used/letter.txt", "dear reader");
    let run = pgkeep.run(&["init", "--repo", "./used"]).fails_with(8);
    assert!(run.stderr.contains("letter.txt"), "{}", run.stderr);
    let names: Vec<_> = std::fs::read_dir(pgkeep.path().join("used"))
        .unwrap()
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");

    std::fs::create_dir(pgkeep.path().join("empty")).unwrap();
    let quiet = pgkeep
        .run(&["init", "-q", "--repo", "./empty", "--label", "first site"])
        .succeeds();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    let keys = pgkeep.run(&["key", "list", "--repo", "./empty"]).succeeds();
    assert!(keys.stdout.contains("first site"), "{}", keys.stdout);
}

#[test]
fn an_undo_keeps_to_the_names_and_times_of_its_plan() {
    let scene = Scene::new();
    let (id, _) = scene.backup();
    scene
        .run(&["restore", &id, "--replace", "--confirm", PHRASE])
        .succeeds();
    for _ in 0..2 {
        let run = scene.run(&["undo", "shop", "--confirm", PHRASE]).succeeds();
        let planned = run
            .stderr
            .lines()
            .find_map(|line| line.strip_prefix("keep the live one as"))
            .unwrap_or_else(|| panic!("no name in the plan: {}", run.stderr))
            .trim();
        assert!(scene.databases().contains(planned), "{planned}");
        assert!(run.stdout.contains(planned), "{}", run.stdout);
        assert!(run.stdout.contains("as it was until"), "{}", run.stdout);
        assert!(run.stdout.contains("kept until"), "{}", run.stdout);
    }
}

#[test]
fn answers_say_each_thing_once_and_in_their_place() {
    let scene = Scene::new();
    let (first, _) = scene.backup();
    scene.backup();
    let taken = scene.run(&["restore", "--into", "shop"]).fails_with(8);
    assert_eq!(
        taken.stderr.matches("exists already").count(),
        1,
        "{}",
        taken.stderr
    );
    let drill = scene
        .run(&["drill", "--assert", "SELECT nonsense FROM nowhere"])
        .fails_with(4);
    assert!(
        drill.stdout.contains("assertion could not run")
            && drill.stdout.contains("equal to its evidence"),
        "{}",
        drill.stdout
    );
    let state = scene.run(&["list"]).succeeds();
    assert!(!state.stdout.contains("drill failed"), "{}", state.stdout);
    let wrong = scene.run(&["drill", "--assert", "SELECT false"]);
    assert!(
        wrong.stdout.contains("assertion FAILED"),
        "{}",
        wrong.stdout
    );
    let forgotten = scene.run(&["forget", &first, "--yes"]).succeeds();
    assert_eq!(
        forgotten.stdout.matches("  remove ").count(),
        1,
        "{}",
        forgotten.stdout
    );
    assert!(
        !forgotten.stdout.contains("  keep "),
        "{}",
        forgotten.stdout
    );
    assert!(
        forgotten.stdout.contains("1 backup removed, 1 kept"),
        "{}",
        forgotten.stdout
    );
}

#[test]
fn a_mistyped_command_line_under_json_is_json() {
    let run = Pgkeep::new().run(&["list", "--json", "--lmit", "3"]);
    let error = &run.fails_with(2).json()["error"];
    assert_eq!(
        (&error["code"], &error["exit"]),
        (&"usage".into(), &2.into())
    );
    assert!(
        error["message"].as_str().unwrap().contains("--lmit"),
        "{error}"
    );
    let help = Pgkeep::new().run(&["list", "--json", "--help"]).succeeds();
    assert!(help.stdout.contains("Usage:"), "{}", help.stdout);
    let table = Pgkeep::new().run(&["help", "exit-codes"]).succeeds();
    assert!(!table.stdout.contains("Usage:"), "{}", table.stdout);
}

#[test]
fn a_password_in_the_file_is_warned_about_where_it_is_used() {
    let scene = Scene::new();
    scene.pgkeep.write(
        "pgkeep.toml",
        "[app.shop]\ndatabases = [\"postgres://app:geheim@127.0.0.1:1/shop\"]\n[repository.main]\naddress = \"./backups\"\n",
    );
    let list = scene.pgkeep.run(&["list"]).succeeds();
    assert!(!list.stderr.contains("plain text"), "{}", list.stderr);
    let backup = scene.pgkeep.run(&["backup"]).fails_with(7);
    assert_eq!(
        backup.stderr.matches("plain text").count(),
        1,
        "{}",
        backup.stderr
    );
}

#[test]
fn an_exported_folder_can_be_read_by_its_owner_alone() {
    let scene = Scene::new();
    scene.backup();
    let run = scene
        .run(&["export", "--format", "directory", "--output", "dump"])
        .succeeds();
    assert!(run.stdout.contains("SHA-256 of toc.dat"), "{}", run.stdout);
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let folder = scene.pgkeep.path().join("dump");
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&scene.pgkeep.path().join("dump.meta.json")), 0o600);
    for member in std::fs::read_dir(&folder).unwrap() {
        let member = member.unwrap().path();
        assert_eq!(mode(&member), 0o600, "{}", member.display());
    }
}

#[test]
fn an_imported_script_claims_no_counts_and_no_proof() {
    let scene = Scene::new();
    scene.backup();
    scene
        .run(&["export", "--format", "plain", "--output", "shop.sql.gz"])
        .succeeds();
    let import = scene
        .run(&["import", "shop.sql.gz", "--app", "script"])
        .succeeds();
    assert!(import.stdout.contains("not counted"), "{}", import.stdout);
    let show = scene.run(&["show", "--app", "script"]).succeeds();
    assert!(
        show.stdout.contains("script, not counted"),
        "{}",
        show.stdout
    );
    let restore = scene
        .run(&["restore", "--app", "script", "--into", "side"])
        .succeeds();
    let why = "an imported SQL script comes with no evidence";
    assert!(restore.stdout.contains(why), "{}", restore.stdout);
    assert!(scene.ask("side", "SELECT count(*) FROM orders") != "0");
    let drill = scene.run(&["drill", "--app", "script"]).fails_with(4);
    assert!(
        drill.stdout.contains(&format!("NOT PROVEN: {why}")),
        "{}",
        drill.stdout
    );
    let list = scene.run(&["list", "--app", "script"]).succeeds();
    assert!(!list.stdout.contains("drill failed"), "{}", list.stdout);
}

#[test]
fn a_list_tells_partial_backups_from_whole_ones() {
    let scene = Scene::new();
    scene.backup();
    scene
        .run(&["backup", "--exclude-table-data", "public.events"])
        .succeeds();
    let list = scene.run(&["list"]).succeeds();
    let states: Vec<bool> = list
        .stdout
        .lines()
        .skip(1)
        .map(|line| line.contains("stored, partial"))
        .collect();
    assert_eq!(states, [false, true], "{}", list.stdout);
}

#[test]
fn files_are_backed_up_without_a_database_listed_shown_and_compared() {
    let pgkeep = Pgkeep::new();
    let run = |args: &[&str]| pgkeep.run(args).succeeds();
    std::fs::create_dir(pgkeep.path().join("media")).expect("made");
    for name in ["kept.jpg", "scratch.tmp", "gone.jpg"] {
        pgkeep.write(&format!("media/{name}"), name);
    }
    pgkeep.write(
        "pgkeep.toml",
        "[defaults]\napp = \"shop\"\nrepository = \"./backups\"\n\n[[app.shop.files]]\nname = \"media\"\npath = \"media\"\nexclude = [\"*.tmp\"]\n",
    );
    run(&["init"]);
    let first = run(&["backup", "--kind", "files", "--json"]).json();
    assert_eq!(first["app"], "shop");
    assert_eq!(first["files"][0]["files"], 2);
    assert_eq!(first["databases"].as_array().map(Vec::len), Some(0));

    std::fs::remove_file(pgkeep.path().join("media/gone.jpg")).expect("removed");
    pgkeep.write("media/new.jpg", "new");
    // A folder that is named in the file keeps what the file says of it.
    let second = run(&[
        "backup",
        "--kind",
        "files",
        "--files",
        "media=./media",
        "--hash-files",
    ]);
    assert!(second.stdout.contains("media"), "{}", second.stdout);
    let list = run(&["list", "--kind", "files"]).stdout;
    assert_eq!(list.matches(" media ").count(), 2, "{list}");
    let shown = run(&["show"]).stdout;
    for words in ["files media", "2 files", "files/media", "digest"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let id = first["id"].as_str().expect("an id");
    let diff = run(&["diff", id, "latest"]).stdout;
    assert!(diff.contains("added    new.jpg"), "{diff}");
    assert!(diff.contains("removed  gone.jpg"), "{diff}");
    run(&["verify", "--read-data"]);

    let nothing = pgkeep.run(&["backup", "--kind", "files", "--files", "x=./nowhere"]);
    let nothing = nothing.fails_with(1);
    assert!(
        nothing.stderr.contains("no such file or directory"),
        "{}",
        nothing.stderr
    );
    let unnamed = pgkeep.run(&["backup", "--kind", "files", "--files", "/"]);
    assert!(unnamed.fails_with(2).stderr.contains("give it a name"));
}

/// An account that may set no owner gets the files all the same, and is told.
#[expect(
    clippy::disallowed_methods,
    reason = "the test is about the account of the process"
)]
#[test]
fn files_are_restored_by_an_account_that_is_not_root() {
    const NOBODY: u32 = 65_534;
    let pgkeep = Pgkeep::new();
    std::fs::create_dir(pgkeep.path().join("media")).expect("made");
    pgkeep.write("media/a.jpg", "a picture");
    pgkeep.write(
        "pgkeep.toml",
        "[defaults]\napp = \"shop\"\nrepository = \"./backups\"\n\n[[app.shop.files]]\nname = \"media\"\npath = \"media\"\n",
    );
    pgkeep.run(&["init"]).succeeds();
    pgkeep.run(&["backup", "--kind", "files"]).succeeds();
    let args = [
        "restore",
        "latest",
        "--files-only",
        "--files-into",
        "found",
        "--json",
    ];
    let mut command = pgkeep.child(&args);
    let root = rustix::process::geteuid().is_root();
    if root {
        let all = ["-R", "nobody", pgkeep.path().to_str().expect("UTF-8")];
        let given = Command::new("chown").args(all).status();
        assert!(given.expect("chown runs").success());
        let mut as_nobody = Command::new("setpriv");
        as_nobody
            .args(["--reuid=65534", "--clear-groups", "--"])
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(pgkeep.path())
            .env_clear()
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            );
        command = as_nobody;
    }
    let output = command.output();
    let report = Run::of(&output.expect("it runs")).succeeds().json();
    let tree = &report["trees"][0];
    assert_eq!(
        (&tree["proven"], &tree["owners"]),
        (&true.into(), &false.into()),
        "{report:#}"
    );
    assert_eq!(tree["odd"].as_array().map(Vec::len), Some(0), "{report:#}");
    let found = std::fs::metadata(pgkeep.path().join("found/a.jpg")).expect("there");
    if root {
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&found), NOBODY);
    }
}
