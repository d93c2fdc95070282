//! Settings: from flags, environment and `pgkeep.toml` to values with no doubt left in them.
//!
//! Raw → resolved → work. [`locate`] finds the file, [`raw`] parses it (an unknown key is an error that names the
//! nearest known one), [`resolve`] joins it with flags and environment under one precedence: flag, then environment,
//! then file, then default. Everything below sees [`Settings`] only, each value with its [`Source`].

mod definitions;
mod environment;
mod key_file;
mod keys;
mod locate;
mod raw;
mod repository;
mod resolve;
mod secret;
mod server;
mod settings;

pub use definitions::{Definitions, of_environment, of_file};
pub use environment::{Environment, process_environment};
pub use key_file::{KeyPlace, write_new};
pub use locate::Places;
pub use raw::RawConfig;
pub use resolve::{Flags, resolve};
pub use secret::{has_password, masked_url, read_file, read_secret};
pub use server::{ServerFlags, ServerSources};
pub use settings::{Database, Key, RepositorySettings, S3Settings, Settings};

use std::{fmt, path::PathBuf};

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Flag(&'static str),
    Variable(&'static str),
    File(PathBuf),
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag(name) => f.write_str(name),
            Source::Variable(name) => f.write_str(name),
            Source::File(path) => write!(f, "{}", path.display()),
            Source::Default => f.write_str("default"),
        }
    }
}

/// A value with its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sourced<T> {
    pub value: T,
    pub source: Source,
}

impl<T> Sourced<T> {
    pub fn new(value: T, source: Source) -> Self {
        Self { value, source }
    }
}

/// What is wrong with the configuration; always the user's to mend.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    pub message: String,
    pub hint: Option<String>,
}

impl ConfigError {
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<ConfigError> for crate::error::CliError {
    fn from(error: ConfigError) -> Self {
        let hint = error.hint.unwrap_or_else(|| {
            "set it right there: the configuration reference lists every setting and its values"
                .into()
        });
        crate::error::CliError::usage(error.message).with_hint(hint)
    }
}
