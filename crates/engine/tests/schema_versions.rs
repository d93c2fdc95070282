//! Schema versions from one end to the other: in the backup, in the plan of a restore, against the code; and schemas compared.

mod support;

use jiff::SignedDuration;
use pgkeep_engine::{
    application::Application,
    backup,
    catalog::{self, ListFilter},
    diff::{Change, DiffSide, LiveDatabases},
    migrations::{self, MigrationsRequest, WantedBackup, files, sentence},
    restore::{self, Around},
    schema_diff,
};
use pgkeep_model::{
    app::{Commands, Framework, Migrations},
    migrations::{Comparison, against_code},
};
use pgkeep_postgres::{migrations as tables, wire::Connection};
use pgkeep_testkit::TestPostgres;
use std::{
    fs,
    path::{Path, PathBuf},
};
use support::{Place, backup_request, connect, replace, restore_request};

/// Projects of real frameworks, and what those frameworks left in a database.
fn made_by(framework: &str) -> (PathBuf, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../postgres/tests/migrations");
    let sql = folder.join(format!("fixtures/{framework}.sql"));
    (
        folder.join("projects").join(framework),
        fs::read_to_string(sql).expect("the fixture is there"),
    )
}

/// What stands in a database, as seen from the code in a folder, in a sentence.
fn words(server: &TestPostgres, database: &str, framework: Framework, code: &Path) -> String {
    let mut connection = Connection::open(&connect(server, database)).expect("it opens");
    let state = tables::read(&mut connection, None)
        .expect("it can be read")
        .pop()
        .expect("there is a version");
    let code = files::in_folder(framework, code)
        .expect("the folder can be read")
        .expect("it holds migrations");
    let comparison = Comparison {
        framework,
        table: state.table.clone(),
        relation: against_code(&state, &code),
    };
    sentence(&comparison, "the database", "the code")
}

#[test]
fn what_real_projects_still_have_to_run_is_told_by_their_files() {
    use Framework::*;
    let server = TestPostgres::start(17);
    let stock = "older than the code, by 1 migration: 20240103000000";
    for (name, framework, expected) in [
        (
            "django",
            Django,
            "older than the code, by 1 migration: shop.0003_stock",
        ),
        (
            "alembic",
            Alembic,
            "older than the code, by 1 migration: 4d5e6f708192_merge",
        ),
        ("rails", Rails, &format!("{stock}_create_stock")),
        ("knex", Knex, &format!("{stock}_stock")),
        ("sequelize", Sequelize, &format!("{stock}_stock")),
        (
            "typeorm",
            TypeOrm,
            "older than the code, by 1 migration: 1704240000000-Stock",
        ),
        (
            "laravel",
            Laravel,
            "older than the code, by 1 migration: 2024_01_03_000000_create_stock_table",
        ),
        ("dbmate", Dbmate, "at the same version as the code"),
        ("sqlx", Sqlx, &format!("{stock}_stock")),
        ("prisma", Prisma, &format!("{stock}_stock")),
        (
            "diesel",
            Diesel,
            "older than the code, by 1 migration: 2024-01-03-000000_stock",
        ),
        (
            "refinery",
            Refinery,
            "older than the code, by 1 migration: V3__stock",
        ),
        (
            "sea_orm",
            SeaOrm,
            "older than the code, by 1 migration: m20240103_000001_stock",
        ),
        // One of another database and one of a context stand in the logs, too.
        (
            "liquibase",
            Liquibase,
            "older than the code, by 1 migration: changes/30-stock.json::stock-index::ann",
        ),
    ] {
        let (project, sql) = made_by(name);
        server.psql("postgres", &format!("CREATE DATABASE {name}"));
        server.psql(name, &sql);
        let said = words(&server, name, framework, &project);
        assert!(said.ends_with(expected), "{name}: {said}");
    }
    // A head that the folder does not know, beside one that it knows.
    server.psql(
        "alembic",
        "UPDATE alembic_version SET version_num = 'ffff' WHERE version_num LIKE '2b%'",
    );
    let said = words(&server, "alembic", Alembic, &made_by("alembic").0);
    assert!(
        said.ends_with("newer than the code, by 1 migration: ffff"),
        "{said}"
    );
}

