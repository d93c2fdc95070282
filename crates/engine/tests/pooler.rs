//! A replacement behind PgBouncer: clients wait, they do not fail.

mod support;

use pgkeep_engine::{
    application::{AppFence, Application},
    fence, restore,
};
use pgkeep_postgres::{
    connect::{ConnectOptions, Environment},
    wire::Connection,
};
use pgkeep_testkit::{PgBouncer, ShopSize, TestPostgres};
use std::sync::{
    atomic::{AtomicBool, Ordering},
    mpsc::channel,
};
use support::{Place, replace, restore_request};

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
