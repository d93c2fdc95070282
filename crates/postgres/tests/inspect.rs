//! Catalogs of every supported major, and what ordinary users get to see.

use pgkeep_postgres::{
    connect::{ConnectOptions, Environment},
    inspect,
    wire::Connection,
};
use pgkeep_testkit::TestPostgres;

fn open(dsn: &str) -> Connection {
    let options =
        ConnectOptions::resolve(Some(dsn), &Environment::default()).expect("options resolve");
    Connection::open(&options).expect("the server lets us in")
}

#[test]
fn the_server_describes_itself_and_its_databases() {
    for major in [15, 17, 18] {
        let server = TestPostgres::start(major);
        server.psql(
            "postgres",
            "CREATE ROLE owner_x; CREATE DATABASE \"shöp %1\" OWNER owner_x TEMPLATE template0 ENCODING 'UTF8' \
               LOCALE_PROVIDER icu ICU_LOCALE 'de-DE' LOCALE 'C.UTF-8' CONNECTION LIMIT 7; \
             COMMENT ON DATABASE \"shöp %1\" IS 'it''s ours'; \
             ALTER DATABASE \"shöp %1\" SET work_mem = '5MB'; \
             ALTER DATABASE \"shöp %1\" SET search_path = 'a b', \"c,d\"; \
             ALTER ROLE owner_x IN DATABASE \"shöp %1\" SET statement_timeout = '1s'; \
             GRANT CONNECT ON DATABASE \"shöp %1\" TO owner_x; REVOKE TEMPORARY ON DATABASE \"shöp %1\" FROM PUBLIC",
        );
        let mut connection = open(&server.dsn());
        let facts = inspect::server_facts(&mut connection).expect("facts");
        assert_eq!(facts.version_num / 10_000, major);
        assert!(facts.version.starts_with(&major.to_string()));
        assert!(facts.system_identifier.parse::<u64>().is_ok(), "{facts:?}");
        assert!(
            facts.wal_position.contains('/') && facts.snapshot.contains(':') && !facts.in_recovery
        );
        assert!(facts.snapshot_at.is_some(), "{facts:?}");
        assert_eq!(
            facts.settings.get("block_size").map(String::as_str),
            Some("8192")
        );

        let p = inspect::database_properties(&mut connection, "shöp %1").expect("properties");
        assert_eq!(
            (
                p.owner.as_str(),
                p.encoding.as_str(),
                p.locale_provider.as_str()
            ),
            ("owner_x", "UTF8", "icu")
        );
        assert_eq!(
            (p.locale.as_deref(), p.collate.as_str()),
            (Some("de-DE"), "C.UTF-8")
        );
        assert_eq!(
            (p.connection_limit, p.tablespace.as_str()),
            (7, "pg_default")
        );
        assert_eq!(p.comment.as_deref(), Some("it's ours"));
        assert!(p.collation_version.is_some() && p.allow_connections && !p.is_template);
        let acl = p.acl.expect("grants were made");
        assert!(acl.contains(&"=c/owner_x".to_owned()), "{acl:?}");
        let settings: Vec<_> = p
            .settings
            .iter()
            .map(|s| (s.role.as_str(), s.settings.clone()))
            .collect();
        assert_eq!(
            settings,
            [
                (
                    "",
                    vec![
                        "work_mem=5MB".to_owned(),
                        "search_path=\"a b\", \"c,d\"".to_owned()
                    ]
                ),
                ("owner_x", vec!["statement_timeout=1s".to_owned()]),
            ]
        );
        let plain = inspect::database_properties(&mut connection, "postgres").expect("properties");
        assert_eq!((plain.locale_provider.as_str(), plain.acl), ("libc", None));
        let gone =
            inspect::database_properties(&mut connection, "gone").expect_err("no such database");
        assert!(
            gone.to_string().contains("\"gone\" does not exist"),
            "{gone}"
        );

        let all = inspect::databases(&mut connection).expect("databases");
        let ours = all.iter().find(|d| d.name == "shöp %1").expect("listed");
        assert_eq!(ours.setting("work_mem"), Some("5MB"));
        assert!(ours.size_bytes.is_some_and(|n| n > 1_000_000));
        assert!(
            all.iter()
                .any(|d| d.name == "template0" && d.is_template && !d.allow_connections)
        );
        assert!(inspect::database_exists(&mut connection, "shöp %1").expect("an answer"));
        assert!(!inspect::database_exists(&mut connection, "shop").expect("an answer"));
        assert!(inspect::database_size(&mut connection, "shöp %1").expect("a size") > 1_000_000);
        assert!(
            inspect::roles(&mut connection)
                .expect("roles")
                .iter()
                .any(|r| r.name == "owner_x" && !r.can_login)
        );
        let spaces = inspect::tablespaces(&mut connection).expect("tablespaces");
        assert!(
            spaces
                .iter()
                .any(|t| t.name == "pg_global" && t.location.is_empty())
        );
    }
}