#[test]
fn a_migration_that_was_edited_after_it_ran_is_named() {
    use Framework::*;
    let server = TestPostgres::start(17);
    let place = tempfile::tempdir().expect("a folder");
    for (name, framework, file, title) in [
        (
            "sqlx",
            Sqlx,
            "migrations/20240101000000_products.sql",
            "20240101000000_products",
        ),
        (
            "prisma",
            Prisma,
            "migrations/20240101000000_products/migration.sql",
            "20240101000000_products",
        ),
        (
            "refinery",
            Refinery,
            "migrations/V1__products.sql",
            "V1__products",
        ),
    ] {
        let (project, sql) = made_by(name);
        server.psql("postgres", &format!("CREATE DATABASE {name}"));
        server.psql(name, &sql);
        let code = place.path().join(name);
        copy(&project, &code);
        let text = fs::read_to_string(code.join(file)).expect("it is there");
        fs::write(code.join(file), format!("{text}-- better\n")).expect("written");
        let said = words(&server, name, framework, &code);
        let expected =
            format!("have diverged: only the database has {title} (other text); only the code has");
        assert!(said.contains(&expected), "{name}: {said}");
    }

    // Flyway's numbers for these texts; a repeatable one will only be run again.
    let code = place.path().join("flyway/db/migration");
    fs::create_dir_all(&code).expect("made");
    for (file, text) in [
        ("V1_1__products.sql", "123456789\n"),
        ("V2__orders.sql", "12345\r\n6789"),
        ("R__all_orders.sql", "SELECT 2;\n"),
    ] {
        fs::write(code.join(file), text).expect("written");
    }
    server.psql("postgres", "CREATE DATABASE flyway");
    server.psql("flyway", &made_by("flyway").1);
    server.psql(
        "flyway",
        "UPDATE flyway_schema_history SET checksum = -873187034 WHERE type = 'SQL'",
    );
    let told = || words(&server, "flyway", Flyway, &place.path().join("flyway"));
    assert!(
        told().ends_with("by 1 migration: R__all_orders"),
        "{}",
        told()
    );
    fs::write(code.join("V2__orders.sql"), "12345678").expect("written");
    let said = told();
    assert!(
        said.contains("only the database has V2__orders (other text)"),
        "{said}"
    );
}

/// What the live database is as seen from the code, in sentences, and the warnings.
fn told_by(app: &Application, server: &TestPostgres, place: &Place) -> (Vec<String>, String) {
    let request = MigrationsRequest {
        databases: vec![connect(server, "shop")],
        application: app.clone(),
    };
    let report = migrations::run(&request, None, &place.context).expect("a report");
    let said = report.databases[0].against_code.iter();
    let said = said.map(|c| sentence(c, "the database", "the code"));
    (said.collect(), report.warnings.join("; "))
}

#[test]
fn a_program_of_the_app_may_list_what_the_code_holds() {
    let server = TestPostgres::start(17);
    server.psql("postgres", "CREATE DATABASE shop");
    server.psql("shop", &made_by("django").1);
    let place = Place::new();
    let listing = |script: &str| Application {
        name: "shop".into(),
        migrations: Some(Migrations {
            command: ["sh", "-c", script].map(str::to_owned).to_vec(),
            ..Migrations::default()
        }),
        ..Application::default()
    };
    // It finds the database that is looked at.
    let app = listing(
        "test \"$PGDATABASE\" = shop || exit 3; \
         printf 'shop\\n [X] 0001_squashed_0002_price (2 squashed migrations)\\n [ ] 0003_stock\\n'",
    );
    let (said, warnings) = told_by(&app, &server, &place);
    assert_eq!(
        said,
        ["Django: the database is older than the code, by 1 migration: shop.0003_stock"]
    );
    assert_eq!(warnings, "");
    for (script, why) in [
        ("echo no; exit 4", "ended with status 4: no"),
        ("echo nothing of that kind", "holds no migration of Django"),
    ] {
        let (said, warnings) = told_by(&listing(script), &server, &place);
        assert!(said.is_empty() && warnings.contains(why), "{warnings}");
    }
    // Lists of statements of the user's are compared name by name.
    server.psql(
        "shop",
        "CREATE TABLE changes (id int, name text); INSERT INTO changes VALUES (1, 'one'), (2, 'two')",
    );
    let mut app = listing("printf 'one\\ntwo\\nthree\\n'");
    if let Some(configured) = &mut app.migrations {
        configured.framework = Some(Framework::Query);
        configured.query = Some("SELECT name FROM changes ORDER BY id".into());
    }
    let (said, warnings) = told_by(&app, &server, &place);
    assert_eq!(
        said,
        ["query: the database is older than the code, by 1 migration: three"]
    );
    assert_eq!(warnings, "");
}

