//! libpq's password file (`~/.pgpass`): lines `host:port:database:user:password`.

use super::Environment;
use secrecy::{ExposeSecret, SecretString};
use std::{
    fmt,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// A password file's entries. `Debug` shows only where they came from.
#[derive(Clone)]
pub struct PassFile {
    path: PathBuf,
    lines: Vec<Line>,
}

#[derive(Clone)]
struct Line {
    host: String,
    port: String,
    database: String,
    user: String,
    password: SecretString,
}

impl PassFile {
    /// Loads the named file, else `~/.pgpass` if there is one. As in libpq a file that others can read is ignored, with
    /// a warning, and so is one that cannot be read.
    pub(super) fn load(
        named: Option<&str>,
        env: &Environment,
    ) -> (Option<PassFile>, Option<String>) {
        let path = match named {
            Some(path) => PathBuf::from(path),
            None => match env.home_file(".pgpass") {
                Some(path) => path,
                None => return (None, None),
            },
        };
        let ignored = |why: &str| {
            Some(format!(
                "password file {} is ignored: {why}",
                path.display()
            ))
        };
        let Ok(metadata) = std::fs::metadata(&path) else {
            let warning = named.and_then(|_| ignored("it does not exist or cannot be reached"));
            return (None, warning);
        };
        if !metadata.is_file() {
            return (None, ignored("it is not a plain file"));
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            return (None, ignored("others can read it; run chmod 0600 on it"));
        }
        match std::fs::read_to_string(&path) {
            Ok(text) => (Some(Self::parse(&path, &text)), None),
            Err(e) => (None, ignored(&e.to_string())),
        }
    }

    pub(super) fn parse(path: &Path, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            lines: text.lines().filter_map(parse_line).collect(),
        }
    }

    /// The first matching line's password. A socket in a default directory also matches `localhost`.
    pub fn find(&self, host: &str, port: u16, database: &str, user: &str) -> Option<SecretString> {
        let port = port.to_string();
        let is_default_socket = matches!(host, "/tmp" | "/var/run/postgresql" | "/run/postgresql");
        let matches = |pattern: &str, value: &str| pattern == "*" || pattern == value;
        self.lines
            .iter()
            .find(|line| {
                (matches(&line.host, host) || (is_default_socket && line.host == "localhost"))
                    && matches(&line.port, &port)
                    && matches(&line.database, database)
                    && matches(&line.user, user)
            })
            .map(|line| line.password.clone())
            .filter(|p| !p.expose_secret().is_empty())
    }
}

impl fmt::Debug for PassFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PassFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn parse_line(line: &str) -> Option<Line> {
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let count = fields.len();
        let field = &mut fields[count - 1];
        match c {
            '\\' => field.extend(chars.next()),
            ':' if count < 5 => fields.push(String::new()),
            _ => field.push(c),
        }
    }
    let [host, port, database, user, password] = <[String; 5]>::try_from(fields).ok()?;
    Some(Line {
        host,
        port,
        database,
        user,
        password: password.into(),
    })
}

/// A line of a password file, for handing a password to a client program.
pub(crate) fn passfile_line(host: &str, port: u16, password: &SecretString) -> SecretString {
    let escape = |text: &str| text.replace('\\', "\\\\").replace(':', "\\:");
    format!(
        "{}:{port}:*:*:{}\n",
        escape(host),
        escape(password.expose_secret())
    )
    .into()
}
