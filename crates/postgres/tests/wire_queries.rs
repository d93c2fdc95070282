//! Connecting, logging in, asking and being told what is wrong, on real servers.

use pgkeep_model::CancelToken;
use pgkeep_postgres::{
    Error,
    connect::{ConnectOptions, Environment},
    wire::{Connection, TransactionStatus},
};
use pgkeep_testkit::TestPostgres;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

fn options(url: &str) -> ConnectOptions {
    ConnectOptions::resolve(Some(url), &Environment::default()).expect("options resolve")
}

fn connect(server: &TestPostgres) -> Connection {
    Connection::open(&options(&server.dsn())).expect("the server lets us in")
}

#[test]
fn every_supported_major_answers() {
    for major in [15, 17, 18] {
        let server = TestPostgres::start(major);
        for target in [server.url(), server.dsn()] {
            let mut connection =
                Connection::open(&options(&target)).expect("the server lets us in");
            assert_eq!(connection.server_version_num() / 10_000, major);
            let rows = connection
                .query("SELECT 1 AS one, NULL AS nothing, 'ünï' AS text UNION ALL SELECT 2, 'x', '' ORDER BY 1")
                .expect("rows come");
            assert_eq!(rows.len(), 2);
            assert_eq!(rows.get(0, "one"), Some("1"));
            assert_eq!(rows.get(0, "nothing"), None);
            assert_eq!(rows.get(0, 2), Some("ünï"));
            assert_eq!(rows.get(1, "text"), Some(""));
            let name = connection.query_value("SELECT current_setting('application_name')");
            assert_eq!(name.expect("a value").as_deref(), Some("pgkeep"));
            connection.terminate();
        }
    }
}

#[test]
fn several_statements_give_several_results_and_an_error_leaves_the_connection_usable() {
    let server = TestPostgres::start(15);
    let mut connection = connect(&server);
    let results = connection
        .query_all("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2), (3); SELECT a FROM t; ; SELECT FROM t")
        .expect("all run");
    let tags: Vec<_> = results.iter().map(|r| r.tag()).collect();
    assert_eq!(tags, ["CREATE TABLE", "INSERT 0 3", "SELECT 3", "SELECT 3"]);
    assert_eq!(results[3].len(), 3);
    assert_eq!(
        connection
            .execute("DELETE FROM t WHERE a < 3")
            .expect("rows go"),
        2
    );

    let error = connection
        .query("INSERT INTO t VALUES (4);\n SELECT * FROM gone")
        .expect_err("no such table");
    assert_eq!(error.sqlstate(), Some("42P01"));
    let server_error = error.server().expect("the server said so");
    assert_eq!(server_error.severity, "ERROR");
    assert!(server_error.position.is_some());
    assert!(
        error
            .to_string()
            .contains("relation \"gone\" does not exist"),
        "{error}"
    );
    assert_eq!(connection.transaction_status(), TransactionStatus::Idle);

    connection.execute("BEGIN").expect("a transaction begins");
    assert_eq!(
        connection.transaction_status(),
        TransactionStatus::InTransaction
    );
    connection
        .query("SELECT 1/0")
        .expect_err("division by zero");
    assert_eq!(connection.transaction_status(), TransactionStatus::Failed);
    connection.execute("ROLLBACK").expect("it ends");
    assert_eq!(
        connection
            .query_value("SELECT count(*) FROM t")
            .expect("a value")
            .as_deref(),
        Some("1")
    );
    assert_eq!(connection.query("").expect("nothing").len(), 0);
    connection
        .query_one("SELECT * FROM t WHERE false")
        .expect_err("no row");
}

#[test]
fn constraint_errors_name_their_table_and_constraint() {
    let server = TestPostgres::start(15);
    let mut connection = connect(&server);
    connection
        .execute("CREATE TABLE t (a int CONSTRAINT positive CHECK (a > 0))")
        .expect("a table");
    let error = connection
        .execute("INSERT INTO t VALUES (-1)")
        .expect_err("the check fails");
    let said = error.server().expect("the server said so");
    assert_eq!(said.table.as_deref(), Some("t"));
    assert_eq!(said.schema.as_deref(), Some("public"));
    assert_eq!(said.constraint.as_deref(), Some("positive"));
    assert!(said.detail.as_deref().is_some_and(|d| d.contains("-1")));
}

