//! From what users say of apps and repositories to what the engine opens.
//!
//! Definitions come from the catalog with their secrets as texts: `env:NAME`, `file:/path`, or the value itself. They
//! are resolved here, on the machine that does the work and at the time of the work, so that a changed password file
//! counts at once and several machines may each have their own.

use pgkeep_engine::{
    Context, Error, ErrorCode, Result,
    storage::{self, RepositoryAddress},
};
use pgkeep_model::{
    CancelToken, Clock, Progress,
    app::{AppDefinition, RepositoryDefinition},
    duration::parse_duration,
    secret::SecretText,
};
use pgkeep_postgres::{
    connect::{ConnectOptions, Environment},
    tools,
};
use pgkeep_repository::{
    Repository,
    storage::{S3Options, ServerSideEncryption, StorageOptions},
};
use secrecy::{ExposeSecret, SecretString};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// The machine that does the work, as far as the work depends on it. Read once, when the process starts.
#[derive(Debug, Clone)]
pub struct Machine {
    pub clock: Arc<dyn Clock>,
    pub environment: Environment,
    /// Recorded in what is written.
    pub hostname: String,
    pub username: String,
    /// Folders searched for PostgreSQL's client programs.
    pub tool_dirs: Vec<PathBuf>,
    /// Where keys lie that nothing names.
    pub key_dir: PathBuf,
}

/// Where a repository's key is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// The definition holds the key itself.
    Definition(SecretText),
    /// Nothing names one, and there is none in this place, where one would be looked for.
    Nowhere(PathBuf),
}

impl Machine {
    /// This machine, with the environment that the caller has read.
    pub fn here(clock: Arc<dyn Clock>, environment: Environment) -> Self {
        Self {
            hostname: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            username: username(&environment),
            tool_dirs: tools::tool_dirs(&environment, tool_cache(&environment).as_deref()),
            key_dir: own_config_dir(&environment),
            clock,
            environment,
        }
    }

    /// What the engine needs from its caller.
    pub fn context(
        &self,
        app: Option<&AppDefinition>,
        cancel: CancelToken,
        progress: Arc<dyn Progress>,
    ) -> Context {
        let own = app.into_iter().flat_map(|app| &app.bin_dirs);
        Context {
            clock: self.clock.clone(),
            cancel,
            progress,
            hostname: self.hostname.clone(),
            username: self.username.clone(),
            tool_dirs: own
                .map(PathBuf::from)
                .chain(self.tool_dirs.iter().cloned())
                .collect(),
        }
    }

    /// The databases of an app; there is at least one.
    pub fn databases(&self, name: &str, app: &AppDefinition) -> Result<Vec<ConnectOptions>> {
        if app.databases.is_empty() {
            return Err(Error::invalid(format!("app {name} names no database"))
                .hint("give it a connection string in `databases`"));
        }
        app.databases
            .iter()
            .map(|text| self.connection(text, &format!("a database of app {name}")))
            .collect()
    }

    /// The privileged connection of an app; its first database's server, on the database `postgres`, where it names none.
    pub fn admin(&self, name: &str, app: &AppDefinition) -> Result<ConnectOptions> {
        match &app.admin_url {
            Some(text) => self.connection(text, &format!("admin_url of app {name}")),
            None => Ok(self
                .databases(name, app)?
                .swap_remove(0)
                .with_dbname("postgres")),
        }
    }

    /// A connection string, or the plain name of a database on the server that libpq's variables lead to.
    pub fn connection(&self, text: &str, what: &str) -> Result<ConnectOptions> {
        let secret = self.secret(text, what)?;
        let text = secret.expose_secret();
        let is_string = text.contains("://") || text.contains('=');
        let options = ConnectOptions::resolve(is_string.then_some(text), &self.environment)
            .map_err(|e| Error::invalid(format!("{what}: {e}")))?;
        Ok(match is_string {
            true => options,
            false => options.with_dbname(text),
        })
    }

