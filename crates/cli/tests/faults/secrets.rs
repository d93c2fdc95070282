//! A password, whichever way it is given, shows up nowhere: not in what is printed, not in the processes that are started.

use crate::pgkeep::{Pgkeep, scene::Running};
use pgkeep_testkit::{ShopSize, TestPostgres};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

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
    let mode = Permissions::from_mode(0o600);
    fs::set_permissions(pgkeep.path().join("passwords"), mode).unwrap();
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

    let programs = Watched::of(server.bin_dir(), pgkeep.path());

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
            command
                .envs(way.iter().map(|(name, value)| (name, value.as_str())))
                .env("PGKEEP_PG_BINDIR", &programs.folder);
            let running = Running::start(command);
            let own = fs::read_to_string(format!("/proc/{}/cmdline", running.id())).unwrap();
            assert!(!own.contains(secret), "{own}");
            let run = running.finish().succeeds();
            let seen = programs.take();
            assert!(
                !run.stdout.contains(secret) && !run.stderr.contains(secret),
                "{run:?}"
            );
            assert!(
                seen.iter().any(|shown| shown.contains("\nPGPASSFILE=")),
                "a client program was seen with its password file: {seen:?}"
            );
            for shown in &seen {
                assert!(
                    !shown.contains(secret) && !shown.contains("DATABASE_URL"),
                    "{shown}"
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

/// Client programs that write down what `/proc` shows of them before they do their work.
struct Watched {
    folder: PathBuf,
    seen: PathBuf,
}

impl Watched {
    fn of(programs: &Path, place: &Path) -> Self {
        let watched = Self {
            folder: place.join("programs"),
            seen: place.join("seen"),
        };
        fs::create_dir(&watched.folder).unwrap();
        fs::create_dir(&watched.seen).unwrap();
        for name in ["pg_dump", "pg_dumpall", "pg_restore", "psql"] {
            let script = format!(
                "#!/bin/sh\ncat /proc/$$/cmdline /proc/$$/environ > '{}'/$$\nexec '{}' \"$@\"\n",
                watched.seen.display(),
                programs.join(name).display(),
            );
            let program = watched.folder.join(name);
            fs::write(&program, script).unwrap();
            fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        }
        watched
    }

    /// Command line and environment, in lines, of every program since the last time.
    fn take(&self) -> Vec<String> {
        let files = fs::read_dir(&self.seen).unwrap().flatten();
        files
            .map(|file| {
                let shown = fs::read(file.path()).unwrap();
                fs::remove_file(file.path()).unwrap();
                String::from_utf8_lossy(&shown).replace('\0', "\n")
            })
            .collect()
    }
}
