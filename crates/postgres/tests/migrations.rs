//! Schema versions as the frameworks themselves write them down, read from a real server.

use pgkeep_model::{
    app::{Framework, Migrations},
    migrations::{MigrationState, compare},
};
use pgkeep_postgres::{
    connect::{ConnectOptions, Environment},
    migrations::{self, Found},
    wire::{Connection, TransactionStatus},
};
use pgkeep_testkit::TestPostgres;

/// The tables that a framework left in an empty database; see the first line of each for how it came about.
macro_rules! fixture {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("migrations/fixtures/", $name, ".sql")),
        )
    };
}

fn open(server: &TestPostgres, database: &str) -> Connection {
    let options = ConnectOptions::resolve(Some(&server.dsn_for(database)), &Environment::default())
        .expect("options resolve");
    Connection::open(&options).expect("the server lets us in")
}

/// A new database in which a script was run.
fn database(server: &TestPostgres, name: &str, sql: &str) -> Connection {
    server.psql("postgres", &format!("CREATE DATABASE {name}"));
    server.psql(name, sql);
    open(server, name)
}

fn look(connection: &mut Connection) -> Found {
    migrations::look(connection, None).expect("the server answers")
}

/// `names; unfinished`, each list joined by spaces.
fn words(state: &MigrationState) -> String {
    let mut text = state.names().join(" ");
    if let Some(baseline) = &state.baseline {
        text.push_str(&format!("; from {baseline}"));
    }
    if !state.unfinished.is_empty() {
        text.push_str(&format!("; unfinished {}", state.unfinished.join(" ")));
    }
    text
}

