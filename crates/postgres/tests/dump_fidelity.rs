//! A dump equals pg_dump's own, and stock pg_restore makes the same database of it.

mod dump_support;

use dump_support::{Dump, at, pg_restore, split_small, tools};
use pgkeep_model::{
    CancelToken, Silent,
    evidence::{Proof, compare},
};
use pgkeep_postgres::{
    archive::{self, Toc},
    dump::{self, DirectorySink, DumpOptions},
};
use pgkeep_testkit::{ShopSize, TestPostgres};
use std::{collections::BTreeMap, fs, path::Path};

/// Entries by dump id, without the dependencies that we add to pg_dump's (on other tables' rows).
fn comparable(toc: &Toc) -> Vec<archive::Entry> {
    let mut entries = toc.entries.clone();
    entries.sort_by_key(|e| e.dump_id);
    for entry in entries.iter_mut().filter(|e| e.is("TABLE DATA")) {
        entry.dependencies.truncate(1);
    }
    entries
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .expect("a folder")
        .map(|file| {
            let file = file.expect("an entry");
            let name = file.file_name().into_string().expect("plain names");
            (name, fs::read(file.path()).expect("a readable file"))
        })
        .filter(|(name, _)| name != "toc.dat")
        .collect()
}

/// Compares with `pg_dump -Fd -Z0`: entries, file names and every byte of every file.
fn check_equal_to_pg_dump(server: &TestPostgres, database: &str, options: &DumpOptions) {
    let ours = Dump::of(server, database, options);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let theirs = folder.path().join("theirs");
    let output = server
        .client("pg_dump")
        .args(["-Fd", "-Z0", "-f"])
        .arg(&theirs)
        .arg("-d")
        .arg(server.dsn_for(database))
        .output()
        .expect("pg_dump runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let bytes = fs::read(theirs.join("toc.dat")).expect("pg_dump's toc.dat");
    let toc = archive::read_directory_toc(bytes.as_slice()).expect("a readable toc.dat");
    assert_eq!(
        archive::write_directory_toc(&toc),
        bytes,
        "round trip of toc.dat"
    );
    let written = fs::read(ours.path().join("toc.dat")).expect("our toc.dat");
    let reread = archive::read_directory_toc(written.as_slice()).expect("our toc.dat is readable");
    assert_eq!(&reread, ours.toc());
    assert_eq!(comparable(&reread), comparable(&toc));

    let (ours_files, theirs_files) = (files(&ours.path()), files(&theirs));
    assert_eq!(
        ours_files.keys().collect::<Vec<_>>(),
        theirs_files.keys().collect::<Vec<_>>()
    );
    for (name, content) in &theirs_files {
        assert!(&ours_files[name] == content, "{database}: {name} differs");
    }
}

/// Restores with stock pg_restore and compares schema text and evidence.
fn check_restores(server: &TestPostgres, database: &str, options: &DumpOptions) {
    let dump = Dump::of(server, database, options);
    let schema = server.pg_dump_schema(database);
    for jobs in [1, 4] {
        let copy = format!("{database}_copy_{jobs}");
        pg_restore(server, &copy, &dump.path(), jobs);
        assert!(
            server.pg_dump_schema(&copy) == schema,
            "{copy}: the schema differs"
        );
        let again = Dump::of(server, &copy, options);
        let (expected, found) = (
            &dump.dumped.manifest.evidence,
            &again.dumped.manifest.evidence,
        );
        let differences = compare(expected, found, Proof::Full);
        assert!(differences.is_empty(), "{copy}: {differences:#?}");
        assert_eq!(expected.schema_sha256, found.schema_sha256, "{copy}");
        assert!(expected.rows() > 0);
    }
}

fn check(major: u32) {
    let server = TestPostgres::start(major);
    server.load_everything("everything");
    check_equal_to_pg_dump(&server, "everything", &split_small());
    check_restores(&server, "everything", &split_small());
    server.load_shop("shop", ShopSize::TINY);
    check_equal_to_pg_dump(&server, "shop", &DumpOptions::default());
    check_restores(&server, "shop", &split_small());
}

#[test]
fn a_dump_of_15_equals_pg_dumps_and_restores_with_pg_restore() {
    check(15);
}

#[test]
fn a_dump_of_17_equals_pg_dumps_and_restores_with_pg_restore() {
    check(17);
}

#[test]
fn a_dump_of_18_equals_pg_dumps_and_restores_with_pg_restore() {
    check(18);
}

/// The way of an upgrade: the newer major's programs dump the older server, roles go first, then the database.
#[test]
fn a_dump_of_15_by_the_programs_of_17_restores_into_17() {
    let (old, new) = (TestPostgres::start(15), TestPostgres::start(17));
    old.load_everything("everything");
    new.provide_sample_extension();
    let cancel = CancelToken::new();
    let dump = |server: &TestPostgres, to: &Path| {
        let sink = DirectorySink::create(to).expect("a new folder");
        let frozen = dump::freeze(&at(server, "everything"), &split_small(), &cancel, &Silent)
            .expect("frozen");
        let dumped =
            dump::dump_database(&frozen, &tools(17), &sink, &split_small(), &cancel, &Silent)
                .expect("dumped");
        sink.assemble(&dumped).expect("assembled");
        dumped
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let before = dump(&old, &folder.path().join("before"));
    assert_eq!(before.toc.header.version.1, 16);

    let globals = DirectorySink::create(folder.path().join("globals")).expect("a new folder");
    let done =
        dump::dump_globals(&at(&old, "everything"), &tools(17), &globals, &cancel).expect("dumped");
    let script = globals
        .folder()
        .join(format!("segment-{}.part", done.token));
    let roles: String = fs::read_to_string(script)
        .expect("a script")
        .lines()
        .filter(|line| {
            !line.contains(&format!("ROLE {}", old.superuser())) && !line.contains("TABLESPACE")
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    new.psql("postgres", &roles);
    pg_restore(&new, "everything", &folder.path().join("before"), 2);
    let after = dump(&new, &folder.path().join("after"));
    let differences = compare(
        &before.manifest.evidence,
        &after.manifest.evidence,
        Proof::Full,
    );
    assert!(differences.is_empty(), "{differences:#?}");
}
