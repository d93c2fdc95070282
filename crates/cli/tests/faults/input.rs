//! Bad input: each gets its exit code, a message that says what failed on what, and a hint; nothing is changed.

use crate::pgkeep::{Pgkeep, Run, scene::Scene};
use pgkeep_testkit::TestPostgres;
use std::fmt::Write;

/// What happened in each case, as one text to approve.
struct Cases {
    text: String,
    hidden: Vec<(String, &'static str)>,
}

impl Cases {
    fn add(&mut self, what: &str, run: &Run) {
        let mut shown = run.stderr.clone();
        for (found, name) in &self.hidden {
            shown = shown.replace(found, name);
        }
        // The plan comes before the failure; what failed is the last.
        let from = shown.find("error:").unwrap_or(0);
        assert!(run.code != 0, "{what} succeeded: {run:?}");
        writeln!(
            self.text,
            "## {what}\nexit {}\n{}",
            run.code,
            &shown[from..]
        )
        .unwrap();
    }
}

#[test]
fn every_bad_input_has_a_code_a_message_and_a_hint() {
    let scene = Scene::on(TestPostgres::builder(15).hba("scram-sha-256").start());
    scene.server.psql(
        "shop",
        "CREATE ROLE reader LOGIN PASSWORD 'reader'; GRANT USAGE ON SCHEMA public, reporting TO reader; \
         GRANT SELECT ON ALL TABLES IN SCHEMA public, reporting TO reader; GRANT SELECT ON ALL SEQUENCES IN SCHEMA public, reporting TO reader; \
         CREATE ROLE guarded LOGIN PASSWORD 'guarded'; GRANT reader TO guarded; REVOKE SELECT ON orders FROM reader",
    );
    let (id, _) = scene.backup();
    let port = scene.server.port();
    let url = |user: &str| format!("postgresql://{user}:{user}@127.0.0.1:{port}/shop");
    let mut cases = Cases {
        text: String::new(),
        hidden: vec![
            (port.to_string(), "[port]"),
            (scene.pgkeep.path().display().to_string(), "[folder]"),
            (id[..8].to_owned(), "[backup]"),
        ],
    };
    let with_url = |url: &str| {
        let mut command = scene.pgkeep.command(&["backup"]);
        command
            .env("PGKEEP_REPO", "./backups")
            .env("DATABASE_URL", url);
        Run::of(&command.output().unwrap())
    };

    cases.add(
        "wrong password",
        &with_url(&format!("postgresql://reader:wrong@127.0.0.1:{port}/shop")),
    );
    cases.add(
        "no password",
        &with_url(&format!("postgresql://reader@127.0.0.1:{port}/shop")),
    );
    cases.add(
        "server down",
        &with_url("postgresql://postgres@127.0.0.1:1/shop"),
    );
    cases.add(
        "unknown database",
        &with_url(&scene.server.url_for("nosuch")),
    );
    cases.add("no privilege on a table", &with_url(&url("reader")));
    scene.server.psql(
        "shop",
        "GRANT SELECT ON orders TO reader; ALTER TABLE products ENABLE ROW LEVEL SECURITY",
    );
    cases.add("row security", &with_url(&url("guarded")));
    scene
        .server
        .psql("shop", "ALTER TABLE products DISABLE ROW LEVEL SECURITY");

    std::fs::create_dir(scene.pgkeep.path().join("empty")).unwrap();
    cases.add("no client programs", &without_client_programs(&scene));
    for name in ["pg_dump", "pg_dumpall", "pg_restore"] {
        let program = scene.pgkeep.path().join("empty").join(name);
        std::fs::write(&program, "#!/bin/sh\necho \"$0 (PostgreSQL) 9.6.24\"\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).unwrap();
    }
    cases.add(
        "client programs that are too old",
        &without_client_programs(&scene),
    );

    scene
        .pgkeep
        .write("other.key", "this key was never the repository's");
    cases.add(
        "wrong key",
        &scene.run(&["list", "--key-file", "./other.key"]),
    );
    cases.add(
        "no such key file",
        &scene.run(&["list", "--key-file", "./none.key"]),
    );
    cases.add(
        "not a repository",
        &scene.run(&["list", "--repo", "./empty", "--key-file", "./other.key"]),
    );
    cases.add(
        "no such folder",
        &scene.run(&["list", "--repo", "./nowhere", "--key-file", "./other.key"]),
    );
    cases.add("a repository already", &scene.run(&["init"]));
    cases.add(
        "no such backup",
        &scene.run(&["restore", "ffffffff", "--into", "side"]),
    );
    cases.add(
        "target exists",
        &scene.run(&["restore", &id, "--into", "shop"]),
    );
    cases.add("not confirmed", &scene.run(&["restore", &id, "--replace"]));
    cases.add(
        "confirmed in other words",
        &scene.run(&["restore", &id, "--replace", "--confirm", "yes"]),
    );
    cases.add(
        "replaced without proof",
        &scene.run(&["restore", &id, "--replace", "--prove", "none"]),
    );
    cases.add("no mode", &scene.run(&["restore", &id]));
    cases.add(
        "no such table",
        &scene.run(&["restore", &id, "--into", "side", "--table", "public.nosuch"]),
    );
    cases.add(
        "no such schema",
        &scene.run(&["backup", "--schema", "nosuch"]),
    );
    cases.add(
        "nothing to undo",
        &scene.run(&["undo", "shop", "--confirm", crate::pgkeep::scene::PHRASE]),
    );

    assert_eq!(
        scene.backups(),
        [id.as_str()],
        "a failed backup was published"
    );
    assert!(!scene.databases().contains("side"));
    let nowhere = Pgkeep::new();
    cases.add(
        "no database named",
        &Run::of(
            &nowhere
                .command(&["backup"])
                .env("PGKEEP_REPO", "./x")
                .output()
                .unwrap(),
        ),
    );
    cases.add("no repository named", &nowhere.run(&["list"]));
    for case in cases.text.split("## ").skip(1) {
        assert!(case.contains("\nhint: "), "no hint: {case}");
    }
    insta::assert_snapshot!("bad_input", cases.text);
}

#[test]
fn a_target_that_lacks_a_role_or_an_extension_is_told_before_anything_is_made() {
    let scene = Scene::new();
    let share = scene.ask(
        "postgres",
        "SELECT setting FROM pg_config WHERE name = 'SHAREDIR'",
    );
    let extension = ExtensionFiles::write(&share);
    scene.server.psql(
        "shop",
        &format!(
            "CREATE ROLE shopkeeper; ALTER TABLE orders OWNER TO shopkeeper; CREATE EXTENSION {}",
            extension.name
        ),
    );
    let (id, _) = scene.backup();
    let other = TestPostgres::start(15);
    let to_other = |more: &[&str]| {
        scene.run(
            &[
                &[
                    "restore",
                    &id,
                    "--into",
                    "side",
                    "--admin-url",
                    &other.url(),
                ],
                more,
            ]
            .concat(),
        )
    };

    let no_role = to_other(&[]).fails_with(8);
    assert!(no_role.stderr.contains("shopkeeper"), "{}", no_role.stderr);
    assert!(
        no_role.stderr.contains("--no-owner") || no_role.stderr.contains("CREATE ROLE"),
        "{}",
        no_role.stderr
    );
    other.psql("postgres", "CREATE ROLE shopkeeper");
    to_other(&["--dry-run"]).succeeds();

    let name = extension.name.clone();
    drop(extension);
    let no_extension = to_other(&[]).fails_with(8);
    assert!(
        no_extension.stderr.contains(&name) && no_extension.stderr.contains("hint:"),
        "{}",
        no_extension.stderr
    );
    assert_eq!(
        other.psql(
            "postgres",
            "SELECT count(*) FROM pg_database WHERE datname = 'side'"
        ),
        "0"
    );
}

/// A backup with no other client programs than those in the folder `empty`: the usual places are covered, for this
/// process alone.
fn without_client_programs(scene: &Scene) -> Run {
    let script = "for place in /usr/lib/postgresql /usr/pgsql-* /usr/libexec/postgresql* /usr/local/pgsql*; do \
        test ! -d $place || mount -t tmpfs none $place || exit 99; done; \
        cd \"$1\" && PATH= exec \"$2\" backup --bin-dir ./empty";
    let output = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(scene.pgkeep.path())
        .arg(env!("CARGO_BIN_EXE_pgkeep"))
        .env_clear()
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .env("HOME", scene.pgkeep.path())
        .env("PGKEEP_CACHE", scene.pgkeep.path().join("empty"))
        .envs(scene.environment())
        .output()
        .expect("the program unshare is there");
    let run = Run::of(&output);
    assert!(
        run.code == 7,
        "this test covers folders for one process, which takes root: {run:?}"
    );
    run
}

/// An extension that is there for as long as this value lives.
struct ExtensionFiles {
    name: String,
    files: Vec<std::path::PathBuf>,
}

impl ExtensionFiles {
    fn write(share: &str) -> Self {
        let name = format!("pgkeep_passing_{}", std::process::id());
        let file = |ending: &str, text: &str| {
            let path = std::path::Path::new(share)
                .join("extension")
                .join(format!("{name}{ending}"));
            std::fs::write(&path, text)
                .unwrap_or_else(|e| panic!("{}: {e}; run the tests as root", path.display()));
            path
        };
        let files = vec![
            file(".control", "default_version = '1.0'\nrelocatable = true\n"),
            file(
                "--1.0.sql",
                "CREATE FUNCTION passing() RETURNS int LANGUAGE sql AS 'SELECT 1';\n",
            ),
        ];
        Self { name, files }
    }
}

impl Drop for ExtensionFiles {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
    }
}

#[test]
fn a_restore_that_differs_from_its_evidence_is_never_put_in_place() {
    let scene = Scene::new();
    // Building the index writes rows: what is restored is not what was backed up.
    scene.server.psql(
        "shop",
        "CREATE TABLE audit (at bigint); CREATE TABLE audited (id bigint); \
         CREATE FUNCTION note(n bigint) RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.audit VALUES (n); END $$; \
         CREATE FUNCTION noted(n bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM public.note(n); RETURN n; END $$; \
         CREATE INDEX ON audited (noted(id)); INSERT INTO audited SELECT generate_series(1, 10)",
    );
    let (id, _) = scene.backup();
    scene.server.psql("shop", "DELETE FROM orders");
    let databases = scene.databases();
    let live = scene.fingerprint("shop");
    let differs = scene
        .run(&[
            "restore",
            &id,
            "--replace",
            "--confirm",
            crate::pgkeep::scene::PHRASE,
            "--json",
        ])
        .fails_with(4);
    assert_eq!(differs.json()["error"]["code"], "not_proven");
    assert!(
        differs.stderr.contains("public.audit"),
        "{}",
        differs.stderr
    );
    assert!(
        differs.stderr.contains("expected 10, found"),
        "{}",
        differs.stderr
    );
    assert!(
        differs.stderr.contains("shop is as it was"),
        "{}",
        differs.stderr
    );
    assert!(differs.stderr.contains("hint:"), "{}", differs.stderr);
    assert_eq!(scene.databases(), databases);
    assert_eq!(scene.fingerprint("shop"), live);
    scene.run(&["drill", &id]).fails_with(4);
    assert_eq!(scene.databases(), databases);
}