#[test]
fn a_backup_remembers_the_revisions_that_the_code_knew() {
    let server = TestPostgres::start(17);
    server.psql("postgres", "CREATE DATABASE shop");
    let (project, sql) = made_by("alembic");
    server.psql("shop", &sql);
    let place = Place::new();
    let back_up = || {
        let mut request = backup_request(&server, "shop");
        request.application.migrations = application(&project).migrations;
        let made = backup::run(&place.repository, &request, &place.context).expect("a backup");
        made.id
    };
    let first = back_up();
    server.psql(
        "shop",
        "DELETE FROM alembic_version; INSERT INTO alembic_version VALUES ('4d5e6f708192')",
    );
    place.clock.advance(SignedDuration::from_secs(60));
    let second = back_up();
    // From here on nobody has the code.
    let stands = |backup: &str| {
        let request = MigrationsRequest {
            databases: vec![connect(&server, "shop")],
            application: Application::default(),
        };
        let wanted = WantedBackup {
            repository: &place.repository,
            backup,
            app: None,
        };
        let report = migrations::run(&request, Some(&wanted), &place.context).expect("a report");
        let backup = report.backup.expect("it was asked for");
        let against = &backup.databases[0].against_live[0];
        sentence(against, "the backup", "the database")
    };
    let older = "Alembic: the backup is older than the database, by 1 migration: 4d5e6f708192";
    assert_eq!(stands(&first), older);
    let plan = |backup: &str| {
        let mut request = restore_request(&server, replace("shop"));
        request.backup = backup.to_owned();
        let plan = restore::plan(&place.repository, &request, &place.context).expect("a plan");
        plan.summary.migrations.expect("versions are known").words
    };
    assert_eq!(plan(&first), [older.replace("the database", "shop")]);
    server.psql(
        "shop",
        "UPDATE alembic_version SET version_num = '1a2b3c4d5e6f'",
    );
    assert_eq!(
        stands(&second),
        "Alembic: the backup is newer than the database, by 3 migrations: 2b3c4d5e6f70, 3c4d5e6f7081, 4d5e6f708192"
    );
    server.psql("shop", "UPDATE alembic_version SET version_num = 'ffff'");
    assert!(
        stands(&second).contains("is not known"),
        "{}",
        stands(&second)
    );
}

