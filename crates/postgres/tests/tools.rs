//! Client programs run against real servers, without a trace of the password and without leaving anything behind.

#![allow(
    clippy::disallowed_methods,
    reason = "a test starts itself again to be killed"
)]

use pgkeep_model::CancelToken;
use pgkeep_postgres::{
    Error,
    connect::{ConnectOptions, Environment},
    tools::{ToolError, Tools, tool_dirs},
};
use pgkeep_testkit::{TestPostgres, cache_dir};
use std::{
    io::{Read, Write},
    path::Path,
    process::Command,
    time::Instant,
};

fn options(url: &str) -> ConnectOptions {
    ConnectOptions::resolve(Some(url), &Environment::default()).expect("options resolve")
}

fn tools(major: u32) -> Tools {
    let dirs = tool_dirs(&Environment::default(), Some(&cache_dir()));
    Tools::find(major, &dirs).expect("make setup has been run")
}

#[test]
fn programs_of_every_major_reach_a_server_with_a_password() {
    for major in [15, 17, 18] {
        let server = TestPostgres::builder(major).hba("scram-sha-256").start();
        for target in [server.url(), server.dsn()] {
            let output = tools(major)
                .psql(&options(&target))
                .args(["--no-align", "--tuples-only", "--command"])
                .arg("SELECT current_setting('application_name'), current_setting('work_mem')")
                .setting("work_mem", "7MB")
                .run(&CancelToken::new())
                .unwrap_or_else(|e| panic!("{major}: {e}"));
            assert_eq!(String::from_utf8_lossy(&output.stdout), "pgkeep|7MB\n");
        }
        let output = tools(major)
            .pg_dump(&options(&server.url()))
            .run(&CancelToken::new())
            .expect("it dumps");
        assert!(
            String::from_utf8_lossy(&output.stdout).contains("PostgreSQL database dump complete")
        );
    }
}

#[test]
fn neither_arguments_nor_environment_of_a_child_hold_the_password() {
    let server = TestPostgres::builder(15).hba("scram-sha-256").start();
    let connection = options(&server.url());
    let mut running = tools(15)
        .psql(&connection)
        .args([
            "--no-align",
            "--tuples-only",
            "--command",
            "SELECT 'ready'",
            "--command",
            "SELECT pg_sleep(600)",
        ])
        .start(&CancelToken::new())
        .expect("it starts");
    let mut word = [0; 5];
    running
        .stdout()
        .read_exact(&mut word)
        .expect("it is logged in");
    let password = server.superuser_password().as_bytes();
    let mut seen = 0;
    for entry in std::fs::read_dir("/proc")
        .expect("there is a /proc")
        .flatten()
    {
        if entry
            .file_name()
            .to_str()
            .is_none_or(|n| n.parse::<u32>().is_err())
        {
            continue;
        }
        for what in ["cmdline", "environ"] {
            let Ok(content) = std::fs::read(entry.path().join(what)) else {
                continue;
            };
            let ours = content.windows(8).any(|w| w == b"pg_sleep");
            seen += usize::from(ours);
            let is_psql = ours || content.windows(19).any(|w| w == b"PGAPPNAME=pgkeep\0PG");
            let leaked = content.windows(password.len()).any(|w| w == password);
            assert!(
                !(is_psql && leaked),
                "{}/{what} shows the password",
                entry.path().display()
            );
        }
    }
    assert!(seen > 0, "the child was not seen at all");
    let (_, stderr) = running.stop();
    assert!(
        !stderr
            .as_bytes()
            .windows(password.len())
            .any(|w| w == password)
    );
    assert!(!format!("{:?}", tools(15).psql(&connection)).contains(server.superuser_password()));
}

#[test]
fn a_failure_keeps_what_the_program_said() {
    let server = TestPostgres::start(15);
    let error = tools(15)
        .pg_dump(&options(&server.dsn_for("nowhere")))
        .run(&CancelToken::new())
        .expect_err("no such database");
    assert!(
        error
            .to_string()
            .starts_with("pg_dump failed (exit status: 1): pg_dump: error:")
            && error
                .to_string()
                .contains("database \"nowhere\" does not exist"),
        "{error}"
    );
    let other = TestPostgres::start(17);
    let error = tools(15)
        .pg_dump(&options(&other.dsn()))
        .run(&CancelToken::new())
        .expect_err("too old");
    assert!(
        error.hint().expect("a hint").contains("same")
            || error.hint().expect("a hint").contains("major"),
        "{error}"
    );
    let gone = tools(15)
        .pg_restore()
        .arg("/no/such/archive")
        .run_quietly(&CancelToken::new());
    assert!(
        matches!(gone, Err(Error::Tool(ToolError::Failed { .. }))),
        "{gone:?}"
    );
}

