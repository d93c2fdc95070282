//! Replacing a live database: proven first, swapped at once, undone at will.

mod support;

use pgkeep_engine::{
    catalog::{self, ListFilter},
    diff::{self, Change, DiffSide, LiveDatabases},
    drill::{self, DrillRequest},
    restore,
};
use pgkeep_model::evidence::Proof;
use pgkeep_testkit::{ShopSize, TestPostgres};
use support::{Place, connect, into, replace, restore_request};

fn count(server: &TestPostgres, database: &str, table: &str) -> u64 {
    server
        .psql(database, &format!("SELECT count(*) FROM {table}"))
        .parse()
        .expect("a number")
}

#[test]
fn a_damaged_database_is_replaced_undone_and_redone() {
    let server = TestPostgres::start(15);
    server.load_shop("shop", ShopSize::TINY);
    let place = Place::new();
    place.backup(&server, "shop");
    let orders = count(&server, "shop", "orders");
    server.psql(
        "shop",
        "DROP TABLE reviews CASCADE; DELETE FROM order_lines",
    );

    let report = place.restore(&restore_request(&server, replace("shop")));
    assert!(report.proof.proven());
    assert_eq!(count(&server, "shop", "orders"), orders);
    assert!(count(&server, "shop", "order_lines") > 0);
    let kept = report.kept_as.expect("the damaged database is kept");
    assert_eq!(count(&server, &kept, "order_lines"), 0);
    assert!(report.safety_backup.is_some());

    let admin = connect(&server, "postgres");
    let undo = |place: &Place| {
        place.clock.advance(jiff::SignedDuration::from_secs(60));
        let plan = restore::plan_undo(&admin, "shop", None, &place.context)
            .expect("there is something to undo");
        restore::execute_undo(
            &admin,
            &plan,
            0,
            &pgkeep_engine::application::Application::default(),
            &place.context,
        )
        .expect("undo")
    };
    undo(&place);
    assert_eq!(count(&server, "shop", "order_lines"), 0);
    undo(&place);
    assert!(count(&server, "shop", "order_lines") > 0);
}

#[test]
fn live_sessions_are_ended_and_the_database_is_open_again() {
    let server = TestPostgres::start(17);
    server.load_shop("shop", ShopSize::TINY);
    let place = Place::new();
    place.backup(&server, "shop");
    let mut session =
        pgkeep_postgres::wire::Connection::open(&connect(&server, "shop")).expect("connect");
    session.execute("BEGIN").expect("begin");
    place.restore(&restore_request(&server, replace("shop")));
    assert!(
        session.execute("SELECT 1").is_err(),
        "the old session must not live on unseen"
    );
    assert!(count(&server, "shop", "orders") > 0);
}

#[test]
fn a_prepared_transaction_is_refused_by_name() {
    let server = TestPostgres::builder(15)
        .setting("max_prepared_transactions", "5")
        .start();
    server.load_shop("shop", ShopSize::TINY);
    let place = Place::new();
    place.backup(&server, "shop");
    server.psql(
        "shop",
        "BEGIN; DELETE FROM order_lines; PREPARE TRANSACTION 'half done'",
    );
    let plan = restore::plan(
        &place.repository,
        &restore_request(&server, replace("shop")),
        &place.context,
    )
    .expect("a plan that says what stands in the way");
    assert!(
        plan.summary
            .refusals
            .iter()
            .any(|r| r.message.contains("half done")),
        "{:?}",
        plan.summary.refusals
    );
    assert!(restore::execute(&place.repository, plan, &place.context).is_err());
}

#[test]
fn an_existing_database_is_never_restored_into() {
    let server = TestPostgres::start(15);
    server.load_shop("shop", ShopSize::TINY);
    let place = Place::new();
    place.backup(&server, "shop");
    let plan = restore::plan(
        &place.repository,
        &restore_request(&server, into("shop")),
        &place.context,
    );
    let refused = match plan {
        Err(_) => true,
        Ok(plan) => !plan.summary.refusals.is_empty(),
    };
    assert!(refused);
}

#[test]
fn a_drill_marks_the_backup_proven_and_leaves_nothing() {
    let server = TestPostgres::start(15);
    server.load_shop("shop", ShopSize::TINY);
    let place = Place::new();
    let stored = place.backup(&server, "shop");
    let before = server.psql("postgres", "SELECT count(*) FROM pg_database");
    let request = DrillRequest {
        backup: "latest".into(),
        app: None,
        database: None,
        admin: connect(&server, "postgres"),
        jobs: 2,
        prove: Proof::Full,
        no_owner: false,
        assertions: vec!["SELECT count(*) > 0 FROM orders".into()],
        keep: false,
        further: Default::default(),
    };
    let report = drill::run(&place.repository, &request, &place.context).expect("drill");
    assert!(report.proven);
    assert_eq!(
        before,
        server.psql("postgres", "SELECT count(*) FROM pg_database")
    );
    let entry = catalog::find(&place.repository, "latest", &ListFilter::default()).expect("listed");
    assert_eq!(
        entry.id, stored.id,
        "the id stays although the tags changed"
    );
    assert_eq!(entry.validity.word(), "proven");

    let wrong = DrillRequest {
        assertions: vec!["SELECT count(*) < 0 FROM orders".into()],
        ..request
    };
    let report = drill::run(&place.repository, &wrong, &place.context).expect("drill");
    assert!(!report.proven);
    assert_eq!(
        before,
        server.psql("postgres", "SELECT count(*) FROM pg_database")
    );
}