#[test]
fn every_framework_is_recognised_by_the_tables_that_it_makes() {
    use Framework::*;
    let server = TestPostgres::start(17);
    let orders = "20240101000000 20240102000000";
    let cases = [
        (fixture!("alembic"), Alembic, "2b3c4d5e6f70 3c4d5e6f7081"),
        (
            fixture!("dbmate"),
            Dbmate,
            "20240101000000 20240102000000 20240103000000",
        ),
        (
            fixture!("knex"),
            Knex,
            "20240101000000_products.js 20240102000000_orders.js",
        ),
        (
            fixture!("laravel"),
            Laravel,
            "2024_01_01_000000_create_products_table 2024_01_02_000000_create_orders_table",
        ),
        (fixture!("rails"), Rails, orders),
        (
            fixture!("sequelize"),
            Sequelize,
            "20240101000000_products.js 20240102000000_orders.js",
        ),
        (
            fixture!("typeorm"),
            TypeOrm,
            "Products1704067200000 Orders1704153600000",
        ),
        (fixture!("sqlx"), Sqlx, orders),
        (
            fixture!("diesel"),
            Diesel,
            "00000000000000 20240101000000 20240102000000",
        ),
        (fixture!("refinery"), Refinery, "1 2"),
        (
            fixture!("sea_orm"),
            SeaOrm,
            "m20240101_000001_products m20240102_000001_orders",
        ),
        (fixture!("golang_migrate"), GolangMigrate, "2"),
        (fixture!("goose"), Goose, "1 2"),
        (
            fixture!("flyway"),
            Flyway,
            "1.1 2 R__all_orders; from 1; unfinished 4",
        ),
        (
            fixture!("liquibase"),
            Liquibase,
            "changelog.xml::1::ann changes/10-orders.yaml::1::ann \
             changes/10-orders.yaml::total::bob: the builder changes/20-prices.sql::prices::ann \
             changes/20-prices.sql::odd name::ann changes/30-stock.json::stock::ann",
        ),
        (
            fixture!("prisma"),
            Prisma,
            "20240101000000_products 20240102000000_orders; unfinished 20240103000000_stock",
        ),
        (
            fixture!("ef_core"),
            EfCore,
            "20240101000000_Products 20240102000000_Orders",
        ),
        (fixture!("ecto"), Ecto, orders),
    ];
    for ((name, sql), framework, expected) in cases {
        let mut connection = database(&server, &format!("f_{name}"), sql);
        let found = look(&mut connection);
        assert_eq!(found.warnings, [""; 0], "{name}");
        let [state] = found.states.as_slice() else {
            panic!("{name}: {:?}", found.states)
        };
        assert_eq!(
            (state.framework, words(state).as_str()),
            (framework, expected),
            "{name}"
        );
        assert!(state.table.starts_with("public."), "{}", state.table);
        assert_eq!(connection.transaction_status(), TransactionStatus::Idle);
    }

    // What the tools keep besides names.
    let state = |name: &str| look(&mut open(&server, name)).states.remove(0);
    let flyway = state("f_flyway");
    let view = &flyway.applied[""][2];
    assert_eq!(view.checksum.as_deref(), Some("222"));
    assert_eq!(
        view.applied_at.map(|at| at.to_string()).as_deref(),
        Some("2024-01-05T10:00:04Z")
    );
    let checksum = |name: &str, at: usize| state(name).applied[""][at].checksum.clone();
    for (name, begins) in [
        ("f_sqlx", "d0234f3070e9b351"),
        ("f_prisma", "fb3b85fc509f2a83"),
        ("f_refinery", "14844218732153231210"),
        ("f_liquibase", "9:5cc3a00e89c4"),
    ] {
        let sum = checksum(name, 1).expect("it is kept");
        assert!(sum.starts_with(begins), "{name}: {sum}");
    }
    for name in ["f_sqlx", "f_diesel", "f_sea_orm", "f_liquibase", "f_prisma"] {
        let at = state(name).applied[""][0].applied_at;
        let at = at.expect("the time is kept").to_string();
        assert!(at.starts_with("202"), "{name}: {at}");
    }
    assert_eq!(state("f_goose").newest().as_deref(), Some("2"));

    // Django's labels, of libraries and own ones; the squashed migration is recorded with those that it replaces.
    let django = look(&mut database(&server, "f_django", fixture!("django").1));
    let [state] = django.states.as_slice() else {
        panic!("{:?}", django)
    };
    let labels: Vec<&str> = state.applied.keys().map(String::as_str).collect();
    assert_eq!(labels, ["auth", "contenttypes", "customers", "shop"]);
    let shop: Vec<&str> = state.applied["shop"]
        .iter()
        .map(|m| m.name.as_str())
        .collect();
    assert_eq!(
        shop,
        ["0001_initial", "0002_price", "0001_squashed_0002_price"]
    );
    assert!(state.applied["shop"].iter().all(|m| m.applied_at.is_some()));
}

/// What happens to a framework's table, and what that must mean.
struct Change {
    fixture: (&'static str, &'static str),
    /// Takes the newest migration back.
    back: &'static str,
    /// After that, runs one that the others do not have, or one with another text.
    aside: &'static str,
    /// How that stands to where it began.
    stands: &'static str,
    /// Leaves one unfinished, where the framework writes that down.
    breaks: Option<(&'static str, &'static str)>,
}