#[test]
fn a_database_with_everything_is_listed() {
    for major in [15, 17, 18] {
        let server = TestPostgres::start(major);
        server.load_everything("everything");
        let mut connection = open(&server.dsn_for("everything"));
        let relations = inspect::relations(&mut connection).expect("relations");
        let kinds: std::collections::BTreeSet<char> = relations.iter().map(|r| r.kind).collect();
        for kind in ['r', 'p', 'm', 'f', 'S'] {
            assert!(kinds.contains(&kind), "{major}: no relation of kind {kind}");
        }
        assert!(relations.iter().any(|r| r.persistence == 'u'));
        assert!(relations.iter().any(|r| r.is_partition));
        assert!(
            relations
                .iter()
                .any(|r| r.heap_bytes > 0 && r.access_method == "heap")
        );
        let count = server.psql(
            "everything",
            "SELECT count(*) FROM pg_class WHERE relkind IN ('r','p','m','f','S') AND relnamespace NOT IN \
             (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_' OR nspname = 'information_schema')",
        );
        assert_eq!(relations.len().to_string(), count);
        let extensions = inspect::extensions(&mut connection).expect("extensions");
        assert!(
            extensions
                .iter()
                .any(|e| e.name == "plpgsql" && e.schema == "pg_catalog")
        );
        let evidence = inspect::extension_evidence(&mut connection).expect("evidence");
        assert_eq!(evidence.len(), extensions.len());
        let available = inspect::available_extensions(&mut connection).expect("available");
        for extension in &extensions {
            let files = available.iter().find(|a| a.name == extension.name);
            assert!(
                files.is_some_and(|a| a.versions.contains(&extension.version)),
                "{extension:?}"
            );
        }
        assert!(
            inspect::unreadable_tables(&mut connection)
                .expect("a list")
                .is_empty(),
            "the superuser reads all"
        );
    }
}

#[test]
fn what_an_ordinary_user_cannot_read_is_named_with_its_remedy() {
    let server = TestPostgres::start(15);
    server.psql(
        "postgres",
        "CREATE ROLE reader LOGIN; CREATE ROLE other; CREATE SCHEMA hidden; CREATE SCHEMA open; \
         GRANT USAGE ON SCHEMA open TO reader; \
         CREATE TABLE hidden.t (a int); CREATE TABLE open.\"Odd \"\"name\" (a int); CREATE TABLE open.fine (a int); \
         CREATE TABLE open.secured (a int); ALTER TABLE open.secured ENABLE ROW LEVEL SECURITY; \
         CREATE SEQUENCE open.counter; GRANT SELECT ON open.fine, open.secured TO reader",
    );
    let dsn = server
        .dsn()
        .replace(&format!("user={}", server.superuser()), "user=reader");
    let mut connection = open(&dsn);
    let user = inspect::current_user(&mut connection).expect("a user");
    assert_eq!(
        (user.name.as_str(), user.superuser, user.create_db),
        ("reader", false, false)
    );
    let unreadable = inspect::unreadable_tables(&mut connection).expect("a list");
    let remedies: Vec<_> = unreadable.iter().map(|u| u.remedy.as_str()).collect();
    assert_eq!(
        remedies,
        [
            "GRANT USAGE ON SCHEMA \"hidden\" TO \"reader\";",
            "GRANT SELECT ON TABLE \"open\".\"Odd \"\"name\" TO \"reader\";",
            "GRANT SELECT ON SEQUENCE \"open\".\"counter\" TO \"reader\";",
            "ALTER ROLE \"reader\" BYPASSRLS;",
        ]
    );
    for remedy in remedies {
        server.psql("postgres", remedy);
    }
    server.psql("postgres", "GRANT SELECT ON hidden.t TO reader");
    assert_eq!(
        inspect::unreadable_tables(&mut connection).expect("a list"),
        []
    );
    // What only privileged users may ask is empty, not an error.
    server.psql(
        "postgres",
        "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC",
    );
    let facts = inspect::server_facts(&mut connection).expect("facts");
    assert_eq!(facts.system_identifier, "");
    inspect::databases(&mut connection).expect("databases");
    inspect::database_use(&mut connection, "postgres").expect("use");
}

#[test]
fn everything_that_uses_a_database_is_found() {
    let server = TestPostgres::builder(15)
        .setting("wal_level", "logical")
        .setting("max_prepared_transactions", "5")
        .start();
    server.create_database("busy");
    let _session = open(&server.dsn_for("busy"));
    server.psql("busy", "CREATE TABLE t (a int)");
    server.psql(
        "busy",
        "BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'stuck'",
    );
    server.psql(
        "busy",
        "CREATE SUBSCRIPTION sub CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false)",
    );
    server.psql("busy", "ROLLBACK PREPARED 'stuck'");
    server.psql(
        "busy",
        "SELECT pg_create_logical_replication_slot('slot_x', 'pgoutput')",
    );
    server.psql(
        "busy",
        "BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'stuck'",
    );
    let mut connection = open(&server.dsn());
    let found = inspect::database_use(&mut connection, "busy").expect("use");
    let session = found
        .sessions
        .iter()
        .find(|s| s.application == "pgkeep")
        .expect("our session");
    assert!(
        session.to_string().contains("application pgkeep"),
        "{session}"
    );
    assert_eq!(found.prepared_transactions[0].gid, "stuck");
    assert_eq!(found.replication_slots[0].name, "slot_x");
    assert_eq!(
        (
            found.subscriptions[0].name.as_str(),
            found.subscriptions[0].enabled
        ),
        ("sub", false)
    );
    assert!(!found.can_be_replaced());
    let idle = inspect::database_use(&mut connection, "template1").expect("use");
    assert!(idle.can_be_replaced());
}
