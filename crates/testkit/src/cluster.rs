//! A PostgreSQL cluster for one test: own data folder, own socket folder and port, gone when the value is dropped.
//!
//! Order of effects: reserve a port → copy a fresh cluster → set the watchdog → start the server → wait until it takes
//! connections. Dropping goes the other way round; a test process that is killed leaves the rest to the watchdog.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::installed::{Installation, ServerUser};
use crate::port::ReservedPort;
use crate::template::{copy_cluster, copy_fresh_cluster};
use crate::tls::{self, TlsFiles};
use crate::watchdog::Watchdog;

/// How long a server may take to start or stop before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running throwaway cluster.
#[derive(Debug)]
pub struct TestPostgres {
    pub(crate) installation: Installation,
    server: Option<Child>,
    watchdog: Watchdog,
    port: ReservedPort,
    pub(crate) password_needed: bool,
    tls: bool,
    dir: TempDir,
}

/// Chooses what a [`TestPostgres`] is like. Without choices: UTF-8, C.UTF-8, everybody trusted, no TLS, no fsync.
#[derive(Debug)]
pub struct TestPostgresBuilder {
    installation: Installation,
    initdb_args: Vec<String>,
    settings: String,
    auth_method: String,
    tls: bool,
    fsync: bool,
    kept_data: Option<PathBuf>,
}

impl TestPostgresBuilder {
    /// Adds a line to `postgresql.conf`.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings += &format!("{name} = '{}'\n", value.replace('\'', "''"));
        self
    }

    /// Chooses how clients prove who they are, such as `scram-sha-256` or `md5`; the superuser's password is set in any case.
    pub fn hba(mut self, auth_method: &str) -> Self {
        if auth_method == "md5" {
            // The password of the template is stored as SCRAM, which the method md5 accepts as well.
            self = self.setting("password_encryption", "md5");
        }
        self.auth_method = auth_method.to_owned();
        self
    }

    /// Offers TLS with a certificate for `localhost` and 127.0.0.1.
    pub fn tls(mut self, on: bool) -> Self {
        self.tls = on;
        self
    }

    pub fn locale(self, locale: &str) -> Self {
        self.initdb_arg(&format!("--locale={locale}"))
    }

    pub fn encoding(self, encoding: &str) -> Self {
        self.initdb_arg(&format!("--encoding={encoding}"))
    }

    /// Passes any other choice to `initdb`, such as `--data-checksums`.
    pub fn initdb_arg(mut self, arg: &str) -> Self {
        self.initdb_args.push(arg.to_owned());
        self
    }

    /// Starts from what [`TestPostgres::keep_data`] kept of a cluster of the same major, instead of from an empty one.
    pub fn data_from(mut self, kept: &Path) -> Self {
        self.kept_data = Some(kept.to_owned());
        self
    }

    /// Makes the server write as durably as a real one, for benches.
    pub fn durable(mut self) -> Self {
        self.fsync = true;
        self
    }

    pub fn start(mut self) -> TestPostgres {
        if !self
            .initdb_args
            .iter()
            .any(|arg| arg.starts_with("--locale"))
        {
            self = self.locale("C.UTF-8");
        }
        if !self
            .initdb_args
            .iter()
            .any(|arg| arg.starts_with("--encoding"))
        {
            self = self.encoding("UTF8");
        }
        let dir = tempfile::Builder::new()
            .prefix("pgkeep-test-")
            .tempdir_in("/tmp")
            .expect("/tmp can be written");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711))
            .expect("an own folder can be opened up");
        let watchdog = Watchdog::over(dir.path());
        let port = ReservedPort::take();

        let data = dir.path().join("data");
        match &self.kept_data {
            Some(kept) => copy_cluster(kept, &data),
            None => copy_fresh_cluster(&self.installation, &self.initdb_args, &data),
        }
        self.configure(dir.path(), port.number);
        fs::create_dir(dir.path().join("socket")).expect("an own folder can be written");
        if let Some(user) = ServerUser::other_than_root() {
            user.own(&dir.path().join("socket"));
        }

        let password_needed = self.auth_method != "trust";
        let mut cluster = TestPostgres {
            installation: self.installation,
            server: None,
            watchdog,
            port,
            password_needed,
            tls: self.tls,
            dir,
        };
        cluster.start_again();
        cluster
    }

    fn configure(&self, dir: &Path, port: u16) {
        let data = dir.join("data");
        let mut lines = format!(
            "\nlisten_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{}'\nlc_messages = 'C'\n",
            dir.join("socket").display()
        );
        if !self.fsync {
            lines += "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n";
        }
        if self.tls {
            lines += &tls::install(&data);
        }
        lines += &self.settings;
        append(&data.join("postgresql.conf"), &lines);

        let method = &self.auth_method;
        let rules = format!(
            "local all all {method}\nhost all all 127.0.0.1/32 {method}\nlocal replication all {method}\n"
        );
        fs::write(data.join("pg_hba.conf"), rules).expect("a data folder can be written");
    }
}

impl TestPostgres {
    /// Starts a cluster of a major, or panics with how to get that major.
    pub fn start(major: u32) -> TestPostgres {
        TestPostgres::builder(major).start()
    }

    pub fn builder(major: u32) -> TestPostgresBuilder {
        TestPostgresBuilder {
            installation: Installation::of(major),
            initdb_args: Vec::new(),
            settings: String::new(),
            auth_method: "trust".to_owned(),
            tls: false,
            fsync: false,
            kept_data: None,
        }
    }

    pub fn major(&self) -> u32 {
        self.installation.major
    }

    pub fn port(&self) -> u16 {
        self.port.number
    }

