//! A replacement behind PgBouncer: clients wait, they do not fail.

mod support;

use pgkeep_engine::{
    application::{AppFence, Application},
    doctor::{self, DoctorRequest},
    fence::{self, PausedFor, Pooler},
    restore,
};
use pgkeep_postgres::{
    connect::{ConnectOptions, Environment},
    wire::Connection,
};
use pgkeep_testkit::{PgBouncer, ShopSize, TestPostgres};
use std::{
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::channel,
    },
    time::Duration,
};
use support::{Place, connect, replace, restore_request};

fn options(url: &str) -> ConnectOptions {
    ConnectOptions::resolve(Some(url), &Environment::default()).expect("a valid URL")
}

#[test]
fn clients_of_pgbouncer_wait_for_the_swap_and_do_not_fail() {
    let server = TestPostgres::start(17);
    server.load_shop("shop", ShopSize::TINY);
    server.psql(
        "shop",
        "CREATE TABLE which (n int); INSERT INTO which VALUES (1)",
    );
    let place = Place::new();
    place.backup(&server, "shop");
    server.psql("shop", "UPDATE which SET n = 2");
    // PgBouncer's name for it is another one.
    let bouncer = PgBouncer::start(&server, "store", "shop");
    let console = options(&bouncer.url_for("pgbouncer"));
    let mut request = restore_request(&server, replace("shop"));
    request.grace_secs = 30;
    request.around.application = Application {
        name: "shop".into(),
        fence: AppFence {
            pgbouncer: Some(console.clone()),
            ..AppFence::default()
        },
        ..Application::default()
    };
    let plan = restore::plan(&place.repository, &request, &place.context).expect("a plan");
    let words = format!("{:?} {:?}", plan.summary.steps, plan.summary.warnings);
    assert!(words.contains("pause PgBouncer for the swap"), "{words}");
    assert!(!words.contains("PgBouncer knows no database"), "{words}");

    // A client that asks without a pause, from before the swap until it has seen the restored database.
    let done = AtomicBool::new(false);
    let (first, begun) = channel();
    let report = std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut connection = Connection::open(&options(&bouncer.url_for("store"))).expect("in");
            let mut seen = Vec::new();
            loop {
                let n = connection
                    .query_value("SELECT n FROM which")
                    .expect("no query fails");
                if seen.last() != Some(&n) {
                    seen.push(n);
                    let _ = first.send(());
                }
                if done.load(Ordering::SeqCst) && seen.len() == 2 {
                    return seen;
                }
            }
        });
        begun.recv().expect("the client asks");
        let report = restore::execute(&place.repository, plan, &place.context).expect("restored");
        done.store(true, Ordering::SeqCst);
        let seen = client.join().expect("no query of the client failed");
        assert_eq!(seen, [Some("2".to_owned()), Some("1".to_owned())]);
        report
    });
    eprintln!("logins were blocked for {:?} ms", report.blocked_ms);
    let paused = |database: &str| {
        fence::pooled(&console, database)
            .expect("it answers")
            .into_iter()
            .map(|pooled| (pooled.name, pooled.paused))
            .collect::<Vec<_>>()
    };
    assert_eq!(paused("shop"), [("store".to_owned(), false)]);
    assert!(paused("other").is_empty());

    // A transaction that does not end holds PAUSE up for the grace time, and not longer.
    let mut idle = Connection::open(&options(&bouncer.url_for("store"))).expect("in");
    idle.execute("BEGIN; UPDATE which SET n = 3")
        .expect("begun");
    place.clock.advance(jiff::SignedDuration::from_secs(60));
    request.grace_secs = 1;
    place.restore(&request);
    assert!(idle.execute("COMMIT").is_err(), "its session was ended");
    let mut next = Connection::open(&options(&bouncer.url_for("store"))).expect("in");
    assert_eq!(
        next.query_value("SELECT n FROM which")
            .expect("open again")
            .as_deref(),
        Some("1")
    );
    assert_eq!(paused("shop"), [("store".to_owned(), false)]);

    // A console that cannot be reached is said in the plan.
    drop(bouncer);
    let plan = restore::plan(&place.repository, &request, &place.context).expect("a plan");
    assert!(
        plan.summary
            .refusals
            .iter()
            .any(|r| r.message.contains("PgBouncer")),
        "{:?}",
        plan.summary.refusals
    );
}

