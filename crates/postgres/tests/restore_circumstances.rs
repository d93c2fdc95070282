//! Restoring where something is in the way: a schema that is there already, roles that are not, subscriptions, tables
//! that have changed since.

mod restore_support;

use pgkeep_model::{CancelToken, Silent};
use pgkeep_postgres::{
    dump::DumpOptions,
    restore::{self, RestoreOptions, RestoreSummary},
    wire::Connection,
};
use pgkeep_testkit::TestPostgres;
use restore_support::{Backup, at, mark, tools};

fn only(schema: &str) -> DumpOptions {
    DumpOptions {
        schemas: vec![schema.into()],
        ..DumpOptions::default()
    }
}

fn in_place(server: &TestPostgres, backup: &Backup, options: &RestoreOptions) -> RestoreSummary {
    restore::restore_in_place(
        &at(server, "source"),
        &backup.manifest,
        &backup.source(),
        &tools(server.major()),
        options,
        &|_| Ok(()),
        &CancelToken::new(),
        &Silent,
    )
    .expect("restored in place")
}

#[test]
fn a_backup_of_schema_public_alone_is_restored_with_the_schema_as_it_was() {
    let server = TestPostgres::start(15);
    server.psql("postgres", "CREATE ROLE ann; CREATE ROLE bob");
    let facts = |database: &str| {
        server.psql(
            database,
            "SELECT nspowner::regrole, ARRAY(SELECT a::text FROM unnest(nspacl) a ORDER BY 1), obj_description(oid) \
             FROM pg_namespace WHERE nspname = 'public'",
        )
    };
    let changes = [
        "",
        "ALTER SCHEMA public OWNER TO ann; COMMENT ON SCHEMA public IS 'ours'",
        "GRANT CREATE ON SCHEMA public TO bob; REVOKE USAGE ON SCHEMA public FROM PUBLIC; COMMENT ON SCHEMA public IS NULL",
        "ALTER SCHEMA public OWNER TO bob; GRANT ALL ON SCHEMA public TO ann WITH GRANT OPTION",
    ];
    for (i, change) in changes.iter().enumerate() {
        server.psql("postgres", "DROP DATABASE IF EXISTS source");
        server.create_database("source");
        server.psql("source", &format!("CREATE TABLE t AS SELECT 1 AS n; CREATE SCHEMA other; CREATE TABLE other.t (); {change}"));
        let (schema, expected) = (server.pg_dump_schema("source"), facts("source"));
        let backup = Backup::with(&server, "source", &only("public"));

        let copy = format!("copy{i}");
        assert_eq!(
            backup
                .restore(&server, &copy, &RestoreOptions::default())
                .rows,
            1
        );
        assert_eq!(facts(&copy), expected, "{change}");
        backup.assert_proven(&server, &copy);

        // Over a live one whose schema has changed.
        server.psql(
            "source",
            "GRANT CREATE ON SCHEMA public TO PUBLIC; GRANT USAGE ON SCHEMA public TO ann, bob; \
             COMMENT ON SCHEMA public IS 'changed'; DROP TABLE t",
        );
        in_place(&server, &backup, &RestoreOptions::default());
        assert_eq!(facts("source"), expected, "{change}");
        assert_eq!(server.pg_dump_schema("source"), schema, "{change}");
    }
}

#[test]
fn the_owner_of_a_database_restores_schema_public_without_being_superuser() {
    let server = TestPostgres::start(17);
    server.create_database("source");
    server.psql("source", "CREATE TABLE t AS SELECT 1 AS n");
    let backup = Backup::with(&server, "source", &only("public"));
    server.psql("postgres", "CREATE ROLE plain LOGIN CREATEDB");
    let mut plain = at(&server, "postgres");
    plain.user = "plain".into();
    let (options, cancel) = (
        RestoreOptions {
            no_owner: true,
            ..Default::default()
        },
        CancelToken::new(),
    );
    let (properties, mark) = (&backup.manifest.properties, mark("mine"));
    restore::create_database(
        &plain,
        "mine",
        properties,
        &options.properties(),
        &mark,
        &cancel,
    )
    .expect("created");
    let done = restore::restore_into(
        &plain.with_dbname("mine"),
        &backup.manifest,
        &backup.source(),
        &tools(17),
        &options,
        &cancel,
        &Silent,
    );
    assert_eq!(done.expect("restored").rows, 1);
}

