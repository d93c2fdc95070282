//! A password, whichever way it is given, shows up nowhere: not in what is printed, not in the processes that are started.

use crate::pgkeep::{
    Pgkeep,
    scene::{Running, processes},
};
use pgkeep_testkit::{ShopSize, TestPostgres};
use std::collections::HashMap;

#[test]
fn a_password_is_seen_neither_in_output_nor_in_processes() {
    let server = TestPostgres::builder(15).hba("scram-sha-256").start();
    server.load_shop("shop", ShopSize::TINY);
    server.psql(
        "postgres",
        "CREATE ROLE canary LOGIN SUPERUSER PASSWORD 'tweet-tweet-4711'",
    );
    let secret = "tweet-tweet-4711";
    let pgkeep = Pgkeep::new();
    pgkeep.write(
        "passwords",
        &format!("127.0.0.1:{}:*:canary:{secret}\n", server.port()),
    );
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(pgkeep.path().join("passwords"), mode).unwrap();
    let url = |password: &str| {
        format!(
            "postgresql://canary{password}@127.0.0.1:{}/shop",
            server.port()
        )
    };
    let ways = [
        vec![("DATABASE_URL", url(&format!(":{secret}")))],
        vec![("DATABASE_URL", url("")), ("PGPASSWORD", secret.into())],
        vec![
            ("DATABASE_URL", url("")),
            (
                "PGPASSFILE",
                pgkeep.path().join("passwords").display().to_string(),
            ),
        ],
    ];

    let mut init = pgkeep.command(&["init", "--repo", "./backups"]);
    assert!(init.output().unwrap().status.success());
    for way in ways {
        let (name, _) = way.last().unwrap();
        for args in [
            &["backup", "--repo", "./backups", "--verbose"][..],
            &[
                "restore",
                "latest",
                "--into",
                "side",
                "--repo",
                "./backups",
                "--verbose",
            ],
            &["drill", "--repo", "./backups", "--json"],
        ] {
            let mut command = pgkeep.child(args);
            command.envs(way.iter().map(|(name, value)| (name, value.as_str())));
            let mut running = Running::start(command);
            let seen = watch(&mut running);
            let run = running.finish().succeeds();
            assert!(
                !run.stdout.contains(secret) && !run.stderr.contains(secret),
                "{run:?}"
            );
            assert!(
                seen.values()
                    .any(|(_, environment)| environment.contains("PGPASSFILE=")),
                "a client program was seen with its password file: {seen:?}"
            );
            for (name, (command_line, environment)) in &seen {
                assert!(!command_line.contains(secret), "{name}: {command_line}");
                assert!(!environment.contains(secret), "{name}: {environment}");
                assert!(
                    !environment.contains("DATABASE_URL"),
                    "{name}: {environment}"
                );
            }
        }
        server.psql("postgres", "DROP DATABASE side");
        let mut wrong = pgkeep.command(&["backup", "--repo", "./backups", "--json"]);
        wrong.envs(way.iter().map(|(name, value)| (name, value.as_str())));
        wrong.env("DATABASE_URL", url(&format!(":{secret}x")));
        let output = wrong.output().unwrap();
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            output.status.code() == Some(7) && !text.contains(secret),
            "{name}: {text}"
        );
    }
}

/// Command line and environment of every process that `running` starts, and its own command line, by name.
fn watch(running: &mut Running) -> HashMap<String, (String, String)> {
    let mut seen = HashMap::new();
    let own = running.id();
    while !running.has_ended() {
        for process in processes().filter(|process| process.parent() == Some(own)) {
            let name = process.name();
            let found = (process.command_line(), process.environment());
            // A process is seen as its parent until it has become what it is.
            let program = found.0.split(' ').next().unwrap_or_default();
            if program.ends_with(&name) && name.starts_with("pg_") && !found.1.is_empty() {
                seen.insert(format!("{name} {}", found.0), found);
            }
        }
        let own = std::fs::read(format!("/proc/{own}/cmdline")).unwrap_or_default();
        let own = String::from_utf8_lossy(&own).replace('\0', " ");
        seen.entry("pgkeep".to_owned())
            .or_insert((own, String::new()));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    seen
}