#[test]
fn what_a_framework_writes_next_decides_how_two_states_stand_to_each_other() {
    let change = |fixture, back, aside, stands| Change {
        fixture,
        back,
        aside,
        stands,
        breaks: None,
    };
    let breaking = |mut change: Change, sql, unfinished| {
        change.breaks = Some((sql, unfinished));
        change
    };
    let version = "DELETE FROM schema_migrations WHERE version::text = '20240102000000'";
    let changes = [
        change(
            fixture!("django"),
            "DELETE FROM django_migrations WHERE name = '0002_price'",
            "INSERT INTO django_migrations (app, name, applied) VALUES ('shop', '0002_other', now())",
            "diverged",
        ),
        change(
            fixture!("rails"),
            version,
            "INSERT INTO schema_migrations VALUES ('20240102000001')",
            "diverged",
        ),
        change(
            fixture!("dbmate"),
            version,
            "INSERT INTO schema_migrations VALUES ('20240102000001')",
            "diverged",
        ),
        change(
            fixture!("ecto"),
            version,
            "INSERT INTO schema_migrations VALUES (20240102000001, now())",
            "diverged",
        ),
        // Only the newest is written down: nothing can lie aside.
        breaking(
            change(
                fixture!("golang_migrate"),
                "UPDATE schema_migrations SET version = 1",
                "UPDATE schema_migrations SET version = 9",
                "newer",
            ),
            "UPDATE schema_migrations SET version = 3, dirty = true",
            "3",
        ),
        breaking(
            change(
                fixture!("flyway"),
                "DELETE FROM flyway_schema_history WHERE version = '2'",
                "INSERT INTO flyway_schema_history VALUES (20, '2', 'orders', 'SQL', 'V2__orders.sql', 5, 'app', now(), 1, true)",
                "diverged",
            ),
            "UPDATE flyway_schema_history SET success = false WHERE version = '2'",
            "2 4",
        ),
        breaking(
            change(
                fixture!("liquibase"),
                "DELETE FROM databasechangelog WHERE id = 'stock'",
                "UPDATE databasechangelog SET md5sum = '9:00' WHERE id = 'prices'",
                "diverged",
            ),
            "UPDATE databasechangelog SET exectype = 'FAILED' WHERE id = 'stock'; \
             UPDATE databasechangeloglock SET locked = true, lockedby = 'build7 (10.0.0.7)'",
            "changes/30-stock.json::stock::ann locked by build7 (10.0.0.7)",
        ),
        breaking(
            change(
                fixture!("prisma"),
                "DELETE FROM _prisma_migrations WHERE migration_name LIKE '%orders'",
                "UPDATE _prisma_migrations SET checksum = 'aa' WHERE migration_name LIKE '%products'",
                "diverged",
            ),
            "UPDATE _prisma_migrations SET rolled_back_at = now() WHERE migration_name LIKE '%stock'",
            "",
        ),
        breaking(
            change(
                fixture!("sqlx"),
                "DELETE FROM _sqlx_migrations WHERE version = 20240102000000",
                "UPDATE _sqlx_migrations SET checksum = 'x'",
                "diverged",
            ),
            "UPDATE _sqlx_migrations SET success = false WHERE version = 20240102000000",
            "20240102000000",
        ),
        change(
            fixture!("diesel"),
            "DELETE FROM __diesel_schema_migrations WHERE version = '20240102000000'",
            "INSERT INTO __diesel_schema_migrations VALUES ('20240102000001')",
            "diverged",
        ),
        change(
            fixture!("refinery"),
            "DELETE FROM refinery_schema_history WHERE version = 2",
            "UPDATE refinery_schema_history SET checksum = '7'",
            "diverged",
        ),
        change(
            fixture!("sea_orm"),
            "DELETE FROM seaql_migrations WHERE version LIKE '%orders'",
            "INSERT INTO seaql_migrations VALUES ('m20240102_000002_other', 1)",
            "diverged",
        ),
        change(
            fixture!("goose"),
            "INSERT INTO goose_db_version (version_id, is_applied) VALUES (2, false)",
            "INSERT INTO goose_db_version (version_id, is_applied) VALUES (3, true)",
            "diverged",
        ),
        breaking(
            change(
                fixture!("knex"),
                "DELETE FROM knex_migrations WHERE name LIKE '%orders.js'",
                "INSERT INTO knex_migrations (name, batch) VALUES ('20240102000001_other.js', 2)",
                "diverged",
            ),
            "UPDATE knex_migrations_lock SET is_locked = 1",
            "locked by a run of knex",
        ),
        change(
            fixture!("sequelize"),
            r#"DELETE FROM "SequelizeMeta" WHERE name LIKE '%orders.js'"#,
            r#"INSERT INTO "SequelizeMeta" VALUES ('20240102000001_other.js')"#,
            "diverged",
        ),
        change(
            fixture!("typeorm"),
            "DELETE FROM migrations WHERE name LIKE 'Orders%'",
            "INSERT INTO migrations (timestamp, name) VALUES (1704153600001, 'Other1704153600001')",
            "diverged",
        ),
        change(
            fixture!("laravel"),
            "DELETE FROM migrations WHERE migration LIKE '%orders_table'",
            "INSERT INTO migrations (migration, batch) VALUES ('2024_01_02_000001_other', 2)",
            "diverged",
        ),
        change(
            fixture!("ef_core"),
            r#"DELETE FROM "__EFMigrationsHistory" WHERE "MigrationId" LIKE '%Orders'"#,
            r#"INSERT INTO "__EFMigrationsHistory" VALUES ('20240102000001_Other', '8')"#,
            "diverged",
        ),
    ];
    let server = TestPostgres::start(17);
    for change in changes {
        let (name, sql) = change.fixture;
        let mut connection = database(&server, name, sql);
        let begun = look(&mut connection).states.remove(0);
        // Within a transaction that is given up, as the dump's is.
        let mut after = |statements: &[&str]| {
            let all = format!("BEGIN; {}", statements.join("; "));
            connection.execute(&all).expect("it is changed");
            let state = look(&mut connection).states.remove(0);
            connection.execute("ROLLBACK").expect("it is given up");
            state
        };
        let stands = |a: &MigrationState, b: &MigrationState| compare(a, b).word();
        let back = after(&[change.back]);
        assert_eq!(stands(&begun, &after(&[])), "same", "{name}");
        assert_eq!(stands(&back, &begun), "older", "{name}");
        assert_eq!(stands(&begun, &back), "newer", "{name}");
        assert_eq!(compare(&back, &begun).missing().len(), 1, "{name}");
        let aside = after(&[change.back, change.aside]);
        assert_eq!(stands(&aside, &begun), change.stands, "{name}");
        if let Some((sql, unfinished)) = change.breaks {
            assert_eq!(after(&[sql]).unfinished.join(" "), unfinished, "{name}");
        }
    }
}