#[test]
fn copies_of_subscriptions_are_dropped_without_touching_the_publisher() {
    let server = TestPostgres::builder(15)
        .setting("wal_level", "logical")
        .start();
    server.create_database("publisher");
    server.create_database("source");
    let slot = "SELECT pg_create_logical_replication_slot('feed', 'pgoutput')";
    server.psql("publisher", slot);
    server.psql(
        "source",
        &format!(
            "CREATE TABLE t (n int); CREATE SUBSCRIPTION \"the feed\" CONNECTION 'host={} port={} dbname=publisher' \
             PUBLICATION p WITH (connect = false, slot_name = 'feed')",
            server.socket_dir().display(),
            server.port()
        ),
    );
    let backup = Backup::of(&server, "source");
    let count = |sql: &str| server.psql("postgres", sql);
    let subscriptions =
        "SELECT count(*), count(*) FILTER (WHERE subslotname = 'feed') FROM pg_subscription";
    let mut admin = Connection::open(&at(&server, "postgres")).expect("a session");

    // One that was left behind, and one that its maker drops.
    backup.restore(&server, "left", &RestoreOptions::default());
    backup.restore(&server, "drill", &RestoreOptions::default());
    assert_eq!(count(subscriptions), "3|3");
    let marked = restore::list_marked(&mut admin).expect("listed");
    let left = marked
        .iter()
        .find(|m| m.name == "left")
        .expect("it is marked");
    assert!(restore::drop_marked(&mut admin, left).expect("dropped"));
    restore::drop_database(&mut admin, "drill").expect("dropped");
    restore::drop_database(&mut admin, "drill").expect("nothing to do");
    assert_eq!(count(subscriptions), "1|1");
    assert_eq!(
        count("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'feed'"),
        "1"
    );
    assert_eq!(
        count(
            "SELECT string_agg(datname, ',') FROM pg_database WHERE datname IN ('left', 'drill')"
        ),
        ""
    );
}