    /// A repository's address in the engine's terms.
    pub fn repository_address(
        &self,
        name: &str,
        definition: &RepositoryDefinition,
        cancel: CancelToken,
    ) -> Result<RepositoryAddress> {
        let address = definition
            .address
            .clone()
            .ok_or_else(|| Error::invalid(format!("repository {name} has no address")))?;
        if storage::local_folder(&address).is_some_and(Path::is_relative) {
            return Err(
                Error::invalid(format!("repository {name}: {address} is a relative path"))
                    .hint("give the whole path: the server does not run in your folder"),
            );
        }
        Ok(RepositoryAddress {
            options: self.storage_options(name, &address, definition, cancel)?,
            password: self.repository_key(name, &address, definition)?,
            address,
        })
    }

    /// How the repository's storage is reached; `address` may be another place in it.
    pub fn storage_options(
        &self,
        name: &str,
        address: &str,
        definition: &RepositoryDefinition,
        cancel: CancelToken,
    ) -> Result<StorageOptions> {
        let wrong = |e: String| Error::invalid(format!("repository {name}: {e}"));
        let limit = |text: &Option<String>, what: &str| {
            text.as_deref()
                .map(|text| parse_size(text).map_err(|e| wrong(format!("{what}: {e}"))))
                .transpose()
        };
        let usual = StorageOptions::default();
        let timeout = definition.timeout.as_deref().map(time_limit).transpose();
        Ok(StorageOptions {
            s3: self.s3(name, address, definition)?,
            upload_limit_bytes_per_sec: limit(&definition.upload_limit, "upload_limit")?,
            download_limit_bytes_per_sec: limit(&definition.download_limit, "download_limit")?,
            retries: definition.retries.unwrap_or(usual.retries),
            timeout: timeout
                .map_err(|e| wrong(format!("timeout: {e}")))?
                .unwrap_or(usual.timeout),
            cancel,
        })
    }

    /// Opens a repository that is there.
    pub fn open_repository(
        &self,
        name: &str,
        definition: &RepositoryDefinition,
        context: &Context,
    ) -> Result<Repository> {
        let address = self.repository_address(name, definition, context.cancel.clone())?;
        let opened = match storage::open(&address, context) {
            // The key may have been changed between its reading and its use.
            Err(e) if e.code == ErrorCode::RepositoryAccess => {
                let again = self.repository_address(name, definition, context.cancel.clone())?;
                match again.password.expose_secret() == address.password.expose_secret() {
                    true => Err(e),
                    false => storage::open(&again, context),
                }
            }
            opened => opened,
        };
        opened.map_err(|e| e.context(format!("repository {name}")))
    }

    fn repository_key(
        &self,
        name: &str,
        address: &str,
        definition: &RepositoryDefinition,
    ) -> Result<SecretString> {
        let what = format!("key of repository {name}");
        match self.key_source(address, definition) {
            KeySource::Definition(text) => Ok(SecretString::from(text.as_str())),
            KeySource::Variable(variable) => self.secret(&format!("env:{variable}"), &what),
            KeySource::File(file) => secret_file(&file, &what),
            KeySource::Nowhere(usual) => Err(Error::new(
                ErrorCode::RepositoryAccess,
                format!("no key is known for repository {name}"),
            )
            .hint(format!(
                "give it as file:/path or env:NAME in the repository's definition; without one it is looked for in {}",
                usual.display()
            ))),
        }
    }

    /// Where the key is read from: what the definition says, else what the command line would take: `PGKEEP_KEY_FILE`,
    /// `BACKUP_ENCRYPTION_KEY`, and the file that `pgkeep init` wrote.
    pub fn key_source(&self, address: &str, definition: &RepositoryDefinition) -> KeySource {
        if let Some(text) = &definition.key {
            return match (text.strip_prefix("env:"), text.strip_prefix("file:")) {
                (Some(variable), _) => KeySource::Variable(variable.to_owned()),
                (None, Some(path)) => KeySource::File(path.into()),
                (None, None) => KeySource::Definition(text.clone()),
            };
        }
        if let Some(file) = self.environment.get("PGKEEP_KEY_FILE") {
            return KeySource::File(file.into());
        }
        const VARIABLE: &str = "BACKUP_ENCRYPTION_KEY";
        if self.environment.get(VARIABLE).is_some() {
            return KeySource::Variable(VARIABLE.to_owned());
        }
        let usual = self.key_dir.join(key_file_name(address));
        match usual.exists() {
            true => KeySource::File(usual),
            false => KeySource::Nowhere(usual),
        }
    }

