//! A client program about to run.

#![expect(
    clippy::disallowed_methods,
    reason = "this is the place where client programs are started"
)]

use super::{
    error::ToolError,
    password::PasswordFile,
    running::{RunningTool, ToolOutput},
};
use crate::{
    connect::{ChannelBinding, ConnectOptions, HostAddress, RootCertificates, TargetSession},
    error::Result,
};
use pgkeep_model::CancelToken;
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io::Read,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Lets a child die with the thread that started it; from util-linux, present on practically every Linux.
const SETPRIV: &str = "/usr/bin/setpriv";
/// Variables that a program may see.
const INHERITED: &[&str] = &[
    "DYLD_LIBRARY_PATH",
    "HOME",
    "KRB5CCNAME",
    "LD_LIBRARY_PATH",
    "LOGNAME",
    "OPENSSL_CONF",
    "PATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
    "USER",
];
const SYSTEM_BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A client program with its arguments.
///
/// It runs in a process group of its own, with only the harmless part of our environment, and is ended and reaped when its
/// [`RunningTool`] is dropped or its token cancelled. On Linux it is also sent SIGTERM when this process is killed.
#[derive(Debug)]
pub struct ToolCommand {
    program: PathBuf,
    args: Vec<OsString>,
    connection: Option<ConnectOptions>,
    options: Vec<String>,
    environment: BTreeMap<String, OsString>,
    stdin: bool,
    stdout: bool,
}

impl ToolCommand {
    pub(super) fn new(dir: &Path, program: &str) -> Self {
        Self {
            program: dir.join(program),
            args: Vec::new(),
            connection: None,
            options: Vec::new(),
            environment: BTreeMap::new(),
            stdin: false,
            stdout: false,
        }
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args
            .extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Where libpq shall connect; goes through the environment, the password through a private file.
    pub fn connect(mut self, connection: &ConnectOptions) -> Self {
        self.connection = Some(connection.clone());
        self
    }

    /// Sets a server setting for the program's sessions (`PGOPTIONS`).
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        let escaped = value.replace('\\', "\\\\").replace(' ', "\\ ");
        self.options.push(format!("-c {name}={escaped}"));
        self
    }

