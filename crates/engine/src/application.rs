//! The app around the databases that an operation works on: its own connection, its programs, hooks and fence, with every
//! secret resolved. An empty value means an operation that concerns nobody else, such as a drill.

use crate::{Error, Result};
use pgkeep_model::{
    app::{AppDefinition, Commands, FileTree, HookMoment, Migrations},
    duration::parse_duration,
};
use pgkeep_postgres::connect::{ConnectOptions, Environment};
use secrecy::{ExposeSecret, SecretString};
use std::{path::PathBuf, time::Duration};

/// Longest time of a hook where nothing else is said.
const HOOK_LIMIT: Duration = Duration::from_secs(60);

/// An app as the engine knows it.
#[derive(Debug, Clone, Default)]
pub struct Application {
    pub name: String,
    /// The account that the app itself uses: what its programs make belongs to it. The privileged one where absent.
    pub database: Option<ConnectOptions>,
    pub migrations: Option<Migrations>,
    pub commands: Commands,
    pub hooks: Vec<AppHook>,
    pub fence: AppFence,
    /// Folders that belong to the app's backups; their paths are absolute.
    pub files: Vec<FileTree>,
    /// Read every file again, even where it seems to be as the parent holds it.
    pub hash_files: bool,
    /// `READ_ONLY_MODE` is set where pgkeep runs: the app is said to answer reads alone.
    pub read_only_mode: bool,
}

/// A hook with its secrets resolved.
#[derive(Debug, Clone)]
pub struct AppHook {
    pub on: HookMoment,
    pub command: Vec<String>,
    pub url: Option<SecretString>,
    pub time_limit: Duration,
    pub may_fail: bool,
}

impl AppHook {
    /// What it is, in words; an address is a secret.
    pub fn words(&self) -> String {
        match self.command.first() {
            Some(program) => program.clone(),
            None => "webhook".into(),
        }
    }
}

/// A fence with its secrets resolved.
#[derive(Debug, Clone, Default)]
pub struct AppFence {
    pub lock_dir: Option<PathBuf>,
    pub read_only: bool,
    /// How long sessions have to end by themselves.
    pub grace: Option<Duration>,
    /// PgBouncer's console.
    pub pgbouncer: Option<ConnectOptions>,
}

impl Application {
    /// From what the user said of the app. `secret` turns a text in one of its three forms into the secret; its second
    /// argument says what the text is.
    ///
    /// # Errors
    /// A secret that cannot be read, or a value that does not mean anything; the message says which.
    pub fn of(
        name: &str,
        definition: &AppDefinition,
        database: Option<ConnectOptions>,
        environment: &Environment,
        secret: &mut dyn FnMut(&str, &str) -> Result<SecretString>,
    ) -> Result<Self> {
        let mut hooks = Vec::new();
        for hook in &definition.hooks {
            let what = format!("a hook of app {name}");
            if hook.command.is_empty() == hook.url.is_none() {
                return Err(Error::invalid(format!(
                    "{what} needs either a command or a url"
                )));
            }
            hooks.push(AppHook {
                on: hook.on,
                command: hook.command.clone(),
                url: match &hook.url {
                    Some(text) => Some(secret(text, &what)?),
                    None => None,
                },
                time_limit: time(hook.timeout.as_deref(), &what)?.unwrap_or(HOOK_LIMIT),
                may_fail: hook.may_fail,
            });
        }
        let fence = &definition.fence;
        let pgbouncer = match &fence.pgbouncer {
            None => None,
            Some(text) => {
                let what = format!("pgbouncer of app {name}");
                let text = secret(text, &what)?;
                let console = ConnectOptions::resolve(Some(text.expose_secret()), environment)
                    .map_err(|e| Error::invalid(format!("{what}: {e}")))?;
                Some(console)
            }
        };
        Ok(Self {
            name: name.to_owned(),
            database,
            migrations: definition.migrations.clone(),
            commands: definition.commands.clone(),
            hooks,
            fence: AppFence {
                lock_dir: fence.lock_dir.clone().map(PathBuf::from),
                read_only: fence.read_only,
                grace: time(fence.grace.as_deref(), &format!("grace of app {name}"))?,
                pgbouncer,
            },
            files: definition.files.clone(),
            hash_files: false,
            read_only_mode: environment.get("READ_ONLY_MODE").is_some_and(is_on),
        })
    }
}

fn is_on(text: &str) -> bool {
    ["1", "true", "yes", "on"].contains(&text.trim().to_ascii_lowercase().as_str())
}

fn time(text: Option<&str>, what: &str) -> Result<Option<Duration>> {
    text.map(parse_duration)
        .transpose()
        .map_err(|e| Error::invalid(format!("{what}: {e}")))
}