#[test]
fn file_names_of_every_other_framework_are_understood() {
    use Framework::*;
    let place = tempfile::tempdir().expect("a folder");
    let cases: &[(Framework, &[&str], &str)] = &[
        (
            Flyway,
            &[
                "db/migration/V1_2__b.sql",
                "db/migration/x/V1__a.sql",
                "db/migration/R__all.sql",
                "db/migration/U1__a.sql",
                "db/migration/notes.txt",
            ],
            "1 1.2 R__all",
        ),
        (
            Prisma,
            &[
                "prisma/migrations/20240101_a/migration.sql",
                "prisma/migrations/migration_lock.toml",
                "prisma/migrations/empty/readme",
            ],
            "20240101_a",
        ),
        (
            Sqlx,
            &[
                "migrations/10_b.up.sql",
                "migrations/10_b.down.sql",
                "migrations/2_a.sql",
            ],
            "2 10",
        ),
        (
            Diesel,
            &[
                "migrations/00000000000000_setup/up.sql",
                "migrations/2024-01-02-030405_a/up.sql",
                "migrations/x/down.sql",
            ],
            "00000000000000 20240102030405",
        ),
        (
            Refinery,
            &[
                "migrations/V1__a.sql",
                "migrations/U2__b.rs",
                "migrations/mod.rs",
            ],
            "1 2",
        ),
        (
            SeaOrm,
            &["src/lib.rs", "src/m20240101_000001_a.rs"],
            "m20240101_000001_a",
        ),
        (
            GolangMigrate,
            &[
                "migrations/000001_a.up.sql",
                "migrations/000001_a.down.sql",
                "migrations/2_b.up.sql",
            ],
            "000001 2",
        ),
        (
            Goose,
            &["00001_a.sql", "2_b.go", "2_b_test.go", "main.go"],
            "00001 2",
        ),
        (
            EfCore,
            &[
                "Migrations/20240101000000_A.cs",
                "Migrations/20240101000000_A.Designer.cs",
                "Migrations/ShopContextModelSnapshot.cs",
            ],
            "20240101000000_A",
        ),
        (
            Ecto,
            &[
                "priv/repo/migrations/20240101000000_a.exs",
                "priv/repo/migrations/.formatter.exs",
            ],
            "20240101000000",
        ),
        (
            Sequelize,
            &[
                "migrations/1-a.ts",
                "migrations/1-a.d.ts",
                "migrations/2-b.js",
            ],
            "1-a.ts 2-b.js",
        ),
        (
            Django,
            &[
                "a/migrations/0001_x.py",
                "a/migrations/__init__.py",
                "venv/lib/b/migrations/0001_y.py",
                "c/migrations/0002_no_class.py",
            ],
            "a.0001_x",
        ),
        (Alembic, &["alembic/versions/x.py", "alembic/env.py"], "ab"),
    ];
    for (framework, names, expected) in cases {
        let folder = place.path().join(framework.as_str());
        for name in *names {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            let text = match name {
                name if name.contains("no_class") => "x = 1\n",
                _ => "class Migration:\n    pass\nrevision = 'ab'  # 'cd'\ndown_revision = None\n",
            };
            fs::write(path, text).expect("written");
        }
        let code = files::in_folder(*framework, &folder)
            .unwrap_or_else(|e| panic!("{framework:?}: {e}"))
            .unwrap_or_else(|| panic!("{framework:?}: nothing"));
        let found: Vec<String> = code
            .migrations
            .iter()
            .map(|m| pgkeep_model::migrations::qualified(&m.label, &m.name))
            .collect();
        assert_eq!(found.join(" "), *expected, "{framework:?}");
    }
    assert!(
        files::in_folder(Rails, place.path())
            .expect("readable")
            .is_none()
    );
    assert!(files::in_folder(Rails, &place.path().join("nowhere")).is_err());
}

/// An app whose code is in a folder.
fn application(code: &Path) -> Application {
    Application {
        name: "shop".into(),
        migrations: Some(Migrations {
            code: Some(code.display().to_string()),
            ..Migrations::default()
        }),
        commands: Commands {
            directory: Some(code.display().to_string()),
            version_file: Some("VERSION".into()),
            runtime: ["printf", "%s", "django 5.2\n"].map(str::to_owned).to_vec(),
            ..Commands::default()
        },
        ..Application::default()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("readable") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        match path.is_dir() {
            true => copy(&path, &target),
            false => drop(fs::copy(&path, target).expect("copied")),
        }
    }
}

