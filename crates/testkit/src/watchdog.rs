//! Cleans up after a test process that could not do it itself.
//!
//! A test that is killed runs no `Drop`. So each cluster has a small shell beside it that waits on a pipe from the test process.
//! Whatever ends that process closes the pipe; the shell then stops the server and removes its folder.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

// `read` succeeds only when the owner said that all is cleaned up already.
const SCRIPT: &str = r#"
    read -r word && exit 0
    if pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null); then
        kill -QUIT "$pid" 2>/dev/null
        tries=0
        while kill -0 "$pid" 2>/dev/null && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
        kill -KILL "$pid" 2>/dev/null
    fi
    rm -rf "$1"
"#;

#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
}

impl Watchdog {
    /// Watches over the cluster in `dir`.
    pub(crate) fn over(dir: &Path) -> Watchdog {
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "pgkeep-test-watchdog"])
            .arg(dir)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0) // what kills the test's process group must not reach its watchdog
            .spawn()
            .expect("a shell starts");
        Watchdog { shell }
    }

    /// Sends the watchdog home, after the owner cleaned up.
    pub(crate) fn dismiss(&mut self) {
        if let Some(mut pipe) = self.shell.stdin.take() {
            let _ = pipe.write_all(b"done\n");
        }
        let _ = self.shell.wait();
    }
}
