//! Settings with no doubt left in them: what every command works with.

use super::{ConfigError, KeyPlace, Source, Sourced};
use pgkeep_model::app::AppDefinition;
use secrecy::SecretString;
use std::{path::PathBuf, time::Duration};

/// Everything that is in force.
#[derive(Debug)]
pub struct Settings {
    pub file: Option<PathBuf>,
    pub app: Option<Sourced<String>>,
    /// Those of the file.
    pub known_apps: Vec<String>,
    /// Set where the file names apps, but not this one.
    pub unknown_app: Option<ConfigError>,
    pub environment: Option<Sourced<String>>,
    pub databases: Vec<Sourced<Database>>,
    pub admin_url: Option<Sourced<SecretString>>,
    /// To be shown where the privileged connection is used.
    pub admin_warning: Option<String>,
    pub repository: Option<RepositorySettings>,
    pub jobs: Sourced<usize>,
    pub compression: Sourced<i32>,
    pub exclude_table_data: Vec<String>,
    pub schemas: Vec<String>,
    pub bin_dirs: Vec<PathBuf>,
    /// What the file says of the app, with its paths made absolute: files, migrations, commands, hooks, fence, drill.
    pub definition: AppDefinition,
    /// Things that work but should be done otherwise.
    pub warnings: Vec<String>,
}

impl Settings {
    /// Nothing but defaults, for what must not depend on any configuration.
    pub fn none() -> Self {
        Settings {
            file: None,
            app: None,
            known_apps: Vec::new(),
            unknown_app: None,
            environment: None,
            databases: Vec::new(),
            admin_url: None,
            admin_warning: None,
            repository: None,
            jobs: Sourced::new(2, Source::Default),
            compression: Sourced::new(1, Source::Default),
            exclude_table_data: Vec::new(),
            schemas: Vec::new(),
            bin_dirs: Vec::new(),
            definition: AppDefinition::default(),
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
    /// To be shown where the connection is used.
    pub warning: Option<String>,
}

/// A repository and what opens it.
#[derive(Debug)]
pub struct RepositorySettings {
    /// Absolute path or URL.
    pub address: Sourced<String>,
    pub key: Key,
    /// File that the key was read from, where it was.
    pub key_file: Option<PathBuf>,
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
