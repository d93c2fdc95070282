//! What the server was told, with no doubt left in it.
//!
//! Plain data: the command line reads files, environment and flags, resolves them into these values, and starts the
//! server with them. Nothing here reads the environment or a file.

use pgkeep_model::access::{Permission, Role};
use pgkeep_model::job::JobKind;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Where the server listens when nobody says otherwise.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8321);

/// All of `pgkeep serve`.
#[derive(Debug, Clone, Default)]
pub struct ServerSettings {
    pub places: Places,
    pub http: HttpSettings,
    pub throttles: Throttles,
    pub work: WorkSettings,
    pub auth: AuthSettings,
    pub uploads: UploadSettings,
    pub telemetry: TelemetrySettings,
}

/// All of `pgkeep worker`: the same places and work, without HTTP.
#[derive(Debug, Clone, Default)]
pub struct WorkerSettings {
    pub places: Places,
    pub work: WorkSettings,
    pub telemetry: TelemetrySettings,
}

/// Where the server keeps what it knows.
#[derive(Debug, Clone)]
pub struct Places {
    /// Holds `incoming/`, `exports/` and, unless told otherwise, the catalog and its key.
    pub data_dir: PathBuf,
    pub catalog: CatalogPlace,
    /// The key of the catalog's encrypted values.
    pub catalog_key: PathBuf,
    /// The configuration file that an empty catalog takes its first apps from, if there is one.
    pub config_file: Option<PathBuf>,
}

impl Places {
    /// The usual places inside a data folder.
    pub fn inside(data_dir: impl Into<PathBuf>) -> Self {
        let data_dir = data_dir.into();
        Self {
            catalog: CatalogPlace::Sqlite(data_dir.join("catalog.sqlite")),
            catalog_key: data_dir.join("catalog.key"),
            config_file: None,
            data_dir,
        }
    }

    /// Uploads that are not backups yet.
    pub fn incoming(&self) -> PathBuf {
        self.data_dir.join("incoming")
    }

    /// File trees while they are drilled.
    pub fn drills(&self) -> PathBuf {
        self.data_dir.join("drills")
    }

    /// Files that `export` policies write.
    pub fn exports(&self) -> PathBuf {
        self.data_dir.join("exports")
    }
}

impl Default for Places {
    fn default() -> Self {
        Self::inside("/var/lib/pgkeep")
    }
}

#[derive(Debug, Clone)]
pub enum CatalogPlace {
    Sqlite(PathBuf),
    /// A connection string.
    Postgres(SecretString),
}

/// The listener.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    pub listen: SocketAddr,
    /// The address that people open, for links in messages and the redirect of single sign-on.
    pub public_url: Option<url::Url>,
    pub tls: Option<TlsFiles>,
    /// Only these may say for whom they speak (`X-Forwarded-For`, `X-Forwarded-Proto`, `X-Request-Id`).
    pub trusted_proxies: Vec<AddressRange>,
    pub max_connections: usize,
    /// Requests worked on at the same time; more are answered 503.
    pub max_requests: usize,
    /// Time for a client to send the head of a request.
    pub header_time: Duration,
    /// Time for an ordinary request, from its head to its answer.
    pub request_time: Duration,
    /// Bytes of an ordinary request's body.
    pub max_body_bytes: usize,
    /// Time that open requests have at the end.
    pub shutdown_time: Duration,
    /// Shows `/metrics` to everyone who reaches the server.
    pub open_metrics: bool,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            listen: DEFAULT_LISTEN,
            public_url: None,
            tls: None,
            trusted_proxies: Vec::new(),
            max_connections: 4_096,
            max_requests: 1_024,
            header_time: Duration::from_secs(10),
            request_time: Duration::from_secs(30),
            max_body_bytes: 1 << 20,
            shutdown_time: Duration::from_secs(10),
            open_metrics: false,
        }
    }
}

/// PEM files.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// An address, or a range of addresses written like `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    base: IpAddr,
    bits: u8,
}

impl AddressRange {
    /// Every address of its kind.
    pub fn is_everything(&self) -> bool {
        self.bits == 0
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                u32::from(base) & mask == u32::from(address) & mask
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.bits))
                    .unwrap_or(0);
                u128::from(base) & mask == u128::from(address) & mask
            }
            _ => false,
        }
    }
}

impl FromStr for AddressRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not an address or a range like 10.0.0.0/8");
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| wrong())?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        if bits > most {
            return Err(wrong());
        }
        Ok(Self { base, bits })
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

