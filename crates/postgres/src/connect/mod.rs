//! Where and as whom to connect: URLs, key=value strings, libpq's environment, service file and password file.
//!
//! The order is libpq's: what the connection string says, else the service file, else the environment, else a default.
//! The environment is passed in as a value, so that nothing here depends on the process that it runs in. A password is
//! only ever held in [`SecretString`]; neither `Debug` nor `Display` of anything here shows it.

mod environment;
mod error;
mod keywords;
mod passfile;
mod service;
mod url;

pub use environment::Environment;
pub use error::OptionsError;
pub use passfile::PassFile;
pub(crate) use passfile::passfile_line;

use keywords::Settings;
use secrecy::{ExposeSecret, SecretString};
use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

/// Time given to one address to accept, encrypt and log in, unless `connect_timeout` says otherwise.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// All that is needed to open a connection, with no doubt left in it.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Tried in order until one accepts.
    pub hosts: Vec<Host>,
    pub user: String,
    pub password: Option<SecretString>,
    pub passfile: Option<Arc<PassFile>>,
    pub dbname: String,
    pub sslmode: SslMode,
    pub sslrootcert: RootCertificates,
    /// Client certificate and its key; both or none.
    pub client_certificate: Option<ClientCertificate>,
    pub channel_binding: ChannelBinding,
    pub application_name: String,
    /// For each address; `None` waits for ever.
    pub connect_timeout: Option<Duration>,
    /// Command line options for the server process (`-c name=value`).
    pub options: Option<String>,
    pub target_session: TargetSession,
    pub keepalive: Keepalive,
    /// What the user should know, such as a password file that was ignored.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub address: HostAddress,
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostAddress {
    /// Directory of the server's unix socket.
    Socket(PathBuf),
    /// A name, and the address to use instead of looking it up (`hostaddr`).
    Tcp {
        name: String,
        address: Option<IpAddr>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    Disable,
    Allow,
    #[default]
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Who may vouch for the server's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum RootCertificates {
    /// Nobody: certificates cannot be verified.
    #[default]
    None,
    /// What the operating system trusts (`sslrootcert=system`).
    System,
    File(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChannelBinding {
    Disable,
    #[default]
    Prefer,
    Require,
}

/// Which kind of server is acceptable among several hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetSession {
    #[default]
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    pub enabled: bool,
    pub idle: Option<Duration>,
    pub interval: Option<Duration>,
    pub count: Option<u32>,
    /// `tcp_user_timeout`: how long sent data may stay unacknowledged.
    pub user_timeout: Option<Duration>,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self {
            enabled: true,
            idle: Some(Duration::from_secs(60)),
            interval: Some(Duration::from_secs(10)),
            count: Some(6),
            user_timeout: None,
        }
    }
}

impl ConnectOptions {
    /// Resolves a URL (`postgres://…`), a key=value string or a bare database name against the environment.
    ///
    /// # Errors
    /// Unknown keywords (naming the nearest known one), malformed strings, values out of range, a missing service.
    pub fn resolve(url: Option<&str>, env: &Environment) -> Result<Self, OptionsError> {
        let mut settings = match url {
            Some(text) => Settings::parse(text)?,
            None => Settings::default(),
        };
        service::fill(&mut settings, env)?;
        settings.fill_from_environment(env);
        Self::from_settings(settings, env)
    }

    fn from_settings(settings: Settings, env: &Environment) -> Result<Self, OptionsError> {
        settings.refuse_unsupported()?;
        let user = match settings.get("user") {
            Some(user) => user.to_owned(),
            None => env.os_user().ok_or(OptionsError::NoUser)?,
        };
        let (passfile, warning) = match settings.get("password") {
            Some(_) => (None, None),
            None => PassFile::load(settings.get("passfile"), env),
        };
        let (sslmode, sslrootcert) = ssl_mode_and_roots(&settings, env)?;
        let mut keepalive = Keepalive::default();
        if let Some(on) = settings.number::<u32>("keepalives")? {
            keepalive.enabled = on != 0;
        }
        keepalive.idle = settings.seconds("keepalives_idle")?.or(keepalive.idle);
        keepalive.interval = settings
            .seconds("keepalives_interval")?
            .or(keepalive.interval);
        keepalive.count = settings
            .number("keepalives_count")?
            .filter(|n| *n != 0)
            .or(keepalive.count);
        keepalive.user_timeout = settings
            .number("tcp_user_timeout")?
            .filter(|n| *n != 0)
            .map(Duration::from_millis);
        Ok(Self {
            hosts: hosts(&settings)?,
            dbname: settings.get("dbname").unwrap_or(&user).to_owned(),
            user,
            password: settings.password().map(SecretString::from),
            passfile: passfile.map(Arc::new),
            sslmode,
            sslrootcert,
            client_certificate: client_certificate(&settings, env)?,
            channel_binding: settings.choice(
                "channel_binding",
                &[
                    ("disable", ChannelBinding::Disable),
                    ("prefer", ChannelBinding::Prefer),
                    ("require", ChannelBinding::Require),
                ],
            )?,
            application_name: settings
                .get("application_name")
                .or(settings.get("fallback_application_name"))
                .unwrap_or("pgkeep")
                .to_owned(),
            connect_timeout: match settings.get("connect_timeout") {
                None => Some(DEFAULT_CONNECT_TIMEOUT),
                Some(_) => settings.seconds("connect_timeout")?,
            },
            options: settings.get("options").map(str::to_owned),
            target_session: settings.choice(
                "target_session_attrs",
                &[
                    ("any", TargetSession::Any),
                    ("read-write", TargetSession::ReadWrite),
                    ("read-only", TargetSession::ReadOnly),
                    ("primary", TargetSession::Primary),
                    ("standby", TargetSession::Standby),
                    ("prefer-standby", TargetSession::PreferStandby),
                ],
            )?,
            keepalive,
            warnings: warning.into_iter().collect(),
        })
    }

    /// The same server and user, another database.
    pub fn with_dbname(&self, name: &str) -> Self {
        Self {
            dbname: name.to_owned(),
            ..self.clone()
        }
    }

    /// The password for one host: the given one, else the password file's.
    pub fn password_for(&self, host: &Host) -> Option<SecretString> {
        self.password.clone().or_else(|| {
            self.passfile
                .as_ref()?
                .find(&host.passfile_name(), host.port, &self.dbname, &self.user)
        })
    }

    /// The target in words, without a password: `database "shop" on db.example.org:5432 as user "app"`.
    pub fn describe(&self) -> String {
        let hosts: Vec<_> = self.hosts.iter().map(Host::to_string).collect();
        format!(
            "database \"{}\" on {} as user \"{}\"",
            self.dbname,
            hosts.join(" or "),
            self.user
        )
    }

    /// True when `text` contains the password; for tests and last-line checks before something is shown.
    pub fn leaks_into(&self, text: &str) -> bool {
        self.hosts
            .iter()
            .filter_map(|h| self.password_for(h))
            .any(|p| {
                let password = p.expose_secret();
                !password.is_empty() && text.contains(password)
            })
    }
}

impl std::fmt::Display for ConnectOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.describe())
    }
}

