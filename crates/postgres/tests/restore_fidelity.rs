//! A restored database is the database that was backed up, on every supported major and from an older to a newer one.

mod restore_support;

use pgkeep_postgres::{dump::DumpOptions, restore::RestoreOptions};
use pgkeep_testkit::{ShopSize, TestPostgres};
use restore_support::Backup;

fn assert_same_schema(
    source: &TestPostgres,
    database: &str,
    target: &TestPostgres,
    restored: &str,
) {
    let tools = target.major();
    let expected = source.pg_dump_schema_by(tools, database);
    assert_same_text(&expected, &target.pg_dump_schema_by(tools, restored));
}

/// Shows the first lines that only one side has, not two whole schemas.
fn assert_same_text(expected: &str, found: &str) {
    if expected == found {
        return;
    }
    let only = |one: &str, other: &str, sign: &str| -> Vec<String> {
        let there: std::collections::HashSet<&str> = other.lines().collect();
        let alone = one.lines().filter(|line| !there.contains(line));
        alone
            .take(10)
            .map(|line| format!("{sign} {line}"))
            .collect()
    };
    let (lost, added) = (only(expected, found, "-"), only(found, expected, "+"));
    panic!("schemas differ:\n{}\n{}", lost.join("\n"), added.join("\n"));
}

fn everything_is_restored(major: u32) {
    let server = TestPostgres::start(major);
    server.load_everything("everything");
    let backup = Backup::of(&server, "everything");
    let done = backup.restore(&server, "again", &RestoreOptions::default());
    assert_eq!(done.left_out, Vec::<String>::new());
    assert_eq!(done.rows, backup.manifest.evidence.rows());
    assert_same_schema(&server, "everything", &server, "again");
    backup.assert_proven(&server, "again");
}

#[test]
fn every_kind_of_object_survives_on_15() {
    everything_is_restored(15);
}

#[test]
fn every_kind_of_object_survives_on_17() {
    everything_is_restored(17);
}

#[test]
fn every_kind_of_object_survives_on_18() {
    everything_is_restored(18);
}

fn shop_is_restored(from: u32, to: u32, skewed: bool) {
    let source = TestPostgres::start(from);
    source.load_shop(
        "shop",
        ShopSize {
            skewed,
            ..ShopSize::SMALL
        },
    );
    // Small ranges, so that tables come in several segments.
    let options = DumpOptions {
        split_above_bytes: 1 << 20,
        ..Default::default()
    };
    let backup = Backup::with(&source, "shop", &options);
    let upgraded = (from != to).then(|| TestPostgres::start(to));
    let target = upgraded.as_ref().unwrap_or(&source);
    let done = backup.restore(
        target,
        "again",
        &RestoreOptions {
            vacuum: true,
            ..Default::default()
        },
    );
    assert_eq!(done.rows, backup.manifest.evidence.rows());
    restore_by_stock_tools(&source, "shop", target, "stock", &[]);
    assert_same_schema(target, "stock", target, "again");
    backup.assert_proven(target, "again");
}

/// What pg_dump and pg_restore make of it: a newer server words some definitions otherwise, whoever restores them.
fn restore_by_stock_tools(
    source: &TestPostgres,
    database: &str,
    target: &TestPostgres,
    name: &str,
    flags: &[&str],
) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("dump");
    let dump = source
        .client("pg_dump")
        .args(["-Fc", "-d", &source.dsn_for(database), "-f"])
        .arg(&file)
        .status();
    assert!(dump.expect("pg_dump starts").success());
    target.create_database(name);
    let restore = target
        .client("pg_restore")
        .args(["-e", "-d", &target.dsn_for(name)])
        .args(flags)
        .arg(&file)
        .status();
    assert!(restore.expect("pg_restore starts").success());
}

#[test]
fn a_shop_survives_on_15() {
    shop_is_restored(15, 15, true);
}

#[test]
fn a_shop_survives_the_way_from_15_to_17() {
    shop_is_restored(15, 17, false);
}

#[test]
fn a_shop_survives_the_way_from_15_to_18() {
    shop_is_restored(15, 18, true);
}

fn everything_is_upgraded(to: u32) {
    let (source, target) = (TestPostgres::start(15), TestPostgres::start(to));
    source.load_everything("everything");
    target.provide_sample_extension();
    let globals = String::from_utf8(
        source
            .client("pg_dumpall")
            .args(["--globals-only", "-d", &source.dsn()])
            .output()
            .expect("pg_dumpall")
            .stdout,
    )
    .expect("text");
    let globals = globals.replace("CREATE ROLE postgres;", "");
    let roles: String = globals
        .lines()
        .filter(|l| !l.contains("TABLESPACE") && !l.starts_with('\\'))
        .map(|l| format!("{l}\n"))
        .collect();
    target.psql("postgres", &roles);
    let backup = Backup::of(&source, "everything");
    backup.restore(
        &target,
        "again",
        &RestoreOptions {
            no_tablespaces: true,
            ..Default::default()
        },
    );
    restore_by_stock_tools(
        &source,
        "everything",
        &target,
        "stock",
        &["--no-tablespaces"],
    );
    assert_same_schema(&target, "stock", &target, "again");
    backup.assert_proven(&target, "again");
}

#[test]
fn every_kind_of_object_survives_the_way_from_15_to_17() {
    everything_is_upgraded(17);
}

#[test]
fn every_kind_of_object_survives_the_way_from_15_to_18() {
    everything_is_upgraded(18);
}

/// Everything is dropped and made again inside the live database.
fn everything_is_restored_in_place(major: u32) {
    let server = TestPostgres::start(major);
    server.load_everything("everything");
    let backup = Backup::of(&server, "everything");
    let schema = server.pg_dump_schema("everything");
    server.psql(
        "everything",
        "CREATE TABLE app.later (a int); CREATE VIEW public.later AS SELECT * FROM app.later",
    );
    pgkeep_postgres::restore::restore_in_place(
        &restore_support::at(&server, "everything"),
        &backup.manifest,
        &backup.source(),
        &restore_support::tools(major),
        &RestoreOptions::default(),
        &|_| Ok(()),
        &pgkeep_model::CancelToken::new(),
        &pgkeep_model::Silent,
    )
    .unwrap_or_else(|e| panic!("restoring in place: {e}"));
    assert_same_text(&schema, &server.pg_dump_schema("everything"));
    backup.assert_proven(&server, "everything");
}

#[test]
fn every_kind_of_object_survives_in_place_on_15() {
    everything_is_restored_in_place(15);
}

#[test]
fn every_kind_of_object_survives_in_place_on_18() {
    everything_is_restored_in_place(18);
}
