//! Nothing is locked in: stock tools get everything back, and exports are files that they read.

mod support;

use pgkeep_engine::{
    catalog::{self, ListFilter},
    export::{self, ExportFormat, ExportRequest, ExportTarget},
    import::{self, ImportRequest},
    recovery,
};
use pgkeep_model::evidence::{self, DatabaseEvidence, Difference, Proof, TableEvidence};
use pgkeep_postgres::{prove, tools::Tools};
use pgkeep_testkit::{ShopSize, TestPostgres, cache_dir};
use std::{
    path::{Path, PathBuf},
    process::Command,
};
use support::{PASSWORD, Place, connect, into, restore_request};

fn restic_programs() -> Vec<PathBuf> {
    let newer = cache_dir().join("restic/bin/restic");
    assert!(
        newer.is_file(),
        "{} is not installed: run `make setup`",
        newer.display()
    );
    vec![PathBuf::from("restic"), newer]
}

#[allow(clippy::disallowed_methods)] // stock programs are what is tested here
fn run(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env("RESTIC_PASSWORD", PASSWORD)
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.status.success(),
        "{} {arguments:?}: {text}",
        program.display()
    );
    text
}

/// Few rows in few partitions: all are on their way at once, and nothing holds the trigger back in one parallel run.
const EAGER: &str = "\
    CREATE SCHEMA eager; \
    CREATE TABLE eager.fired (id bigserial PRIMARY KEY); \
    CREATE FUNCTION eager.fire() RETURNS trigger LANGUAGE plpgsql AS \
        $$ BEGIN INSERT INTO eager.fired DEFAULT VALUES; RETURN NULL; END $$; \
    CREATE TABLE eager.zone (k int) PARTITION BY LIST (k); \
    CREATE TABLE eager.zone_0 PARTITION OF eager.zone FOR VALUES IN (0); \
    CREATE TABLE eager.zone_1 PARTITION OF eager.zone FOR VALUES IN (1); \
    CREATE TABLE eager.zone_2 PARTITION OF eager.zone FOR VALUES IN (2); \
    INSERT INTO eager.zone SELECT g % 3 FROM generate_series(1, 300) AS g; \
    CREATE TRIGGER eager AFTER INSERT ON eager.zone FOR EACH ROW EXECUTE FUNCTION eager.fire()";

#[test]
fn stock_tools_recover_a_backup() {
    let server = TestPostgres::start(15);
    server.load_everything("everything");
    server.psql("everything", EAGER);
    let place = Place::new();
    place.backup(&server, "everything");
    for (n, restic) in restic_programs().iter().enumerate() {
        run(
            restic,
            &["-r", &place.path(), "--no-cache", "check", "--read-data"],
        );
        let out = place.folder.path().join(format!("out{n}"));
        let out_text = out.display().to_string();
        run(
            restic,
            &[
                "-r",
                &place.path(),
                "--no-cache",
                "restore",
                "latest",
                "--target",
                &out_text,
            ],
        );
        let dump = out.join("databases/everything").display().to_string();
        let name = format!("stock_{n}");
        server.create_database(&name);
        // The very lines that the recovery kit and the README of a package hold.
        let variables = format!(
            "PATH='{}':\"$PATH\" PGHOST='{}' PGPORT={} PGUSER=postgres",
            server.bin_dir().display(),
            server.socket_dir().display(),
            server.port()
        );
        for line in recovery::stock_restore(&name, &dump) {
            let line = format!("{variables} {line}");
            run(Path::new("/bin/sh"), &["-c", &line]);
        }
        assert_eq!(
            server.pg_dump_schema("everything"),
            server.pg_dump_schema(&name)
        );
        assert_eq!(differences(&place, &server, &name), [], "{name}");
        let globals = std::fs::read_to_string(out.join("globals.sql")).expect("roles are stored");
        assert!(globals.contains("CREATE ROLE"));
    }
}

#[test]
fn exports_of_every_format_are_taken_in_again() {
    let server = TestPostgres::start(15);
    server.load_everything("everything");
    let place = Place::new();
    let original = place.backup(&server, "everything");
    for format in [
        ExportFormat::Custom,
        ExportFormat::Directory,
        ExportFormat::Tar,
        ExportFormat::Plain,
    ] {
        let report = export::run(
            &place.repository,
            &ExportRequest {
                backup: original.id.clone(),
                app: None,
                database: None,
                format,
            },
            &ExportTarget::Folder(place.folder.path().join("exports")),
            &place.context,
        )
        .unwrap_or_else(|e| panic!("{format:?}: {e}"));
        let path = report.path.expect("a file");
        assert!(report.meta_path.expect("beside it").is_file());
        if format != ExportFormat::Plain {
            let text = path.display().to_string();
            let listing = run(&server.bin_dir().join("pg_restore"), &["-l", &text]);
            assert!(listing.contains("TABLE DATA"));
        }
        let other = Place::new();
        let taken = import::run(&other.repository, &import_request(&path), &other.context)
            .unwrap_or_else(|e| panic!("{format:?}: {e}"));
        if format != ExportFormat::Plain {
            // All but the extension's configuration tables, of which no file tells which rows it carries.
            let (before, after) = (evidence(&place), evidence(&other));
            let of_extension = |t: &TableEvidence| t.name.schema == "sample_extension";
            let expected: Vec<_> = before.tables.iter().filter(|t| !of_extension(t)).collect();
            assert!(
                after
                    .tables
                    .iter()
                    .map(|t| (&t.name, t.content))
                    .eq(expected.iter().map(|t| (&t.name, t.content)))
            );
            assert!(
                taken
                    .warnings
                    .iter()
                    .any(|w| w.contains("sample_extension.setting")),
                "{:?}",
                taken.warnings
            );
        }
        let name = format!("again_{format:?}").to_lowercase();
        let restored = other.restore(&restore_request(&server, into(&name)));
        assert!(
            format == ExportFormat::Plain || restored.proof.proven(),
            "{:?}",
            restored.proof
        );
        assert_eq!(
            server.pg_dump_schema("everything"),
            server.pg_dump_schema(&name),
            "{format:?}"
        );
        // A file that lost its end must never become a backup.
        if path.is_file() {
            let whole = std::fs::read(&path).expect("own file");
            let cut = place.folder.path().join("cut");
            std::fs::write(&cut, &whole[..whole.len() * 6 / 10]).expect("own folder");
            let refused = import::run(&other.repository, &import_request(&cut), &other.context);
            assert!(refused.is_err(), "{format:?} cut at 60 % was taken in");
        }
    }
}

