//! The server's part: where its catalog is, and what `[server]` and the environment make of its settings.

use super::{
    ConfigError, Environment, Places, RawConfig,
    raw::{RawLimits, RawOidc, RawServer},
    repository::parse_size,
    secret::{has_password, read_secret},
};
use crate::args::human_duration;
use pgkeep_model::{job::JobKind, secret::SecretText};
use pgkeep_server::settings::{
    self as server, AddressRange, AuthSettings, CatalogPlace, HttpSettings, JobLimits, LogFormat,
    OidcSettings, Rate, ServerSettings, TelemetrySettings, ThrottleScope, Throttles, TimeLimit,
    TlsFiles, UploadSettings, WorkSettings, WorkerSettings,
};
use secrecy::{ExposeSecret, SecretString};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

/// What the command line says about the server.
#[derive(Debug, Clone, Default)]
pub struct ServerFlags {
    pub data_dir: Option<PathBuf>,
    pub listen: Option<SocketAddr>,
    pub workers: Option<u16>,
    pub node: Option<String>,
}

/// Everything that the server's settings come from.
pub struct ServerSources<'a> {
    pub flags: &'a ServerFlags,
    pub environment: &'a Environment,
    pub raw: &'a RawConfig,
    /// Path of the configuration file.
    pub path: Option<&'a Path>,
    pub places: &'a Places,
    /// Whether the account is root, whose data lies in `/var/lib`.
    pub is_root: bool,
    pub program: PathBuf,
}

type Resolved<T> = Result<T, ConfigError>;

/// How the variables of limits begin.
const THROTTLE: &str = "PGKEEP_THROTTLE_";

