//! The process's environment as a value.

use std::{collections::BTreeMap, fmt, path::PathBuf};

/// Environment variables, read once by the caller. `Debug` names the variables but not their values.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    pub fn new<K: Into<String>, V: Into<String>>(
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        Self {
            variables: variables
                .into_iter()
                .map(|(k, v)| (k.into(), v.into()))
                .collect(),
        }
    }

    /// A variable's value; an empty one counts as not set, as in libpq.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|v| !v.is_empty())
    }

    /// Names of all variables that are set.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }

    /// A file below the user's home directory.
    pub(super) fn home_file(&self, relative: &str) -> Option<PathBuf> {
        self.get("HOME")
            .map(|home| PathBuf::from(home).join(relative))
    }

    /// Name of the user that runs this process: by the password database, else `USER` or `LOGNAME`.
    pub(super) fn os_user(&self) -> Option<String> {
        let uid = rustix::process::geteuid().as_raw().to_string();
        let by_id = std::fs::read_to_string("/etc/passwd")
            .ok()
            .and_then(|text| {
                text.lines().find_map(|line| {
                    let mut fields = line.split(':');
                    let name = fields.next()?;
                    (fields.nth(1)? == uid).then(|| name.to_owned())
                })
            });
        by_id.or_else(|| self.get("USER").or(self.get("LOGNAME")).map(str::to_owned))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}
