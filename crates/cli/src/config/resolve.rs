//! From flags, environment and file to [`Settings`].
//!
//! Precedence: flag, environment, file, default. One thing stands out of that line on purpose: an app that `--app`
//! names in the file brings its own databases, even where `DATABASE_URL` is set, for otherwise another app's database
//! would be stored under its name.

use super::{
    ConfigError, Database, Environment, Places, Settings, Source, Sourced,
    definitions::absolute_app,
    raw::{RawConfig, nearest},
    secret::{has_password, read_secret},
};
use pgkeep_model::{app::AppDefinition, secret::SecretText};
use secrecy::{ExposeSecret, SecretString};
use std::path::{Path, PathBuf};

/// What the command line says about settings.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    pub repo: Option<String>,
    pub key_file: Option<PathBuf>,
    pub app: Option<String>,
    pub environment: Option<String>,
    pub database_url: Option<SecretText>,
    pub dbnames: Vec<String>,
    pub admin_url: Option<SecretText>,
    pub bin_dirs: Vec<PathBuf>,
    pub jobs: Option<u16>,
    pub compression: Option<i32>,
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
        unknown_app: None,
        admin_warning: None,
    };
    resolver.run()
}

/// Everything a setting can come from, and the warnings met on the way.
pub(super) struct Resolver<'a> {
    pub(super) flags: &'a Flags,
    pub(super) environment: &'a Environment,
    pub(super) raw: &'a RawConfig,
    pub(super) path: Option<&'a Path>,
    pub(super) places: &'a Places,
    pub(super) warnings: Vec<String>,
    unknown_app: Option<ConfigError>,
    admin_warning: Option<String>,
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
        let (exclude_table_data, schemas) =
            (raw_app.exclude_table_data.clone(), raw_app.schemas.clone());
        let definition = absolute_app(raw_app, self.base());
        Ok(Settings {
            app,
            known_apps: self.raw.app.keys().cloned().collect(),
            unknown_app: self.unknown_app,
            environment,
            databases,
            admin_url,
            admin_warning: self.admin_warning,
            repository,
            jobs,
            compression,
            exclude_table_data,
            schemas,
            bin_dirs,
            definition,
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

    /// The app's table in the file. A name that is in no table is fine where no database of it is needed: backups of apps
    /// that have none can be listed.
    fn raw_app(
        &mut self,
        app: Option<&Sourced<String>>,
    ) -> Result<Option<AppDefinition>, ConfigError> {
        let Some(app) = app else { return Ok(None) };
        let found = self.raw.app.get(&app.value).cloned();
        if found.is_none() && !self.raw.app.is_empty() {
            if matches!(app.source, Source::File(_)) {
                return Err(ConfigError::new(format!(
                    "{}: the default app '{}' has no table [app.{}]",
                    app.source, app.value, app.value
                )));
            }
            let names: Vec<&str> = self.raw.app.keys().map(String::as_str).collect();
            let unknown = ConfigError::new(format!(
                "the configuration file has no app '{}' (from {})",
                app.value, app.source
            ));
            self.unknown_app = Some(unknown.with_hint(
                match nearest(&app.value, names.iter().copied()) {
                    Some(alike) => format!("did you mean '{alike}'?"),
                    None => format!("it has {}; or give --database-url", names.join(", ")),
                },
            ));
        }
        Ok(found)
    }

    fn databases(
        &mut self,
        app: Option<&Sourced<String>>,
        raw_app: Option<&AppDefinition>,
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
                    ..Database::default()
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
                    ..Database::default()
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
                let warning = (literal && has_password(text)).then(|| {
                    format!("{source} holds a database password in plain text; use env:NAME, file:PATH or a passfile")
                });
                let is_url = text.contains("://") || text.contains('=');
                let database = if is_url {
                    Database {
                        url: Some(secret),
                        name: None,
                        warning,
                    }
                } else {
                    Database {
                        url: None,
                        name: Some(text.to_owned()),
                        warning,
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
        raw_app: &AppDefinition,
    ) -> Result<Option<Sourced<SecretString>>, ConfigError> {
        if let Some(url) = &self.flags.admin_url {
            if has_password(url) {
                self.warnings.push("the password in --admin-url can be seen by every user of this machine; give it by DB_ADMIN_URL or PGPASSFILE".into());
            }
            let url = Sourced::new(url.as_str().into(), Source::Flag("--admin-url"));
            return Ok(Some(url));
        }
        if let Some(url) = self.variable("DB_ADMIN_URL") {
            let url = Sourced::new(url.into(), Source::Variable("DB_ADMIN_URL"));
            return Ok(Some(url));
        }
        let Some(text) = &raw_app.admin_url else {
            return Ok(None);
        };
        let (secret, literal) = read_secret(text, self.base(), self.environment, "admin_url")?;
        self.admin_warning = (literal && has_password(secret.expose_secret())).then(|| {
            format!(
                "{} holds a database password in plain text; use env:NAME or file:PATH",
                self.file_source()
            )
        });
        Ok(Some(Sourced::new(secret, self.file_source())))
    }

    pub(super) fn variable(&self, name: &str) -> Option<String> {
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

    pub(super) fn file_source(&self) -> Source {
        self.path
            .map_or(Source::Default, |path| Source::File(path.to_owned()))
    }

    /// Folder that relative paths in the file count from.
    pub(super) fn base(&self) -> &Path {
        self.path
            .and_then(Path::parent)
            .unwrap_or(&self.places.current_dir)
    }
}

/// A folder's address as an absolute path without `.` and trailing slashes; URLs stay as they are.
pub(super) fn absolute(address: &str, base: &Path) -> String {
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

/// The first value that is there, with its source.
pub(super) fn pick<T, const N: usize>(candidates: [(Option<T>, Source); N]) -> Option<Sourced<T>> {
    candidates
        .into_iter()
        .find_map(|(value, source)| value.map(|value| Sourced::new(value, source)))
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
