//! Real S3-compatible servers on the loopback interface, for tests.
//!
//! Two different ones, because they differ where it matters: moto refuses to create what exists, rclone overwrites it.
//! Set-up installs both into `py` below the cache folder; a missing one fails the test that asks for it, by name.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

const ACCESS_KEY_ID: &str = "pgkeep-test";
const SECRET_ACCESS_KEY: &str = "pgkeep-test-secret";
const BUCKET: &str = "backups";
/// Moto wants a signature and takes any.
const ANY_SIGNATURE: &str = "AWS4-HMAC-SHA256 Credential=any/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=any";
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running server with one empty bucket; stopped on drop.
#[derive(Debug)]
pub struct ObjectStore {
    server: Server,
    process: Option<Child>,
    address: SocketAddr,
    folder: TempDir,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    Moto,
    Rclone,
    RcloneTls,
}

impl ObjectStore {
    /// Starts `moto_server`, which keeps its objects in memory.
    pub fn moto() -> Self {
        let store = Self::start(Server::Moto);
        store.create_moto_bucket();
        store
    }

    /// Starts `rclone serve s3` over a folder.
    pub fn rclone() -> Self {
        Self::start(Server::Rclone)
    }

    /// Starts `rclone serve s3` behind TLS, with a certificate of the authority in [`crate::TlsFiles::root_cert`].
    pub fn rclone_tls() -> Self {
        Self::start(Server::RcloneTls)
    }

    /// The authority that signed the certificate of [`ObjectStore::rclone_tls`].
    pub fn root_cert(&self) -> PathBuf {
        crate::tls::files().root_cert
    }

    pub fn name(&self) -> &'static str {
        match self.server {
            Server::Moto => "moto_server",
            Server::Rclone | Server::RcloneTls => "rclone serve s3",
        }
    }

    pub fn endpoint(&self) -> String {
        let scheme = match self.server {
            Server::Moto | Server::Rclone => "http",
            Server::RcloneTls => "https",
        };
        format!("{scheme}://{}", self.address)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn bucket(&self) -> &'static str {
        BUCKET
    }

    pub fn access_key_id(&self) -> &'static str {
        ACCESS_KEY_ID
    }

    pub fn secret_access_key(&self) -> &'static str {
        SECRET_ACCESS_KEY
    }

    /// The address of a repository in this store.
    pub fn repository(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}?endpoint={}", self.endpoint())
    }

    /// The folder that holds the bucket's objects as files, where the server keeps them so.
    pub fn bucket_folder(&self) -> Option<PathBuf> {
        (self.server != Server::Moto).then(|| self.folder.path().join("objects").join(BUCKET))
    }

    /// Stops the server; requests are refused until [`ObjectStore::resume`].
    pub fn interrupt(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("the server can be killed");
            process.wait().expect("the server can be reaped");
        }
    }

    /// Starts an interrupted server again on the same port. Moto has lost its objects by then.
    pub fn resume(&mut self) {
        self.interrupt();
        self.process = Some(spawn(self.server, self.address, self.folder.path()));
        self.wait_until_ready();
    }

    fn start(server: Server) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("pgkeep-s3-")
            .tempdir()
            .expect("a temporary folder can be made");
        std::fs::create_dir_all(folder.path().join("objects").join(BUCKET))
            .expect("the bucket's folder can be made");
        let address = free_address();
        let mut store = Self {
            server,
            process: Some(spawn(server, address, folder.path())),
            address,
            folder,
        };
        store.wait_until_ready();
        store
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(self.address).is_err() {
            let process = self.process.as_mut().expect("just started");
            if let Some(status) = process.try_wait().expect("the server can be asked") {
                panic!("{} ended with {status}: {}", self.name(), self.log());
            }
            assert!(
                Instant::now() < deadline,
                "{} does not answer: {}",
                self.name(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// What moto says of an object: status line and headers, in lower case.
    pub fn moto_headers(&self, object: &str) -> String {
        assert_eq!(self.server, Server::Moto, "only moto takes any signature");
        self.request("HEAD", object).to_lowercase()
    }

    fn create_moto_bucket(&self) {
        let answer = self.request("PUT", "");
        let status = answer.lines().next().unwrap_or_default();
        assert!(
            status.contains(" 200 "),
            "moto_server made no bucket: {status}"
        );
    }

    fn request(&self, method: &str, object: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("the server accepts connections");
        let request = format!(
            "{method} /{BUCKET}/{object} HTTP/1.1\r\nHost: {}\r\nAuthorization: {ANY_SIGNATURE}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.address
        );
        stream
            .write_all(request.as_bytes())
            .expect("the server reads a request");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .expect("the server answers");
        answer
    }
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Nothing can be done about a failure while a test ends, perhaps in a panic.
            drop(process.kill());
            drop(process.wait());
        }
    }
}

/// An address that was free a moment ago.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a loopback port is free")
}

fn spawn(server: Server, address: SocketAddr, folder: &Path) -> Child {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .expect("the server's log can be written");
    let mut command = match server {
        Server::Moto => {
            let mut command = Command::new(program("moto_server"));
            command
                .arg("-H")
                .arg(address.ip().to_string())
                .arg("-p")
                .arg(address.port().to_string());
            command
        }
        Server::Rclone | Server::RcloneTls => {
            let mut command = Command::new(program("rclone"));
            command
                .args(["serve", "s3", "--addr"])
                .arg(address.to_string())
                .arg("--auth-key")
                .arg(format!("{ACCESS_KEY_ID},{SECRET_ACCESS_KEY}"))
                // Objects written behind the server's back, as the tests of damage do, are seen at once.
                .args(["--dir-cache-time", "50ms", "--config"])
                .arg(folder.join("rclone.conf"))
                .arg(folder.join("objects"));
            if server == Server::RcloneTls {
                let root = crate::tls::files().root_cert;
                command.arg("--cert").arg(root.with_file_name("server.crt"));
                command.arg("--key").arg(root.with_file_name("server.key"));
            }
            command
        }
    };
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file handle can be copied"))
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {:?}: {error}", command.get_program()))
}

fn program(name: &str) -> PathBuf {
    let path = crate::cache_dir().join("py/bin").join(name);
    assert!(
        path.exists(),
        "{name} is not installed at {}; run `make setup`",
        path.display()
    );
    path
}
