//! Key files: where a repository's key lies when nothing else names it, and how a new one is written.

use super::{ConfigError, Places};
use pgkeep_engine::keys;
use pgkeep_server::targets::key_file_name;
use secrecy::SecretString;
use std::path::{Path, PathBuf};

/// The key file that belongs to a repository address when no key is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPlace(pub PathBuf);

impl KeyPlace {
    /// `<config dir>/pgkeep/<last part of the address>-<hash of it>.key`; `address` must be absolute or a URL.
    pub fn of(address: &str, places: &Places) -> Self {
        KeyPlace(places.own_config_dir().join(key_file_name(address)))
    }
}

/// Writes a secret text to a new file that only its owner can read, durably; never over an existing one.
pub fn write_new(path: &Path, content: &SecretString) -> Result<(), ConfigError> {
    keys::write_new(path, content).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => ConfigError::new(format!(
            "{} exists already and is not overwritten",
            path.display()
        )),
        _ => ConfigError::new(format!("cannot write {}: {e}", path.display())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgkeep_repository::generate_key;
    use secrecy::ExposeSecret;
    use std::{fs, os::unix::fs::PermissionsExt};

    fn places() -> Places {
        Places {
            current_dir: "/here".into(),
            system_config: "/etc".into(),
            user_config: Some("/home/u/.config".into()),
        }
    }

    #[test]
    fn each_address_has_its_own_stable_place() {
        let of = |address: &str| KeyPlace::of(address, &places()).0.display().to_string();
        assert_eq!(
            of("/srv/backups"),
            "/home/u/.config/pgkeep/backups-4c72dab3.key"
        );
        assert_eq!(of("/srv/backups"), of("/srv/backups/"));
        assert_ne!(of("/srv/backups"), of("/mnt/backups"));
        assert_eq!(
            of("s3://bucket/shop?region=a"),
            of("s3://bucket/shop?region=b")
        );
    }

    #[test]
    fn a_new_key_is_long_random_and_private() {
        let (a, b) = (generate_key(), generate_key());
        assert_eq!(a.expose_secret().len(), 47);
        assert_ne!(a.expose_secret(), b.expose_secret());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/repo.key");
        write_new(&path, &a).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(
            write_new(&path, &b)
                .unwrap_err()
                .message
                .contains("not overwritten")
        );
        assert_eq!(
            fs::read_to_string(&path).unwrap().trim_end(),
            a.expose_secret()
        );
    }
}