    /// Sets an environment variable; never for secrets.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .insert(name.to_owned(), value.as_ref().to_owned());
        self
    }

    /// Gives the program a pipe to read from: see [`RunningTool::stdin`].
    pub fn with_stdin(mut self) -> Self {
        self.stdin = true;
        self
    }

    /// Runs to the end and returns what it printed.
    pub fn run(self, cancel: &CancelToken) -> Result<ToolOutput> {
        let program = self.name();
        let mut running = self.start(cancel)?;
        let mut stdout = Vec::new();
        let read = running.stdout().read_to_end(&mut stdout);
        let stderr = running.finish()?;
        read.map_err(|source| ToolError::Pipe { program, source })?;
        Ok(ToolOutput { stdout, stderr })
    }

    /// Runs to the end; standard output goes nowhere. Returns what it said on standard error.
    pub fn run_quietly(self, cancel: &CancelToken) -> Result<String> {
        self.launch(cancel)?.finish()
    }

    /// Starts the program with its standard output on a pipe.
    pub fn start(mut self, cancel: &CancelToken) -> Result<RunningTool> {
        self.stdout = true;
        self.launch(cancel)
    }

    fn launch(self, cancel: &CancelToken) -> Result<RunningTool> {
        cancel.check()?;
        let name = self.name();
        let password = match &self.connection {
            None => None,
            Some(connection) => {
                PasswordFile::for_connection(connection).map_err(|source| ToolError::Password {
                    program: name.clone(),
                    source,
                })?
            }
        };
        let command = self.command(password.as_ref());
        RunningTool::start(name, command, password, cancel)
    }

    fn name(&self) -> String {
        self.program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    fn command(&self, password: Option<&PasswordFile>) -> Command {
        let mut command = dying_with_us(&self.program);
        clear_environment(&mut command);
        if let Some(connection) = &self.connection {
            command.envs(connection_environment(connection, self.major()));
        }
        let options: Vec<_> = self
            .connection
            .iter()
            .filter_map(|c| c.options.clone())
            .chain(self.options.iter().cloned())
            .collect();
        if !options.is_empty() {
            command.env("PGOPTIONS", options.join(" "));
        }
        if let Some(file) = password {
            command.env("PGPASSFILE", file.path());
        }
        command
            .args(&self.args)
            .envs(&self.environment)
            .stdin(if self.stdin {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(if self.stdout {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stderr(Stdio::piped())
            .process_group(0);
        command
    }

    /// Major version of a libpq that does not know `sslrootcert=system`, by the folder's name at least.
    fn major(&self) -> Option<u32> {
        self.program
            .components()
            .rev()
            .find_map(|part| part.as_os_str().to_str()?.rsplit('-').next()?.parse().ok())
    }
}

/// A command that, where the system has a way, is told to end when the thread that starts it does.
pub(super) fn dying_with_us(program: &Path) -> Command {
    if !(cfg!(target_os = "linux") && Path::new(SETPRIV).exists()) {
        return Command::new(program);
    }
    let mut command = Command::new(SETPRIV);
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    command
}

/// Lets through only what a program needs to run: neither libpq's variables, which would change where it connects, nor
/// anything that may be a secret of ours, nor a language for its messages.
pub(super) fn clear_environment(command: &mut Command) {
    command.env_clear().env("LC_ALL", "C");
    for name in INHERITED {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
}

pub(super) fn connection_environment(
    connection: &ConnectOptions,
    major: Option<u32>,
) -> Vec<(&'static str, OsString)> {
    let join = |parts: Vec<String>| OsString::from(parts.join(","));
    let hosts = &connection.hosts;
    let mut env = vec![
        (
            "PGHOST",
            join(
                hosts
                    .iter()
                    .map(|h| match &h.address {
                        HostAddress::Socket(dir) => dir.display().to_string(),
                        HostAddress::Tcp { name, .. } => name.clone(),
                    })
                    .collect(),
            ),
        ),
        (
            "PGPORT",
            join(hosts.iter().map(|h| h.port.to_string()).collect()),
        ),
        ("PGUSER", connection.user.clone().into()),
        ("PGDATABASE", connection.dbname.clone().into()),
        ("PGSSLMODE", connection.sslmode.as_str().into()),
        ("PGAPPNAME", connection.application_name.clone().into()),
    ];
    let addresses: Vec<String> = hosts
        .iter()
        .map(|h| match &h.address {
            HostAddress::Tcp {
                address: Some(ip), ..
            } => ip.to_string(),
            _ => String::new(),
        })
        .collect();
    if addresses.iter().any(|a| !a.is_empty()) {
        env.push(("PGHOSTADDR", join(addresses)));
    }
    match &connection.sslrootcert {
        RootCertificates::None => {}
        RootCertificates::File(file) => env.push(("PGSSLROOTCERT", file.clone().into())),
        RootCertificates::System => {
            let bundle = SYSTEM_BUNDLES.iter().find(|file| Path::new(file).exists());
            let roots = match bundle {
                // libpq knows the word since PostgreSQL 16.
                Some(file) if major.is_none_or(|m| m < 16) => *file,
                _ => "system",
            };
            env.push(("PGSSLROOTCERT", roots.into()));
        }
    }
    if let Some(client) = &connection.client_certificate {
        env.push(("PGSSLCERT", client.certificate.clone().into()));
        env.push(("PGSSLKEY", client.key.clone().into()));
    }
    match connection.channel_binding {
        ChannelBinding::Prefer => {}
        ChannelBinding::Disable => env.push(("PGCHANNELBINDING", "disable".into())),
        ChannelBinding::Require => env.push(("PGCHANNELBINDING", "require".into())),
    }
    if let Some(limit) = connection.connect_timeout {
        env.push((
            "PGCONNECT_TIMEOUT",
            limit.as_secs().max(2).to_string().into(),
        ));
    }
    let session = match connection.target_session {
        TargetSession::Any => None,
        TargetSession::ReadWrite => Some("read-write"),
        TargetSession::ReadOnly => Some("read-only"),
        TargetSession::Primary => Some("primary"),
        TargetSession::Standby => Some("standby"),
        TargetSession::PreferStandby => Some("prefer-standby"),
    };
    env.extend(session.map(|s| ("PGTARGETSESSIONATTRS", s.into())));
    env
}

/// What a program says its version is, `15.18 (Debian …)`; `None` when it cannot run.
pub(super) fn version_of(program: &Path) -> Option<String> {
    let mut command = Command::new(program);
    clear_environment(&mut command);
    let output = command
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (_, version) = text.trim().split_once("(PostgreSQL) ")?;
    output.status.success().then(|| version.to_owned())
}