#[test]
fn a_backup_knows_its_version_and_a_plan_tells_how_it_stands_to_the_rest() {
    let server = TestPostgres::start(17);
    let (project, sql) = made_by("django");
    server.psql("postgres", "CREATE DATABASE shop");
    server.psql("shop", &sql);
    let place = Place::new();
    let code = place.folder.path().join("code");
    copy(&project, &code);
    fs::write(code.join("VERSION"), "\n2.7.1\nmore\n").expect("written");
    let mut request = backup_request(&server, "shop");
    request.application = application(&code);
    let made = backup::run(&place.repository, &request, &place.context).expect("a backup");

    let manifest = catalog::show(&place.repository, &made.id, &ListFilter::default())
        .expect("it is there")
        .manifest;
    let told = manifest.application.expect("the app told its version");
    assert_eq!(told.version.as_deref(), Some("2.7.1"));
    assert_eq!(told.runtime["django"], "5.2");
    let [state] = manifest.databases[0].migrations.as_slice() else {
        panic!("{:?}", manifest.databases[0].migrations)
    };
    assert_eq!(state.framework, Framework::Django);
    assert!(state.names().contains(&"shop.0002_price".to_owned()));

    // The deployed code goes on by one migration.
    server.psql(
        "shop",
        "ALTER TABLE shop_product ADD stock integer DEFAULT 0 NOT NULL; \
         INSERT INTO django_migrations (app, name, applied) VALUES ('shop', '0003_stock', now())",
    );
    let planned = |migrate: bool, code: &Path| {
        let mut request = restore_request(&server, replace("shop"));
        request.around = Around {
            application: application(code),
            migrate,
            ..Around::default()
        };
        request.around.application.commands.migrate = vec!["true".into()];
        let plan = restore::plan(&place.repository, &request, &place.context).expect("a plan");
        plan.summary
    };
    let summary = planned(true, &code);
    let versions = summary.migrations.expect("versions are known");
    assert_eq!(versions.app_version.as_deref(), Some("2.7.1"));
    assert_eq!(versions.target[0].relation.missing(), ["shop.0003_stock"]);
    assert_eq!(versions.forward, ["shop.0003_stock"]);
    assert!(
        versions
            .words
            .iter()
            .any(|w| w.contains("will run before the database is used: shop.0003_stock")),
        "{:?}",
        versions.words
    );
    assert!(summary.refusals.is_empty(), "{:?}", summary.refusals);

    // Older code does not know what the backup has: a warning, and no migrating with it.
    let older = place.folder.path().join("older");
    copy(&project, &older);
    for gone in [
        "0002_price.py",
        "0003_stock.py",
        "0001_squashed_0002_price.py",
    ] {
        fs::remove_file(older.join("shop/migrations").join(gone)).expect("removed");
    }
    let summary = planned(false, &older);
    assert!(
        summary
            .warnings
            .iter()
            .any(|w| w.contains("the code does not know 2 migrations that the backup has")),
        "{:?}",
        summary.warnings
    );
    let summary = planned(true, &older);
    assert!(
        summary
            .refusals
            .iter()
            .any(|r| r.message.contains("shop.0002_price") && r.remedy.contains("deploy the code")),
        "{:?}",
        summary.refusals
    );

    // Live database, code and backup side by side.
    let request = MigrationsRequest {
        databases: vec![connect(&server, "shop")],
        application: application(&code),
    };
    let wanted = WantedBackup {
        repository: &place.repository,
        backup: "latest",
        app: None,
    };
    let report = migrations::run(&request, Some(&wanted), &place.context).expect("a report");
    assert_eq!(report.databases[0].against_code[0].relation.word(), "same");
    let backup = report.backup.expect("the backup was asked for");
    assert_eq!(backup.databases[0].against_live[0].relation.word(), "older");
    assert_eq!(
        backup.databases[0].against_code[0].relation.missing(),
        ["shop.0003_stock"]
    );
}

