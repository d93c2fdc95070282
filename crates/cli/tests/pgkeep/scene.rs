//! A shop on a server of its own, a repository for it, and the binary as a process that can be watched and killed.

use super::{
    Pgkeep, Run,
    proxy::{HoldingProxy, Passing, Side},
};
use pgkeep_testkit::{ShopSize, TestPostgres};
use rustix::{
    process::Signal,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
use std::{
    cell::RefCell,
    collections::BTreeSet,
    path::PathBuf,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

pub const PHRASE: &str = "I understand this will irreversibly overwrite data";

/// How long anything may take that a test waits for, on the slowest machine: nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Scene {
    pub server: TestPostgres,
    pub pgkeep: Pgkeep,
    /// Ports of the ways to the server.
    ways: RefCell<Vec<u16>>,
}

impl Scene {
    pub fn new() -> Self {
        Self::on(TestPostgres::start(15))
    }

    pub fn on(server: TestPostgres) -> Self {
        server.load_shop("shop", ShopSize::TINY);
        let ways = RefCell::new(vec![server.port()]);
        let scene = Scene {
            server,
            pgkeep: Pgkeep::new(),
            ways,
        };
        scene.run(&["init"]).succeeds();
        scene
    }

    pub fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("PGKEEP_REPO", "./backups".into()),
            ("DATABASE_URL", self.server.url_for("shop")),
            ("DB_ADMIN_URL", self.server.url()),
        ]
    }

    pub fn run(&self, args: &[&str]) -> Run {
        let mut command = self.pgkeep.command(args);
        command.envs(self.environment());
        Run::of(&command.output().unwrap())
    }

    /// Starts the binary and leaves it running.
    pub fn start(&self, args: &[&str]) -> Running {
        let mut command = self.pgkeep.child(args);
        command.envs(self.environment());
        Running::start(command)
    }

    /// A way to the server on which everybody is held before the first piece for which `rule` holds.
    pub fn way(&self, rule: impl Fn(&Passing<'_>) -> bool + Send + Sync + 'static) -> HoldingProxy {
        let way = HoldingProxy::before(self.server.port(), rule);
        self.ways.borrow_mut().push(way.port());
        way
    }

    /// Starts the binary and leaves it running, with this way to the server.
    pub fn start_by(&self, way: &HoldingProxy, args: &[&str]) -> Running {
        let mut command = self.pgkeep.child(args);
        let direct = format!(":{}/", self.server.port());
        for (name, value) in self.environment() {
            command.env(name, value.replace(&direct, &format!(":{}/", way.port())));
        }
        Running::start(command)
    }

    /// Makes a backup and gives its id and the bytes it added.
    pub fn backup(&self) -> (String, u64) {
        let answer = self.run(&["backup", "--json"]).succeeds().json();
        let id = answer["id"].as_str().unwrap().to_owned();
        (id, answer["bytes_added"].as_u64().unwrap())
    }

    pub fn backups(&self) -> Vec<String> {
        let list = self.run(&["list", "--json"]).succeeds().json();
        let backups = list["backups"].as_array().unwrap();
        backups
            .iter()
            .map(|b| b["id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Gives the shop a table of data that neither repeats nor compresses. As text it is twice as long.
    pub fn add_bulk(&self, megabytes: u32) {
        self.server.psql(
            "shop",
            &format!(
                "CREATE EXTENSION IF NOT EXISTS pgcrypto; \
                 CREATE TABLE bulk AS SELECT n AS id, gen_random_bytes(1000) AS noise FROM generate_series(1, {}) AS n; \
                 ALTER TABLE bulk ADD PRIMARY KEY (id)",
                megabytes * 1000
            ),
        );
    }

    pub fn ask(&self, database: &str, sql: &str) -> String {
        self.server.psql(database, sql).trim().to_owned()
    }

    pub fn is_true(&self, sql: &str) -> bool {
        self.ask("postgres", sql) == "t"
    }

    /// What the shop holds, in one word.
    pub fn fingerprint(&self, database: &str) -> String {
        let parts = ["customers", "products", "orders", "order_lines", "events"].map(|table| {
            format!("(SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} AS t)")
        });
        self.ask(
            database,
            &format!("SELECT concat_ws(' ', {})", parts.join(", ")),
        )
    }

    pub fn databases(&self) -> BTreeSet<String> {
        let names = self.ask("postgres", "SELECT datname FROM pg_database");
        names.lines().map(str::to_owned).collect()
    }

    /// Whether rows are being copied out of or into the server at this moment.
    pub fn copies(&self, command: &str) -> bool {
        self.is_true(&format!(
            "SELECT EXISTS (SELECT FROM pg_stat_progress_copy WHERE command = '{command}' AND bytes_processed > 1000000)"
        ))
    }

    /// Waits until nothing of pgkeep is left: no session on the server, no client program that works on it.
    #[track_caller]
    pub fn wait_until_nothing_is_left(&self) {
        wait_until("no session of pgkeep is left", || {
            self.is_true("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'pgkeep%')")
        });
        let ports: Vec<String> = self
            .ways
            .borrow()
            .iter()
            .map(|p| format!("PGPORT={p}"))
            .collect();
        wait_until("no client program is left", || {
            !processes().any(|process| {
                let environment = process.environment();
                process.name().starts_with("pg_")
                    && environment
                        .lines()
                        .any(|line| ports.iter().any(|port| port == line))
            })
        });
    }

    fn objects(&self, kind: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.pgkeep.path().join("backups").join(kind)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    // Unfinished files have longer names.
                    Ok(_) if entry.file_name().len() == 64 => files.push(entry.path()),
                    _ => {}
                }
            }
        }
        files
    }

    pub fn packs(&self) -> Vec<PathBuf> {
        self.objects("data")
    }

    pub fn indexes(&self) -> usize {
        self.objects("index").len()
    }
}