#[test]
fn a_pause_whose_maker_died_is_ended_by_the_doctor_and_by_the_next_restore_and_no_other_one_is() {
    let server = TestPostgres::start(17);
    server.load_shop("shop", ShopSize::TINY);
    let place = Place::new();
    place.backup(&server, "shop");
    let bouncer = PgBouncer::start(&server, "store", "shop");
    let console = options(&bouncer.url_for("pgbouncer"));
    let admin = connect(&server, "postgres");
    let mut request = restore_request(&server, replace("shop"));
    request.grace_secs = 1;
    request.around.application.fence.pgbouncer = Some(console.clone());
    let kept = place.restore(&request).kept_as.expect("it replaced");
    let paused = || fence::pooled(&console, "shop").expect("it answers")[0].paused;
    let waits = |request: &_| {
        let plan = restore::plan(&place.repository, request, &place.context).expect("a plan");
        plan.summary.warnings.join("\n")
    };
    let pause = || {
        let swap = PausedFor {
            admin: &admin,
            live: "shop",
            replacement: &kept,
        };
        Pooler::pause(&console, swap, Duration::from_secs(1), &place.context).expect("paused")
    };
    // What is left when a process dies: the pause and its note, and none of its sessions.
    let die = |pooler: Pooler<'_>| {
        std::mem::forget(pooler);
        server.psql(
            "postgres",
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_locks WHERE locktype = 'advisory'",
        );
    };
    let examine = || {
        let request = DoctorRequest {
            databases: vec![connect(&server, "shop")],
            admin: Some(admin.clone()),
            pgbouncer: Some(console.clone()),
            repository: None,
        };
        let report = doctor::run(&request, &place.context).expect("it looks");
        let found = report.findings.into_iter();
        let found = found.filter(|finding| finding.subject == "PgBouncer");
        found.map(|finding| finding.message).collect::<Vec<_>>()
    };
    assert_eq!(examine(), ["store leads to shop"]);

    // A living one is nobody else's.
    let living = pause();
    assert!(paused() && fence::left_paused(&admin).expect("asked").is_empty());
    assert_eq!(examine(), ["holds store paused, and not for pgkeep"]);
    assert!(paused());
    living.resume().expect("resumed");
    assert!(!paused());
    assert_eq!(examine(), ["store leads to shop"]);

    // A dead one: the database that tells of it stays, whatever its time.
    die(pause());
    place.clock.advance(jiff::SignedDuration::from_hours(1000));
    let found = restore::leftovers(&admin, &place.context).expect("listed");
    assert!(found.iter().any(|left| left.name == kept && left.expired));
    let dropped = restore::drop_leftovers(&admin, &found, &place.context).expect("looked after");
    assert_eq!(dropped, Vec::<String>::new());
    assert!(paused());
    assert_eq!(
        examine(),
        [
            "held store paused since a restore that did not end; it lets clients through again",
            "store leads to shop"
        ]
    );
    assert!(!paused());
    assert!(fence::left_paused(&admin).expect("asked").is_empty());

    // The next restore does the same, and says so before.
    die(pause());
    let warnings = waits(&request);
    assert!(
        warnings.contains("store paused since a restore that did not end; it is resumed first"),
        "{warnings}"
    );
    place.restore(&request);
    assert!(!paused());

    // One that somebody else made stays.
    let mut operator = Connection::open_console(&console).expect("in");
    operator.execute("PAUSE store").expect("paused");
    assert!(waits(&request).contains("store paused already; it stays so"));
    place.clock.advance(jiff::SignedDuration::from_secs(60));
    place.restore(&request);
    assert_eq!(examine(), ["holds store paused, and not for pgkeep"]);
    assert!(paused());
}
