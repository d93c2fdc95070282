//! Where configuration and key files are looked for.

use super::{ConfigError, Environment, Source, Sourced};
use std::path::{Path, PathBuf};

/// Folders that searches start from.
#[derive(Debug, Clone)]
pub struct Places {
    pub current_dir: PathBuf,
    /// `/etc`
    pub system_config: PathBuf,
    /// `$XDG_CONFIG_HOME`, else `~/.config`; nothing without a home.
    pub user_config: Option<PathBuf>,
}

impl Places {
    pub fn from_process(environment: &Environment) -> Result<Self, ConfigError> {
        let current_dir = std::env::current_dir()
            .map_err(|e| ConfigError::new(format!("cannot tell the current folder: {e}")))?;
        let user_config = environment
            .get("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| {
                environment
                    .get("HOME")
                    .map(|home| Path::new(home).join(".config"))
            });
        Ok(Self {
            current_dir,
            system_config: PathBuf::from("/etc"),
            user_config,
        })
    }

    /// The folder of pgkeep's own files for this user.
    pub fn own_config_dir(&self) -> PathBuf {
        self.user_config
            .as_ref()
            .unwrap_or(&self.system_config)
            .join("pgkeep")
    }

    /// The configuration file in force: `--config`, `PGKEEP_CONFIG`, else the first that exists of `./pgkeep.toml`,
    /// the user's, the system's. One that was asked for must exist.
    pub fn config_file(
        &self,
        flag: Option<&Path>,
        environment: &Environment,
    ) -> Result<Option<Sourced<PathBuf>>, ConfigError> {
        let asked = match (flag, environment.get("PGKEEP_CONFIG")) {
            (Some(path), _) => Some(Sourced::new(path.to_owned(), Source::Flag("--config"))),
            (None, Some(path)) => Some(Sourced::new(
                PathBuf::from(path),
                Source::Variable("PGKEEP_CONFIG"),
            )),
            (None, None) => None,
        };
        if let Some(asked) = asked {
            if !asked.value.is_file() {
                return Err(ConfigError::new(format!(
                    "{}: no such configuration file (from {})",
                    asked.value.display(),
                    asked.source
                )));
            }
            return Ok(Some(asked));
        }
        let found = self.candidates().into_iter().find(|path| path.is_file());
        Ok(found.map(|path| Sourced::new(path, Source::Default)))
    }

    /// Files that are tried in turn when none is named.
    pub fn candidates(&self) -> Vec<PathBuf> {
        let mut all = vec![self.current_dir.join("pgkeep.toml")];
        if let Some(user) = &self.user_config {
            all.push(user.join("pgkeep/pgkeep.toml"));
        }
        all.push(self.system_config.join("pgkeep/pgkeep.toml"));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_file_wins_and_a_named_one_must_exist() {
        let root = tempfile::tempdir().unwrap();
        let places = Places {
            current_dir: root.path().join("here"),
            system_config: root.path().join("etc"),
            user_config: Some(root.path().join("home/.config")),
        };
        let none = Environment::default();
        assert_eq!(places.config_file(None, &none).unwrap(), None);
        for path in places.candidates().iter().rev() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
            assert_eq!(
                &places.config_file(None, &none).unwrap().unwrap().value,
                path
            );
        }
        let missing = root.path().join("missing.toml");
        assert!(
            places
                .config_file(Some(&missing), &none)
                .unwrap_err()
                .message
                .contains("--config")
        );
        let named = Environment::new([("PGKEEP_CONFIG".to_owned(), missing.display().to_string())]);
        assert!(
            places
                .config_file(None, &named)
                .unwrap_err()
                .message
                .contains("PGKEEP_CONFIG")
        );
    }
}