#[test]
fn notices_and_reported_settings_arrive() {
    let server = TestPostgres::start(15);
    let mut connection = connect(&server);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ears = heard.clone();
    connection.on_notice(move |notice| ears.lock().expect("no panic").push(notice.message.clone()));
    connection
        .execute("DO $$ BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two'; END $$")
        .expect("it runs");
    assert_eq!(*heard.lock().expect("no panic"), ["one", "two"]);
    connection
        .execute("SET TimeZone = 'Asia/Tokyo'")
        .expect("it is set");
    assert_eq!(connection.parameter("TimeZone"), Some("Asia/Tokyo"));
}

#[test]
fn text_that_is_not_utf8_is_an_error_and_not_a_replacement() {
    let server = TestPostgres::start(15);
    let mut connection = connect(&server);
    connection
        .execute("SET client_encoding = 'LATIN1'")
        .expect("it is set");
    let error = connection
        .query("SELECT chr(233) AS odd")
        .expect_err("not UTF-8");
    assert!(
        error
            .to_string()
            .contains("column odd holds text that is not valid UTF-8"),
        "{error}"
    );
    assert_eq!(
        connection
            .query_value("SELECT 1")
            .expect("still usable")
            .as_deref(),
        Some("1")
    );
}

#[test]
fn every_login_method_works_and_a_wrong_password_is_told_apart() {
    for method in ["scram-sha-256", "md5", "password"] {
        let server = TestPostgres::builder(15).hba(method).start();
        let mut good = options(&server.url());
        Connection::open(&good).unwrap_or_else(|e| panic!("{method}: {e}"));
        good.password = Some("wr0ng-c4n4ry".to_owned().into());
        let error = Connection::open(&good).expect_err("the password is wrong");
        assert_eq!(error.sqlstate(), Some("28P01"), "{method}: {error}");
        assert!(error.hint().expect("a hint").contains("password"));
        assert!(!format!("{error} {error:?} {good:?}").contains("wr0ng-c4n4ry"));
        good.password = None;
        let error = Connection::open(&good).expect_err("a password is needed");
        assert!(
            error.to_string().contains("asks for a password"),
            "{method}: {error}"
        );
    }
}

#[test]
fn what_is_not_there_is_named() {
    let mut server = TestPostgres::start(15);
    let error =
        Connection::open(&options(&server.dsn_for("nowhere"))).expect_err("no such database");
    assert_eq!(error.sqlstate(), Some("3D000"));
    let error = Connection::open(&options(&format!(
        "host=127.0.0.1 port={} user=nobody_here dbname=postgres",
        server.port()
    )))
    .expect_err("no such role");
    assert!(error.to_string().contains("nobody_here"), "{error}");
    let (url, dsn) = (server.url(), server.dsn());
    server.stop();
    for target in [url, dsn] {
        let error = Connection::open(&options(&target)).expect_err("the server is down");
        assert!(matches!(error, Error::Connect { .. }), "{error:?}");
        assert!(
            error.hint().expect("a hint").contains("server runs"),
            "{:?}",
            error.hint()
        );
    }
    let error =
        Connection::open(&options("host=no-such-host.invalid user=u")).expect_err("no such host");
    assert!(
        error.to_string().contains("no-such-host.invalid"),
        "{error}"
    );
}

#[test]
fn hosts_are_tried_in_turn_until_one_is_of_the_wanted_kind() {
    let server = TestPostgres::start(15);
    let port = server.port();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed = listener.local_addr().expect("bound").port();
    drop(listener);
    let url = format!(
        "postgres://postgres@127.0.0.1:{closed},127.0.0.1:{port}/postgres?target_session_attrs="
    );
    for wanted in ["any", "read-write", "primary", "prefer-standby"] {
        Connection::open(&options(&format!("{url}{wanted}")))
            .unwrap_or_else(|e| panic!("{wanted}: {e}"));
    }
    for wanted in ["standby", "read-only"] {
        let error =
            Connection::open(&options(&format!("{url}{wanted}"))).expect_err("it is a primary");
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[test]
fn a_server_that_never_answers_runs_into_the_time_limit() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("bound").port();
    let error = Connection::open(&options(&format!(
        "host=127.0.0.1 port={port} user=u connect_timeout=1 sslmode=disable"
    )))
    .expect_err("nobody answers");
    assert!(
        matches!(&error, Error::Connect { source, .. } if source.kind() == std::io::ErrorKind::TimedOut),
        "{error:?}"
    );
}

#[test]
fn a_peer_that_talks_nonsense_is_refused_without_a_panic() {
    for nonsense in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"R\0\0\0\x03",
        b"R\xff\xff\xff\xff",
        b"",
        b"Z\0\0\0\x05I",
    ] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let peer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            std::io::Write::write_all(&mut stream, nonsense).expect("nonsense is sent");
        });
        Connection::open(&options(&format!(
            "host=127.0.0.1 port={port} user=u connect_timeout=2 sslmode=disable"
        )))
        .expect_err("this is no server");
        peer.join().expect("no panic");
    }
}

