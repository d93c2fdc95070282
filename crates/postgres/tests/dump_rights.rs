//! What a dump needs, what it says when it may not have it, and what it can be limited to.

mod dump_support;

use dump_support::{Dump, at, dump_to_nothing, pg_restore, resolve, split_small, tools, words};
use pgkeep_model::{
    CancelToken, Silent,
    evidence::{Proof, QualifiedName, compare},
};
use pgkeep_postgres::{
    Error,
    dump::{self, DirectorySink, DumpOptions, DumpSink},
};
use pgkeep_testkit::TestPostgres;
use std::fs;

const MAJOR: u32 = 15;

fn server() -> TestPostgres {
    let server = TestPostgres::start(MAJOR);
    server.create_database("db");
    server.psql(
        "db",
        "CREATE ROLE reader LOGIN PASSWORD 'r'; CREATE SCHEMA shop; \
         CREATE TABLE shop.orders (id serial PRIMARY KEY, what text); INSERT INTO shop.orders (what) VALUES ('a'), ('b'); \
         CREATE TABLE shop.log AS SELECT n FROM generate_series(1, 100) n; \
         CREATE TABLE public.other AS SELECT 1 AS n",
    );
    server
}

fn as_reader(server: &TestPostgres) -> Result<dump::DumpedDatabase, pgkeep_postgres::Error> {
    let url = format!("postgresql://reader:r@127.0.0.1:{}/db", server.port());
    dump_to_nothing(
        &resolve(&url),
        &tools(MAJOR),
        &split_small(),
        &CancelToken::new(),
        &Silent,
    )
}

#[test]
fn a_table_that_may_not_be_read_is_named_with_the_grant_that_mends_it() {
    let server = server();
    let error = words(&as_reader(&server).expect_err("not allowed"));
    assert!(
        error.contains("shop.orders") && error.contains("as reader"),
        "{error}"
    );
    assert!(
        error.contains("GRANT SELECT ON ALL TABLES IN SCHEMA"),
        "{error}"
    );
    server.psql("db", "GRANT pg_read_all_data TO reader");
    let dumped = as_reader(&server).expect("allowed now");
    assert_eq!(dumped.manifest.evidence.rows(), 103);
}

#[test]
fn rows_hidden_by_row_security_are_an_error_and_not_left_out() {
    let server = server();
    server.psql(
        "db",
        "GRANT pg_read_all_data TO reader; ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY; \
         CREATE POLICY one ON shop.orders USING (id = 1)",
    );
    let error = words(&as_reader(&server).expect_err("not whole"));
    assert!(
        error.contains("row level security hides rows of table shop.orders"),
        "{error}"
    );
    assert!(error.contains("BYPASSRLS"), "{error}");
    server.psql("db", "ALTER ROLE reader BYPASSRLS");
    assert_eq!(
        as_reader(&server)
            .expect("allowed now")
            .manifest
            .evidence
            .rows(),
        103
    );
}

#[test]
fn globals_hold_password_hashes_only_for_a_superuser() {
    let server = server();
    let globals = |url: &str| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let sink = DirectorySink::create(folder.path()).expect("an empty folder");
        let done = dump::dump_globals(&resolve(url), &tools(MAJOR), &sink, &CancelToken::new())
            .expect("dumped");
        let text = fs::read_to_string(folder.path().join(format!("segment-{}.part", done.token)))
            .expect("text");
        assert_eq!(done.bytes, text.len() as u64);
        text
    };
    // The name would be taken for a connection string, and for a URL's query.
    server.create_database("a=b'c?d");
    let all = globals(&server.url_for("a=b'c?d"));
    assert!(
        all.contains("CREATE ROLE reader") && all.contains("SCRAM-SHA-256"),
        "{all}"
    );
    let some = globals(&format!(
        "postgresql://reader:r@127.0.0.1:{}/db",
        server.port()
    ));
    assert!(
        some.contains("CREATE ROLE reader") && !some.contains("SCRAM-SHA-256"),
        "{some}"
    );
}

