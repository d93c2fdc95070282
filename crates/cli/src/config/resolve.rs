//! From flags, environment and file to [`Settings`].
//!
//! Precedence: flag, environment, file, default. One thing stands out of that line on purpose: an app that `--app`
//! names in the file brings its own databases, even where `DATABASE_URL` is set, for otherwise another app's database
//! would be stored under its name.

use super::{
    ConfigError, Environment, KeyPlace, Places, Source, Sourced,
    raw::{RawApp, RawConfig, RawRepository, nearest},
    secret::{has_password, read_file, read_secret},
};
use crate::args::human_duration;
use secrecy::{ExposeSecret, SecretString};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// What the command line says about settings.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    pub repo: Option<String>,
    pub key_file: Option<PathBuf>,
    pub app: Option<String>,
    pub environment: Option<String>,
    pub database_url: Option<String>,
    pub dbnames: Vec<String>,
    pub admin_url: Option<String>,
    pub bin_dirs: Vec<PathBuf>,
    pub jobs: Option<u16>,
    pub compression: Option<i32>,
}

/// Everything that is in force.
#[derive(Debug)]
pub struct Settings {
    pub file: Option<PathBuf>,
    pub app: Option<Sourced<String>>,
    pub environment: Option<Sourced<String>>,
    pub databases: Vec<Sourced<Database>>,
    pub admin_url: Option<Sourced<SecretString>>,
    pub repository: Option<RepositorySettings>,
    pub jobs: Sourced<usize>,
    pub compression: Sourced<i32>,
    pub exclude_table_data: Vec<String>,
    pub schemas: Vec<String>,
    pub bin_dirs: Vec<PathBuf>,
    /// Things that work but should be done otherwise.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Nothing but defaults, for what must not depend on any configuration.
    pub fn none() -> Self {
        Settings {
            file: None,
            app: None,
            environment: None,
            databases: Vec::new(),
            admin_url: None,
            repository: None,
            jobs: Sourced::new(2, Source::Default),
            compression: Sourced::new(1, Source::Default),
            exclude_table_data: Vec::new(),
            schemas: Vec::new(),
            bin_dirs: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// A database to work on; with neither part, libpq's `PG*` variables and defaults decide.
#[derive(Debug, Clone, Default)]
pub struct Database {
    /// Connection string.
    pub url: Option<SecretString>,
    /// Name that replaces the one in the connection.
    pub name: Option<String>,
}

/// A repository and what opens it.
#[derive(Debug)]
pub struct RepositorySettings {
    /// Absolute path or URL.
    pub address: Sourced<String>,
    pub key: Key,
    /// Where `init` writes a key when there is none.
    pub key_place: KeyPlace,
    pub s3: S3Settings,
    pub upload_limit: Option<u64>,
    pub download_limit: Option<u64>,
    pub retries: Option<u32>,
    pub timeout: Option<Duration>,
}

/// The repository's key, as far as it is known.
#[derive(Debug)]
pub enum Key {
    Known(Sourced<SecretString>),
    /// `--key-file` or `PGKEEP_KEY_FILE` names a file that does not exist (yet).
    MissingFile(Sourced<PathBuf>),
    /// Nothing names a key, and there is none in the default place.
    None,
}

#[derive(Debug, Default)]
pub struct S3Settings {
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<SecretString>,
    pub session_token: Option<SecretString>,
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub server_side_encryption: Option<String>,
    pub virtual_host_style: bool,
}

/// Joins everything; reads the secrets of the chosen app and repository only.
pub fn resolve(
    flags: &Flags,
    environment: &Environment,
    file: Option<(PathBuf, RawConfig)>,
    places: &Places,
) -> Result<Settings, ConfigError> {
    let (path, raw) = match file {
        Some((path, raw)) => (Some(path), raw),
        None => (None, RawConfig::default()),
    };
    let resolver = Resolver {
        flags,
        environment,
        raw: &raw,
        path: path.as_deref(),
        places,
        warnings: Vec::new(),
    };
    resolver.run()
}

struct Resolver<'a> {
    flags: &'a Flags,
    environment: &'a Environment,
    raw: &'a RawConfig,
    path: Option<&'a Path>,
    places: &'a Places,
    warnings: Vec<String>,
}

impl Resolver<'_> {
    fn run(mut self) -> Result<Settings, ConfigError> {
        let app = self.app_name();
        let raw_app = self.raw_app(app.as_ref())?;
        let databases = self.databases(app.as_ref(), raw_app.as_ref())?;
        let raw_app = raw_app.unwrap_or_default();
        let admin_url = self.admin_url(&raw_app)?;
        let repository = self.repository(&raw_app)?;
        let (flags, defaults) = (self.flags, &self.raw.defaults);
        let environment = pick([
            (flags.environment.clone(), Source::Flag("--environment")),
            (
                self.variable("PGKEEP_ENVIRONMENT"),
                Source::Variable("PGKEEP_ENVIRONMENT"),
            ),
            (
                raw_app.environment.clone().or(defaults.environment.clone()),
                self.file_source(),
            ),
        ]);
        let jobs = pick([
            (flags.jobs, Source::Flag("--jobs")),
            (self.number("PGKEEP_JOBS")?, Source::Variable("PGKEEP_JOBS")),
            (raw_app.jobs.or(defaults.jobs), self.file_source()),
        ]);
        let jobs = match jobs {
            Some(jobs) if jobs.value == 0 => {
                return Err(ConfigError::new(format!(
                    "jobs must be at least 1 (from {})",
                    jobs.source
                )));
            }
            Some(jobs) => Sourced::new(usize::from(jobs.value), jobs.source),
            None => Sourced::new(
                std::thread::available_parallelism()
                    .map_or(2, usize::from)
                    .max(2),
                Source::Default,
            ),
        };
        let compression = pick([
            (flags.compression, Source::Flag("--compression")),
            (
                self.number("PGKEEP_COMPRESSION")?,
                Source::Variable("PGKEEP_COMPRESSION"),
            ),
            (
                raw_app.compression.or(defaults.compression),
                self.file_source(),
            ),
        ])
        .unwrap_or(Sourced::new(1, Source::Default));
        if !(-7..=22).contains(&compression.value) {
            return Err(ConfigError::new(format!(
                "compression must lie between -7 and 22 (from {})",
                compression.source
            )));
        }
        let bin_dirs = flags.bin_dirs.iter().cloned();
        let bin_dirs = bin_dirs
            .chain(
                raw_app
                    .bin_dirs
                    .iter()
                    .chain(&defaults.bin_dirs)
                    .map(|dir| self.base().join(dir)),
            )
            .collect();
        Ok(Settings {
            app,
            environment,
            databases,
            admin_url,
            repository,
            jobs,
            compression,
            exclude_table_data: raw_app.exclude_table_data,
            schemas: raw_app.schemas,
            bin_dirs,
            warnings: self.warnings,
            file: self.path.map(Path::to_owned),
        })
    }

    fn app_name(&self) -> Option<Sourced<String>> {
        let only = match self.raw.app.keys().collect::<Vec<_>>()[..] {
            [only] => Some(only.clone()),
            _ => None,
        };
        pick([
            (self.flags.app.clone(), Source::Flag("--app")),
            (self.variable("PGKEEP_APP"), Source::Variable("PGKEEP_APP")),
            (self.raw.defaults.app.clone().or(only), self.file_source()),
        ])
    }

    /// The app's table in the file. A name that is in no table is fine: backups of apps that have none can be listed.
    fn raw_app(&mut self, app: Option<&Sourced<String>>) -> Result<Option<RawApp>, ConfigError> {
        let Some(app) = app else { return Ok(None) };
        let found = self.raw.app.get(&app.value).cloned();
        if found.is_none() && !self.raw.app.is_empty() {
            if matches!(app.source, Source::File(_)) {
                return Err(ConfigError::new(format!(
                    "{}: the default app '{}' has no table [app.{}]",
                    app.source, app.value, app.value
                )));
            }
            if let Some(alike) = nearest(&app.value, self.raw.app.keys().map(String::as_str)) {
                self.warnings.push(format!(
                    "the configuration file has no app '{}'; did you mean '{alike}'?",
                    app.value
                ));
            }
        }
        Ok(found)
    }

    fn databases(
        &mut self,
        app: Option<&Sourced<String>>,
        raw_app: Option<&RawApp>,
    ) -> Result<Vec<Sourced<Database>>, ConfigError> {
        let chosen_by_flag = app.is_some_and(|app| app.source == Source::Flag("--app"));
        let listed = raw_app
            .map(|app| app.databases.as_slice())
            .unwrap_or_default();
        let base = if let Some(url) = &self.flags.database_url {
            if has_password(url) {
                self.warnings.push(
                    "the password in --database-url can be seen by every user of this machine; give it by DATABASE_URL, PGPASSFILE or pgkeep.toml".into(),
                );
            }
            vec![Sourced::new(
                Database {
                    url: Some(url.as_str().into()),
                    name: None,
                },
                Source::Flag("--database-url"),
            )]
        } else if let Some(url) = self
            .variable("DATABASE_URL")
            .filter(|_| listed.is_empty() || !chosen_by_flag)
        {
            vec![Sourced::new(
                Database {
                    url: Some(url.into()),
                    name: None,
                },
                Source::Variable("DATABASE_URL"),
            )]
        } else {
            let mut from_file = Vec::new();
            for entry in listed {
                let source = self.file_source();
                let (secret, literal) =
                    read_secret(entry, self.base(), self.environment, "databases")?;
                let text = secret.expose_secret();
                if literal && has_password(text) {
                    self.warnings.push(format!("{source} holds a database password in plain text; use env:NAME, file:PATH or a passfile"));
                }
                let is_url = text.contains("://") || text.contains('=');
                let database = if is_url {
                    Database {
                        url: Some(secret),
                        name: None,
                    }
                } else {
                    Database {
                        url: None,
                        name: Some(text.to_owned()),
                    }
                };
                from_file.push(Sourced::new(database, source));
            }
            from_file
        };
        if self.flags.dbnames.is_empty() {
            return Ok(base);
        }
        // Names select databases on the server of the connection; one that the file lists brings its own connection.
        let named = |name: &String| {
            let listed = base.iter().find(|db| db.value.name.as_ref() == Some(name));
            let mut database = listed
                .or(base.first().filter(|db| db.value.url.is_some()))
                .map(|db| db.value.clone())
                .unwrap_or_default();
            database.name = Some(name.clone());
            Sourced::new(database, Source::Flag("--dbname"))
        };
        Ok(self.flags.dbnames.iter().map(named).collect())
    }

    fn admin_url(
        &mut self,
        raw_app: &RawApp,
    ) -> Result<Option<Sourced<SecretString>>, ConfigError> {
        if let Some(url) = &self.flags.admin_url {
            if has_password(url) {
                self.warnings.push("the password in --admin-url can be seen by every user of this machine; give it by DB_ADMIN_URL or PGPASSFILE".into());
            }
            return Ok(Some(Sourced::new(
                url.as_str().into(),
                Source::Flag("--admin-url"),
            )));
        }
        if let Some(url) = self.variable("DB_ADMIN_URL") {
            return Ok(Some(Sourced::new(
                url.into(),
                Source::Variable("DB_ADMIN_URL"),
            )));
        }
        let Some(text) = &raw_app.admin_url else {
            return Ok(None);
        };
        let (secret, literal) = read_secret(text, self.base(), self.environment, "admin_url")?;
        if literal && has_password(secret.expose_secret()) {
            self.warnings.push(format!(
                "{} holds a database password in plain text; use env:NAME or file:PATH",
                self.file_source()
            ));
        }
        Ok(Some(Sourced::new(secret, self.file_source())))
    }

    fn repository(&mut self, raw_app: &RawApp) -> Result<Option<RepositorySettings>, ConfigError> {
        let only = match self.raw.repository.keys().collect::<Vec<_>>()[..] {
            [only] => Some(only.clone()),
            _ => None,
        };
        let from_file = raw_app
            .repository
            .clone()
            .or(self.raw.defaults.repository.clone())
            .or(only);
        let given = pick([
            (self.flags.repo.clone(), Source::Flag("--repo")),
            (
                self.variable("PGKEEP_REPO"),
                Source::Variable("PGKEEP_REPO"),
            ),
            (
                self.variable("BACKUPS_DIR"),
                Source::Variable("BACKUPS_DIR"),
            ),
            (from_file, self.file_source()),
        ]);
        let Some(given) = given else { return Ok(None) };
        let (address, raw) = match self.raw.repository.get(&given.value) {
            Some(raw) => {
                let address = raw.address.as_deref().ok_or_else(|| {
                    ConfigError::new(format!(
                        "{}: [repository.{}] has no address",
                        self.file_source(),
                        given.value
                    ))
                })?;
                (self.absolute(address, self.base()), raw.clone())
            }
            None if matches!(given.source, Source::File(_))
                && !looks_like_address(&given.value) =>
            {
                let error = ConfigError::new(format!(
                    "{}: no table [repository.{}]",
                    given.source, given.value
                ));
                let alike = nearest(&given.value, self.raw.repository.keys().map(String::as_str));
                return Err(match alike {
                    Some(alike) => error.with_hint(format!("did you mean '{alike}'?")),
                    None => error.with_hint(
                        "give the table, or an address such as ./backups or s3://bucket/prefix",
                    ),
                });
            }
            None => {
                let base = if matches!(given.source, Source::File(_)) {
                    self.base()
                } else {
                    &self.places.current_dir
                };
                (self.absolute(&given.value, base), RawRepository::default())
            }
        };
        let key_place = KeyPlace::of(&address, self.places);
        let key = self.key(&raw, &key_place)?;
        let amount = |text: &Option<String>, what: &str| {
            text.as_deref().map(|t| parse_size(t, what)).transpose()
        };
        let (upload_limit, download_limit) = (
            amount(&raw.upload_limit, "upload_limit")?,
            amount(&raw.download_limit, "download_limit")?,
        );
        let timeout = raw
            .timeout
            .as_deref()
            .map(human_duration)
            .transpose()
            .map_err(|e| ConfigError::new(format!("timeout: {e}")))?;
        Ok(Some(RepositorySettings {
            address: Sourced::new(address, given.source),
            key,
            key_place,
            s3: self.s3(&raw)?,
            upload_limit,
            download_limit,
            retries: raw.retries,
            timeout,
        }))
    }

    fn key(&mut self, raw: &RawRepository, place: &KeyPlace) -> Result<Key, ConfigError> {
        let file = pick([
            (self.flags.key_file.clone(), Source::Flag("--key-file")),
            (
                self.variable("PGKEEP_KEY_FILE").map(PathBuf::from),
                Source::Variable("PGKEEP_KEY_FILE"),
            ),
        ]);
        if let Some(file) = file {
            if !file.value.exists() {
                return Ok(Key::MissingFile(file));
            }
            return Ok(Key::Known(Sourced::new(
                read_file(&file.value, "key file")?,
                file.source,
            )));
        }
        if let Some(key) = self.variable("BACKUP_ENCRYPTION_KEY") {
            return Ok(Key::Known(Sourced::new(
                key.into(),
                Source::Variable("BACKUP_ENCRYPTION_KEY"),
            )));
        }
        if let Some(text) = &raw.key {
            if let Some(path) = text.strip_prefix("file:") {
                let path = self.base().join(path);
                if !path.exists() {
                    return Ok(Key::MissingFile(Sourced::new(path, self.file_source())));
                }
            }
            let (secret, literal) = read_secret(text, self.base(), self.environment, "key")?;
            if literal {
                self.warnings.push(format!(
                    "{} holds a repository key in plain text; use env:NAME or file:PATH",
                    self.file_source()
                ));
            }
            return Ok(Key::Known(Sourced::new(secret, self.file_source())));
        }
        if place.0.exists() {
            let secret = read_file(&place.0, "key file")?;
            return Ok(Key::Known(Sourced::new(
                secret,
                Source::File(place.0.clone()),
            )));
        }
        Ok(Key::None)
    }

    fn s3(&mut self, raw: &RawRepository) -> Result<S3Settings, ConfigError> {
        let mut secret = |variable: &str,
                          text: &Option<String>,
                          what: &str,
                          is_secret: bool|
         -> Result<Option<SecretString>, ConfigError> {
            if let Some(value) = self.environment.get(variable) {
                return Ok(Some(value.into()));
            }
            let Some(text) = text else { return Ok(None) };
            let (value, literal) = read_secret(
                text,
                self.path
                    .and_then(Path::parent)
                    .unwrap_or(&self.places.current_dir),
                self.environment,
                what,
            )?;
            if literal && is_secret {
                self.warnings.push(format!(
                    "the configuration file holds {what} in plain text; use env:NAME or file:PATH"
                ));
            }
            Ok(Some(value))
        };
        let access_key_id = secret(
            "AWS_ACCESS_KEY_ID",
            &raw.access_key_id,
            "access_key_id",
            false,
        )?;
        let secret_access_key = secret(
            "AWS_SECRET_ACCESS_KEY",
            &raw.secret_access_key,
            "secret_access_key",
            true,
        )?;
        let session_token = secret(
            "AWS_SESSION_TOKEN",
            &raw.session_token,
            "session_token",
            true,
        )?;
        let plain = |names: &[&str], text: &Option<String>| {
            names
                .iter()
                .find_map(|name| self.variable(name))
                .or_else(|| text.clone())
        };
        Ok(S3Settings {
            access_key_id: access_key_id.map(|id| id.expose_secret().to_owned()),
            secret_access_key,
            session_token,
            endpoint: plain(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"], &raw.endpoint),
            region: plain(&["AWS_REGION", "AWS_DEFAULT_REGION"], &raw.region),
            server_side_encryption: raw.server_side_encryption.clone(),
            virtual_host_style: raw.virtual_host_style.unwrap_or(false),
        })
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.environment.get(name).map(str::to_owned)
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.environment.get(name) else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|_| ConfigError::new(format!("{name}: '{text}' is not a number that fits")))
    }

    fn file_source(&self) -> Source {
        self.path
            .map_or(Source::Default, |path| Source::File(path.to_owned()))
    }

    /// Folder that relative paths in the file count from.
    fn base(&self) -> &Path {
        self.path
            .and_then(Path::parent)
            .unwrap_or(&self.places.current_dir)
    }

    /// A folder's address as an absolute path without `.` and trailing slashes; URLs stay as they are.
    fn absolute(&self, address: &str, base: &Path) -> String {
        if address.contains("://") {
            return address.to_owned();
        }
        let path: PathBuf = base
            .join(address)
            .components()
            .filter(|part| *part != std::path::Component::CurDir)
            .collect();
        path.display().to_string()
    }
}

fn looks_like_address(text: &str) -> bool {
    text.contains('/') || text.starts_with('.')
}

/// The first value that is there, with its source.
fn pick<T, const N: usize>(candidates: [(Option<T>, Source); N]) -> Option<Sourced<T>> {
    candidates
        .into_iter()
        .find_map(|(value, source)| value.map(|value| Sourced::new(value, source)))
}

/// Parses `20MiB`, `20M`, `512k`, `1GiB` or plain bytes; units count in 1024s.
fn parse_size(text: &str, what: &str) -> Result<u64, ConfigError> {
    let wrong = || {
        ConfigError::new(format!(
            "{what}: '{text}' is not a size such as 512k, 20MiB or 1G"
        ))
    };
    let trimmed = text.trim();
    let digits = trimmed
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(trimmed.len());
    let factor: u64 = match trimmed[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return Err(wrong()),
    };
    let count: u64 = trimmed[..digits].parse().map_err(|_| wrong())?;
    count
        .checked_mul(factor)
        .filter(|size| *size > 0)
        .ok_or_else(wrong)
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