/// What requests are counted under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ThrottleScope {
    BackupCreate,
    BackupDelete,
    BackupDownload,
    Restore,
    Status,
    Login,
    Upload,
    /// Backups before guarded commands, which a deployment waits for.
    Guard,
}

impl ThrottleScope {
    pub const ALL: [ThrottleScope; 8] = [
        ThrottleScope::BackupCreate,
        ThrottleScope::BackupDelete,
        ThrottleScope::BackupDownload,
        ThrottleScope::Restore,
        ThrottleScope::Status,
        ThrottleScope::Login,
        ThrottleScope::Upload,
        ThrottleScope::Guard,
    ];

    /// The name in the configuration file; in capitals after `PGKEEP_THROTTLE_` in the environment.
    pub fn as_str(self) -> &'static str {
        match self {
            ThrottleScope::BackupCreate => "backup_create",
            ThrottleScope::BackupDelete => "backup_delete",
            ThrottleScope::BackupDownload => "backup_download",
            ThrottleScope::Restore => "restore",
            ThrottleScope::Status => "status",
            ThrottleScope::Login => "login",
            ThrottleScope::Upload => "upload",
            ThrottleScope::Guard => "guard",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }

    /// The limit where nothing is said.
    pub fn default_rate(self) -> Rate {
        match self {
            ThrottleScope::BackupCreate => Rate::per_hour(2),
            ThrottleScope::BackupDelete => Rate::per_hour(5),
            ThrottleScope::BackupDownload => Rate::per_hour(20),
            ThrottleScope::Restore => Rate::per_hour(10),
            ThrottleScope::Status => Rate::per_minute(120),
            ThrottleScope::Login => Rate::per_minute(10),
            ThrottleScope::Upload => Rate::per_hour(20),
            ThrottleScope::Guard => Rate::per_hour(30),
        }
    }
}

/// Limits by scope; scopes that are not named have their default.
#[derive(Debug, Clone, Default)]
pub struct Throttles {
    pub rates: BTreeMap<ThrottleScope, Rate>,
}

impl Throttles {
    /// The limit of a scope: the one that is set, else its default.
    pub fn rate(&self, scope: ThrottleScope) -> Rate {
        self.rates
            .get(&scope)
            .copied()
            .unwrap_or_else(|| scope.default_rate())
    }
}

/// So many requests in so much time, or no limit. Written `2/hour` or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    Off,
    Per { count: u32, period: Duration },
}

impl Rate {
    /// `count` requests in an hour.
    pub fn per_hour(count: u32) -> Self {
        Rate::Per {
            count,
            period: Duration::from_secs(3_600),
        }
    }

    /// `count` requests in a minute.
    pub fn per_minute(count: u32) -> Self {
        Rate::Per {
            count,
            period: Duration::from_secs(60),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is not a limit like 2/hour, 120/minute or off");
        let text = text.trim();
        if text.eq_ignore_ascii_case("off") {
            return Ok(Rate::Off);
        }
        let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
        let count: u32 = count.trim().parse().map_err(|_| wrong())?;
        if count == 0 {
            return Err(format!(
                "'{text}' would refuse every request; write off for no limit"
            ));
        }
        let seconds = match unit.trim().to_ascii_lowercase().as_str() {
            "s" | "sec" | "second" => 1,
            "m" | "min" | "minute" => 60,
            "h" | "hour" => 3_600,
            "d" | "day" => 86_400,
            _ => return Err(wrong()),
        };
        Ok(Rate::Per {
            count,
            period: Duration::from_secs(seconds),
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rate::Off => f.write_str("off"),
            Rate::Per { count, period } => {
                let unit = match period.as_secs() {
                    1 => "second",
                    60 => "minute",
                    3_600 => "hour",
                    _ => "day",
                };
                write!(f, "{count}/{unit}")
            }
        }
    }
}

/// How jobs are run.
#[derive(Debug, Clone)]
pub struct WorkSettings {
    /// Jobs at the same time; none where zero.
    pub slots: usize,
    /// The program whose `run-job` a job runs in: this binary.
    pub program: PathBuf,
    /// Arguments before `run-job` (where the configuration file is, for instance).
    pub arguments: Vec<String>,
    /// Name of this machine among the workers; made from the host's name where absent.
    pub node: Option<String>,
    pub limits: JobLimits,
    /// A worker that does not speak for so long has lost its jobs.
    pub lease: Duration,
}

impl Default for WorkSettings {
    fn default() -> Self {
        Self {
            slots: 2,
            program: PathBuf::from("/proc/self/exe"),
            arguments: Vec::new(),
            node: None,
            limits: JobLimits::default(),
            lease: Duration::from_secs(30),
        }
    }
}

/// Time limits by kind of job, in seconds.
#[derive(Debug, Clone)]
pub struct JobLimits {
    pub default: TimeLimit,
    pub by_kind: Vec<(JobKind, TimeLimit)>,
}

impl JobLimits {
    pub fn of(&self, kind: JobKind) -> TimeLimit {
        self.by_kind
            .iter()
            .find(|(named, _)| *named == kind)
            .map_or(self.default, |(_, limit)| *limit)
    }
}

impl Default for JobLimits {
    fn default() -> Self {
        Self {
            default: TimeLimit {
                soft_secs: 7_200,
                hard_secs: 10_800,
            },
            by_kind: Vec::new(),
        }
    }
}

/// After `soft_secs` a job is cancelled cleanly; after `hard_secs` its process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimit {
    pub soft_secs: u32,
    pub hard_secs: u32,
}

/// Accounts and sessions.
#[derive(Debug, Clone)]
pub struct AuthSettings {
    /// A session ends after so much time without a request.
    pub session_idle: Duration,
    /// A session ends after so much time in any case.
    pub session_lifetime: Duration,
    /// A restore that replaces a database waits for the yes of a second person.
    pub two_person_restore: bool,
    pub oidc: Option<OidcSettings>,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            session_idle: Duration::from_secs(12 * 3_600),
            session_lifetime: Duration::from_secs(7 * 86_400),
            two_person_restore: false,
            oidc: None,
        }
    }
}

