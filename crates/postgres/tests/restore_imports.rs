//! Restoring plain SQL that pg_dump, or anyone, wrote.

mod restore_support;

use pgkeep_model::{
    CancelToken, Silent,
    manifest::{DatabaseContent, DatabaseManifest, Member, MemberContent, Segment},
};
use pgkeep_postgres::{
    Error,
    restore::{self, DirectorySource, RestoreOptions, RestoreSummary},
};
use pgkeep_testkit::TestPostgres;
use restore_support::{at, mark, tools};
use std::path::Path;

/// A backup that holds nothing but a script.
fn script_backup(folder: &Path, script: &str) -> DatabaseManifest {
    std::fs::write(folder.join("dump.sql"), script).expect("written");
    let size = script.len() as u64;
    let member = Member {
        file: "dump.sql".into(),
        what: MemberContent::Script,
        size,
        segments: vec![Segment {
            bytes: size,
            chunks: 1,
            rows: None,
            blocks: None,
        }],
    };
    DatabaseManifest {
        name: "imported".into(),
        path: "databases/imported".into(),
        content: DatabaseContent::Plain,
        server: Default::default(),
        properties: pgkeep_model::manifest::DatabaseProperties {
            encoding: "UTF8".into(),
            collate: "C".into(),
            ctype: "C".into(),
            locale_provider: "libc".into(),
            connection_limit: -1,
            allow_connections: true,
            ..Default::default()
        },
        evidence: Default::default(),
        members: vec![member],
        excluded_data: vec![],
        only_schemas: vec![],
        warnings: vec![],
        migrations: vec![],
        taken_over_from: None,
        mark: None,
    }
}

fn restore_script(
    server: &TestPostgres,
    name: &str,
    script: &str,
) -> Result<RestoreSummary, Error> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let manifest = script_backup(folder.path(), script);
    let (admin, cancel) = (at(server, "postgres"), CancelToken::new());
    restore::create_database(
        &admin,
        name,
        &manifest.properties,
        &Default::default(),
        &mark(name),
        &cancel,
    )?;
    restore::restore_into(
        &admin.with_dbname(name),
        &manifest,
        &DirectorySource::new(folder.path()),
        &tools(server.major()),
        &RestoreOptions::default(),
        &cancel,
        &Silent,
    )
}

#[test]
fn a_plain_dump_is_restored_in_one_transaction() {
    let server = TestPostgres::start(15);
    server.create_database("source");
    server.psql(
        "source",
        "CREATE TABLE t AS SELECT i, 'row ' || i AS label FROM generate_series(1, 5000) i",
    );
    let dump = server
        .client("pg_dump")
        .args(["-d", &server.dsn_for("source")])
        .output()
        .expect("pg_dump")
        .stdout;
    let script = String::from_utf8(dump).expect("text");
    restore_script(&server, "copy", &script).expect("restored");
    assert_eq!(
        server.pg_dump_schema("copy"),
        server.pg_dump_schema("source")
    );
    assert_eq!(server.psql("copy", "SELECT count(*) FROM t"), "5000");

    let broken = script.replace("row 4999", "row\t4999\textra");
    let error = restore_script(&server, "broken", &broken).expect_err("a bad row");
    assert!(error.to_string().contains("extra data"), "{error}");
    assert_eq!(
        server.psql(
            "broken",
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        ),
        "0"
    );
}

#[test]
fn a_script_cannot_leave_its_database() {
    let server = TestPostgres::start(15);
    let script = "CREATE TABLE t (a int);\n\\connect postgres\nCREATE TABLE trespass (a int);\n";
    let error = restore_script(&server, "copy", script).expect_err("refused");
    assert!(error.to_string().contains("\\connect postgres"), "{error}");
    assert_eq!(
        server.psql("postgres", "SELECT to_regclass('trespass') IS NULL"),
        "t"
    );
}
