//! The way to the server is cut, or the server goes away, while a backup reads.

use crate::pgkeep::{
    Run,
    scene::{Running, Scene},
};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

#[test]
fn a_session_that_an_administrator_ends_fails_the_backup_and_nothing_else() {
    let scene = Scene::new();
    let (first, _) = scene.backup();
    scene.add_bulk(20);
    let mut backup = scene.start(&["backup", "--json"]);
    backup.wait_for("rows are read", || scene.copies("COPY TO"));
    scene.server.psql(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_progress_copy",
    );
    let run = backup.finish().fails_with(7);
    assert!(run.stderr.contains("bulk"), "{}", run.stderr);
    assert_eq!(run.json()["error"]["code"], "database");
    // A server that was sending at that moment hangs up without a word.
    assert!(
        run.stderr.contains("57P01") || run.stderr.contains("connection to the server was lost"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("hint:"), "{}", run.stderr);
    assert_as_before(&scene, &first);
}

#[test]
fn a_connection_cut_in_the_middle_of_the_rows_fails_the_backup_and_nothing_else() {
    let scene = Scene::new();
    let (first, _) = scene.backup();
    scene.add_bulk(20);
    for limit in [2_000, 300_000, 15_000_000] {
        let proxy = CuttingProxy::before(scene.server.port(), limit);
        let mut command = scene.pgkeep.child(&["backup"]);
        command.env("PGKEEP_REPO", "./backups").env(
            "DATABASE_URL",
            format!("postgresql://postgres@127.0.0.1:{}/shop", proxy.port),
        );
        let run = Running::start(command).finish().fails_with(7);
        assert!(
            run.stderr.contains("connection to the server was lost")
                || run.stderr.contains("cannot connect")
                || run.stderr.contains("pg_dump"),
            "after {limit} bytes: {}",
            run.stderr
        );
        assert!(
            run.stderr.contains("hint:"),
            "after {limit} bytes: {}",
            run.stderr
        );
        scene.wait_until_nothing_is_left();
    }
    assert_as_before(&scene, &first);
}

#[test]
fn a_server_that_dies_fails_the_backup_and_takes_the_next_one() {
    let mut scene = Scene::new();
    let (first, _) = scene.backup();
    scene.add_bulk(20);
    scene.ask("postgres", "CHECKPOINT");
    let mut backup = scene.start(&["backup"]);
    backup.wait_for("rows are read", || scene.copies("COPY TO"));
    scene.server.kill9();
    let run = backup.finish().fails_with(7);
    assert!(run.stderr.contains("hint:"), "{}", run.stderr);
    let down = scene.run(&["backup"]).fails_with(7);
    assert!(
        down.stderr.contains("check that the server runs"),
        "{}",
        down.stderr
    );
    scene.server.start_again();
    assert_as_before(&scene, &first);
}

#[test]
fn timeouts_set_on_the_role_stop_neither_backup_nor_restore() {
    let scene = Scene::new();
    scene.add_bulk(5);
    scene.server.psql(
        "postgres",
        "ALTER ROLE postgres SET statement_timeout = '20ms'; \
         ALTER ROLE postgres SET lock_timeout = '20ms'; \
         ALTER ROLE postgres SET idle_in_transaction_session_timeout = '20ms'; \
         ALTER ROLE postgres SET idle_session_timeout = '300ms'",
    );
    scene.backup();
    scene
        .run(&["restore", "latest", "--into", "side"])
        .succeeds();
    scene.run(&["drill"]).succeeds();
}

/// The earlier backup is whole, the repository is clean, and the next backup is made.
fn assert_as_before(scene: &Scene, first: &str) {
    scene.wait_until_nothing_is_left();
    assert_eq!(scene.backups(), [first]);
    scene.run(&["check", "--read-data"]).succeeds();
    scene.run(&["restore", first, "--into", "side"]).succeeds();
    let (next, _) = scene.backup();
    let run: Run = scene.run(&["verify", &next, "--read-data"]);
    run.succeeds();
}

/// Passes on what goes between a client and the server, and hangs up on everybody after so many bytes from the server.
struct CuttingProxy {
    port: u16,
}

impl CuttingProxy {
    fn before(server: u16, limit: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let left = Arc::new(AtomicU64::new(limit));
        std::thread::spawn(move || {
            // Ends with the process of the test.
            for client in listener.incoming().flatten() {
                let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)) else {
                    continue;
                };
                let (from, to) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
                std::thread::spawn(move || pass(from, to, &AtomicU64::new(u64::MAX)));
                let left = left.clone();
                std::thread::spawn(move || pass(upstream, client, &left));
            }
        });
        Self { port }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, left: &AtomicU64) {
    let mut buffer = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let allowed = left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                Some(left.saturating_sub(count as u64))
            })
            .unwrap();
        if allowed < count as u64 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
