//! What a command works with: the screen, the settings in force, and the engine's context made from them.

use crate::{
    api::{Api, Http, ServerAddress},
    args::{ConnectionArgs, GlobalArgs},
    clock::SystemClock,
    config::{
        self, Database, Environment, Flags, Key, Places, RepositorySettings, S3Settings,
        ServerFlags, ServerSources, Settings, Source, Sourced,
    },
    error::{CliError, CliResult},
    exit::Exit,
    interrupt::Relay,
    output::{Screen, TerminalProgress},
};
use pgkeep_catalog::{CatalogError, blocking::Blocking};
use pgkeep_engine::{Context, storage::RepositoryAddress};
use pgkeep_model::{CancelToken, Progress};
use pgkeep_postgres::connect::ConnectOptions;
use pgkeep_repository::{
    Repository,
    storage::{S3Options, StorageOptions},
};
use pgkeep_server::{
    local::Local,
    settings::{self as server, ServerSettings, WorkerSettings},
    targets::{self, Machine},
    worker,
};
use secrecy::{ExposeSecret, SecretString};
use std::{path::PathBuf, sync::Arc};

/// Started once a process, before its command.
pub struct Session {
    pub screen: Screen,
    pub cancel: CancelToken,
    /// Where signals go, unless they are left to the command.
    pub relay: Option<Relay>,
    pub progress: Arc<TerminalProgress>,
    pub environment: Environment,
    pub places: Places,
    global: GlobalArgs,
}

impl Session {
    /// With `heeds_signals`, Ctrl-C and SIGTERM cancel; without, they are left to the command.
    pub fn start(global: &GlobalArgs, heeds_signals: bool) -> CliResult<Self> {
        let screen = Screen::new(global);
        let cancel = CancelToken::new();
        let relay = match heeds_signals {
            true => Some(Relay::start(&cancel).map_err(|e| {
                CliError::new(Exit::Failed, format!("cannot listen for Ctrl-C: {e}"))
                    .with_hint("this machine may be out of threads or open files; try again")
            })?),
            false => None,
        };
        let environment = config::process_environment();
        let places = Places::from_process(&environment)?;
        let progress = Arc::new(TerminalProgress::new(screen.progress, screen.verbose));
        Ok(Self {
            screen,
            cancel,
            relay,
            progress,
            environment,
            places,
            global: global.clone(),
        })
    }

    /// The configuration file in force, read, or none.
    pub fn config_file(&self) -> CliResult<Option<(PathBuf, config::RawConfig)>> {
        let Some(found) = self
            .places
            .config_file(self.global.config.as_deref(), &self.environment)?
        else {
            return Ok(None);
        };
        let path = found.value;
        let text = std::fs::read_to_string(&path)
            .map_err(|e| CliError::file(Exit::Usage, "read", &path, &e))?;
        let raw = config::RawConfig::parse(&text, &path)?;
        Ok(Some((path, raw)))
    }

    /// The server that commands work on instead of this machine, if one is named.
    pub fn server_address(&self) -> CliResult<Option<ServerAddress>> {
        let url = match (&self.global.server, self.environment.get("PGKEEP_SERVER")) {
            (Some(url), _) => url.clone(),
            (None, Some(url)) => url.to_owned(),
            (None, None) => return Ok(None),
        };
        let named = |flag: &Option<PathBuf>, variable| {
            let of_environment = || self.environment.get(variable).map(PathBuf::from);
            flag.clone().or_else(of_environment)
        };
        let token = match named(&self.global.token_file, "PGKEEP_TOKEN_FILE") {
            Some(path) => Some(config::read_file(&path, "token file")?),
            None => self.environment.get("PGKEEP_TOKEN").map(Into::into),
        };
        Ok(Some(ServerAddress {
            url,
            token,
            ca_file: named(&self.global.ca_file, "PGKEEP_CA_FILE"),
            insecure: self.global.insecure,
        }))
    }

    /// The server to work on, for commands that otherwise do their work here.
    pub fn remote(&self) -> CliResult<Option<Api>> {
        match self.server_address()? {
            Some(address) => Ok(Some(Api::There(Http::new(&address)?))),
            None => Ok(None),
        }
    }

    /// Refuses a server for a command that only makes sense on this machine.
    pub fn only_here(&self, command: &str) -> CliResult<()> {
        match self.server_address()? {
            None => Ok(()),
            Some(address) => Err(CliError::usage(format!(
                "`pgkeep {command}` works on this machine, not on {}",
                address.url
            ))
            .with_hint("unset PGKEEP_SERVER, or run it on the server's machine")),
        }
    }