/// The moment at which so many megabytes of one table were read from the shop, to hold a backup at.
pub fn reading(megabytes: u64) -> impl Fn(&Passing<'_>) -> bool {
    move |passing| {
        passing.database() == "shop"
            && passing.from == Side::Server
            && passing.bytes > megabytes * 1_000_000
    }
}

/// Lets only one processor be used by what `start` starts, which then fills one pack after the other, and not one for each
/// processor at the same time: how much must be read until the first is stored is known.
pub fn on_one_processor(start: impl FnOnce() -> Running) -> Running {
    let all = sched_getaffinity(None).unwrap();
    let mut one = CpuSet::new();
    one.set((0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)).unwrap());
    sched_setaffinity(None, &one).unwrap();
    let running = start();
    sched_setaffinity(None, &all).unwrap();
    running
}

/// A process of the binary; killed when dropped.
pub struct Running {
    child: Option<Child>,
}

impl Running {
    pub fn start(mut command: std::process::Command) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child: Some(child) }
    }

    pub fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn has_ended(&mut self) -> bool {
        let child = self.child.as_mut().unwrap();
        child.try_wait().unwrap().is_some()
    }

    /// Waits until `moment` comes; panics when the process ends before.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, mut moment: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !moment() {
            if self.has_ended() {
                let run = self.child.take().unwrap().wait_with_output().unwrap();
                panic!("it ended before {what}: {:?}", Run::of(&run));
            }
            assert!(Instant::now() < deadline, "waited in vain: {what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Presses Ctrl-C while it is held on `way`, and lets it go on only when it has taken note.
    #[track_caller]
    pub fn interrupt(mut self, way: &HoldingProxy) -> Run {
        self.signal(Signal::INT);
        wait_until("Ctrl-C is heeded", || {
            way.cancel_requests() > 0 || self.has_ended()
        });
        way.release();
        self.finish()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Ends it as the kernel would, and waits until it is gone.
    pub fn kill9(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[track_caller]
    pub fn finish(mut self) -> Run {
        let deadline = Instant::now() + 2 * PATIENCE;
        while !self.has_ended() {
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        Run::of(&self.child.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A process of this machine, as `/proc` shows it.
pub struct Process {
    folder: PathBuf,
}

impl Process {
    pub fn name(&self) -> String {
        self.read("comm").trim().to_owned()
    }

    pub fn command_line(&self) -> String {
        self.read("cmdline").replace('\0', " ")
    }

    pub fn environment(&self) -> String {
        self.read("environ").replace('\0', "\n")
    }

    pub fn parent(&self) -> Option<u32> {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        line.trim().parse().ok()
    }

    fn read(&self, file: &str) -> String {
        let bytes = std::fs::read(self.folder.join(file)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

pub fn processes() -> impl Iterator<Item = Process> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|entry| {
            let name = entry.file_name();
            name.to_string_lossy().bytes().all(|b| b.is_ascii_digit())
        })
        .map(|entry| Process {
            folder: entry.path(),
        })
}

/// Waits for something that another process does.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