#[test]
fn tables_are_found_in_any_schema_by_any_name_and_told_from_what_only_looks_like_them() {
    let server = TestPostgres::start(17);
    let mut connection = database(
        &server,
        "mixed",
        r#"
        CREATE SCHEMA "My ""App"; CREATE SCHEMA two; CREATE SCHEMA pgbouncer_data;
        CREATE TABLE "My ""App".django_migrations (id int, app text, name text, applied timestamptz);
        INSERT INTO "My ""App".django_migrations VALUES (1, 'a', '0001', now());
        CREATE TABLE two.schema_migrations (version varchar PRIMARY KEY);
        CREATE TABLE two.ar_internal_metadata (key varchar, value varchar);
        INSERT INTO two.schema_migrations VALUES ('7');
        CREATE TABLE pgbouncer_data.schema_migrations (version bigint, dirty bool);
        INSERT INTO pgbouncer_data.schema_migrations VALUES (5, true);
        -- Of the same name, and nothing of the kind.
        CREATE TABLE migrations (bird text, timestamp timestamptz);
        CREATE VIEW alembic_version AS SELECT 'x'::text AS version_num;
        -- Under names of their own.
        CREATE TABLE changes (id int, timestamp bigint, name text);
        INSERT INTO changes VALUES (1, 1, 'A1');
        CREATE TABLE big_changes (version_num text);
        INSERT INTO big_changes SELECT g::text FROM generate_series(1, 50001) g;
        "#,
    );
    let found = look(&mut connection);
    let said: Vec<String> = found
        .states
        .iter()
        .map(|s| format!("{:?} {} {}", s.framework, s.table, words(s)))
        .collect();
    assert_eq!(
        said,
        [
            "Django My \"App.django_migrations a.0001",
            "GolangMigrate pgbouncer_data.schema_migrations ; unfinished 5",
            "Rails two.schema_migrations 7",
        ]
    );
    assert_eq!(found.warnings, [""; 0]);

    let mut ask = |framework, table: Option<&str>, query: Option<&str>| {
        let configured = Migrations {
            framework: Some(framework),
            table: table.map(str::to_owned),
            query: query.map(str::to_owned),
            ..Migrations::default()
        };
        let found = migrations::look(&mut connection, Some(&configured)).expect("an answer");
        let names: Vec<String> = found.states.iter().map(words).collect();
        (names, found.warnings.join("; "))
    };
    assert_eq!(ask(Framework::TypeOrm, Some("changes"), None).0, ["A1"]);
    assert_eq!(
        ask(Framework::TypeOrm, Some("public.changes"), None).0,
        ["A1"]
    );
    // Told by its name where the user says it.
    assert_eq!(
        ask(Framework::Dbmate, Some("two.schema_migrations"), None).0,
        ["7"]
    );
    let (names, why) = ask(Framework::Flyway, None, None);
    assert!(
        names.is_empty() && why.contains("there is no table of Flyway in database mixed"),
        "{why}"
    );
    let (names, why) = ask(Framework::Alembic, Some("big_changes"), None);
    assert!(
        names.is_empty() && why.contains("more than 50000 rows"),
        "{why}"
    );

    // A statement of the user's, by the app's search path; it can end no transaction and be no second statement.
    let query = "SELECT name FROM changes ORDER BY id; -- all";
    let (_, why) = ask(Framework::Query, None, Some(query));
    assert!(why.contains("syntax error"), "{why}");
    assert_eq!(
        ask(
            Framework::Query,
            None,
            Some("SELECT name FROM changes -- all\n;")
        )
        .0,
        ["A1"]
    );
    assert_eq!(
        ask(
            Framework::Query,
            None,
            Some("SELECT 'shop', name FROM changes")
        )
        .0,
        ["shop.A1"]
    );
    assert!(
        ask(Framework::Query, None, Some("SELECT 1, 2, 3"))
            .1
            .contains("3 columns")
    );
    assert!(
        ask(Framework::Query, None, Some("SELECT 1 / 0"))
            .1
            .contains("division by zero")
    );
    assert!(
        ask(Framework::Query, None, None)
            .1
            .contains("needs a query")
    );
}