impl ServerSources<'_> {
    /// All of `pgkeep serve`; the second value holds warnings.
    pub fn server(&self) -> Resolved<(ServerSettings, Vec<String>)> {
        let mut warnings = self.unknown_throttles();
        let settings = ServerSettings {
            places: self.catalog_places(&mut warnings)?,
            http: self.http()?,
            throttles: self.throttles()?,
            work: self.work()?,
            auth: self.auth(&mut warnings)?,
            uploads: self.uploads()?,
            telemetry: self.telemetry(&mut warnings)?,
        };
        Ok((settings, warnings))
    }

    /// What commands on the catalog's machine need: the secrets of login and telemetry may be the server's alone.
    pub fn without_secrets(&self, warnings: &mut Vec<String>) -> Resolved<ServerSettings> {
        let raw = &self.raw.server;
        Ok(ServerSettings {
            places: self.catalog_places(warnings)?,
            work: self.work()?,
            auth: AuthSettings {
                two_person_restore: raw.two_person_restore.unwrap_or_default(),
                ..AuthSettings::default()
            },
            ..ServerSettings::default()
        })
    }

    /// All of `pgkeep worker`.
    pub fn worker(&self) -> Resolved<(WorkerSettings, Vec<String>)> {
        let mut warnings = Vec::new();
        let mut work = self.work()?;
        // It shares the file of a server that leaves all work to it.
        if work.slots == 0 {
            work.slots = WorkSettings::default().slots;
        }
        let settings = WorkerSettings {
            places: self.catalog_places(&mut warnings)?,
            work,
            telemetry: self.telemetry(&mut warnings)?,
        };
        Ok((settings, warnings))
    }

    /// Where the catalog is: `--data-dir`, `PGKEEP_DATA_DIR` and `PGKEEP_CATALOG`, the file, else the usual folder.
    pub fn catalog_places(&self, warnings: &mut Vec<String>) -> Resolved<server::Places> {
        let data_dir = self.data_dir()?;
        let mut places = server::Places::inside(&data_dir);
        places.config_file = self.path.map(Path::to_owned);
        let given = match (self.environment.get("PGKEEP_CATALOG"), &self.raw.catalog) {
            (Some(text), _) => Some((text, self.places.current_dir.as_path(), false)),
            (None, Some(text)) => Some((text.as_str(), self.base(), true)),
            (None, None) => None,
        };
        let Some((text, base, in_file)) = given else {
            return Ok(places);
        };
        let (secret, literal) = read_secret(text, base, self.environment, "catalog")?;
        let text = secret.expose_secret();
        places.catalog = if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            if literal && in_file && has_password(text) {
                warnings.push(
                    "the configuration file holds the catalog's password in plain text; use env:NAME or file:PATH".into(),
                );
            }
            CatalogPlace::Postgres(secret)
        } else if text.contains("://") {
            return Err(ConfigError::new(
                "catalog: neither a file nor a postgres:// address",
            ));
        } else {
            CatalogPlace::Sqlite(base.join(text))
        };
        Ok(places)
    }

    fn data_dir(&self) -> Resolved<PathBuf> {
        let here = &self.places.current_dir;
        if let Some(dir) = &self.flags.data_dir {
            return Ok(here.join(dir));
        }
        if let Some(dir) = self.environment.get("PGKEEP_DATA_DIR") {
            return Ok(here.join(dir));
        }
        if let Some(dir) = &self.raw.data_dir {
            return Ok(self.base().join(dir));
        }
        if self.is_root {
            return Ok("/var/lib/pgkeep".into());
        }
        if let Some(dir) = self.environment.get("XDG_DATA_HOME") {
            return Ok(Path::new(dir).join("pgkeep"));
        }
        match self.environment.get("HOME") {
            Some(home) => Ok(Path::new(home).join(".local/share/pgkeep")),
            None => Err(
                ConfigError::new("nothing says where the server's data lies")
                    .with_hint("give --data-dir, or set PGKEEP_DATA_DIR"),
            ),
        }
    }

    fn http(&self) -> Resolved<HttpSettings> {
        let raw = &self.raw.server;
        let defaults = HttpSettings::default();
        let listen = match (&self.flags.listen, self.environment.get("PGKEEP_LISTEN")) {
            (Some(address), _) => *address,
            (None, Some(text)) => read(text, "PGKEEP_LISTEN", LISTEN)?,
            (None, None) => match &raw.listen {
                Some(text) => read(text, "listen", LISTEN)?,
                None => defaults.listen,
            },
        };
        let tls = match (&raw.tls_cert, &raw.tls_key) {
            (Some(certificate), Some(key)) => Some(TlsFiles {
                certificate: self.base().join(certificate),
                key: self.base().join(key),
            }),
            (None, None) => None,
            _ => {
                return Err(ConfigError::new(
                    "[server] has one of tls_cert and tls_key, and needs both",
                ));
            }
        };
        let proxies = raw.trusted_proxies.iter();
        let trusted_proxies = proxies
            .map(|text| text.parse::<AddressRange>())
            .collect::<Result<_, _>>()
            .map_err(|e| ConfigError::new(format!("trusted_proxies: {e}")))?;
        let public_url = self.environment.get("PGKEEP_PUBLIC_URL");
        let public_url = public_url.or(raw.public_url.as_deref());
        Ok(HttpSettings {
            listen,
            public_url: public_url
                .map(|text| {
                    read(
                        text,
                        "public_url",
                        "an address such as https://pgkeep.example.com",
                    )
                })
                .transpose()?,
            tls,
            trusted_proxies,
            open_metrics: raw.open_metrics.unwrap_or(defaults.open_metrics),
            ..defaults
        })
    }

    fn throttles(&self) -> Resolved<Throttles> {
        let mut throttles = Throttles::default();
        for scope in ThrottleScope::ALL {
            let variable = format!("{THROTTLE}{}", scope.as_str().to_ascii_uppercase());
            let (text, from) = match self.environment.get(&variable) {
                Some(text) => (Some(text), variable.as_str()),
                None => {
                    let text = self.raw.server.throttle.get(scope.as_str());
                    (text.map(String::as_str), scope.as_str())
                }
            };
            if let Some(text) = text {
                let rate: Rate = text
                    .parse()
                    .map_err(|e| ConfigError::new(format!("{from}: {e}")))?;
                throttles.rates.insert(scope, rate);
            }
        }
        Ok(throttles)
    }

    /// Variables that look like limits and are none: a misspelt one would silently leave the usual limit in force.
    fn unknown_throttles(&self) -> Vec<String> {
        let known: Vec<String> = ThrottleScope::ALL
            .iter()
            .map(|scope| format!("{THROTTLE}{}", scope.as_str().to_ascii_uppercase()))
            .collect();
        let given = self
            .environment
            .names()
            .filter(|name| name.starts_with(THROTTLE));
        given
            .filter(|name| !known.iter().any(|known| known == name))
            .map(|name| format!("{name} limits nothing; known are {}", known.join(", ")))
            .collect()
    }

    fn work(&self) -> Resolved<WorkSettings> {
        let defaults = WorkSettings::default();
        let raw = &self.raw.server;
        let variable = self.environment.get("PGKEEP_WORKERS");
        let slots = match (self.flags.workers, variable, raw.workers) {
            (Some(n), _, _) => usize::from(n),
            (None, Some(text), _) => read(text, "PGKEEP_WORKERS", "a number")?,
            (None, None, Some(n)) => usize::from(n),
            (None, None, None) => defaults.slots,
        };
        // A job's process must find the same file and the same folder, wherever it is started.
        let mut arguments = Vec::new();
        if let Some(path) = self.path {
            arguments.extend([
                "--config".to_owned(),
                self.places.current_dir.join(path).display().to_string(),
            ]);
        }
        arguments.extend([
            "--data-dir".to_owned(),
            self.data_dir()?.display().to_string(),
        ]);
        let node = self.flags.node.clone();
        Ok(WorkSettings {
            slots,
            program: self.program.clone(),
            arguments,
            node: node.or_else(|| self.environment.get("PGKEEP_NODE").map(str::to_owned)),
            limits: limits(raw)?,
            lease: defaults.lease,
        })
    }

    fn auth(&self, warnings: &mut Vec<String>) -> Resolved<AuthSettings> {
        let raw = &self.raw.server;
        let defaults = AuthSettings::default();
        Ok(AuthSettings {
            session_idle: duration(&raw.session_idle, "session_idle", defaults.session_idle)?,
            session_lifetime: duration(
                &raw.session_lifetime,
                "session_lifetime",
                defaults.session_lifetime,
            )?,
            two_person_restore: raw
                .two_person_restore
                .unwrap_or(defaults.two_person_restore),
            oidc: raw
                .oidc
                .as_ref()
                .map(|oidc| self.oidc(oidc, warnings))
                .transpose()?,
        })
    }

    fn oidc(&self, raw: &RawOidc, warnings: &mut Vec<String>) -> Resolved<OidcSettings> {
        if raw.client_id.is_empty() {
            return Err(ConfigError::new("[server.oidc] has no client_id"));
        }
        Ok(OidcSettings {
            name: raw.name.clone().unwrap_or_else(|| "single sign-on".into()),
            issuer: read(
                &raw.issuer,
                "[server.oidc] issuer",
                "an address such as https://id.example.com",
            )?,
            client_id: raw.client_id.clone(),
            client_secret: self.secret(&raw.client_secret, "client_secret", warnings)?,
            scopes: if raw.scopes.is_empty() {
                vec!["profile".into(), "email".into()]
            } else {
                raw.scopes.clone()
            },
            role_claim: raw.role_claim.clone().unwrap_or_else(|| "groups".into()),
            roles: raw.roles.clone(),
            default_role: raw.default_role,
            grants: raw.grants.clone(),
        })
    }

    fn uploads(&self) -> Resolved<UploadSettings> {
        let raw = &self.raw.server;
        let defaults = UploadSettings::default();
        let size = |text: &Option<String>, what: &str, default: u64| match text {
            Some(text) => parse_size(text, what),
            None => Ok(default),
        };
        Ok(UploadSettings {
            max_file_bytes: size(
                &raw.upload_max_file,
                "upload_max_file",
                defaults.max_file_bytes,
            )?,
            max_total_bytes: size(
                &raw.upload_max_total,
                "upload_max_total",
                defaults.max_total_bytes,
            )?,
            max_expanded_bytes: size(
                &raw.upload_max_expanded,
                "upload_max_expanded",
                defaults.max_expanded_bytes,
            )?,
            max_per_user: raw.upload_per_user.unwrap_or(defaults.max_per_user),
            expire: duration(&raw.upload_expire, "upload_expire", defaults.expire)?,
        })
    }

    fn telemetry(&self, warnings: &mut Vec<String>) -> Resolved<TelemetrySettings> {
        let raw = &self.raw.server;
        let defaults = TelemetrySettings::default();
        let pick = |variable: &str, text: &Option<String>| {
            let variable = self.environment.get(variable).map(str::to_owned);
            variable.or_else(|| text.clone())
        };
        let log_format = match pick("PGKEEP_LOG_FORMAT", &raw.log_format).as_deref() {
            None => defaults.log_format,
            Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => {
                return Err(ConfigError::new(format!(
                    "log_format: '{other}' is neither text nor json"
                )));
            }
        };
        let sentry_dsn = match self.environment.get("SENTRY_DSN") {
            Some(dsn) => Some(SecretString::from(dsn)),
            None => self.secret(&raw.sentry_dsn, "sentry_dsn", warnings)?,
        };
        let otlp = pick("OTEL_EXPORTER_OTLP_ENDPOINT", &raw.otlp_endpoint);
        Ok(TelemetrySettings {
            log_format,
            log: pick("PGKEEP_LOG", &raw.log).unwrap_or(defaults.log),
            sentry_dsn,
            otlp_endpoint: otlp
                .map(|text| {
                    read(
                        &text,
                        "otlp_endpoint",
                        "an address such as http://127.0.0.1:4318",
                    )
                })
                .transpose()?,
        })
    }

    fn secret(
        &self,
        text: &Option<SecretText>,
        what: &str,
        warnings: &mut Vec<String>,
    ) -> Resolved<Option<SecretString>> {
        let Some(text) = text else { return Ok(None) };
        let (secret, literal) = read_secret(text, self.base(), self.environment, what)?;
        if literal {
            warnings.push(format!(
                "the configuration file holds {what} in plain text; use env:NAME or file:PATH"
            ));
        }
        Ok(Some(secret))
    }

    fn base(&self) -> &Path {
        self.path
            .and_then(Path::parent)
            .unwrap_or(&self.places.current_dir)
    }
}