#[test]
fn diff_names_what_was_lost() {
    let server = TestPostgres::start(15);
    server.load_shop("shop", ShopSize::TINY);
    let place = Place::new();
    place.backup(&server, "shop");
    let live = DiffSide::Live(LiveDatabases {
        connections: vec![connect(&server, "shop")],
        only: None,
    });
    let latest = DiffSide::Backup("latest".into());
    let same = diff::run(&place.repository, &latest, &live, None, &place.context).expect("diff");
    assert!(same.same, "{same:#?}");
    server.psql(
        "shop",
        "DROP TABLE reviews CASCADE; DELETE FROM order_lines WHERE order_id % 7 = 0",
    );
    let report = diff::run(&place.repository, &latest, &live, None, &place.context).expect("diff");
    let changes = &report.databases[0];
    let of = |name: &str| {
        changes
            .tables
            .iter()
            .find(|t| t.table.ends_with(name))
            .map(|t| t.change)
    };
    assert_eq!(of(".reviews"), Some(Change::Removed));
    assert_eq!(of(".order_lines"), Some(Change::Changed));
    assert!(
        changes
            .schema
            .iter()
            .any(|c| c.kind == "TABLE" && c.name.contains("reviews"))
    );
}

#[test]
fn a_partial_backup_does_not_replace_a_whole_database() {
    let server = TestPostgres::start(15);
    server.load_shop("shop", ShopSize::TINY);
    let place = Place::new();
    let request = pgkeep_engine::backup::BackupRequest {
        exclude_table_data: vec!["public.order_lines".into()],
        ..support::backup_request(&server, "shop")
    };
    pgkeep_engine::backup::run(&place.repository, &request, &place.context).expect("backup");
    let entry = catalog::find(&place.repository, "latest", &ListFilter::default()).expect("listed");
    assert!(entry.partial);
    let plan = restore::plan(
        &place.repository,
        &restore_request(&server, replace("shop")),
        &place.context,
    )
    .expect("a plan that says what stands in the way");
    assert!(
        plan.summary
            .refusals
            .iter()
            .any(|r| r.message.contains("limited on request"))
    );
    let report = place.restore(&restore_request(&server, into("beside")));
    assert!(report.proof.proven());
}

/// The plan of a table alone says that its foreign keys are checked later: those that are there, and those that come back.
fn tables_alone_may_lose_what_they_point_to(
    server: &TestPostgres,
    place: &Place,
    target: &restore::RestoreTarget,
) {
    let warned = |tables: &[&str]| {
        let mut request = restore_request(server, target.clone());
        request.selection.tables = tables.iter().map(|name| (*name).to_owned()).collect();
        let plan = restore::plan(&place.repository, &request, &place.context).expect("a plan");
        let room = &plan.summary.database;
        assert!(
            room.needed_bytes > 0 && room.enough_room.is_some(),
            "{room:?}"
        );
        let warnings = plan.summary.warnings.into_iter();
        let keys: Vec<String> = warnings.filter(|w| w.contains("foreign key")).collect();
        keys.join("; ")
    };
    let key = "public.order_lines to public.orders (foreign key order_lines_order_id_fkey)";
    for table in ["order_lines", "orders"] {
        assert!(warned(&[table]).contains(key), "{}", warned(&[table]));
    }
    assert!(!warned(&["orders", "order_lines"]).contains(key));
    server.psql("shop", "ALTER TABLE order_lines RENAME TO gone");
    assert!(warned(&["order_lines"]).contains(key));
    server.psql("shop", "ALTER TABLE gone RENAME TO order_lines");
}

#[test]
fn a_restore_in_place_names_the_tables_that_it_will_drop() {
    let server = TestPostgres::start(15);
    server.load_shop("shop", ShopSize::TINY);
    let place = Place::new();
    place.backup(&server, "shop");
    server.psql("shop", "CREATE TABLE newer (id int)");
    let target = restore::RestoreTarget::InPlace {
        name: "shop".into(),
    };
    tables_alone_may_lose_what_they_point_to(&server, &place, &target);
    let plan = restore::plan(
        &place.repository,
        &restore_request(&server, target),
        &place.context,
    )
    .expect("a plan");
    assert!(
        plan.summary
            .warnings
            .iter()
            .any(|w| w.contains("public.newer")),
        "{:?}",
        plan.summary.warnings
    );
}

#[test]
fn safety_backups_take_no_place_in_a_retention_rule() {
    use pgkeep_engine::forget::{self, ForgetRequest};
    use pgkeep_model::retention::KeepPolicy;
    let server = TestPostgres::start(15);
    server.load_shop("shop", ShopSize::TINY);
    let place = Place::new();
    let whole = place.backup(&server, "shop");
    for _ in 0..2 {
        place.clock.advance(jiff::SignedDuration::from_secs(60));
        let request = pgkeep_engine::backup::BackupRequest {
            tags: vec![catalog::PRE_RESTORE.into()],
            ..support::backup_request(&server, "shop")
        };
        pgkeep_engine::backup::run(&place.repository, &request, &place.context).expect("backup");
    }
    let request = ForgetRequest::Policy {
        policy: KeepPolicy {
            last: 1,
            protect_newest: 1,
            ..KeepPolicy::default()
        },
        filter: ListFilter::default(),
        zone: jiff::tz::TimeZone::UTC,
    };
    let plan = forget::plan(&place.repository, &request, &place.context).expect("a plan");
    assert!(plan.keep.iter().any(|(id, _)| *id == whole.id), "{plan:?}");
    assert_eq!(plan.remove.len(), 1, "{plan:?}");
}