#[test]
fn what_may_not_be_read_is_a_warning_and_leaves_the_transaction_good() {
    let server = TestPostgres::start(17);
    drop(database(&server, "closed", fixture!("django").1));
    server.psql(
        "closed",
        "CREATE ROLE reader LOGIN; CREATE TABLE alembic_version (version_num text); \
         INSERT INTO alembic_version VALUES ('ab'); GRANT SELECT ON alembic_version TO reader; \
         CREATE TABLE _sqlx_migrations (version int, description text, installed_on text, success bool, checksum bytea); \
         GRANT SELECT ON _sqlx_migrations TO reader",
    );
    let mut connection = open(&server, "closed");
    connection
        .execute("SET ROLE reader; SET statement_timeout = '7s'; SET search_path = ''; BEGIN ISOLATION LEVEL REPEATABLE READ")
        .expect("it becomes another role");
    let found = look(&mut connection);
    let said: Vec<String> = found.states.iter().map(words).collect();
    assert_eq!(said, ["ab"]);
    assert_eq!(found.warnings.len(), 2, "{:?}", found.warnings);
    let all = found.warnings.join("; ");
    assert!(
        all.contains("Django") && all.contains("no privilege to read public.django_migrations"),
        "{all}"
    );
    // Its columns have the names of SQLx's table and other types: the server refuses the statement.
    assert!(
        all.contains("SQLx") && all.contains("public._sqlx_migrations"),
        "{all}"
    );
    assert_eq!(
        connection.transaction_status(),
        TransactionStatus::InTransaction
    );
    let left = |c: &mut Connection, name: &str| {
        c.query_value(&format!("SHOW {name}")).expect("still good")
    };
    assert_eq!(
        left(&mut connection, "statement_timeout").as_deref(),
        Some("7s")
    );
    assert_eq!(
        left(&mut connection, "search_path").as_deref(),
        Some("\"\"")
    );
}