const LISTEN: &str = "an address and a port such as 127.0.0.1:8321";

fn read<T: FromStr>(text: &str, what: &str, form: &str) -> Resolved<T> {
    text.trim()
        .parse()
        .map_err(|_| ConfigError::new(format!("{what}: '{text}' is not {form}")))
}

fn duration(text: &Option<String>, what: &str, default: Duration) -> Resolved<Duration> {
    match text {
        Some(text) => human_duration(text).map_err(|e| ConfigError::new(format!("{what}: {e}"))),
        None => Ok(default),
    }
}

fn limits(raw: &RawServer) -> Resolved<JobLimits> {
    let mut limits = JobLimits::default();
    if let Some(default) = raw.limits.get("default") {
        limits.default = time_limit("default", default, limits.default)?;
    }
    for (name, given) in &raw.limits {
        if let Some(kind) = JobKind::named(name) {
            let limit = time_limit(name, given, limits.default)?;
            limits.by_kind.push((kind, limit));
        }
    }
    Ok(limits)
}

fn time_limit(name: &str, raw: &RawLimits, default: TimeLimit) -> Resolved<TimeLimit> {
    let secs = |text: &Option<String>, default: u32| -> Resolved<u32> {
        let what = format!("[server.limits.{name}]");
        let time = duration(text, &what, Duration::from_secs(default.into()))?;
        u32::try_from(time.as_secs())
            .map_err(|_| ConfigError::new(format!("{what}: the time is too long")))
    };
    let soft_secs = secs(&raw.soft, default.soft_secs)?;
    // A soft limit of one's own beyond the usual hard one moves that one, too.
    let hard_secs = secs(
        &raw.hard,
        default.hard_secs.max(soft_secs.saturating_add(60)),
    )?;
    if soft_secs == 0 || hard_secs < soft_secs {
        return Err(ConfigError::new(format!(
            "[server.limits.{name}]: the soft limit must be more than nothing and at most the hard one"
        )));
    }
    Ok(TimeLimit {
        soft_secs,
        hard_secs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources_of<T>(
        file: &str,
        variables: &[(&str, &str)],
        flags: ServerFlags,
        ask: impl FnOnce(&ServerSources<'_>) -> T,
    ) -> T {
        let raw = RawConfig::parse(file, Path::new("/etc/pgkeep/pgkeep.toml")).unwrap();
        let environment = Environment::new(variables.iter().copied());
        let places = Places {
            current_dir: "/here".into(),
            system_config: "/etc".into(),
            user_config: None,
        };
        ask(&ServerSources {
            flags: &flags,
            environment: &environment,
            raw: &raw,
            path: Some(Path::new("/etc/pgkeep/pgkeep.toml")),
            places: &places,
            is_root: false,
            program: "/usr/bin/pgkeep".into(),
        })
    }

    fn server(file: &str, variables: &[(&str, &str)]) -> Resolved<(ServerSettings, Vec<String>)> {
        let home = [&[("HOME", "/home/u")], variables].concat();
        sources_of(file, &home, ServerFlags::default(), |sources| {
            sources.server()
        })
    }

    #[test]
    fn the_example_says_all_of_it() {
        let variables = ["MONITORING_DSN", "OIDC_SECRET", "CATALOG_URL"];
        let variables = variables.map(|name| (name, "postgres://c/pgkeep"));
        let (settings, warnings) = server(include_str!("example.toml"), &variables).unwrap();
        assert_eq!(warnings, Vec::<String>::new());
        assert!(matches!(settings.places.catalog, CatalogPlace::Postgres(_)));
        assert_eq!(settings.http.listen.port(), 8321);
        assert_eq!(
            settings.throttles.rate(ThrottleScope::BackupCreate),
            Rate::per_hour(4)
        );
        assert_eq!(
            settings.work.limits.of(JobKind::Backup),
            TimeLimit {
                soft_secs: 14_400,
                hard_secs: 18_000
            }
        );
        assert!(settings.auth.oidc.is_some() && settings.auth.two_person_restore);
    }

    #[test]
    fn the_data_folder_is_the_flags_then_the_variables_then_the_files_then_the_homes() {
        let dir = |file: &str, variables: &[(&str, &str)], flag: Option<&str>| {
            let flags = ServerFlags {
                data_dir: flag.map(PathBuf::from),
                ..ServerFlags::default()
            };
            sources_of(file, variables, flags, |sources| sources.server())
                .map(|(settings, _)| settings.places.data_dir.display().to_string())
        };
        let (home, var) = (("HOME", "/home/u"), ("PGKEEP_DATA_DIR", "var"));
        let file = "data_dir = \"data\"\n";
        assert_eq!(dir(file, &[home, var], Some("flag")).unwrap(), "/here/flag");
        assert_eq!(dir(file, &[home, var], None).unwrap(), "/here/var");
        assert_eq!(dir(file, &[home], None).unwrap(), "/etc/pgkeep/data");
        assert_eq!(
            dir("", &[home], None).unwrap(),
            "/home/u/.local/share/pgkeep"
        );
        assert!(dir("", &[], None).unwrap_err().hint.is_some());
    }

    #[test]
    fn variables_win_over_the_file() {
        let file = "[server]\nlisten = \"127.0.0.1:1\"\nworkers = 3\n[server.throttle]\nlogin = \"9/minute\"\n";
        let variables = [
            ("PGKEEP_LISTEN", "0.0.0.0:80"),
            ("PGKEEP_WORKERS", "5"),
            ("PGKEEP_THROTTLE_LOGIN", "off"),
            ("PGKEEP_CATALOG", "./c.sqlite"),
            ("PGKEEP_THROTTLE_LOGINS", "2/hour"),
        ];
        let (settings, warnings) = server(file, &variables).unwrap();
        let misspelt = "PGKEEP_THROTTLE_LOGINS limits nothing";
        assert!(
            warnings.iter().any(|warning| warning.starts_with(misspelt)),
            "{warnings:?}"
        );
        assert_eq!(settings.http.listen.to_string(), "0.0.0.0:80");
        assert_eq!(settings.work.slots, 5);
        assert_eq!(settings.throttles.rate(ThrottleScope::Login), Rate::Off);
        let CatalogPlace::Sqlite(path) = settings.places.catalog else {
            panic!("not a file");
        };
        assert_eq!(path, Path::new("/here/./c.sqlite"));
    }

    #[test]
    fn mistakes_name_their_place() {
        for (file, variables, word) in [
            ("[server]\nlisten = \"8321\"\n", &[][..], "listen"),
            ("[server]\ntls_cert = \"c.pem\"\n", &[], "tls_key"),
            ("[server]\nlog_format = \"xml\"\n", &[], "log_format"),
            (
                "[server.limits.backup]\nsoft = \"2h\"\nhard = \"1h\"\n",
                &[],
                "limits.backup",
            ),
            (
                "[server]\ntrusted_proxies = [\"proxy\"]\n",
                &[],
                "trusted_proxies",
            ),
            ("catalog = \"mysql://x\"\n", &[], "catalog"),
            (
                "",
                &[("PGKEEP_THROTTLE_LOGIN", "never")],
                "PGKEEP_THROTTLE_LOGIN",
            ),
        ] {
            let error = server(file, variables).unwrap_err();
            assert!(error.message.contains(word), "{}", error.message);
        }
    }
}