#[test]
fn schemas_are_compared_object_by_object_and_column_by_column() {
    let server = TestPostgres::start(17);
    server.psql("postgres", "CREATE DATABASE shop; CREATE ROLE reader");
    server.psql(
        "shop",
        "CREATE TYPE mood AS ENUM ('good'); \
         CREATE TABLE \"odd name\" (id serial PRIMARY KEY, note text DEFAULT 'a, (b', gone int, \
            price numeric(10,2) CHECK (price > 0)); \
         CREATE TABLE kept (id int PRIMARY KEY, of int); \
         CREATE INDEX by_note ON \"odd name\" (note); \
         CREATE VIEW notes AS SELECT note FROM \"odd name\"; \
         CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS $$\n  SELECT n * 2;\n$$; \
         ALTER TABLE kept ENABLE ROW LEVEL SECURITY",
    );
    let place = Place::new();
    let first = place.backup(&server, "shop").id;
    server.psql(
        "shop",
        "ALTER TABLE \"odd name\" DROP COLUMN gone, ALTER price TYPE numeric(12,2), ADD added date NOT NULL; \
         ALTER TABLE \"odd name\" ALTER note SET DEFAULT 'c'; \
         ALTER TABLE kept ADD CONSTRAINT fk FOREIGN KEY (of) REFERENCES \"odd name\" (id); \
         CREATE POLICY mine ON kept USING (id > 0); \
         GRANT SELECT ON kept TO reader; DROP INDEX by_note; \
         ALTER TYPE mood ADD VALUE 'better'; \
         CREATE OR REPLACE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS $$\n  SELECT n + n;\n$$; \
         CREATE EXTENSION hstore; CREATE SEQUENCE extra; \
         COMMENT ON TABLE kept IS 'it stays'; \
         INSERT INTO kept VALUES (1)",
    );
    let live = DiffSide::Live(LiveDatabases {
        connections: vec![connect(&server, "shop")],
        only: None,
    });
    let from = DiffSide::Backup(first.clone());
    let run = |from: &DiffSide, to: &DiffSide| {
        schema_diff::run(&place.repository, from, to, None, &place.context).expect("a comparison")
    };
    let report = run(&from, &live);
    assert!(!report.same && report.not_compared.is_empty());
    let objects = &report.databases[0].objects;
    let said: Vec<String> = objects
        .iter()
        .map(|o| {
            let mark = match o.change {
                Change::Added => '+',
                Change::Removed => '-',
                Change::Changed => '~',
            };
            let of = o.table.as_deref().map(|t| format!(" of {t}"));
            format!("{mark} {} {}{}", o.kind, o.name, of.unwrap_or_default())
        })
        .collect();
    for expected in [
        "+ extension hstore",
        "~ type mood",
        "+ sequence extra",
        "~ table odd name",
        "~ function twice(integer)",
        "+ foreign key fk of kept",
        "- index by_note of odd name",
        "+ policy mine of kept",
        "+ grants TABLE kept",
        "+ comment TABLE kept",
    ] {
        assert!(said.iter().any(|s| s == expected), "{expected}: {said:#?}");
    }
    let table = objects
        .iter()
        .find(|o| o.kind == "table")
        .expect("it changed");
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|c| {
            let side = |s: &Option<String>| s.clone().unwrap_or_else(|| "-".into());
            format!("{}: {} => {}", c.name, side(&c.from), side(&c.to))
        })
        .collect();
    assert_eq!(
        columns,
        [
            "note: text DEFAULT 'a, (b'::text => text DEFAULT 'c'::text",
            "price: numeric(10,2) => numeric(12,2)",
            "added: - => date NOT NULL",
            "gone: integer => -",
        ]
    );
    // A serial's default is written down apart; it is shown with its column, and is no change.
    assert!(
        table.sql.contains(
            "     id integer DEFAULT nextval('public.\"odd name_id_seq\"'::regclass) NOT NULL,"
        ) || table.sql.contains(
            "     id integer NOT NULL DEFAULT nextval('public.\"odd name_id_seq\"'::regclass),"
        ),
        "{}",
        table.sql
    );
    assert!(table.sql.contains("-    gone integer,\n"), "{}", table.sql);
    let function = objects
        .iter()
        .find(|o| o.kind == "function")
        .expect("it changed");
    assert!(
        function
            .sql
            .contains("-  SELECT n * 2;\n+  SELECT n + n;\n"),
        "{}",
        function.sql
    );

    // Rows make no difference, and the same comparison turned round says the opposite.
    let second = DiffSide::Backup(place.backup(&server, "shop").id);
    assert!(run(&second, &live).same);
    let back = run(&second, &from);
    assert_eq!(back.databases[0].objects.len(), objects.len());
    let index = back.databases[0]
        .objects
        .iter()
        .find(|o| o.kind == "index")
        .expect("it differs");
    assert_eq!(index.change, Change::Added);
}
