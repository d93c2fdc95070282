//! Runs the binary in a folder and a home of its own, with nothing of the caller's environment.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod proxy;
pub mod scene;
pub mod terminal;

use std::{path::Path, process::Output};
use tempfile::TempDir;

/// A place to run the binary in.
pub struct Pgkeep {
    folder: TempDir,
}

impl Pgkeep {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    pub fn command(&self, args: &[&str]) -> assert_cmd::Command {
        let mut command = assert_cmd::Command::cargo_bin("pgkeep").unwrap();
        command
            .env_clear()
            .env("HOME", self.path())
            .env("PGKEEP_DATA_DIR", self.path().join("nothing"))
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        if let Some(cache) = std::env::var_os("PGKEEP_CACHE") {
            command.env("PGKEEP_CACHE", cache);
        }
        command
            .current_dir(self.path())
            .args(args)
            .timeout(std::time::Duration::from_secs(120));
        command
    }

    /// The same as a process that can be signalled while it runs.
    #[expect(clippy::disallowed_methods, reason = "the test is about the process")]
    pub fn child(&self, args: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pgkeep"));
        command
            .env_clear()
            .env("HOME", self.path())
            .env("PGKEEP_DATA_DIR", self.path().join("nothing"))
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .current_dir(self.path())
            .args(args);
        command
    }

    pub fn run(&self, args: &[&str]) -> Run {
        Run::of(&self.command(args).output().unwrap())
    }
}

/// What a run left behind.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub fn succeeds(self) -> Self {
        self.fails_with(0)
    }

    #[track_caller]
    pub fn fails_with(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "stdout: {}\nstderr: {}",
            self.stdout, self.stderr
        );
        self
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.stdout))
    }
}