#[test]
fn rows_and_schemas_can_be_left_out_by_pattern() {
    let server = server();
    let options = DumpOptions {
        exclude_table_data: vec!["shop.l*".into()],
        schemas: vec!["shop".into()],
        ..split_small()
    };
    let dump = Dump::of(&server, "db", &options);
    let manifest = &dump.dumped.manifest;
    assert_eq!(manifest.excluded_data, [QualifiedName::new("shop", "log")]);
    assert_eq!(manifest.only_schemas, ["shop"]);
    let tables: Vec<String> = manifest
        .evidence
        .tables
        .iter()
        .map(|t| t.name.to_string())
        .collect();
    assert_eq!(tables, ["shop.orders"]);
    pg_restore(&server, "copy", &dump.path(), 1);
    assert_eq!(
        server.psql("copy", "SELECT (SELECT count(*) FROM shop.orders), (SELECT count(*) FROM shop.log), to_regclass('public.other')"),
        "2|0|"
    );
}

#[test]
fn a_pattern_that_matches_nothing_is_an_error_that_names_what_may_be_meant() {
    let server = server();
    server.psql(
        "db",
        "CREATE TABLE \"Audit\" AS SELECT 1 AS n; CREATE TABLE log AS SELECT 1 AS n",
    );
    let freeze = |tables: &[&str], schemas: &[&str]| {
        let options = DumpOptions {
            exclude_table_data: tables.iter().map(|t| t.to_string()).collect(),
            schemas: schemas.iter().map(|s| s.to_string()).collect(),
            ..DumpOptions::default()
        };
        dump::freeze(&at(&server, "db"), &options, &CancelToken::new(), &Silent)
    };
    let check = |tables: &[&str], schemas: &[&str], what: &str, hint: &str| {
        let error = freeze(tables, schemas).expect_err("nothing matches");
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        let words = words(&error);
        assert!(words.contains(what) && words.contains(hint), "{words}");
    };
    check(&["nosuch"], &[], "no table matches nosuch", "lower case");
    // Folded to lower case, and in no schema on the search path.
    let meant = "did you mean \"public\".\"Audit\"?";
    check(&["other", "Audit"], &[], "no table matches Audit", meant);
    let meant = "did you mean \"shop\".\"orders\"?";
    check(&["orders"], &[], "no table matches orders", meant);
    let meant = "did you mean \"shop\"?";
    check(&[], &["public", "Shp"], "no schema matches Shp", meant);
    freeze(&["\"Audit\"", "shop.o*", "log"], &["s*"]).expect("all match");
}

#[test]
fn a_pattern_without_a_schema_leaves_out_what_pg_dump_leaves_out() {
    let server = server();
    server.psql("db", "CREATE TABLE public.log AS SELECT 1 AS n");
    let excluded = |server: &TestPostgres| {
        let options = DumpOptions {
            exclude_table_data: vec!["log".into()],
            ..split_small()
        };
        let dump = Dump::of(server, "db", &options);
        let manifest = dump.dumped.manifest;
        let stored = manifest.evidence.tables.into_iter().map(|t| t.name);
        (manifest.excluded_data, stored.collect::<Vec<_>>())
    };
    let [public, shop] = ["public", "shop"].map(|schema| QualifiedName::new(schema, "log"));
    let (left_out, stored) = excluded(&server);
    assert_eq!(left_out, std::slice::from_ref(&public));
    assert!(
        stored.contains(&shop) && !stored.contains(&public),
        "{stored:?}"
    );
    server.psql("db", "ALTER DATABASE db SET search_path = shop, public");
    let (left_out, stored) = excluded(&server);
    assert_eq!(left_out, std::slice::from_ref(&shop));
    assert!(
        stored.contains(&public) && !stored.contains(&shop),
        "{stored:?}"
    );
}