#[test]
fn cancelling_the_token_ends_a_running_statement_and_refuses_the_next() {
    let server = TestPostgres::start(15);
    let token = CancelToken::new();
    let mut connection = Connection::open_with(&options(&server.url()), &token).expect("connects");
    let pid = connection.backend_pid();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_until(
                &server,
                &format!("SELECT state = 'active' FROM pg_stat_activity WHERE pid = {pid}"),
            );
            token.cancel();
        });
        let error = connection
            .query("SELECT pg_sleep(3600)")
            .expect_err("it is cancelled");
        assert!(error.is_cancelled(), "{error:?}");
    });
    assert!(
        connection
            .query("SELECT 1")
            .expect_err("still cancelled")
            .is_cancelled()
    );
    connection.ignore_cancel();
    assert_eq!(
        connection
            .query_value("SELECT 1")
            .expect("for tidying up")
            .as_deref(),
        Some("1")
    );
}

#[test]
fn a_server_that_does_not_heed_the_request_is_hung_up_on() {
    // A peer that logs anyone in, takes the session's settings, and then never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let peer = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().expect("a client");
        let mut length = [0; 4];
        stream.read_exact(&mut length).expect("a length");
        let mut message = vec![0; u32::from_be_bytes(length) as usize - 4];
        stream.read_exact(&mut message).expect("a start-up message");
        stream
            .write_all(b"R\0\0\0\x08\0\0\0\0K\0\0\0\x0c\0\0\0\x07\0\0\0\x08Z\0\0\0\x05I")
            .expect("consent");
        let mut head = [0; 5];
        stream.read_exact(&mut head).expect("the settings");
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        stream
            .read_exact(&mut vec![0; length as usize - 4])
            .expect("the settings");
        stream
            .write_all(b"C\0\0\0\x08SET\0Z\0\0\0\x05I")
            .expect("they are set");
        drop(listener);
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("the client hangs up");
    });
    let token = CancelToken::new();
    let mut connection = Connection::open_with(
        &options(&format!(
            "host=127.0.0.1 port={port} user=u sslmode=disable"
        )),
        &token,
    )
    .expect("let in");
    let stopper = token.clone();
    let stopping = std::thread::spawn(move || stopper.cancel());
    assert!(
        connection
            .query("SELECT 1")
            .expect_err("cancelled")
            .is_cancelled()
    );
    stopping.join().expect("no panic");
    drop(connection);
    peer.join().expect("no panic");
}

#[test]
fn a_session_ended_by_an_administrator_says_so() {
    let server = TestPostgres::start(15);
    let mut connection = connect(&server);
    let pid = connection.backend_pid();
    server.psql(
        "postgres",
        &format!("SELECT pg_terminate_backend({pid}, 60000)"),
    );
    let error = connection
        .query("SELECT 1")
        .expect_err("the session is gone");
    assert_eq!(error.sqlstate(), Some("57P01"), "{error:?}");
    let error = connection.query("SELECT 1").expect_err("it stays gone");
    assert!(matches!(error, Error::ConnectionLost { .. }), "{error:?}");
}

#[test]
fn dropping_a_connection_leaves_no_session_behind() {
    let server = TestPostgres::start(15);
    drop(connect(&server));
    let connection = connect(&server);
    connection.terminate();
    wait_until(
        &server,
        "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pgkeep'",
    );
}

/// Asks until the answer is true.
fn wait_until(server: &TestPostgres, condition: &str) {
    let begun = Instant::now();
    while server.psql("postgres", condition) != "t" {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "never true: {condition}"
        );
    }
}