/// What a database holds otherwise than the newest backup, every row looked at.
fn differences(place: &Place, server: &TestPostgres, database: &str) -> Vec<Difference> {
    let latest = catalog::show(&place.repository, "latest", &ListFilter::default());
    let expected = &latest.expect("a backup").manifest.databases[0];
    let found = prove::collect(
        &connect(server, database),
        expected,
        &Tools::for_dump(server.major(), &place.context.tool_dirs).expect("installed"),
        2,
        Proof::Full,
        &place.context.cancel,
        &*place.context.progress,
    );
    evidence::compare(&expected.evidence, &found.expect("read"), Proof::Full)
}

fn evidence(place: &Place) -> DatabaseEvidence {
    let detail =
        catalog::show(&place.repository, "latest", &ListFilter::default()).expect("a backup");
    detail.manifest.databases[0].evidence.clone()
}

fn import_request(path: &Path) -> ImportRequest {
    ImportRequest {
        path: path.to_path_buf(),
        app: "shop".into(),
        environment: String::new(),
        database: None,
        description: String::new(),
        tags: Vec::new(),
        compression_level: 1,
        max_bytes: None,
        origin: pgkeep_engine::catalog::Origin::default(),
    }
}

#[test]
fn a_file_that_is_no_dump_is_refused() {
    let place = Place::new();
    let file = place.folder.path().join("notes.sql");
    for content in ["", "just some text\n", "CREATE TABLE t ();\n"] {
        std::fs::write(&file, content).expect("own folder");
        let refused = import::run(&place.repository, &import_request(&file), &place.context);
        assert!(refused.is_err(), "{content:?} was taken in");
    }
}

#[test]
fn a_second_backup_of_the_same_data_adds_next_to_nothing() {
    let server = TestPostgres::start(17);
    server.load_shop("shop", ShopSize::SMALL);
    let place = Place::new();
    let first = place.backup(&server, "shop");
    let second = place.backup(&server, "shop");
    assert_eq!(first.evidence_digest, second.evidence_digest);
    assert!(
        second.bytes_added * 100 < first.bytes_added,
        "{} bytes were added after {}",
        second.bytes_added,
        first.bytes_added
    );
}

#[test]
fn a_damaged_snapshot_file_does_not_hide_the_other_backups() {
    let server = TestPostgres::start(15);
    server.load_shop("shop", ShopSize::TINY);
    let place = Place::new();
    let first = place.backup(&server, "shop");
    let second = place.backup(&server, "shop");
    let file = place.folder.path().join("repo/snapshots").join(&second.id);
    let mut bytes = std::fs::read(&file).expect("stored");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("own file");
    std::fs::write(&file, bytes).expect("own file");

    let listed = catalog::list(&place.repository, &ListFilter::default()).expect("a list");
    assert_eq!(
        listed.iter().map(|e| &e.id).collect::<Vec<_>>(),
        [&first.id]
    );
    let problems = catalog::unreadable(&place.repository).expect("a list");
    assert!(
        problems.len() == 1 && problems[0].contains(&second.id),
        "{problems:?}"
    );
    let report = place.restore(&restore_request(&server, into("again")));
    assert!(report.proof.proven());
}

#[test]
fn latest_must_be_of_one_app() {
    let server = TestPostgres::start(15);
    server.load_shop("shop", ShopSize::TINY);
    let place = Place::new();
    place.backup(&server, "shop");
    let other = pgkeep_engine::backup::BackupRequest {
        app: "billing".into(),
        ..support::backup_request(&server, "shop")
    };
    let billing =
        pgkeep_engine::backup::run(&place.repository, &other, &place.context).expect("backup");
    let any = ListFilter::default();
    let error = catalog::find(&place.repository, "latest", &any).expect_err("two apps, which one?");
    assert!(error.message.contains("billing, shop"), "{error}");
    let filter = ListFilter {
        app: Some("billing".into()),
        ..any
    };
    assert_eq!(
        catalog::find(&place.repository, "latest", &filter)
            .expect("one app")
            .id,
        billing.id
    );
}
