//! A PostgreSQL server of our own, for a while: the demonstration's database, and drills without a server.
//!
//! It listens on a socket in its own folder only, belongs to an unprivileged account (PostgreSQL refuses to run as
//! root), and is stopped and removed when the value is dropped.

use crate::{
    Error, Result,
    connect::{ConnectOptions, Environment},
};
use std::{
    fs, io,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(60);
const SUPERUSER: &str = "postgres";

/// A running server.
#[derive(Debug)]
pub struct Throwaway {
    server: Option<Child>,
    /// Removed when dropped.
    folder: tempfile::TempDir,
    major: u32,
}

/// The account that the server runs under when we are root.
#[derive(Debug, Clone, Copy)]
struct Account {
    uid: u32,
    gid: u32,
}

impl Throwaway {
    /// Makes a cluster with the programs in `bin_dir` and starts it. `settings` are lines of `postgresql.conf`.
    pub fn start(bin_dir: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        let begin = |e| Error::local("making a throwaway PostgreSQL server", e);
        let folder = tempfile::Builder::new()
            .prefix("pgkeep-throwaway-")
            .tempdir()
            .map_err(begin)?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).map_err(begin)?;
        let account = account_for_server().map_err(begin)?;
        for name in ["data", "socket"] {
            let path = folder.path().join(name);
            fs::create_dir(&path).map_err(begin)?;
            if let Some(account) = account {
                std::os::unix::fs::chown(&path, Some(account.uid), Some(account.gid))
                    .map_err(begin)?;
            }
        }
        let mut this = Self {
            server: None,
            major: major_of(bin_dir, account)?,
            folder,
        };
        this.init(bin_dir, account, settings)?;
        this.run(bin_dir, account)?;
        Ok(this)
    }

    /// How to connect as its superuser to one of its databases.
    pub fn connect_options(&self, dbname: &str) -> Result<ConnectOptions> {
        Ok(ConnectOptions::resolve(
            Some(&self.connection_string(dbname)),
            &Environment::default(),
        )?)
    }

    /// The same as a text that libpq understands; it needs no password.
    pub fn connection_string(&self, dbname: &str) -> String {
        let socket = self.folder.path().join("socket");
        format!("host={} user={SUPERUSER} dbname={dbname}", socket.display())
    }

    pub fn major(&self) -> u32 {
        self.major
    }

    /// Lets it run on without us. Gives its process and its folder: who wants it gone sends SIGQUIT to the first and then
    /// removes the second.
    pub fn leave_running(mut self) -> (u32, PathBuf) {
        let process = self.server.take().map_or(0, |server| server.id());
        self.folder.disable_cleanup(true);
        (process, self.folder.path().to_owned())
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn init(
        &self,
        bin_dir: &Path,
        account: Option<Account>,
        settings: &[(&str, &str)],
    ) -> Result<()> {
        let mut command = program(bin_dir, "initdb", account);
        command
            .args([
                "--no-sync",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "-U",
                SUPERUSER,
                "-D",
            ])
            .arg(self.data());
        let output = command
            .output()
            .map_err(|e| Error::local("starting initdb", e))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_string();
            return Err(Error::local(
                "making a throwaway PostgreSQL server",
                io::Error::other(said),
            ));
        }
        let mut lines = format!(
            "listen_addresses = ''\nunix_socket_directories = '{}'\nfsync = off\nlc_messages = 'C'\n",
            self.folder.path().join("socket").display()
        );
        for (name, value) in settings {
            lines += &format!("{name} = '{}'\n", value.replace('\'', "''"));
        }
        let conf = self.data().join("postgresql.conf");
        fs::read_to_string(&conf)
            .and_then(|old| fs::write(&conf, old + &lines))
            .map_err(|e| Error::local(format!("writing {}", conf.display()), e))
    }

    fn run(&mut self, bin_dir: &Path, account: Option<Account>) -> Result<()> {
        let log_path = self.folder.path().join("server.log");
        let failed = |e| Error::local("starting a throwaway PostgreSQL server", e);
        let log = fs::File::create(&log_path).map_err(failed)?;
        let mut command = program(bin_dir, "postgres", account);
        command
            .arg("-D")
            .arg(self.data())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0);
        self.server = Some(command.spawn().map_err(failed)?);
        let options = self.connect_options("postgres")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if crate::wire::Connection::open(&options).is_ok() {
                return Ok(());
            }
            let server = self.server.as_mut().expect("just started");
            if server.try_wait().map_err(failed)?.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(&log_path).unwrap_or_default();
                return Err(failed(io::Error::other(log.trim().to_string())));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Throwaway {
    fn drop(&mut self) {
        let Some(mut server) = self.server.take() else {
            return;
        };
        // SIGQUIT: an immediate shutdown; nothing of it is kept.
        if let Some(pid) = rustix::process::Pid::from_raw(server.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        }
        let deadline = Instant::now() + PATIENCE;
        while matches!(server.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = server.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this crate starts processes; these hold no secret and are stopped when dropped"
)]
fn program(bin_dir: &Path, name: &str, account: Option<Account>) -> Command {
    let mut command = Command::new(bin_dir.join(name));
    command
        .current_dir("/")
        .env_clear()
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .env("PATH", "/usr/bin:/bin");
    command.stdin(Stdio::null());
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

fn major_of(bin_dir: &Path, account: Option<Account>) -> Result<u32> {
    let output = program(bin_dir, "postgres", account)
        .arg("--version")
        .output()
        .map_err(|e| {
            Error::local(
                format!("starting {}", bin_dir.join("postgres").display()),
                e,
            )
        })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let number = text
        .split_whitespace()
        .find_map(|word| word.split('.').next()?.parse().ok());
    number.ok_or_else(|| Error::Protocol {
        doing: "asking postgres for its version".into(),
        what: text.trim().to_string(),
    })
}

/// `None` when our own account will do; for root, the account `postgres` or `nobody`.
fn account_for_server() -> io::Result<Option<Account>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd")?;
    let found = ["postgres", "nobody"].iter().find_map(|name| {
        let fields: Vec<&str> = accounts
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields[0] == *name)?;
        Some(Account {
            uid: fields.get(2)?.parse().ok()?,
            gid: fields.get(3)?.parse().ok()?,
        })
    });
    found.map(Some).ok_or_else(|| {
        io::Error::other(
            "PostgreSQL does not run as root, and there is no account postgres or nobody to run it",
        )
    })
}