    /// What the definition says comes first, for several repositories may have several accounts.
    fn s3(
        &self,
        name: &str,
        address: &str,
        definition: &RepositoryDefinition,
    ) -> Result<Option<S3Options>> {
        if !address.starts_with("s3://") {
            return Ok(None);
        }
        let value = |text: &Option<SecretText>, variables: &[&str], what: &str| match text {
            Some(text) => self
                .secret(text, &format!("{what} of repository {name}"))
                .map(Some),
            None => Ok(variables
                .iter()
                .find_map(|variable| self.environment.get(variable))
                .map(SecretString::from)),
        };
        let plain = |text: &Option<String>, variables: &[&str]| {
            text.clone().or_else(|| {
                variables
                    .iter()
                    .find_map(|variable| self.environment.get(variable))
                    .map(str::to_owned)
            })
        };
        let access_key_id = value(
            &definition.access_key_id,
            &["AWS_ACCESS_KEY_ID"],
            "access_key_id",
        )?;
        let secret_access_key = value(
            &definition.secret_access_key,
            &["AWS_SECRET_ACCESS_KEY"],
            "secret_access_key",
        )?;
        let (Some(access_key_id), Some(secret_access_key)) = (access_key_id, secret_access_key)
        else {
            return Err(Error::invalid(format!("no credentials for repository {name}")).hint(
                "give it access_key_id and secret_access_key, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            ));
        };
        Ok(Some(S3Options {
            access_key_id: access_key_id.expose_secret().to_owned(),
            secret_access_key,
            session_token: value(
                &definition.session_token,
                &["AWS_SESSION_TOKEN"],
                "session_token",
            )?,
            endpoint: plain(
                &definition.endpoint,
                &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
            ),
            region: plain(&definition.region, &["AWS_REGION", "AWS_DEFAULT_REGION"]),
            server_side_encryption: parse_encryption(definition.server_side_encryption.as_deref())
                .map_err(|e| Error::invalid(format!("repository {name}: {e}")))?,
            virtual_host_style: definition.virtual_host_style.unwrap_or(false),
        }))
    }

    /// A value written as `env:NAME`, `file:/path` or literally.
    pub fn secret(&self, text: &str, what: &str) -> Result<SecretString> {
        if let Some(name) = text.strip_prefix("env:") {
            return self
                .environment
                .get(name)
                .map(SecretString::from)
                .ok_or_else(|| {
                    Error::invalid(format!(
                        "{what}: the environment variable {name} is not set"
                    ))
                    .hint(
                        "set it where the server is started, and in the environment of each worker",
                    )
                });
        }
        match text.strip_prefix("file:") {
            Some(path) => secret_file(Path::new(path), what),
            None => Ok(SecretString::from(text)),
        }
    }
}

/// A secret that is a file's content; line ends after it do not belong to it.
fn secret_file(path: &Path, what: &str) -> Result<SecretString> {
    let wrong = |why: String| Error::new(ErrorCode::RepositoryAccess, format!("{what}: {why}"));
    if path.is_relative() {
        return Err(wrong(format!("{} is a relative path", path.display()))
            .hint("give the whole path: the server does not run in your folder"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| {
        wrong(format!("cannot read {}: {e}", path.display()))
            .hint("the account that runs pgkeep must be able to read it")
    })?;
    match text.trim_end_matches(['\n', '\r']) {
        "" => Err(wrong(format!("{} is empty", path.display()))),
        text => Ok(SecretString::from(text)),
    }
}

/// `AES256`, `aws:kms` or `aws:kms:<key id>`.
pub fn parse_encryption(text: Option<&str>) -> Result<Option<ServerSideEncryption>, String> {
    Ok(match text {
        None | Some("") => None,
        Some("AES256") => Some(ServerSideEncryption::S3),
        Some("aws:kms") => Some(ServerSideEncryption::Kms { key_id: None }),
        Some(other) => match other.strip_prefix("aws:kms:") {
            Some(key) => Some(ServerSideEncryption::Kms {
                key_id: Some(key.to_owned()),
            }),
            None => {
                return Err(format!(
                    "server_side_encryption '{other}' is not known: AES256, aws:kms or aws:kms:<key id>"
                ));
            }
        },
    })
}

/// `20MiB`, `20M`, `512k`, `1GiB` or plain bytes; units count in 1024s.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is not a size such as 512k, 20MiB or 1G");
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

/// A time limit; none at all would let nothing pass.
fn time_limit(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err(format!("'{text}' leaves no time at all")),
        limit => Ok(limit),
    }
}

/// Name of the key file that belongs to a repository address where no key is named: the last part of the address and a
/// hash of all of it.
pub fn key_file_name(address: &str) -> String {
    let plain = address
        .split(['?', '#'])
        .next()
        .unwrap_or(address)
        .trim_end_matches('/');
    let last = plain.rsplit('/').next().unwrap_or_default();
    let name: String = last
        .chars()
        .map(|c| match c.is_ascii_alphanumeric() || "-_.".contains(c) {
            true => c,
            false => '_',
        })
        .collect();
    let name = if name.is_empty() { "repository" } else { &name };
    format!("{name}-{:08x}.key", fnv1a(plain))
}

/// FNV-1a, 32 bits: only keeps two repositories of one name apart, and must never change.
fn fnv1a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// Folder of pgkeep's own files: `$XDG_CONFIG_HOME/pgkeep`, `~/.config/pgkeep`, `/etc/pgkeep` without a home.
fn own_config_dir(environment: &Environment) -> PathBuf {
    let config = match (environment.get("XDG_CONFIG_HOME"), environment.get("HOME")) {
        (Some(dir), _) => PathBuf::from(dir),
        (None, Some(home)) => Path::new(home).join(".config"),
        (None, None) => PathBuf::from("/etc"),
    };
    config.join("pgkeep")
}

/// Where the set-up unpacks client programs.
fn tool_cache(environment: &Environment) -> Option<PathBuf> {
    match (environment.get("PGKEEP_CACHE"), environment.get("HOME")) {
        (Some(named), _) => Some(PathBuf::from(named)),
        (None, _) if rustix::process::geteuid().is_root() => {
            Some(PathBuf::from("/var/cache/pgkeep"))
        }
        (None, home) => home.map(|home| PathBuf::from(home).join(".cache/pgkeep")),
    }
}

/// The account's name, or its number where the account list does not have it.
fn username(environment: &Environment) -> String {
    let uid = rustix::process::geteuid().as_raw().to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let by_id = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    });
    by_id
        .or_else(|| environment.get("USER").map(str::to_owned))
        .unwrap_or(uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgkeep_testkit::ManualClock;

    fn machine(variables: &[(&str, &str)]) -> Machine {
        Machine {
            clock: Arc::new(ManualClock::at("2026-11-21T08:00:00Z")),
            environment: Environment::new(variables.iter().copied()),
            hostname: "here".into(),
            username: "keeper".into(),
            tool_dirs: vec!["/usual".into()],
            key_dir: "/nowhere".into(),
        }
    }

    fn app(databases: &[&str]) -> AppDefinition {
        AppDefinition {
            databases: databases.iter().map(|&text| text.into()).collect(),
            ..AppDefinition::default()
        }
    }

    #[test]
    fn databases_are_strings_references_or_plain_names() {
        let machine = machine(&[
            ("SHOP_URL", "postgres://u:p@db.example/shop"),
            ("PGHOST", "pg.example"),
        ]);
        let app = app(&["env:SHOP_URL", "media", "host=h dbname=x"]);
        let found = machine.databases("shop", &app).unwrap();
        let names: Vec<&str> = found.iter().map(|db| db.dbname.as_str()).collect();
        assert_eq!(names, ["shop", "media", "x"]);
        assert_eq!(machine.admin("shop", &app).unwrap().dbname, "postgres");
    }

    #[test]
    fn what_is_missing_is_named_and_no_secret_is_shown() {
        let machine = machine(&[]);
        let e = machine
            .databases("shop", &app(&["env:SHOP_URL"]))
            .unwrap_err();
        assert!(e.message.contains("SHOP_URL"), "{e}");
        let e = machine.databases("shop", &app(&[])).unwrap_err();
        assert!(e.message.contains("no database"), "{e}");
        let e = machine
            .databases("shop", &app(&["postgres://u:hunter2@h:99999999/x"]))
            .unwrap_err();
        assert!(!format!("{e:?}").contains("hunter2"), "{e:?}");
    }

    #[test]
    fn a_key_comes_from_the_definition_else_from_the_usual_places() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "from file\n").unwrap();
        let mut definition = RepositoryDefinition {
            address: Some("/backups".into()),
            key: Some(format!("file:{}", file.display()).into()),
            ..RepositoryDefinition::default()
        };
        let key = |machine: &Machine, definition: &RepositoryDefinition| {
            machine
                .repository_address("main", definition, CancelToken::new())
                .map(|address| address.password.expose_secret().to_owned())
        };
        let with_variable = machine(&[("BACKUP_ENCRYPTION_KEY", "from variable")]);
        assert_eq!(key(&with_variable, &definition).unwrap(), "from file");
        definition.key = None;
        assert_eq!(key(&with_variable, &definition).unwrap(), "from variable");
        let mut bare = machine(&[]);
        assert_eq!(
            key(&bare, &definition).unwrap_err().code,
            ErrorCode::RepositoryAccess
        );
        bare.key_dir = folder.path().to_owned();
        std::fs::write(folder.path().join(key_file_name("/backups")), "usual").unwrap();
        assert_eq!(key(&bare, &definition).unwrap(), "usual");
    }