#[test]
fn without_owners_missing_roles_cost_their_grants_and_nothing_else() {
    let (source, bare) = (TestPostgres::start(15), TestPostgres::start(15));
    source.psql(
        "postgres",
        "CREATE ROLE ann; CREATE ROLE bob; CREATE ROLE tenant; CREATE DATABASE source OWNER ann; \
         GRANT CONNECT ON DATABASE source TO bob; ALTER ROLE ann IN DATABASE source SET work_mem = '8MB'",
    );
    source.psql(
        "source",
        "GRANT CREATE ON SCHEMA public TO ann; SET ROLE ann; CREATE TABLE t AS SELECT 1 AS n; CREATE TABLE u AS SELECT 2 AS n; \
         GRANT SELECT ON t TO bob WITH GRANT OPTION; GRANT SELECT ON u TO PUBLIC; \
         ALTER DEFAULT PRIVILEGES FOR ROLE ann IN SCHEMA public GRANT SELECT ON TABLES TO bob; \
         SET ROLE bob; GRANT SELECT ON t TO tenant",
    );
    let missing = |backup: &Backup, options: &RestoreOptions| {
        let (toc, _) = restore::open_toc(&backup.manifest, &backup.source()).expect("a toc");
        let needs = restore::requirements(&toc, &backup.manifest, &options.properties());
        let mut admin = Connection::open(&at(&bare, "postgres")).expect("a session");
        restore::missing(&mut admin, &needs).expect("asked")
    };
    let no_owner = RestoreOptions {
        no_owner: true,
        ..Default::default()
    };
    let backup = Backup::of(&source, "source");
    let with_owners = missing(&backup, &RestoreOptions::default());
    assert_eq!(
        Vec::from_iter(&with_owners.roles),
        ["ann", "bob", "tenant"],
        "grantors and grantees too"
    );
    let words = with_owners.describe().join("\n");
    for part in [
        "role bob",
        "grants on table t of schema public",
        "--no-owner",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    assert!(missing(&backup, &no_owner).is_empty());

    let done = backup.restore(&bare, "copy", &no_owner);
    assert_eq!(done.rows, 2);
    let left_out = done.left_out.join("\n");
    for part in [
        "grants on table t of schema public: there is no role bob, tenant",
        "default privileges for tables of schema public: there is no role ann, bob",
    ] {
        assert!(left_out.contains(part), "{part}: {left_out}");
    }
    restore::finish_database(
        &at(&bare, "postgres"),
        "copy",
        &backup.manifest.properties,
        &no_owner.properties(),
    )
    .expect("what cannot be set is told");
    assert_eq!(
        bare.psql("copy", "SELECT has_table_privilege('pg_monitor', 'u', 'SELECT'), has_table_privilege('pg_monitor', 't', 'SELECT')"),
        "t|f"
    );

    // A policy cannot do without its role.
    source.psql(
        "source",
        "CREATE POLICY mine ON t TO tenant USING (n = 1); ALTER TABLE t ENABLE ROW LEVEL SECURITY",
    );
    let missing = missing(&Backup::of(&source, "source"), &no_owner);
    assert_eq!(Vec::from_iter(&missing.roles), ["tenant"]);
    let words = missing.describe().join("\n");
    for part in [
        "the target has no role tenant, which is needed for policy mine of table t of schema public: create it",
        "--no-owner covers owners and grants only",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
}

#[test]
fn what_a_chosen_table_does_not_bring_back_is_told_and_nothing_else() {
    let server = TestPostgres::start(15);
    server.create_database("source");
    server.psql(
        "source",
        "CREATE TABLE customers (id int PRIMARY KEY, name text); \
         CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers); \
         CREATE MATERIALIZED VIEW totals AS SELECT c.id, c.name, count(*) FROM customers c GROUP BY c.id; \
         CREATE VIEW names AS SELECT name FROM totals; CREATE VIEW kept AS SELECT id FROM orders; \
         INSERT INTO customers SELECT n, 'c' || n FROM generate_series(1, 5) n; \
         INSERT INTO orders SELECT n, n FROM generate_series(1, 5) n; REFRESH MATERIALIZED VIEW totals",
    );
    let backup = Backup::of(&server, "source");
    let table = |name: &str| RestoreOptions {
        tables: vec![name.into()],
        ..Default::default()
    };
    // The foreign key to a table that was not chosen is there, before and after.
    server.psql("source", "DELETE FROM orders");
    let done = in_place(&server, &backup, &table("orders"));
    assert_eq!((done.rows, done.left_out), (5, vec![]));

    server.psql("source", "ALTER TABLE orders ADD COLUMN \"note, new\" text");
    let done = in_place(&server, &backup, &table("orders"));
    assert_eq!(
        done.left_out,
        [
            "the backup's definition of table public.orders: the table is kept as it is, and differs in \"note, new\", which the backup does not have: their values go with the rows"
        ]
    );

    server.psql("source", "DROP TABLE customers CASCADE");
    let done = in_place(&server, &backup, &table("customers"));
    let told = done.left_out.join("\n");
    assert_eq!(done.left_out.len(), 2, "{told}");
    for part in [
        "materialized view totals of schema public",
        "view names of schema public",
        "--table public.totals",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // What it says helps.
    in_place(&server, &backup, &table("totals"));
    let done = in_place(&server, &backup, &table("names"));
    assert_eq!(done.left_out, Vec::<String>::new());
    let counts = "SELECT (SELECT count(*) FROM totals), (SELECT count(*) FROM names)";
    assert_eq!(server.psql("source", counts), "5|5");
}