#[test]
fn another_encoding_is_kept_byte_by_byte_and_named_rightly() {
    let server = TestPostgres::start(MAJOR);
    server.psql(
        "postgres",
        "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
    );
    server.psql(
        "latin",
        "SET client_encoding = 'UTF8'; CREATE TABLE \"größe\" (\"maß\" text, id serial); INSERT INTO \"größe\" VALUES ('äöü'), ('ÿ'), ('plain')",
    );
    let dump = Dump::of(&server, "latin", &split_small());
    let evidence = &dump.dumped.manifest.evidence;
    assert_eq!(
        evidence.tables[0].name,
        QualifiedName::new("public", "größe")
    );
    assert_eq!(evidence.tables[0].columns, "\"maß\", id");
    assert_eq!(
        evidence.sequences[0].name,
        QualifiedName::new("public", "größe_id_seq")
    );
    assert_eq!(evidence.sequences[0].last_value, 3);
    let file = dump
        .dumped
        .manifest
        .members
        .iter()
        .find(|m| m.file.ends_with(".dat") && m.file != "toc.dat");
    let rows = fs::read(dump.path().join(&file.expect("a table").file)).expect("the rows");
    assert_eq!(rows, b"\xe4\xf6\xfc\t1\n\xff\t2\nplain\t3\n\\.\n\n\n");

    let mut restore = server.client("pg_restore");
    server.psql(
        "postgres",
        "CREATE DATABASE copy ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
    );
    let output = restore
        .args(["-e", "-d"])
        .arg(server.dsn_for("copy"))
        .arg(dump.path())
        .output()
        .expect("runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let copy = Dump::of(&server, "copy", &split_small());
    assert_eq!(
        compare(evidence, &copy.dumped.manifest.evidence, Proof::Full),
        []
    );
}

#[test]
fn settings_of_role_and_database_change_nothing_in_the_dump() {
    let server = server();
    server.psql(
        "db",
        "CREATE TABLE odd AS SELECT now() AS t, interval '1 day 2 hours' AS i, 1.0::float8 / 3 AS f, '\\x00ff'::bytea AS b, \
           date '2024-02-03' AS d",
    );
    let before = Dump::of(&server, "db", &split_small());
    server.psql(
        "db",
        "ALTER DATABASE db SET TimeZone = 'Asia/Tokyo'; ALTER DATABASE db SET DateStyle = 'German'; \
         ALTER DATABASE db SET IntervalStyle = 'iso_8601'; ALTER DATABASE db SET extra_float_digits = -5; \
         ALTER DATABASE db SET bytea_output = 'escape'; ALTER DATABASE db SET search_path = shop; \
         ALTER DATABASE db SET statement_timeout = '1s'; ALTER DATABASE db SET client_encoding = 'LATIN1'; \
         ALTER DATABASE db SET default_transaction_isolation = 'serializable'",
    );
    let after = Dump::of(&server, "db", &split_small());
    assert_eq!(
        before.dumped.manifest.evidence,
        after.dumped.manifest.evidence
    );
}

#[test]
fn a_table_is_read_in_ranges_that_add_up() {
    let server = server();
    server.psql("db", "CREATE TABLE wide AS SELECT n, repeat(md5(n::text), 10) AS x FROM generate_series(1, 3000) n; DELETE FROM wide WHERE n BETWEEN 500 AND 1500");
    let whole = Dump::of(&server, "db", &DumpOptions::default());
    let split = Dump::of(&server, "db", &split_small());
    assert_eq!(
        whole.dumped.manifest.evidence,
        split.dumped.manifest.evidence
    );
    for dump in [&whole, &split] {
        for (member, tokens) in dump.dumped.manifest.members.iter().zip(&dump.dumped.tokens) {
            assert_eq!(member.segments.len(), tokens.len(), "{}", member.file);
            assert_eq!(
                member.segments.iter().map(|s| s.bytes).sum::<u64>(),
                member.size
            );
        }
    }
    let ranges = |dump: &Dump| {
        dump.dumped
            .manifest
            .members
            .iter()
            .map(|m| m.segments.len())
            .max()
    };
    assert_eq!(ranges(&whole), Some(2));
    assert!(ranges(&split) > Some(20), "{:?}", ranges(&split));
}

#[test]
fn an_empty_database_is_a_backup_too() {
    let server = TestPostgres::start(MAJOR);
    server.create_database("empty");
    let dump = Dump::of(&server, "empty", &DumpOptions::default());
    assert_eq!(dump.dumped.manifest.members.len(), 1);
    pg_restore(&server, "copy", &dump.path(), 1);
    let facts = &dump.dumped.manifest.server;
    assert!(
        facts.snapshot_at.is_some() && facts.pg_dump_version.starts_with("15."),
        "{facts:?}"
    );
    let nothing = dump::NullSink
        .segment()
        .expect("a segment")
        .finish()
        .expect("done");
    assert_eq!(nothing.bytes, 0);
    let missing = dump_to_nothing(
        &at(&server, "nowhere"),
        &tools(MAJOR),
        &DumpOptions::default(),
        &CancelToken::new(),
        &Silent,
    );
    assert_eq!(
        missing.expect_err("no such database").sqlstate(),
        Some("3D000")
    );
}