    #[test]
    fn relative_places_and_wrong_values_are_refused() {
        let machine = machine(&[("BACKUP_ENCRYPTION_KEY", "k")]);
        let with = |change: fn(&mut RepositoryDefinition)| {
            let mut definition = RepositoryDefinition {
                address: Some("/backups".into()),
                ..RepositoryDefinition::default()
            };
            change(&mut definition);
            machine.repository_address("main", &definition, CancelToken::new())
        };
        assert!(with(|_| {}).is_ok());
        for (what, change) in [
            (
                "address",
                (|d| d.address = None) as fn(&mut RepositoryDefinition),
            ),
            ("relative", |d| d.address = Some("backups".into())),
            ("relative", |d| d.key = Some("file:key".into())),
            ("upload_limit", |d| d.upload_limit = Some("much".into())),
            ("timeout", |d| d.timeout = Some("10".into())),
            ("credentials", |d| d.address = Some("s3://bucket/x".into())),
        ] {
            let e = with(change).err().expect(what);
            assert!(e.message.contains(what), "{what}: {e}");
        }
    }

    #[test]
    fn sizes_and_durations_take_units() {
        for (text, want) in [
            ("20MiB", 20 << 20),
            ("512k", 512 << 10),
            ("1 G", 1 << 30),
            ("7", 7),
        ] {
            assert_eq!(parse_size(text), Ok(want));
        }
        for text in ["", "M", "-1k", "1T", "0"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
        assert_eq!(time_limit("1d12h"), Ok(Duration::from_secs(129_600)));
        for text in ["", "12", "h", "1y"] {
            assert!(time_limit(text).is_err(), "{text}");
        }
    }
}
