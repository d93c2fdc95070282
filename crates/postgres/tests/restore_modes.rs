//! Restoring a part, into what is there already, as an ordinary user; and what a restore that fails leaves behind.

mod restore_support;

use pgkeep_model::{
    CancelToken, Phase, Progress, Silent,
    evidence::{Proof, compare},
    manifest::DatabaseManifest,
};
use pgkeep_postgres::{
    Error, prove,
    restore::{self, DumpSource, RestoreOptions, RestoreSummary},
    wire::Connection,
};
use pgkeep_testkit::{ShopSize, TestPostgres};
use restore_support::{Backup, at, mark, tools, wait_until};
use std::{
    io::{self, Read},
    sync::atomic::{AtomicU64, Ordering},
};

const SAMPLE: &str = "
    CREATE SCHEMA sales; CREATE SCHEMA other;
    CREATE TYPE other.colour AS ENUM ('red', 'green');
    CREATE TABLE other.customers (id int PRIMARY KEY, name text);
    CREATE TABLE sales.orders (id serial PRIMARY KEY, customer int REFERENCES other.customers, colour other.colour);
    CREATE TABLE sales.lines (id int GENERATED ALWAYS AS IDENTITY, \"order\" int REFERENCES sales.orders, n int);
    CREATE INDEX lines_by_order ON sales.lines (\"order\");
    COMMENT ON TABLE sales.orders IS 'what people want';
    INSERT INTO other.customers SELECT i, 'customer ' || i FROM generate_series(1, 50) i;
    INSERT INTO sales.orders (customer, colour) SELECT 1 + i % 50, 'green' FROM generate_series(1, 500) i;
    INSERT INTO sales.lines (\"order\", n) SELECT 1 + i % 500, i FROM generate_series(1, 2000) i;
    SELECT lo_from_bytea(4711, decode(repeat('ab', 300000), 'hex'));";

fn sample(server: &TestPostgres) -> Backup {
    server.create_database("source");
    server.psql("source", SAMPLE);
    Backup::of(server, "source")
}

fn some(tables: &[&str]) -> RestoreOptions {
    RestoreOptions {
        tables: tables.iter().map(|t| t.to_string()).collect(),
        ..Default::default()
    }
}

/// Compares what these options should have restored with what is there.
fn assert_part_proven(
    backup: &Backup,
    server: &TestPostgres,
    name: &str,
    options: &RestoreOptions,
) {
    let (toc, _) =
        restore::open_toc(&backup.manifest, &backup.source()).expect("a table of contents");
    let expected = DatabaseManifest {
        evidence: restore::expected_evidence(&backup.manifest, &toc, options)
            .expect("known tables"),
        ..backup.manifest.clone()
    };
    let cancel = CancelToken::new();
    let mut found = prove::collect(
        &at(server, name),
        &expected,
        &tools(server.major()),
        2,
        Proof::Full,
        &cancel,
        &Silent,
    )
    .expect("evidence");
    found
        .sequences
        .retain(|s| expected.evidence.sequences.iter().any(|e| e.name == s.name));
    found.extensions.clone_from(&expected.evidence.extensions);
    found.objects.clone_from(&expected.evidence.objects);
    found.large_objects = expected.evidence.large_objects;
    let differences = compare(&expected.evidence, &found, Proof::Full);
    assert!(differences.is_empty(), "{differences:?}");
    assert!(!expected.evidence.tables.is_empty());
}

#[test]
fn chosen_tables_come_with_all_that_is_theirs_and_needs_no_more() {
    let server = TestPostgres::start(15);
    let backup = sample(&server);
    let options = some(&["sales.orders"]);
    let done = backup.restore(&server, "part", &options);
    assert_eq!(done.rows, 500);
    assert_eq!(
        done.left_out.len(),
        1,
        "the foreign key to customers: {:?}",
        done.left_out
    );
    assert_part_proven(&backup, &server, "part", &options);
    let tables = "SELECT string_agg(oid::regclass::text, ',' ORDER BY 1) FROM pg_class WHERE relnamespace::regnamespace::text \
        IN ('sales', 'other') AND relkind IN ('r', 'S', 'i')";
    assert_eq!(
        server.psql("part", tables),
        "sales.orders_id_seq,sales.orders,sales.orders_pkey"
    );
    assert_eq!(
        server.psql("part", "SELECT nextval('sales.orders_id_seq')"),
        "501"
    );
    assert_eq!(
        server.psql("part", "SELECT obj_description('sales.orders'::regclass)"),
        "what people want"
    );

    let done = backup.restore(
        &server,
        "whole",
        &RestoreOptions {
            schemas: vec!["sales".into()],
            ..Default::default()
        },
    );
    assert_eq!(done.rows, 2500);
    assert_eq!(
        server.psql(
            "whole",
            "SELECT count(*) FROM pg_constraint WHERE contype = 'f'"
        ),
        "1"
    );

    let error = backup
        .try_restore(&server, "none", &some(&["sales.nothing"]))
        .expect_err("no such table");
    assert!(
        error.to_string().contains("no table sales.nothing"),
        "{error}"
    );
}

#[test]
fn a_partitioned_table_brings_its_partitions() {
    let server = TestPostgres::start(15);
    server.load_everything("everything");
    let backup = Backup::of(&server, "everything");
    let roots = server.psql(
        "everything",
        "SELECT format('%I.%I', relnamespace::regnamespace, relname) FROM pg_class \
         WHERE relkind = 'p' AND NOT relispartition AND relnamespace::regnamespace::text = 'app' ORDER BY 1 LIMIT 1",
    );
    let options = some(&[&roots]);
    let done = backup.restore(&server, "part", &options);
    assert!(done.rows > 0);
    assert_part_proven(&backup, &server, "part", &options);
    let count = format!("SELECT count(*) FROM {roots}");
    assert_eq!(
        server.psql("part", &count),
        server.psql("everything", &count)
    );
}

#[test]
fn rows_alone_are_loaded_in_one_transaction() {
    let server = TestPostgres::start(15);
    let backup = sample(&server);
    let load = |options: &RestoreOptions| {
        restore::restore_into(
            &at(&server, "source"),
            &backup.manifest,
            &backup.source(),
            &tools(15),
            options,
            &CancelToken::new(),
            &Silent,
        )
    };
    server.psql(
        "source",
        "DELETE FROM sales.lines WHERE n > 10; UPDATE other.customers SET name = 'x'",
    );
    let appending = RestoreOptions {
        data_only: true,
        ..Default::default()
    };
    load(&appending).expect_err("the primary keys are there already");
    assert_eq!(
        server.psql("source", "SELECT count(*) FROM sales.lines"),
        "10"
    );
    let replacing = RestoreOptions {
        replace_rows: true,
        ..appending
    };
    let done = load(&replacing).expect("loaded");
    assert_eq!(done.rows, 2550);
    backup.assert_proven(&server, "source");

    server.psql("source", "INSERT INTO sales.lines (n) VALUES (1)");
    let one = RestoreOptions {
        tables: vec!["sales.lines".into()],
        ..replacing
    };
    assert_eq!(load(&one).expect("loaded").rows, 2000);
    backup.assert_proven(&server, "source");
}

#[test]
fn the_schema_alone_is_restored_empty() {
    let server = TestPostgres::start(15);
    let backup = sample(&server);
    let done = backup.restore(
        &server,
        "empty",
        &RestoreOptions {
            schema_only: true,
            ..Default::default()
        },
    );
    assert_eq!(done.rows, 0);
    assert_eq!(
        server.pg_dump_schema("source"),
        server.pg_dump_schema("empty")
    );
    assert_eq!(
        server.psql("empty", "SELECT count(*) FROM sales.orders"),
        "0"
    );
}

#[test]
fn in_place_all_is_replaced_or_nothing() {
    let server = TestPostgres::start(15);
    server.psql(
        "postgres",
        "CREATE ROLE plain LOGIN; CREATE DATABASE source OWNER plain",
    );
    server.psql("source", &format!("GRANT ALL ON SCHEMA public TO plain; SET ROLE plain; {SAMPLE}; CREATE TABLE public.t AS SELECT 1 AS n"));
    let backup = Backup::of(&server, "source");
    let mut plain = at(&server, "source");
    plain.user = "plain".into();
    let run =
        |prove: &dyn Fn(&mut Connection) -> Result<(), Error>| -> Result<RestoreSummary, Error> {
            restore::restore_in_place(
                &plain,
                &backup.manifest,
                &backup.source(),
                &tools(15),
                &RestoreOptions::default(),
                prove,
                &CancelToken::new(),
                &Silent,
            )
        };
    let schema = server.pg_dump_schema("source");
    let damage = "DROP TABLE sales.lines; DELETE FROM sales.orders; CREATE VIEW sales.later AS SELECT * FROM sales.orders; \
        CREATE TABLE public.later (a int); SELECT lo_unlink(4711)";
    server.psql("source", &format!("SET ROLE plain; {damage}"));
    let damaged = server.pg_dump_schema("source");

    run(&|_| Err(Error::refused("the proof says no", ""))).expect_err("rolled back");
    assert_eq!(server.pg_dump_schema("source"), damaged);

    let prove = |connection: &mut Connection| {
        let found = prove::collect_in_transaction(
            connection,
            &backup.manifest,
            Proof::Full,
            &CancelToken::new(),
            &Silent,
        )?;
        let mut expected = backup.manifest.evidence.clone();
        expected.objects.clear();
        match compare(&expected, &found, Proof::Full).first() {
            Some(difference) => Err(Error::refused(difference.to_string(), "")),
            None => Ok(()),
        }
    };
    let done = run(&prove).expect("restored");
    assert_eq!((done.rows, done.large_objects), (2551, 1));
    assert_eq!(server.pg_dump_schema("source"), schema);
    backup.assert_proven(&server, "source");
}

#[test]
fn chosen_tables_go_back_where_they_were() {
    let server = TestPostgres::start(15);
    let backup = sample(&server);
    let schema = server.pg_dump_schema("source");
    let run = |options: &RestoreOptions| -> Result<RestoreSummary, Error> {
        restore::restore_in_place(
            &at(&server, "source"),
            &backup.manifest,
            &backup.source(),
            &tools(15),
            options,
            &|_| Ok(()),
            &CancelToken::new(),
            &Silent,
        )
    };
    // One that is there gets its rows back, and only it.
    server.psql(
        "source",
        "DELETE FROM sales.lines; UPDATE other.customers SET name = 'kept'",
    );
    assert_eq!(run(&some(&["sales.lines"])).expect("restored").rows, 2000);
    assert_eq!(
        server.psql("source", "SELECT count(*) FROM sales.lines"),
        "2000"
    );
    assert_eq!(
        server.psql("source", "SELECT DISTINCT name FROM other.customers"),
        "kept"
    );

    // One that was dropped comes back with its foreign keys in both directions.
    server.psql("source", "DROP TABLE sales.orders CASCADE");
    let done = run(&some(&["sales.orders"])).expect("restored");
    assert_eq!((done.rows, done.left_out), (500, vec![]));
    assert_eq!(server.pg_dump_schema("source"), schema);

    // A whole schema, beside another that stays as it is.
    server.psql(
        "source",
        "DELETE FROM sales.lines; CREATE TABLE sales.later (a int)",
    );
    let schema_sales = RestoreOptions {
        schemas: vec!["sales".into()],
        ..Default::default()
    };
    assert_eq!(run(&schema_sales).expect("restored").rows, 2500);
    assert_eq!(server.pg_dump_schema("source"), schema);
    assert_eq!(
        server.psql(
            "source",
            "SELECT count(*) FROM other.customers WHERE name = 'kept'"
        ),
        "50"
    );

    // Rows that newer rows refer to are not taken away from under them.
    server.psql("source", "INSERT INTO sales.orders VALUES (9999, 1); INSERT INTO sales.lines (\"order\") VALUES (9999)");
    let error = run(&some(&["sales.orders"])).expect_err("a line would refer to nothing");
    assert!(error.to_string().contains("lines_order_fkey"), "{error}");
    assert_eq!(
        server.psql("source", "SELECT count(*) FROM sales.orders"),
        "501"
    );

    // What others built on it is not lost in passing.
    server.psql(
        "source",
        "CREATE VIEW other.report AS SELECT * FROM sales.orders",
    );
    let error = run(&schema_sales).expect_err("a view depends on the schema");
    assert!(error.to_string().contains("other.report"), "{error}");
    assert_eq!(
        server.psql("source", "SELECT count(*) FROM other.report"),
        "501"
    );
}

#[test]
fn an_ordinary_user_restores_a_database_of_his_own() {
    let server = TestPostgres::start(17);
    let backup = sample(&server);
    server.psql("postgres", "CREATE ROLE plain LOGIN CREATEDB");
    let mut plain = at(&server, "postgres");
    plain.user = "plain".into();
    let options = RestoreOptions {
        no_owner: true,
        ..Default::default()
    };
    let cancel = CancelToken::new();
    let properties = options.properties();
    restore::create_database(
        &plain,
        "mine",
        &backup.manifest.properties,
        &properties,
        &mark("mine"),
        &cancel,
    )
    .expect("created");
    let target = plain.with_dbname("mine");
    restore::restore_into(
        &target,
        &backup.manifest,
        &backup.source(),
        &tools(17),
        &options,
        &cancel,
        &Silent,
    )
    .expect("restored");
    restore::finish_database(&plain, "mine", &backup.manifest.properties, &properties)
        .expect("finished");
    restore::unmark_database(&plain, "mine").expect("unmarked");
    backup.assert_proven(&server, "mine");
    assert_eq!(
        server.psql(
            "mine",
            "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'mine'"
        ),
        "plain"
    );
}

#[test]
fn the_database_gets_its_properties_back() {
    let server = TestPostgres::start(17);
    server.load_everything("everything");
    server.psql(
        "postgres",
        "CREATE ROLE granter; GRANT CONNECT ON DATABASE everything TO granter WITH GRANT OPTION; SET ROLE granter; \
         GRANT CONNECT ON DATABASE everything TO ev_reader",
    );
    let backup = Backup::of(&server, "everything");
    backup.restore(&server, "again", &RestoreOptions::default());
    let admin = at(&server, "postgres");
    let left_out = restore::finish_database(
        &admin,
        "again",
        &backup.manifest.properties,
        &Default::default(),
    );
    assert_eq!(left_out.expect("finished"), Vec::<String>::new());
    let facts = |name: &str| {
        server.psql(
            "postgres",
            &format!(
                "SELECT pg_get_userbyid(datdba), encoding, datcollate, datctype, datconnlimit, \
                   (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) a), \
                   (SELECT array_agg(setrole::regrole || ' ' || setconfig::text ORDER BY setrole) \
                    FROM pg_db_role_setting WHERE setdatabase = d.oid) \
                 FROM pg_database d WHERE datname = '{name}'"
            ),
        )
    };
    assert_eq!(facts("again"), facts("everything"));
    assert!(
        facts("again").contains("ev_reader=c/granter"),
        "{}",
        facts("again")
    );
}

#[test]
fn missing_roles_extensions_and_tablespaces_are_named_beforehand() {
    let (source, bare) = (TestPostgres::start(15), TestPostgres::start(17));
    source.load_everything("everything");
    let backup = Backup::of(&source, "everything");
    let (toc, _) =
        restore::open_toc(&backup.manifest, &backup.source()).expect("a table of contents");
    let needs = restore::requirements(&toc, &backup.manifest, &Default::default());
    let mut admin = Connection::open(&at(&source, "postgres")).expect("a session");
    assert!(
        restore::missing(&mut admin, &needs)
            .expect("asked")
            .is_empty()
    );
    let mut admin = Connection::open(&at(&bare, "postgres")).expect("a session");
    let missing = restore::missing(&mut admin, &needs).expect("asked");
    for role in ["ev_owner", "ev_tenant", "ev role \"quoted\" 100%"] {
        assert!(
            missing.roles.contains(role),
            "{role} in {:?}",
            missing.roles
        );
    }
    assert!(!missing.roles.contains("postgres") && !missing.describe().is_empty());
}

/// A source that breaks off in the middle of one table.
struct Breaking<'a> {
    whole: &'a dyn DumpSource,
    after: u64,
}

impl DumpSource for Breaking<'_> {
    fn read(&self, member: &pgkeep_model::manifest::Member) -> io::Result<Box<dyn Read + Send>> {
        let whole = self.whole.read(member)?;
        Ok(if member.size > self.after {
            Box::new(whole.take(self.after))
        } else {
            whole
        })
    }
    fn read_segment(
        &self,
        member: &pgkeep_model::manifest::Member,
        index: usize,
    ) -> io::Result<Box<dyn Read + Send>> {
        self.whole.read_segment(member, index)
    }
}

#[test]
fn a_dump_that_ends_early_is_an_error() {
    let server = TestPostgres::start(15);
    let backup = sample(&server);
    let admin = at(&server, "postgres");
    let cancel = CancelToken::new();
    restore::create_database(
        &admin,
        "cut",
        &backup.manifest.properties,
        &Default::default(),
        &mark("cut"),
        &cancel,
    )
    .expect("created");
    let whole = backup.source();
    let source = Breaking {
        whole: &whole,
        after: 200_000,
    };
    let error = restore::restore_into(
        &admin.with_dbname("cut"),
        &backup.manifest,
        &source,
        &tools(15),
        &RestoreOptions::default(),
        &cancel,
        &Silent,
    )
    .expect_err("the large object is longer");
    assert!(error.to_string().contains("large object 4711"), "{error}");
}

/// Acts once some bytes of data have been loaded.
struct AfterBytes<F: Fn() + Send + Sync> {
    loaded: AtomicU64,
    act: F,
}

impl<F: Fn() + Send + Sync> Progress for AfterBytes<F> {
    fn phase(&self, _: Phase, _: Option<u64>) {}
    fn bytes(&self, done: u64) {
        let before = self.loaded.fetch_add(done, Ordering::SeqCst);
        if before < 1_000_000 && before + done >= 1_000_000 {
            (self.act)();
        }
    }
    fn warn(&self, _: &str) {}
}

fn restore_shop_and(
    server: &TestPostgres,
    cancel: &CancelToken,
    act: impl Fn() + Send + Sync,
) -> Result<RestoreSummary, Error> {
    server.load_shop("shop", ShopSize::SMALL);
    let backup = Backup::of(server, "shop");
    let admin = at(server, "postgres");
    restore::create_database(
        &admin,
        "shop_new",
        &backup.manifest.properties,
        &Default::default(),
        &mark("shop"),
        cancel,
    )
    .expect("created");
    let progress = AfterBytes {
        loaded: AtomicU64::new(0),
        act,
    };
    let (target, source) = (admin.with_dbname("shop_new"), backup.source());
    restore::restore_into(
        &target,
        &backup.manifest,
        &source,
        &tools(15),
        &RestoreOptions::default(),
        cancel,
        &progress,
    )
}

#[test]
fn a_killed_connection_fails_the_restore_and_leaves_the_live_database_alone() {
    let server = TestPostgres::start(15);
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
        WHERE datname = 'shop_new' AND query LIKE 'COPY %' AND state = 'active'";
    let error = restore_shop_and(&server, &CancelToken::new(), || {
        server.psql("postgres", kill);
    })
    .expect_err("a connection was killed");
    assert!(error.to_string().contains("loading table"), "{error}");
    assert_eq!(server.psql("shop", "SELECT count(*) > 0 FROM orders"), "t");
    let mut admin = Connection::open(&at(&server, "postgres")).expect("a session");
    let left = restore::list_marked(&mut admin).expect("listed");
    assert_eq!(left.len(), 1);
    assert!(restore::drop_marked(&mut admin, &left[0]).expect("dropped"));
    assert!(restore::list_marked(&mut admin).expect("listed").is_empty());
}

#[test]
fn cancelling_ends_every_session_of_the_restore() {
    let server = TestPostgres::start(15);
    let cancel = CancelToken::new();
    let trigger = cancel.clone();
    let error =
        restore_shop_and(&server, &cancel, move || trigger.cancel()).expect_err("cancelled");
    assert!(error.is_cancelled(), "{error}");
    wait_until(
        &server,
        "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'shop_new' AND application_name LIKE 'pgkeep%'",
    );
}

#[test]
fn the_proof_names_whatever_differs() {
    let server = TestPostgres::start(15);
    let backup = sample(&server);
    let check = |change: &str, proof: Proof, expected: &str| {
        server.psql("postgres", "DROP DATABASE IF EXISTS copy");
        server.psql("postgres", "CREATE DATABASE copy TEMPLATE source");
        server.psql("copy", change);
        let differences = backup.differences(&server, "copy", proof);
        assert!(
            differences.iter().any(|d| d.contains(expected)),
            "{change}: {differences:?}"
        );
    };
    check(
        "UPDATE sales.lines SET n = 0 WHERE n = 7",
        Proof::Full,
        "table sales.lines content hash",
    );
    check(
        "DELETE FROM sales.lines WHERE n = 7",
        Proof::Counts,
        "table sales.lines rows: expected 2000, found 1999",
    );
    check("DROP TABLE sales.lines", Proof::Full, "table sales.lines");
    check(
        "ALTER TABLE sales.lines DROP COLUMN n",
        Proof::Full,
        "table sales.lines",
    );
    check(
        "SELECT nextval('sales.orders_id_seq')",
        Proof::Counts,
        "sequence sales.orders_id_seq",
    );
    check("SELECT lo_put(4711, 5, 'x')", Proof::Full, "large objects");
    check("SELECT lo_unlink(4711)", Proof::Counts, "large objects");
    check("DROP INDEX sales.lines_by_order", Proof::Counts, "INDEX");
    check("CREATE EXTENSION hstore", Proof::Counts, "extension hstore");
    assert_eq!(
        backup.differences(&server, "source", Proof::Counts),
        Vec::<String>::new()
    );
}
