//! Programs of the app itself, and hooks.
//!
//! A command is a list of words, run without a shell in `directory`. It finds the database by libpq's variables (`PGHOST`,
//! `PGPORT`, `PGUSER`, `PGDATABASE`, `PGPASSFILE`) and by `DATABASE_URL` without its password.

use crate::secret::SecretText;
use serde::{Deserialize, Serialize};

/// The app's own programs.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Commands {
    /// Folder that the commands run in.
    pub directory: Option<String>,
    /// Brings the database's schema up to the deployed code.
    pub migrate: Vec<String>,
    /// Fails while the code has migrations that the database lacks (`manage.py migrate --check`).
    pub migrate_check: Vec<String>,
    /// Each must succeed on a healthy database (`manage.py check`).
    pub check: Vec<Vec<String>>,
    /// Prints the app's version.
    pub version: Vec<String>,
    /// File that holds the app's version; its first line counts.
    pub version_file: Option<String>,
    /// Variable that holds the app's version.
    pub version_env: Option<String>,
    /// Prints versions of framework and runtime, one `name version` a line.
    pub runtime: Vec<String>,
    /// Variable in which the commands get the whole connection string, password included, for programs that cannot read
    /// libpq's password file. Others of the same user can read a process's environment.
    pub url_variable: Option<String>,
    /// Further variables.
    pub environment: std::collections::BTreeMap<String, String>,
    /// Longest time of one command, written like `10m`; half an hour where absent.
    pub timeout: Option<String>,
}

/// When a hook is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookMoment {
    BeforeBackup,
    AfterBackup,
    BeforeRestore,
    AfterRestore,
    BeforeSwap,
    AfterSwap,
    OnFailure,
}

/// A command that is run, or an address that is told, at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    pub on: HookMoment,
    #[serde(default)]
    pub command: Vec<String>,
    /// Told by a POST of JSON. A secret.
    #[serde(default)]
    pub url: Option<SecretText>,
    /// Longest time, written like `30s`; one minute where absent.
    #[serde(default)]
    pub timeout: Option<String>,
    /// A failure is told and stops nothing. Without it, a failing `before` hook stops the operation.
    #[serde(default)]
    pub may_fail: bool,
}