#[test]
fn input_is_piped_in() {
    let server = TestPostgres::start(15);
    let mut running = tools(15)
        .psql(&options(&server.dsn()))
        .args(["--no-align", "--tuples-only", "--set", "ON_ERROR_STOP=1"])
        .with_stdin()
        .start(&CancelToken::new())
        .expect("it starts");
    let mut stdin = running.stdin().expect("a pipe");
    stdin.write_all(b"SELECT 40 + 2;").expect("it reads");
    drop(stdin);
    let mut output = String::new();
    running.stdout().read_to_string(&mut output).expect("text");
    running.finish().expect("it ends well");
    assert_eq!(output, "42\n");
}

#[test]
fn cancelling_and_dropping_end_the_program_and_its_session() {
    let server = TestPostgres::start(15);
    let sleep = || {
        tools(15)
            .psql(&options(&server.dsn()))
            .args(["--command", "SELECT pg_sleep(600)"])
    };
    let token = CancelToken::new();
    let canceller = token.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_until(|| sessions(&server) == 1);
            canceller.cancel();
        });
        let error = sleep().run(&token).expect_err("cancelled");
        assert!(error.is_cancelled(), "{error:?}");
    });
    assert!(
        sleep()
            .run(&token)
            .expect_err("the token stays cancelled")
            .is_cancelled()
    );

    let running = sleep().start(&CancelToken::new()).expect("it starts");
    wait_until(|| sessions(&server) >= 1);
    drop(running);
    assert_eq!(children("pg_sleep"), 0, "a process is left behind");
    // psql does not cancel its statement when it is merely terminated; the server must not sleep on.
    wait_until(|| sessions(&server) == 0);
}

/// The test's own program runs this test again as the process to be killed.
#[test]
fn a_killed_process_takes_its_programs_with_it() {
    const TARGET: &str = "PGKEEP_TEST_KILLED";
    if let Ok(dsn) = std::env::var(TARGET) {
        let mut running = tools(15)
            .psql(&options(&dsn))
            .setting("client_connection_check_interval", "100ms")
            .args(["--command", "SELECT pg_sleep(600)"])
            .start(&CancelToken::new())
            .expect("it starts");
        let _ = running.stdout().read_to_end(&mut Vec::new());
        panic!("psql ended by itself");
    }
    let server = TestPostgres::start(15);
    let mut killed = Command::new(std::env::current_exe().expect("a program"))
        .args([
            "--exact",
            "a_killed_process_takes_its_programs_with_it",
            "--nocapture",
        ])
        .env(TARGET, server.dsn())
        .spawn()
        .expect("it starts");
    wait_until(|| sessions(&server) == 1);
    killed.kill().expect("it is killed");
    killed.wait().expect("it is dead");
    wait_until(|| sessions(&server) == 0 && processes(&server.port().to_string()) == 0);
}

/// Programs anywhere that sleep on the server with this port.
fn processes(port: &str) -> usize {
    let port = format!("PGPORT={port}\0");
    let tasks = std::fs::read_dir("/proc").expect("there is a /proc");
    tasks
        .flatten()
        .filter(|entry| {
            let read = |what| std::fs::read(entry.path().join(what)).unwrap_or_default();
            String::from_utf8_lossy(&read("cmdline")).contains("pg_sleep")
                && String::from_utf8_lossy(&read("environ")).contains(&port)
        })
        .count()
}

#[test]
fn a_dump_that_is_no_longer_wanted_stops() {
    let server = TestPostgres::start(15);
    server.psql(
        "postgres",
        "CREATE TABLE big AS SELECT repeat('x', 1000) AS t FROM generate_series(1, 50000)",
    );
    let mut running = tools(15)
        .pg_dump(&options(&server.dsn()))
        .args(["--format=custom", "--compress=0"])
        .start(&CancelToken::new())
        .expect("it starts");
    let mut magic = [0; 5];
    running
        .stdout()
        .read_exact(&mut magic)
        .expect("an archive begins");
    assert_eq!(&magic, b"PGDMP");
    // It cannot end by itself: nobody takes the rest of what it has to say.
    let (status, _) = running.stop();
    assert!(status.is_some_and(|s| !s.success()));
}

fn sessions(server: &TestPostgres) -> usize {
    server
        .psql("postgres", "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()")
        .parse()
        .expect("a number")
}

/// Processes whose arguments contain a word and whose parent is this process.
fn children(word: &str) -> usize {
    let me = std::process::id().to_string();
    let tasks = std::fs::read_dir("/proc").expect("there is a /proc");
    tasks
        .flatten()
        .filter(|entry| {
            let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            let parent = status.lines().find_map(|l| l.strip_prefix("PPid:\t"));
            let command =
                std::fs::read(Path::new(&entry.path()).join("cmdline")).unwrap_or_default();
            parent == Some(me.as_str()) && String::from_utf8_lossy(&command).contains(word)
        })
        .count()
}

fn wait_until(condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed().as_secs() < 60, "never true");
    }
}
