//! The clusters that all other tests stand on.

#![allow(clippy::disallowed_methods)]

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pgkeep_testkit::TestPostgres;

#[test]
fn each_major_starts_and_answers() {
    for major in [15, 17, 18] {
        let server = TestPostgres::start(major);
        let version = server.psql("postgres", "SHOW server_version_num");
        assert!(version.starts_with(&major.to_string()), "{version}");
    }
}

#[test]
fn a_dropped_cluster_leaves_nothing() {
    let server = TestPostgres::start(15);
    let (data, port) = (server.data_dir(), server.port());
    drop(server);
    assert!(!data.parent().expect("it has a parent").exists());
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn data_survives_a_power_cut() {
    let mut server = TestPostgres::start(17);
    server.psql(
        "postgres",
        "CREATE TABLE t AS SELECT generate_series(1, 1000) AS id; CHECKPOINT",
    );
    server.kill9();
    server.start_again();
    assert_eq!(server.psql("postgres", "SELECT count(*) FROM t"), "1000");
    server.stop();
    server.start_again();
    assert_eq!(server.psql("postgres", "SELECT count(*) FROM t"), "1000");
}

#[test]
fn settings_encoding_and_locale_are_as_chosen() {
    let server = TestPostgres::builder(15)
        .setting("wal_level", "logical")
        .encoding("LATIN1")
        .locale("C")
        .start();
    assert_eq!(server.psql("postgres", "SHOW wal_level"), "logical");
    assert_eq!(server.psql("postgres", "SHOW server_encoding"), "LATIN1");
}

#[test]
fn passwords_and_tls_are_demanded_when_asked_for() {
    let server = TestPostgres::builder(15)
        .hba("scram-sha-256")
        .tls(true)
        .start();
    let secured = format!(
        "{}?sslmode=verify-full&sslrootcert={}",
        server.url(),
        server.tls_files().root_cert.display()
    );
    let query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let output = server
        .client("psql")
        .args(["-XAtc", query, &secured])
        .output()
        .expect("psql starts");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "t\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let foreign = secured.replace("root.crt", "foreign.crt");
    let refused = server
        .client("psql")
        .args(["-XAtc", query, &foreign])
        .output()
        .expect("psql starts");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("certificate verify failed"));

    let unnamed = server
        .dsn()
        .split(" password=")
        .next()
        .expect("a first part")
        .to_owned();
    let refused = server
        .client("psql")
        .args(["-w", "-XAtc", query, &unnamed])
        .output()
        .expect("psql starts");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no password supplied"));
}

/// Runs this same test program again as the one that is killed.
#[test]
fn a_killed_test_process_leaves_no_server() {
    if let Ok(report) = std::env::var("PGKEEP_TEST_TO_BE_KILLED") {
        let server = TestPostgres::start(15);
        std::fs::write(
            report,
            format!("{} {}", server.port(), server.data_dir().display()),
        )
        .expect("the folder is there");
        std::thread::sleep(Duration::from_secs(120));
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let report = dir.path().join("report");
    let mut process = Command::new(std::env::current_exe().expect("a test has a program"))
        .args(["--exact", "a_killed_test_process_leaves_no_server"])
        .env("PGKEEP_TEST_TO_BE_KILLED", &report)
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the test program starts");
    wait_until(|| std::fs::read_to_string(&report).is_ok_and(|text| text.contains("/data")));
    process.kill().expect("an own child can be killed");
    process.wait().expect("an own child can be waited for");

    let text = std::fs::read_to_string(&report).expect("it was just read");
    let (_, data) = text.split_once(' ').expect("port and folder");
    let dir = Path::new(data).parent().expect("it has a parent");
    wait_until(|| !dir.exists());
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "nothing happened for a minute");
        std::thread::sleep(Duration::from_millis(10));
    }
}
