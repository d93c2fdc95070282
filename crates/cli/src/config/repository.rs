//! The repository in force: its address, its key, and how to reach it.

use super::{
    ConfigError, Key, KeyPlace, RepositorySettings, S3Settings, Source, Sourced,
    raw::nearest,
    resolve::{Resolver, absolute, pick},
    secret::{read_file, read_secret},
};
use crate::args::human_duration;
use pgkeep_model::{
    app::{AppDefinition, RepositoryDefinition},
    secret::SecretText,
};
use pgkeep_server::targets;
use secrecy::{ExposeSecret, SecretString};
use std::path::{Path, PathBuf};

impl Resolver<'_> {
    pub(super) fn repository(
        &mut self,
        raw_app: &AppDefinition,
    ) -> Result<Option<RepositorySettings>, ConfigError> {
        let only = match self.raw.repository.keys().collect::<Vec<_>>()[..] {
            [only] => Some(only.clone()),
            _ => None,
        };
        let from_file = raw_app
            .repository
            .clone()
            .or(self.raw.defaults.repository.clone())
            .or(only);
        let given = pick([
            (self.flags.repo.clone(), Source::Flag("--repo")),
            (
                self.variable("PGKEEP_REPO"),
                Source::Variable("PGKEEP_REPO"),
            ),
            (
                self.variable("BACKUPS_DIR"),
                Source::Variable("BACKUPS_DIR"),
            ),
            (from_file, self.file_source()),
        ]);
        let Some(given) = given else { return Ok(None) };
        let (address, raw) = match self.raw.repository.get(&given.value) {
            Some(raw) => {
                let address = raw.address.as_deref().ok_or_else(|| {
                    ConfigError::new(format!(
                        "{}: [repository.{}] has no address",
                        self.file_source(),
                        given.value
                    ))
                })?;
                (absolute(address, self.base()), raw.clone())
            }
            None if matches!(given.source, Source::File(_))
                && !looks_like_address(&given.value) =>
            {
                let error = ConfigError::new(format!(
                    "{}: no table [repository.{}]",
                    given.source, given.value
                ));
                let alike = nearest(&given.value, self.raw.repository.keys().map(String::as_str));
                return Err(match alike {
                    Some(alike) => error.with_hint(format!("did you mean '{alike}'?")),
                    None => error.with_hint(
                        "give the table, or an address such as ./backups or s3://bucket/prefix",
                    ),
                });
            }
            None => {
                let base = if matches!(given.source, Source::File(_)) {
                    self.base()
                } else {
                    &self.places.current_dir
                };
                (
                    absolute(&given.value, base),
                    RepositoryDefinition::default(),
                )
            }
        };
        let key_place = KeyPlace::of(&address, self.places);
        let (key, key_file) = self.key(&raw, &key_place)?;
        let amount = |text: &Option<String>, what: &str| {
            text.as_deref().map(|t| parse_size(t, what)).transpose()
        };
        let (upload_limit, download_limit) = (
            amount(&raw.upload_limit, "upload_limit")?,
            amount(&raw.download_limit, "download_limit")?,
        );
        let timeout = raw
            .timeout
            .as_deref()
            .map(human_duration)
            .transpose()
            .map_err(|e| ConfigError::new(format!("timeout: {e}")))?;
        Ok(Some(RepositorySettings {
            address: Sourced::new(address, given.source),
            key,
            key_file,
            key_place,
            s3: self.s3(&raw)?,
            upload_limit,
            download_limit,
            retries: raw.retries,
            timeout,
        }))
    }

    /// The key, and the file that it was read from.
    fn key(
        &mut self,
        raw: &RepositoryDefinition,
        place: &KeyPlace,
    ) -> Result<(Key, Option<PathBuf>), ConfigError> {
        let file = pick([
            (self.flags.key_file.clone(), Source::Flag("--key-file")),
            (
                self.variable("PGKEEP_KEY_FILE").map(PathBuf::from),
                Source::Variable("PGKEEP_KEY_FILE"),
            ),
        ]);
        if let Some(Sourced { value, source }) = file {
            return key_in(value, source, "key file");
        }
        if let Some(key) = self.variable("BACKUP_ENCRYPTION_KEY") {
            let source = Source::Variable("BACKUP_ENCRYPTION_KEY");
            return Ok((Key::Known(Sourced::new(key.into(), source)), None));
        }
        if let Some(text) = &raw.key {
            if let Some(path) = text.strip_prefix("file:") {
                return key_in(self.base().join(path), self.file_source(), "key");
            }
            let (secret, literal) = read_secret(text, self.base(), self.environment, "key")?;
            if literal {
                self.warnings.push(format!(
                    "{} holds a repository key in plain text; use env:NAME or file:PATH",
                    self.file_source()
                ));
            }
            let key = Key::Known(Sourced::new(secret, self.file_source()));
            return Ok((key, None));
        }
        if place.0.exists() {
            return key_in(place.0.clone(), Source::File(place.0.clone()), "key file");
        }
        Ok((Key::None, None))
    }

    fn s3(&mut self, raw: &RepositoryDefinition) -> Result<S3Settings, ConfigError> {
        let mut secret = |variable: &str,
                          text: &Option<SecretText>,
                          what: &str,
                          is_secret: bool|
         -> Result<Option<SecretString>, ConfigError> {
            if let Some(value) = self.environment.get(variable) {
                return Ok(Some(value.into()));
            }
            let Some(text) = text else { return Ok(None) };
            let (value, literal) = read_secret(
                text,
                self.path
                    .and_then(Path::parent)
                    .unwrap_or(&self.places.current_dir),
                self.environment,
                what,
            )?;
            if literal && is_secret {
                self.warnings.push(format!(
                    "the configuration file holds {what} in plain text; use env:NAME or file:PATH"
                ));
            }
            Ok(Some(value))
        };
        let access_key_id = secret(
            "AWS_ACCESS_KEY_ID",
            &raw.access_key_id,
            "access_key_id",
            false,
        )?;
        let secret_access_key = secret(
            "AWS_SECRET_ACCESS_KEY",
            &raw.secret_access_key,
            "secret_access_key",
            true,
        )?;
        let session_token = secret(
            "AWS_SESSION_TOKEN",
            &raw.session_token,
            "session_token",
            true,
        )?;
        let plain = |names: &[&str], text: &Option<String>| {
            names
                .iter()
                .find_map(|name| self.variable(name))
                .or_else(|| text.clone())
        };
        Ok(S3Settings {
            access_key_id: access_key_id.map(|id| id.expose_secret().to_owned()),
            secret_access_key,
            session_token,
            endpoint: plain(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"], &raw.endpoint),
            region: plain(&["AWS_REGION", "AWS_DEFAULT_REGION"], &raw.region),
            server_side_encryption: raw.server_side_encryption.clone(),
            virtual_host_style: raw.virtual_host_style.unwrap_or(false),
        })
    }
}

/// The key in a file that is named, which may be missing.
fn key_in(
    path: PathBuf,
    source: Source,
    what: &str,
) -> Result<(Key, Option<PathBuf>), ConfigError> {
    if !path.exists() {
        return Ok((Key::MissingFile(Sourced::new(path, source)), None));
    }
    let key = Key::Known(Sourced::new(read_file(&path, what)?, source));
    Ok((key, Some(path)))
}

fn looks_like_address(text: &str) -> bool {
    text.contains('/') || text.starts_with('.')
}

/// A size as [`targets::parse_size`] takes it.
pub(super) fn parse_size(text: &str, what: &str) -> Result<u64, ConfigError> {
    targets::parse_size(text).map_err(|e| ConfigError::new(format!("{what}: {e}")))
}