    pub fn socket_dir(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The folder of this major's own client programs.
    pub fn bin_dir(&self) -> &Path {
        &self.installation.bin_dir
    }

    /// The certificates to reach a server that was started with TLS.
    pub fn tls_files(&self) -> TlsFiles {
        assert!(self.tls, "the cluster was started without TLS");
        tls::files()
    }

    /// Makes an empty folder that the server can use, as for a tablespace.
    pub fn make_server_dir(&self, name: &str) -> PathBuf {
        let dir = self.dir.path().join(name);
        fs::create_dir(&dir).expect("an own folder can be written");
        if let Some(user) = ServerUser::other_than_root() {
            user.own(&dir);
        }
        dir
    }

    /// Keeps the data folder of a stopped server for clusters to come.
    pub fn keep_data(&self, target: &Path) {
        assert!(
            self.server.is_none(),
            "only a stopped server's data is whole"
        );
        let unfinished = target.with_extension("new");
        let _ = fs::remove_dir_all(&unfinished); // of a run that was killed here
        fs::create_dir_all(target.parent().expect("a folder lies in another"))
            .expect("the target can be written");
        copy_cluster(&self.data_dir(), &unfinished);
        fs::rename(&unfinished, target).expect("a folder can be renamed in its place");
    }

    /// What the server logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default()
    }

    /// Adds lines to `postgresql.conf`; they count from the next start or reload.
    pub fn add_settings(&self, lines: &str) {
        append(
            &self.data_dir().join("postgresql.conf"),
            &format!("\n{lines}\n"),
        );
    }

    /// Starts the server after [`stop`](Self::stop) or [`kill9`](Self::kill9).
    pub fn start_again(&mut self) {
        assert!(self.server.is_none(), "the server runs already");
        // Of a server that was killed. With it, a new one would look for the old one's process, whose number may be another's.
        let _ = fs::remove_file(self.data_dir().join("postmaster.pid"));
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join("server.log"))
            .expect("own file");
        let mut command = Command::new(self.installation.program("postgres"));
        command
            .arg("-D")
            .arg(self.data_dir())
            .current_dir("/")
            .process_group(0);
        command
            .env_clear()
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("PATH", "/usr/bin:/bin");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        if let Some(user) = ServerUser::other_than_root() {
            command.uid(user.uid).gid(user.gid);
        }
        self.server = Some(command.spawn().expect("a server program starts"));
        self.wait_until_ready();
    }

    fn wait_until_ready(&mut self) {
        let status = self.data_dir().join("postmaster.pid");
        let server = self.server.as_mut().expect("the server was just started");
        let deadline = Instant::now() + PATIENCE;
        loop {
            // The eighth line tells the state of the server (miscadmin.h, LOCK_FILE_LINE_PM_STATUS).
            let ready = fs::read_to_string(&status)
                .is_ok_and(|text| text.lines().nth(7).is_some_and(|s| s.trim() == "ready"));
            if ready {
                return;
            }
            let ended = server.try_wait().expect("an own child can be waited for");
            if ended.is_some() || Instant::now() > deadline {
                let log =
                    fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default();
                panic!(
                    "PostgreSQL {} did not start:\n{log}",
                    self.installation.major
                );
            }
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    /// Stops the server in good order, ending all sessions; its data stays.
    pub fn stop(&mut self) {
        self.signal_and_wait(Signal::INT);
    }

    /// Ends the server as a power cut would, with all its processes at once; its data stays, and the next start recovers it.
    pub fn kill9(&mut self) {
        let Some(server) = &self.server else {
            return;
        };
        // A stopped postmaster neither starts processes nor tells those it has to finish what they do.
        let _ = kill_process(pid_of(server), Signal::STOP);
        let parts = children_of(server.id());
        self.signal_and_wait(Signal::KILL);
        for part in &parts {
            let _ = kill_process(*part, Signal::KILL);
        }
        let deadline = Instant::now() + PATIENCE;
        while parts.iter().any(|part| runs(*part)) {
            assert!(Instant::now() < deadline, "a server process does not die");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn signal_and_wait(&mut self, signal: Signal) {
        let Some(mut server) = self.server.take() else {
            return;
        };
        let _ = kill_process(pid_of(&server), signal);
        let deadline = Instant::now() + PATIENCE;
        while server
            .try_wait()
            .expect("an own child can be waited for")
            .is_none()
        {
            if Instant::now() > deadline {
                let _ = server.kill();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for TestPostgres {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("--- last lines of the server's log ---");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
        self.signal_and_wait(Signal::QUIT);
        let _ = fs::remove_dir_all(self.dir.path());
        self.watchdog.dismiss();
    }
}

fn pid_of(process: &Child) -> Pid {
    let pid = i32::try_from(process.id()).expect("a process id fits");
    Pid::from_raw(pid).expect("a process id is not zero")
}

fn children_of(parent: u32) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").expect("there is a /proc").flatten();
    let ids = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    ids.filter_map(Pid::from_raw)
        .filter(|pid| status_of(*pid).is_some_and(|(_, of)| of == parent))
        .collect()
}

/// Whether the process is there and not just waiting for its parent to take note of its end.
fn runs(pid: Pid) -> bool {
    status_of(pid).is_some_and(|(state, _)| state != "Z")
}

/// State and parent of a process; what stands before them in the line may hold anything but ends with a bracket.
fn status_of(pid: Pid) -> Option<(String, u32)> {
    let line = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let mut words = line.rsplit_once(") ")?.1.split(' ');
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}

fn append(path: &Path, text: &str) {
    use std::io::Write;
    let mut file = File::options()
        .append(true)
        .open(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.write_all(text.as_bytes())
        .expect("a data folder can be written");
}