    /// What a server keeps: the one that is named, else the catalog on this machine.
    pub fn api(&self) -> CliResult<Api> {
        match self.remote()? {
            Some(api) => Ok(api),
            None => self.local(false).map(|local| Api::Here(Box::new(local))),
        }
    }

    /// The catalog on this machine, behind the API's handlers.
    pub fn local(&self, create: bool) -> CliResult<Local> {
        let settings = self.with_server_sources(ServerFlags::default(), |sources| {
            let mut warnings = Vec::new();
            let settings = sources.without_secrets(&mut warnings)?;
            Ok((settings, warnings))
        })?;
        let catalog = self.open_catalog(&settings.places, create)?;
        Ok(Local::new(catalog, settings, self.machine()))
    }

    /// This machine, for what the server does on it.
    pub fn machine(&self) -> Machine {
        Machine::here(Arc::new(SystemClock), self.environment.clone())
    }

    pub fn open_catalog(&self, places: &server::Places, create: bool) -> CliResult<Blocking> {
        let options = worker::open_options(places, Arc::new(SystemClock), create);
        Blocking::open(options).map_err(|error| {
            let kept = match (&error, &places.catalog) {
                (CatalogError::Missing { .. }, server::CatalogPlace::Sqlite(path)) => {
                    pgkeep_server::left_behind(path)
                }
                _ => None,
            };
            let told = CliError::from(error);
            match kept {
                Some(kept) => told.with_hint(format!(
                    "a server kept what it held: `pgkeep catalog restore {}` puts it back",
                    kept.display()
                )),
                None => told,
            }
        })
    }

    /// Where the catalog is.
    pub fn catalog_places(&self) -> CliResult<server::Places> {
        self.with_server_sources(ServerFlags::default(), |sources| {
            let mut warnings = Vec::new();
            let places = sources.catalog_places(&mut warnings)?;
            Ok((places, warnings))
        })
    }

    pub fn server_settings(&self, flags: ServerFlags) -> CliResult<ServerSettings> {
        self.with_server_sources(flags, |sources| sources.server())
    }

    pub fn worker_settings(&self, flags: ServerFlags) -> CliResult<WorkerSettings> {
        self.with_server_sources(flags, |sources| sources.worker())
    }

