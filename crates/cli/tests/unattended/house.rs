//! A shop, a file that describes how it is kept, and a server that keeps it.

use crate::pgkeep::{Pgkeep, Run, scene::wait_until};
use pgkeep_testkit::{ShopSize, TestPostgres};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::File,
    net::TcpListener,
    path::Path,
    process::{Child, Stdio},
};

pub struct House {
    pub shop: TestPostgres,
    pub pgkeep: Pgkeep,
    port: u16,
}

impl House {
    /// With a repository, and `extra` at the end of the file.
    pub fn new(extra: &str) -> Self {
        let shop = TestPostgres::start(15);
        shop.load_shop("shop", ShopSize::TINY);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let house = House {
            shop,
            pgkeep: Pgkeep::new(),
            port,
        };
        house.describe(extra);
        house
            .pgkeep
            .run(&["init", "--repo", "./backups"])
            .succeeds();
        house
    }

    /// Writes the file: the shop in its repository, and `extra`.
    pub fn describe(&self, extra: &str) {
        let (url, admin) = (self.shop.url_for("shop"), self.shop.url());
        self.pgkeep.write(
            "pgkeep.toml",
            &format!(
                "[repository.main]\naddress = \"./backups\"\n\n\
                 [app.shop]\ndatabases = [\"{url}\"]\nadmin_url = \"{admin}\"\n\n\
                 [server]\nlisten = \"127.0.0.1:{}\"\n\
                 throttle = {{ backup_create = \"off\", status = \"off\", restore = \"off\", backup_download = \"off\", backup_delete = \"off\", upload = \"off\" }}\n\n\
                 {extra}\n",
                self.port
            ),
        );
    }

    /// Runs the binary on the machine of the catalog.
    pub fn run(&self, args: &[&str]) -> Run {
        let mut command = self.pgkeep.command(args);
        command.env("PGKEEP_DATA_DIR", self.data());
        Run::of(&command.output().unwrap())
    }

    pub fn data(&self) -> std::path::PathBuf {
        self.pgkeep.path().join("data")
    }

    /// Starts the server and waits until it answers.
    pub fn serve(&self) -> Served<'_> {
        self.serve_with(&[])
    }

    /// The same with more in its environment.
    pub fn serve_with(&self, environment: &[(&str, &str)]) -> Served<'_> {
        let log = self.pgkeep.path().join("serve.log");
        let mut command = self.pgkeep.child(&["serve"]);
        if let Some(cache) = std::env::var_os("PGKEEP_CACHE") {
            command.env("PGKEEP_CACHE", cache);
        }
        let child = command
            .env("PGKEEP_DATA_DIR", self.data())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut served = Served {
            house: self,
            child: Some(child),
        };
        wait_until("the server listens", || {
            assert!(!served.has_ended(), "{}", served.log());
            served.log().contains("pgkeep listens on")
        });
        served
    }
}

/// A server that runs; ended when dropped.
pub struct Served<'a> {
    house: &'a House,
    child: Option<Child>,
}

impl Served<'_> {
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.house.port)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.house.pgkeep.path().join("serve.log")).unwrap()
    }

    fn has_ended(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// Makes an administrator and a token of theirs.
    pub fn admin_token(&self) -> String {
        self.house
            .pgkeep
            .write("password", "a long enough passphrase\n");
        let args = [
            "user",
            "create",
            "ann",
            "--role",
            "admin",
            "--password-file",
            "password",
        ];
        self.house.run(&args).succeeds();
        let args = ["token", "create", "ci", "--role", "admin", "--json"];
        let made = self.house.run(&args).succeeds().json();
        made["token"].as_str().unwrap().to_owned()
    }

    /// Runs the binary somewhere else, with nothing but the server's address and a token.
    pub fn asked_from_afar(&self, elsewhere: &Pgkeep, token: &str, args: &[&str]) -> Run {
        let mut command = elsewhere.command(args);
        command
            .env("PGKEEP_SERVER", self.url())
            .env("PGKEEP_TOKEN", token);
        Run::of(&command.output().unwrap())
    }

    /// Ends it as the kernel would.
    pub fn kill9(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks it to end, and gives the code that it ends with.
    pub fn terminate(mut self) -> i32 {
        let mut child = self.child.take().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Whether any file below `folder` holds this text.
pub fn holds(folder: &Path, text: &str) -> bool {
    std::fs::read_dir(folder).unwrap().flatten().any(|entry| {
        let path = entry.path();
        match path.is_dir() {
            true => holds(&path, text),
            false => {
                let bytes = std::fs::read(&path).unwrap_or_default();
                bytes
                    .windows(text.len())
                    .any(|part| part == text.as_bytes())
            }
        }
    })
}
