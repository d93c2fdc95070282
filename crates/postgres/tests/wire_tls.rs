//! Encryption in every mode, against a server whose certificate is for `localhost` and 127.0.0.1.

use pgkeep_model::CancelToken;
use pgkeep_postgres::{
    Error, Result,
    connect::{ConnectOptions, Environment},
    wire::Connection,
};
use pgkeep_testkit::TestPostgres;

fn options(url: &str) -> ConnectOptions {
    ConnectOptions::resolve(Some(url), &Environment::default()).expect("options resolve")
}

fn open(server: &TestPostgres, host: &str, parameters: &str) -> Result<Connection> {
    let url = format!(
        "host={host} port={} user={} dbname=postgres password='{}' {parameters}",
        server.port(),
        server.superuser(),
        server.superuser_password()
    );
    Connection::open(&options(&url))
}

fn seen_by_server(connection: &mut Connection) -> bool {
    connection
        .query_value("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        .expect("the server knows")
        .as_deref()
        == Some("t")
}

#[test]
fn each_mode_encrypts_and_verifies_what_it_promises() {
    let server = TestPostgres::builder(15)
        .hba("scram-sha-256")
        .tls(true)
        .start();
    let files = server.tls_files();
    let root = format!("sslrootcert={}", files.root_cert.display());
    let foreign = format!("sslrootcert={}", files.foreign_root_cert.display());
    for (host, parameters, encrypted) in [
        ("127.0.0.1", "sslmode=disable".to_owned(), false),
        ("127.0.0.1", "sslmode=allow".to_owned(), false),
        ("127.0.0.1", "sslmode=prefer".to_owned(), true),
        ("127.0.0.1", "sslmode=require".to_owned(), true),
        ("127.0.0.1", format!("sslmode=require {root}"), true),
        ("127.0.0.1", format!("sslmode=verify-ca {root}"), true),
        ("127.0.0.1", format!("sslmode=verify-full {root}"), true),
        ("localhost", format!("sslmode=verify-full {root}"), true),
        (
            "127.0.0.1",
            "sslmode=require channel_binding=require".to_owned(),
            true,
        ),
        (
            "127.0.0.1",
            format!("sslmode=verify-full channel_binding=disable {root}"),
            true,
        ),
        (
            "elsewhere hostaddr=127.0.0.1",
            format!("sslmode=verify-ca {root}"),
            true,
        ),
    ] {
        let mut connection =
            open(&server, host, &parameters).unwrap_or_else(|e| panic!("{host} {parameters}: {e}"));
        assert_eq!(
            seen_by_server(&mut connection),
            encrypted,
            "{host} {parameters}"
        );
        assert_eq!(connection.is_encrypted(), encrypted);
    }
    for (host, parameters, what) in [
        (
            "127.0.0.1",
            format!("sslmode=verify-ca {foreign}"),
            "not signed by a trusted authority",
        ),
        (
            "127.0.0.1",
            format!("sslmode=require {foreign}"),
            "not signed by a trusted authority",
        ),
        (
            "elsewhere hostaddr=127.0.0.1",
            format!("sslmode=verify-full {root}"),
            "for another name",
        ),
        (
            "127.0.0.1",
            "sslmode=verify-full".to_owned(),
            "needs a root certificate",
        ),
        (
            "127.0.0.1",
            "sslmode=verify-ca sslrootcert=/gone.pem".to_owned(),
            "/gone.pem cannot be read",
        ),
        (
            "localhost",
            "sslmode=verify-full sslrootcert=system".to_owned(),
            "not signed by a trusted authority",
        ),
    ] {
        let error = open(&server, host, &parameters).expect_err(&parameters);
        assert!(
            matches!(error, Error::Tls { .. }),
            "{parameters}: {error:?}"
        );
        assert!(error.to_string().contains(what), "{parameters}: {error}");
    }
    let error = open(
        &server,
        "127.0.0.1",
        "sslmode=disable channel_binding=require",
    )
    .expect_err("no TLS to bind to");
    assert!(matches!(error, Error::Login { .. }), "{error:?}");
}

#[test]
fn a_server_without_tls_is_told_apart() {
    let server = TestPostgres::start(15);
    for mode in ["allow", "prefer", "disable"] {
        let connection = open(&server, "127.0.0.1", &format!("sslmode={mode}")).expect(mode);
        assert!(!connection.is_encrypted());
    }
    let error = open(&server, "127.0.0.1", "sslmode=require").expect_err("no TLS there");
    assert!(error.to_string().contains("does not offer TLS"), "{error}");
}

#[test]
fn pg_hba_may_insist_on_either_way() {
    let server = TestPostgres::builder(15).tls(true).start();
    let set_hba = |rule: &str| {
        std::fs::write(
            server.data_dir().join("pg_hba.conf"),
            format!("local all all trust\n{rule}\n"),
        )
        .expect("a file");
        server.psql("postgres", "SELECT pg_reload_conf()");
    };
    let eventually = |mode: &str, encrypted: bool| {
        let begun = std::time::Instant::now();
        loop {
            match open(&server, "127.0.0.1", &format!("sslmode={mode}")) {
                Ok(connection) if connection.is_encrypted() == encrypted => return,
                other => assert!(begun.elapsed().as_secs() < 30, "{mode}: {other:?}"),
            }
        }
    };
    set_hba("hostssl all all 127.0.0.1/32 trust");
    eventually("allow", true);
    assert_eq!(
        open(&server, "127.0.0.1", "sslmode=disable")
            .expect_err("refused")
            .sqlstate(),
        Some("28000")
    );
    set_hba("hostnossl all all 127.0.0.1/32 trust");
    eventually("prefer", false);
    assert_eq!(
        open(&server, "127.0.0.1", "sslmode=require")
            .expect_err("refused")
            .sqlstate(),
        Some("28000")
    );
}

#[test]
fn a_client_certificate_logs_in() {
    let server = TestPostgres::builder(15).tls(true).start();
    std::fs::write(
        server.data_dir().join("pg_hba.conf"),
        "local all all trust\nhostssl all all 127.0.0.1/32 cert\n",
    )
    .expect("a file");
    let files = server.tls_files();
    let with = format!(
        "sslmode=verify-full sslrootcert={} sslcert={} sslkey={}",
        files.root_cert.display(),
        files.client_cert.display(),
        files.client_key.display()
    );
    let begun = std::time::Instant::now();
    Connection::open(&options(&server.dsn()))
        .map(|mut c| c.execute("SELECT pg_reload_conf()"))
        .ok();
    let mut connection = loop {
        match open(&server, "127.0.0.1", &with) {
            Ok(connection) => break connection,
            Err(e) => assert!(begun.elapsed().as_secs() < 30, "{e}"),
        }
    };
    assert!(seen_by_server(&mut connection));
    let without = format!(
        "sslmode=verify-full sslrootcert={}",
        files.root_cert.display()
    );
    open(&server, "127.0.0.1", &without).expect_err("a certificate is needed");
}

#[test]
fn large_transfers_and_cancelling_work_under_tls() {
    let server = TestPostgres::builder(15).tls(true).start();
    let mut connection = open(&server, "127.0.0.1", "sslmode=require").expect("connects");
    let mut data = Vec::new();
    connection
        .copy_out_batches(
            "COPY (SELECT i, repeat('y', i % 3000) FROM generate_series(1, 20000) i) TO STDOUT",
            |batch| {
                data.extend_from_slice(batch.data);
                Ok(())
            },
        )
        .expect("COPY runs");
    connection
        .execute("CREATE TABLE t (a int, b text)")
        .expect("a table");
    let summary = connection
        .copy_in("COPY t FROM STDIN", &mut data.as_slice())
        .expect("COPY runs");
    assert_eq!(summary.rows, 20_000);
    let error = connection
        .copy_in(
            "COPY t FROM STDIN",
            &mut std::io::Read::chain(&b"1\tx\nbad\n"[..], data.as_slice()),
        )
        .expect_err("a bad row");
    assert_eq!(error.sqlstate(), Some("22P02"), "{error}");

    let token = CancelToken::new();
    connection.cancel_with(&token);
    let error = connection
        .copy_out_batches(
            "COPY (SELECT generate_series(1, 1000000000)) TO STDOUT",
            |_| {
                token.cancel();
                Ok(())
            },
        )
        .expect_err("cancelled");
    assert!(error.is_cancelled(), "{error:?}");
}