impl Host {
    fn passfile_name(&self) -> String {
        match &self.address {
            HostAddress::Socket(dir) => dir.to_string_lossy().into_owned(),
            HostAddress::Tcp { name, .. } => name.clone(),
        }
    }

    /// File name of the unix socket, when this host is one.
    pub fn socket_path(&self) -> Option<PathBuf> {
        match &self.address {
            HostAddress::Socket(dir) => Some(dir.join(format!(".s.PGSQL.{}", self.port))),
            HostAddress::Tcp { .. } => None,
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.address {
            HostAddress::Socket(dir) => write!(f, "{}:{}", dir.display(), self.port),
            HostAddress::Tcp { name, .. } if name.contains(':') => {
                write!(f, "[{name}]:{}", self.port)
            }
            HostAddress::Tcp { name, .. } => write!(f, "{name}:{}", self.port),
        }
    }
}

impl SslMode {
    pub fn as_str(self) -> &'static str {
        match self {
            SslMode::Disable => "disable",
            SslMode::Allow => "allow",
            SslMode::Prefer => "prefer",
            SslMode::Require => "require",
            SslMode::VerifyCa => "verify-ca",
            SslMode::VerifyFull => "verify-full",
        }
    }
}

fn hosts(settings: &Settings) -> Result<Vec<Host>, OptionsError> {
    let list = |key: &str| -> Vec<String> {
        settings
            .get(key)
            .map(|v| v.split(',').map(|s| s.trim().to_owned()).collect())
            .unwrap_or_default()
    };
    let (names, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    let count = names.len().max(addresses.len()).max(1);
    for (what, n) in [("host", names.len()), ("hostaddr", addresses.len())] {
        if n != 0 && n != count {
            return Err(OptionsError::invalid(
                what,
                settings.get(what).unwrap_or_default(),
                "host and hostaddr must list the same number of servers",
            ));
        }
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(OptionsError::invalid(
            "port",
            settings.get("port").unwrap_or_default(),
            "give one port, or one for each host",
        ));
    }
    (0..count)
        .map(|i| {
            let port = match ports.get(i).or(ports.first()).map(String::as_str) {
                None | Some("") => 5432,
                Some(text) => text.parse().ok().filter(|p| *p != 0).ok_or_else(|| {
                    // A password with a bare / in it ends up here, so only digits are repeated.
                    let shown = if text.bytes().all(|b| b.is_ascii_digit()) {
                        text
                    } else {
                        "…"
                    };
                    OptionsError::invalid("port", shown, "a port is a number from 1 to 65535")
                })?,
            };
            let name = names.get(i).filter(|s| !s.is_empty());
            let address = match addresses.get(i).filter(|s| !s.is_empty()) {
                None => None,
                Some(text) => Some(text.parse().map_err(|_| {
                    OptionsError::invalid("hostaddr", text, "it must be an IP address")
                })?),
            };
            let address = match (name, address) {
                (None, None) => default_socket(port),
                (Some(name), None) if name.starts_with('/') => HostAddress::Socket(name.into()),
                (Some(name), address) => HostAddress::Tcp {
                    name: name.clone(),
                    address,
                },
                (None, Some(ip)) => HostAddress::Tcp {
                    name: ip.to_string(),
                    address: Some(ip),
                },
            };
            Ok(Host { address, port })
        })
        .collect()
}

/// Debian's socket directory or upstream's, whichever has a socket of this port.
fn default_socket(port: u16) -> HostAddress {
    let candidates = ["/var/run/postgresql", "/tmp"].map(PathBuf::from);
    let found = candidates
        .iter()
        .find(|dir| dir.join(format!(".s.PGSQL.{port}")).exists())
        .or(candidates.iter().find(|dir| dir.exists()));
    HostAddress::Socket(found.unwrap_or(&candidates[0]).clone())
}

fn ssl_mode_and_roots(
    settings: &Settings,
    env: &Environment,
) -> Result<(SslMode, RootCertificates), OptionsError> {
    let modes = [
        SslMode::Prefer,
        SslMode::Disable,
        SslMode::Allow,
        SslMode::Require,
        SslMode::VerifyCa,
        SslMode::VerifyFull,
    ]
    .map(|m| (m.as_str(), m));
    let mut mode = settings.choice("sslmode", &modes)?;
    let roots = match settings.get("sslrootcert") {
        Some("system") => RootCertificates::System,
        Some(file) => RootCertificates::File(file.into()),
        None => match env.home_file(".postgresql/root.crt") {
            Some(file) if file.exists() => RootCertificates::File(file),
            _ => RootCertificates::None,
        },
    };
    if roots == RootCertificates::System {
        // Anyone can get a certificate from a public authority, so only a checked name means something (libpq's rule).
        if settings.get("sslmode").is_none() {
            mode = SslMode::VerifyFull;
        } else if mode != SslMode::VerifyFull {
            return Err(OptionsError::invalid(
                "sslmode",
                mode.as_str(),
                "sslrootcert=system needs sslmode=verify-full",
            ));
        }
    }
    // As libpq: `require` verifies the chain when a root certificate is at hand.
    if mode == SslMode::Require && roots != RootCertificates::None {
        mode = SslMode::VerifyCa;
    }
    Ok((mode, roots))
}

fn client_certificate(
    settings: &Settings,
    env: &Environment,
) -> Result<Option<ClientCertificate>, OptionsError> {
    let find = |key: &str, default: &str| match settings.get(key) {
        Some(file) => Some(PathBuf::from(file)),
        None => env.home_file(default).filter(|f| f.exists()),
    };
    let certificate = find("sslcert", ".postgresql/postgresql.crt");
    let key = find("sslkey", ".postgresql/postgresql.key");
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(ClientCertificate { certificate, key })),
        (Some(file), None) if settings.get("sslcert").is_some() => Err(OptionsError::invalid(
            "sslcert",
            &file.to_string_lossy(),
            "it needs sslkey as well",
        )),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests;