    fn with_server_sources<T>(
        &self,
        flags: ServerFlags,
        resolve: impl FnOnce(&ServerSources<'_>) -> Result<(T, Vec<String>), config::ConfigError>,
    ) -> CliResult<T> {
        let file = self.config_file()?;
        let raw = file
            .as_ref()
            .map(|(_, raw)| raw.clone())
            .unwrap_or_default();
        let flags = ServerFlags {
            data_dir: self.global.data_dir.clone(),
            ..flags
        };
        let sources = ServerSources {
            flags: &flags,
            environment: &self.environment,
            raw: &raw,
            path: file.as_ref().map(|(path, _)| path.as_path()),
            places: &self.places,
            is_root: rustix::process::geteuid().is_root(),
            program: std::env::current_exe().map_err(|e| {
                CliError::new(
                    Exit::Failed,
                    format!("cannot tell where this program is: {e}"),
                )
                .with_hint(
                    "it may have been replaced while it ran; start it again by its whole path",
                )
            })?,
        };
        let (value, warnings) = resolve(&sources)?;
        for warning in warnings {
            self.screen.warn(&warning);
        }
        Ok(value)
    }

    /// The account on this machine, as jobs and the audit log name it.
    pub fn who(&self) -> String {
        self.machine().username
    }

    /// The app that was named on purpose, by `--app` or `PGKEEP_APP`.
    pub fn named_app(&self) -> Option<String> {
        let named = self.global.app.clone();
        named.or_else(|| self.environment.get("PGKEEP_APP").map(str::to_owned))
    }

    /// The repository that was named on purpose, by its name on a server.
    pub fn named_repository(&self) -> Option<String> {
        let named = self.global.repo.clone();
        named.or_else(|| self.environment.get("PGKEEP_REPO").map(str::to_owned))
    }

    /// The settings in force for a command without options of its own about them.
    pub fn settings(&self) -> CliResult<Settings> {
        self.settings_with(Flags::default())
    }

    /// The settings in force for a command that takes a connection.
    pub fn settings_for(&self, connection: &ConnectionArgs) -> CliResult<Settings> {
        self.settings_with(connection_flags(connection))
    }

    /// The settings in force with a command's own flags; warnings are shown here, once.
    pub fn settings_with(&self, flags: Flags) -> CliResult<Settings> {
        let flags = Flags {
            repo: self.global.repo.clone(),
            key_file: self.global.key_file.clone(),
            app: self.global.app.clone(),
            ..flags
        };
        let settings =
            config::resolve(&flags, &self.environment, self.config_file()?, &self.places)?;
        for warning in &settings.warnings {
            self.screen.warn(warning);
        }
        Ok(settings)
    }

    /// What the engine needs from its caller.
    pub fn context(&self, settings: &Settings) -> Context {
        let mut context = self
            .machine()
            .context(None, self.cancel.clone(), self.progress.clone());
        context.tool_dirs.splice(0..0, settings.bin_dirs.clone());
        context
    }

    /// Opens the repository in force.
    pub fn repository(&self, settings: &Settings, context: &Context) -> CliResult<Repository> {
        let chosen = required_repository(settings)?;
        let password = known_key(chosen).map_err(|e| told_as_missing(chosen, e))?;
        Ok(pgkeep_engine::storage::open(
            &self.address(chosen, password)?,
            context,
        )?)
    }

    /// A repository's address in the engine's terms.
    pub fn address(
        &self,
        chosen: &RepositorySettings,
        password: SecretString,
    ) -> CliResult<RepositoryAddress> {
        let defaults = StorageOptions::default();
        Ok(RepositoryAddress {
            address: chosen.address.value.clone(),
            options: StorageOptions {
                s3: s3_options(&chosen.address.value, &chosen.s3)?,
                upload_limit_bytes_per_sec: chosen.upload_limit,
                download_limit_bytes_per_sec: chosen.download_limit,
                retries: chosen.retries.unwrap_or(defaults.retries),
                timeout: chosen.timeout.unwrap_or(defaults.timeout),
                cancel: self.cancel.clone(),
            },
            password,
        })
    }

    /// Turns a database of the settings into connection options.
    pub fn connect_options(
        &self,
        database: &Database,
        source: &Source,
    ) -> CliResult<ConnectOptions> {
        if let Some(warning) = &database.warning {
            // Shown once, however often the connection is made.
            self.progress.warn(warning);
        }
        let url = database.url.as_ref().map(|url| url.expose_secret());
        let options = self.resolve_connection(url, source)?;
        Ok(match &database.name {
            Some(name) => options.with_dbname(name),
            None => options,
        })
    }

    /// Every database in force; with none named anywhere, the one that libpq's variables lead to.
    pub fn databases(&self, settings: &Settings) -> CliResult<Vec<ConnectOptions>> {
        if settings.databases.is_empty() {
            if self.has_libpq_target() {
                return Ok(vec![
                    self.resolve_connection(None, &Source::Variable("PG*"))?,
                ]);
            }
            return Ok(Vec::new());
        }
        settings
            .databases
            .iter()
            .map(|db| self.connect_options(&db.value, &db.source))
            .collect()
    }

    /// Every database in force, for commands that must not fall back on libpq's defaults: there must be one that somebody
    /// named. `to` says what is wanted of it.
    pub fn named_databases(&self, settings: &Settings, to: &str) -> CliResult<Vec<ConnectOptions>> {
        const WAYS: &str =
            "give --database-url, set DATABASE_URL or PGDATABASE, or name databases in pgkeep.toml";
        if settings.databases.is_empty() {
            if let Some(unknown) = &settings.unknown_app {
                return Err(CliError::usage(unknown.message.clone())
                    .with_hint(unknown.hint.clone().unwrap_or_else(|| WAYS.into())));
            }
            let named = ["PGDATABASE", "PGSERVICE"];
            if !named
                .iter()
                .any(|name| self.environment.get(name).is_some())
            {
                return Err(CliError::usage(format!("no database to {to}")).with_hint(WAYS));
            }
        }
        self.databases(settings)
    }

    /// The privileged connection: `--admin-url`, `DB_ADMIN_URL`, the file's, else the app's own on the database `postgres`.
    pub fn admin(&self, settings: &Settings) -> CliResult<ConnectOptions> {
        if let Some(admin) = &settings.admin_url {
            if let Some(warning) = &settings.admin_warning {
                self.progress.warn(warning);
            }
            return self.resolve_connection(Some(admin.value.expose_secret()), &admin.source);
        }
        let first = self
            .databases(settings)?
            .into_iter()
            .next()
            .ok_or_else(|| {
                CliError::usage("no database server to restore to").with_hint(
                    "give --admin-url or --database-url, or set DB_ADMIN_URL or DATABASE_URL",
                )
            })?;
        Ok(first.with_dbname("postgres"))
    }

    pub fn resolve_connection(
        &self,
        url: Option<&str>,
        source: &Source,
    ) -> CliResult<ConnectOptions> {
        let options = ConnectOptions::resolve(url, &self.environment).map_err(|e| {
            CliError::usage(format!("connection from {source}: {e}"))
                .with_hint("a connection looks like postgres://user@host:5432/database")
        })?;
        for warning in &options.warnings {
            self.progress.warn(warning);
        }
        Ok(options)
    }

    /// Whether the environment says anything about a database, so that a bare `pgkeep backup` is meant for it.
    fn has_libpq_target(&self) -> bool {
        ["PGDATABASE", "PGHOST", "PGSERVICE", "PGHOSTADDR"]
            .iter()
            .any(|name| self.environment.get(name).is_some())
    }
}

/// The command line's part of the settings for commands that take a connection.
pub fn connection_flags(connection: &ConnectionArgs) -> Flags {
    Flags {
        database_url: connection.database_url.clone(),
        admin_url: connection.admin_url.clone(),
        bin_dirs: connection.bin_dir.clone(),
        ..Flags::default()
    }
}

/// The repository in force, or how to name one.
pub fn required_repository(settings: &Settings) -> CliResult<&RepositorySettings> {
    settings.repository.as_ref().ok_or_else(|| {
        if settings.app.is_none() && settings.known_apps.len() > 1 {
            let apps = settings.known_apps.join(", ");
            return CliError::usage("nothing says which app is meant, and so which repository")
                .with_hint(format!("give --app: {apps}"));
        }
        CliError::usage("no repository is named").with_hint(
            "give --repo ./backups, set PGKEEP_REPO or BACKUPS_DIR, or name one in pgkeep.toml",
        )
    })
}

/// The repository's key, or where it was looked for.
pub fn known_key(chosen: &RepositorySettings) -> CliResult<SecretString> {
    match &chosen.key {
        Key::Known(Sourced { value, .. }) => Ok(value.clone()),
        Key::MissingFile(file) => Err(CliError::new(Exit::NoAccess, format!("there is no key file {} (from {})", file.value.display(), file.source))
            .with_hint("give the key's file by --key-file; `pgkeep init` makes a new repository and key")),
        Key::None => Err(CliError::new(Exit::NoAccess, format!("no key is known for repository {}", chosen.address.value)).with_hint(format!(
            "give --key-file or BACKUP_ENCRYPTION_KEY; `pgkeep init` makes a new repository and writes its key to {}",
            chosen.key_place.0.display()
        ))),
    }
}

/// Where there is no repository at all, that comes before the question of its key.
fn told_as_missing(chosen: &RepositorySettings, error: CliError) -> CliError {
    let address = &chosen.address.value;
    let Some(folder) = pgkeep_engine::storage::local_folder(address) else {
        return error;
    };
    // One that lost its config is told as such once its key is known.
    if folder.join("config").exists() || folder.join("snapshots").exists() {
        return error;
    }
    let why = match folder.exists() {
        true => "the folder has no config file",
        false => "the folder does not exist",
    };
    CliError::new(
        Exit::NoAccess,
        format!("there is no repository at {address}: {why}"),
    )
    .with_hint("check the address, and that its disk is mounted; `pgkeep init` makes a new, empty repository")
}

/// What opens the bucket at an address; nothing for any other place.
pub fn s3_options(address: &str, s3: &S3Settings) -> CliResult<Option<S3Options>> {
    if !address.starts_with("s3://") {
        return Ok(None);
    }
    let (Some(access_key_id), Some(secret_access_key)) =
        (s3.access_key_id.clone(), s3.secret_access_key.clone())
    else {
        return Err(CliError::usage(format!("no credentials for {address}"))
            .with_hint("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or access_key_id and secret_access_key in pgkeep.toml"));
    };
    let server_side_encryption =
        targets::parse_encryption(s3.server_side_encryption.as_deref()).map_err(CliError::usage)?;
    Ok(Some(S3Options {
        access_key_id,
        secret_access_key,
        session_token: s3.session_token.clone(),
        endpoint: s3.endpoint.clone(),
        region: s3.region.clone(),
        server_side_encryption,
        virtual_host_style: s3.virtual_host_style,
    }))
}
