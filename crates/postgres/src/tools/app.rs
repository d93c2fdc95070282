//! A program of the app's own, such as `manage.py migrate`, run under the same rules as client programs: no shell, no
//! password in arguments, a process group of its own that ends with it.
//!
//! It sees the harmless part of our environment, what the user lists for it, and where the database is. What it prints, on
//! both streams, comes out of one pipe in the order in which it was written.

use super::{
    command::{clear_environment, connection_environment},
    error::ToolError,
    password::PasswordFile,
    running::RunningTool,
};
use crate::{
    connect::ConnectOptions,
    error::{Error, Result},
};
use pgkeep_model::CancelToken;
use secrecy::{ExposeSecret, SecretString};
use std::{
    ffi::OsString,
    io::{self, PipeReader},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Variables by which runtimes and frameworks find themselves; none of them is a secret.
const RUNTIMES: &[&str] = &[
    "APP_ENV",
    "ASPNETCORE_ENVIRONMENT",
    "BUNDLE_GEMFILE",
    "BUNDLE_PATH",
    "DJANGO_CONFIGURATION",
    "DJANGO_SETTINGS_MODULE",
    "DOTNET_ROOT",
    "GEM_HOME",
    "GEM_PATH",
    "JAVA_HOME",
    "LANG",
    "LC_CTYPE",
    "MIX_ENV",
    "NODE_ENV",
    "NODE_PATH",
    "PYTHONPATH",
    "RACK_ENV",
    "RAILS_ENV",
    "SHELL",
    "VIRTUAL_ENV",
];

/// A program of the app about to run.
#[derive(Debug)]
pub struct AppProgram {
    words: Vec<String>,
    directory: Option<PathBuf>,
    connection: Option<ConnectOptions>,
    url_variable: Option<String>,
    environment: Vec<(String, OsString)>,
    secrets: Vec<SecretString>,
}

impl AppProgram {
    /// The program is `words[0]`: a path, counted from the program's folder, or a name to look for in `PATH`.
    pub fn new(words: &[String]) -> Self {
        Self {
            words: words.to_vec(),
            directory: None,
            connection: None,
            url_variable: None,
            environment: Vec::new(),
            secrets: Vec::new(),
        }
    }

    /// Folder to run in.
    pub fn directory(mut self, directory: Option<&str>) -> Self {
        self.directory = directory.map(PathBuf::from);
        self
    }

    /// Database that libpq's variables and `DATABASE_URL` lead to; the variable `url_variable` gets the URL with its
    /// password.
    pub fn database(mut self, database: &ConnectOptions, url_variable: Option<&str>) -> Self {
        self.secrets.extend(database.secret_texts());
        self.connection = Some(database.clone());
        self.url_variable = url_variable.map(str::to_owned);
        self
    }

    /// Sets a variable. `env:NAME` hands on one of our own, `file:/path` the content of a file.
    ///
    /// # Errors
    /// When there is no such variable, or the file cannot be read.
    pub fn variable(mut self, name: &str, value: &str) -> Result<Self> {
        let wrong = |what: String| {
            Error::refused(
                format!("variable {name} of the app's commands: {what}"),
                "correct `environment` of the app's commands",
            )
        };
        let value = if let Some(source) = value.strip_prefix("env:") {
            let found = std::env::var_os(source)
                .ok_or_else(|| wrong(format!("{source} is not set here")))?;
            self.secrets.extend(
                found
                    .to_str()
                    .map(|text| SecretString::from(text.to_owned())),
            );
            found
        } else if let Some(path) = value.strip_prefix("file:") {
            let text = std::fs::read_to_string(path)
                .map_err(|e| wrong(format!("cannot read {path}: {e}")))?;
            let text = text.trim_end_matches('\n').to_owned();
            self.secrets.push(text.clone().into());
            text.into()
        } else {
            value.into()
        };
        self.environment.push((name.to_owned(), value));
        Ok(self)
    }

    /// Sets a variable to this very text.
    pub fn plain_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// What must not be seen in what it prints: texts short enough to stand there by chance are none.
    pub fn secrets(&self) -> Vec<SecretString> {
        let long = |secret: &&SecretString| secret.expose_secret().len() >= 4;
        self.secrets.iter().filter(long).cloned().collect()
    }

    /// Starts it; what it prints can be read from the pipe, which ends when the last of its processes has let go of it.
    pub fn start(self, cancel: &CancelToken) -> Result<(RunningTool, PipeReader)> {
        cancel.check()?;
        let name = self.words.first().cloned().unwrap_or_default();
        let start_failed = |source| ToolError::Start {
            program: name.clone(),
            source,
        };
        let program = self.find().map_err(start_failed)?;
        let password = match &self.connection {
            None => None,
            Some(connection) => {
                PasswordFile::for_connection(connection).map_err(|source| ToolError::Password {
                    program: name.clone(),
                    source,
                })?
            }
        };
        let (reader, writer) = io::pipe().map_err(start_failed)?;
        let errors = writer.try_clone().map_err(start_failed)?;
        let mut command = self.command(&program, password.as_ref());
        command
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(errors)
            .process_group(0);
        Ok((RunningTool::start(name, command, password, cancel)?, reader))
    }

    fn command(&self, program: &Path, password: Option<&PasswordFile>) -> Command {
        let mut command = super::command::dying_with_us(program);
        clear_environment(&mut command);
        // Its messages are the user's, in the user's language.
        command.env_remove("LC_ALL");
        for name in RUNTIMES {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        if let Some(connection) = &self.connection {
            command
                .envs(connection_environment(connection, None))
                .env("DATABASE_URL", connection.to_url());
            if let Some(options) = &connection.options {
                command.env("PGOPTIONS", options);
            }
            if let Some(variable) = &self.url_variable {
                let url = connection.to_url_with_password();
                command.env(variable, url.expose_secret());
            }
        }
        if let Some(file) = password {
            command.env("PGPASSFILE", file.path());
        }
        command.args(&self.words[1..]);
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        command
    }

    /// The program's file.
    fn find(&self) -> io::Result<PathBuf> {
        let not_found = |what: String| Err(io::Error::new(io::ErrorKind::NotFound, what));
        let Some(word) = self.words.first().filter(|word| !word.is_empty()) else {
            return not_found("no program is named".into());
        };
        if let Some(directory) = self.directory.as_ref().filter(|dir| !dir.is_dir()) {
            return not_found(format!("there is no folder {}", directory.display()));
        }
        if word.contains('/') {
            let path = match &self.directory {
                Some(directory) => directory.join(word),
                None => PathBuf::from(word),
            };
            return match is_program(&path) {
                true => Ok(path),
                false => not_found(format!("{} is not a program", path.display())),
            };
        }
        let own = self
            .environment
            .iter()
            .rev()
            .find(|(name, _)| name == "PATH");
        let path = own
            .map(|(_, value)| value.clone())
            .or_else(|| std::env::var_os("PATH"))
            .unwrap_or_default();
        match std::env::split_paths(&path)
            .map(|dir| dir.join(word))
            .find(|file| is_program(file))
        {
            Some(file) => Ok(file),
            None => not_found("it is not in PATH".into()),
        }
    }
}

fn is_program(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
