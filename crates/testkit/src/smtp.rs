//! A real mail server on the loopback interface, for tests: `aiosmtpd`, which set-up installs into `py` below the cache folder.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use tempfile::TempDir;

const TIMEOUT: Duration = Duration::from_secs(60);

/// How a mail server protects its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpProtection {
    Plain,
    StartTls,
    Implicit,
}

/// A mail server that keeps what it gets; ended on drop. Its certificate is for `localhost` and 127.0.0.1, signed by the
/// authority of [`SmtpServer::root_cert`].
#[derive(Debug)]
pub struct SmtpServer {
    process: Child,
    port: u16,
    messages: Receiver<String>,
    _folder: TempDir,
}

/// How a mail server is to be started.
#[derive(Debug, Clone)]
pub struct SmtpServerBuilder {
    protection: SmtpProtection,
    login: Option<(String, String)>,
    refuse: Option<u16>,
}

/// A message as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedMail {
    pub from: String,
    pub to: Vec<String>,
    pub encrypted: bool,
    /// Headers and body, as sent.
    pub content: String,
}

impl SmtpServer {
    /// Starts one that asks for no login.
    pub fn start(protection: SmtpProtection) -> SmtpServer {
        SmtpServer::builder(protection).start()
    }

    pub fn builder(protection: SmtpProtection) -> SmtpServerBuilder {
        SmtpServerBuilder {
            protection,
            login: None,
            refuse: None,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn root_cert(&self) -> PathBuf {
        crate::tls::files().root_cert
    }

    /// An authority that did not sign the server's certificate.
    pub fn foreign_root_cert(&self) -> PathBuf {
        crate::tls::files().foreign_root_cert
    }

    /// Waits for the next message.
    pub fn next_mail(&self) -> ReceivedMail {
        let path = self
            .messages
            .recv_timeout(TIMEOUT)
            .expect("a message comes in");
        read_mail(Path::new(&path))
    }

    /// Whether nothing came in that was not taken by [`SmtpServer::next_mail`].
    pub fn is_empty(&self) -> bool {
        self.messages.try_recv().is_err()
    }
}

impl SmtpServerBuilder {
    /// Takes messages only after this login.
    pub fn login(mut self, name: &str, password: &str) -> Self {
        self.login = Some((name.to_owned(), password.to_owned()));
        self
    }

    /// Answers every recipient with this code.
    pub fn refuse(mut self, code: u16) -> Self {
        self.refuse = Some(code);
        self
    }

    pub fn start(self) -> SmtpServer {
        let folder = tempfile::Builder::new()
            .prefix("pgkeep-smtp-")
            .tempdir()
            .expect("a temporary folder can be made");
        let python = crate::cache_dir().join("py/bin/python");
        assert!(
            python.with_file_name("aiosmtpd").exists(),
            "aiosmtpd is not installed beside {}; run `make setup`",
            python.display()
        );
        let certificate = crate::tls::files().root_cert.with_file_name("server.crt");
        let mut command = Command::new(python);
        command
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/python/smtp_server.py"
            ))
            .arg(folder.path())
            .arg(match self.protection {
                SmtpProtection::Plain => "plain",
                SmtpProtection::StartTls => "starttls",
                SmtpProtection::Implicit => "implicit",
            })
            .arg(&certificate)
            .arg(certificate.with_file_name("server.key"));
        if let Some((name, password)) = &self.login {
            command.arg("--login").arg(name).arg(password);
        }
        if let Some(code) = self.refuse {
            command.arg("--refuse").arg(code.to_string());
        }
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start the mail server: {error}"));
        let lines = lines_of(process.stdout.take().expect("standard output is a pipe"));
        let port = lines
            .recv_timeout(TIMEOUT)
            .expect("the mail server says its port");
        SmtpServer {
            process,
            port: port.parse().expect("a port is a number"),
            messages: lines,
            _folder: folder,
        }
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        // Nothing can be done about a failure while a test ends, perhaps in a panic.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn lines_of(output: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn read_mail(path: &Path) -> ReceivedMail {
    let text = std::fs::read(path).expect("the mail server wrote the message");
    let text = String::from_utf8(text).expect("messages of tests are text");
    let mut parts = text.splitn(4, '\n');
    let mut next = || parts.next().expect("the mail server writes four parts");
    ReceivedMail {
        from: next().to_owned(),
        to: next().split(',').map(str::to_owned).collect(),
        encrypted: next() == "yes",
        content: next().to_owned(),
    }
}
