//! A shop with a server that keeps it: `pgkeep serve` as a process, on a catalog and repositories of its own.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::http::Client;

pub(crate) const APP: &str = "shop";
const SCOPES: [&str; 7] = [
    "backup_create",
    "backup_delete",
    "backup_download",
    "restore",
    "status",
    "login",
    "upload",
];
const PATIENCE: Duration = Duration::from_secs(600);

pub(crate) struct Site {
    folder: tempfile::TempDir,
    program: PathBuf,
    address: SocketAddr,
    token: String,
    token_id: String,
    server: Option<Child>,
}

impl Site {
    /// Writes the file, makes `repositories` of them and an account; nothing runs yet. No request is counted. `shop` and
    /// `admin` are where the database is, and who may make others beside it.
    pub(crate) fn prepare(
        shop: &str,
        admin: &str,
        program: &Path,
        repositories: usize,
    ) -> anyhow::Result<Site> {
        let folder = tempfile::Builder::new().prefix("pgkeep-site-").tempdir()?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut site = Site {
            folder,
            program: program.to_owned(),
            address,
            token: String::new(),
            token_id: String::new(),
            server: None,
        };
        let mut file = format!(
            "[app.{APP}]\ndatabases = [\"{shop}\"]\nadmin_url = \"{admin}\"\nrepository = \"r0\"\n\n\
             [policy.nightly]\napp = \"{APP}\"\nschedule = {{ frequency = \"daily\", at = \"02:00\" }}\n\n\
             [server]\nlisten = \"{address}\"\n\n[server.throttle]\n"
        );
        for scope in SCOPES {
            file += &format!("{scope} = \"off\"\n");
        }
        file.push('\n');
        for number in 0..repositories {
            file += &format!("[repository.r{number}]\naddress = \"./r{number}\"\n\n");
        }
        std::fs::write(site.path("pgkeep.toml"), file)?;
        std::fs::write(site.path("password"), "four quiet pelicans\n")?;
        for number in 0..repositories {
            site.run(&["init", "--repo", &format!("./r{number}")])?;
        }
        site.run(&["apply"])?;
        let user = [
            "user",
            "create",
            "ann",
            "--role",
            "admin",
            "--password-file",
            "password",
        ];
        site.run(&user)?;
        let made = site.run(&["token", "create", "bench", "--role", "admin", "--json"])?;
        let made: Value = serde_json::from_str(&made)?;
        site.token = made["token"].as_str().context("a token")?.to_owned();
        site.token_id = made["id"].as_str().context("its id")?.to_owned();
        Ok(site)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// A folder for whatever is written beside the server.
    pub(crate) fn scratch(&self) -> anyhow::Result<PathBuf> {
        let folder = self.path("scratch");
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("HOME", self.folder.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("PGKEEP_DATA_DIR", self.data())
            .envs(std::env::var_os("PGKEEP_CACHE").map(|cache| ("PGKEEP_CACHE", cache)))
            .current_dir(self.folder.path())
            .args(args);
        command
    }

    fn run(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.command(args).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "pgkeep {args:?}: {errors}");
        Ok(String::from_utf8(output.stdout)?)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// What a client must not remove if it wants to stay: the account and its token, with commas between.
    pub(crate) fn account(&self) -> anyhow::Result<String> {
        let mut client = self.client()?;
        let users = client.get("/users")?.json(200)?;
        let id = users["items"][0]["id"].as_str().unwrap_or_default();
        Ok(format!("ann,bench,{id},{}", self.token_id))
    }

    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Client::connect(self.address, &self.token)
    }

    /// Starts the server; how long it took until it said that it is ready.
    pub(crate) fn start(&mut self) -> anyhow::Result<Duration> {
        let log = std::fs::File::create(self.path("serve.log"))?;
        let mut command = self.command(&["serve"]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let begun = Instant::now();
        self.server = Some(command.spawn()?);
        loop {
            let ready = Client::connect(self.address, "")
                .and_then(|mut client| client.get("/health/ready"))
                .is_ok_and(|answer| answer.status == 200);
            if ready {
                return Ok(begun.elapsed());
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "the server does not come: {}",
                std::fs::read_to_string(self.path("serve.log"))?
            );
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// Ends the server in order.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut server) = self.server.take() else {
            return Ok(());
        };
        let id = server.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status()?;
        ensure!(told.success(), "the server cannot be told to end");
        let ended = server.wait()?;
        ensure!(ended.success(), "the server ended with {ended}");
        Ok(())
    }

    pub(crate) fn process(&self) -> anyhow::Result<u32> {
        Ok(self.server.as_ref().context("the server runs")?.id())
    }

    /// Waits until no job waits or runs.
    pub(crate) fn settle(&self) -> anyhow::Result<()> {
        let mut client = self.client()?;
        let begun = Instant::now();
        loop {
            let queue = client.get("/queue")?.json(200)?;
            if queue["ready"] == 0 && queue["running"] == 0 {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "jobs do not end: {queue}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Takes a backup through the API; the seconds that its job tells.
    pub(crate) fn back_up(&self, repository: usize) -> anyhow::Result<f64> {
        let mut client = self.client()?;
        let body = json!({ "app": APP, "repository": format!("r{repository}") });
        let accepted = client.send("POST", "/backups", &body.to_string())?;
        let accepted = accepted.json(202)?;
        let path = format!("/jobs/{}", accepted["jobId"].as_str().context("a job")?);
        let begun = Instant::now();
        loop {
            let job = client.get(&path)?.json(200)?;
            if !job["finishedAt"].is_null() {
                ensure!(job["state"] == "succeeded", "{job:#}");
                return job["result"]["seconds"].as_f64().context("its seconds");
            }
            ensure!(begun.elapsed() < PATIENCE, "a backup does not end: {job:#}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Frees the room that a backup took which was only to be timed.
    pub(crate) fn drop_data(&self, repository: usize) -> anyhow::Result<()> {
        Ok(std::fs::remove_dir_all(
            self.path(&format!("r{repository}")).join("data"),
        )?)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