/// Single sign-on.
#[derive(Debug, Clone)]
pub struct OidcSettings {
    /// What the login page calls it.
    pub name: String,
    pub issuer: url::Url,
    pub client_id: String,
    pub client_secret: Option<SecretString>,
    /// Scopes besides `openid`.
    pub scopes: Vec<String>,
    /// The claim that holds a person's groups or roles; may be a path with dots.
    pub role_claim: String,
    /// Values of that claim, and the role that each stands for; the highest that matches counts.
    pub roles: BTreeMap<String, Role>,
    /// The role of whom no value matches; refused where absent.
    pub default_role: Option<Role>,
    /// Permissions besides those of the role, by value of the claim.
    pub grants: BTreeMap<String, Vec<Permission>>,
}

/// What comes in as files.
#[derive(Debug, Clone)]
pub struct UploadSettings {
    pub max_file_bytes: u64,
    /// Of all unfinished and waiting uploads together.
    pub max_total_bytes: u64,
    pub max_per_user: u32,
    /// Bytes that a file may grow to when it is decompressed.
    pub max_expanded_bytes: u64,
    /// An abandoned upload is removed after this time.
    pub expire: Duration,
}

impl Default for UploadSettings {
    fn default() -> Self {
        Self {
            max_file_bytes: 64 << 30,
            max_total_bytes: 256 << 30,
            max_per_user: 8,
            max_expanded_bytes: 1 << 40,
            expire: Duration::from_secs(24 * 3_600),
        }
    }
}

/// Logs and what watches them.
#[derive(Debug, Clone)]
pub struct TelemetrySettings {
    pub log_format: LogFormat,
    /// `info`, or directives like `pgkeep_server=debug,info`.
    pub log: String,
    pub sentry_dsn: Option<SecretString>,
    pub otlp_endpoint: Option<url::Url>,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self {
            log_format: LogFormat::Text,
            log: "info".into(),
            sentry_dsn: None,
            otlp_endpoint: None,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_they_are_written() {
        for (text, expected) in [
            ("2/hour", Rate::per_hour(2)),
            ("120/minute", Rate::per_minute(120)),
            (" 120 / min ", Rate::per_minute(120)),
            ("OFF", Rate::Off),
        ] {
            assert_eq!(text.parse::<Rate>().unwrap(), expected, "{text}");
        }
        for text in [
            "", "2", "2/", "/hour", "0/hour", "-1/hour", "2/week", "x/hour",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        for text in ["2/hour", "3/second", "120/minute", "9/day", "off"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn ranges_hold_their_addresses_and_no_others() {
        for (range, address, holds) in [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db8::1", true),
        ] {
            let parsed: AddressRange = range.parse().unwrap();
            assert_eq!(
                parsed.contains(address.parse().unwrap()),
                holds,
                "{range} {address}"
            );
        }
        for range in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "host",
            "10.0.0.0/x",
        ] {
            assert!(range.parse::<AddressRange>().is_err(), "{range}");
        }
    }
}
