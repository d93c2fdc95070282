//! `pgkeep.toml` as it is written.
//!
//! Which keys there are stands in [`super::keys`] and is checked before the values are read: a key that nobody knows is
//! refused with its line and the nearest known key, for a misspelt `exclude_table_data` must not pass in silence.

use super::{
    ConfigError,
    keys::{self, Keys, Shape},
};
use pgkeep_model::{
    access::{Permission, Role},
    app::{AppDefinition, RepositoryDefinition},
    notice::NotificationTarget,
    policy::Policy,
    secret::SecretText,
};
use serde::Deserialize;
use std::{collections::BTreeMap, ops::Range, path::Path};
use toml::de::{DeTable, DeValue};

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct RawConfig {
    /// Where the catalog is: a file, or a `postgres://` address; may be `env:` or `file:`.
    pub catalog: Option<SecretText>,
    /// Folder of the server's own files.
    pub data_dir: Option<String>,
    pub defaults: RawDefaults,
    pub app: BTreeMap<String, AppDefinition>,
    pub repository: BTreeMap<String, RepositoryDefinition>,
    pub policy: BTreeMap<String, Policy>,
    pub notify: BTreeMap<String, NotificationTarget>,
    pub server: RawServer,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct RawDefaults {
    pub app: Option<String>,
    pub repository: Option<String>,
    pub environment: Option<String>,
    pub jobs: Option<u16>,
    pub compression: Option<i32>,
    pub bin_dirs: Vec<String>,
}

/// `[server]`: how `pgkeep serve` and `pgkeep worker` run. Durations are written like `15m`, sizes like `20MiB`.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct RawServer {
    pub listen: Option<String>,
    pub public_url: Option<String>,
    pub tls_cert: Option<String>,
    pub tls_key: Option<String>,
    pub trusted_proxies: Vec<String>,
    pub workers: Option<u16>,
    pub two_person_restore: Option<bool>,
    /// Lets `/metrics` be read without logging in.
    pub open_metrics: Option<bool>,
    /// Filter of log lines, such as `info`.
    pub log: Option<String>,
    /// `text` or `json`
    pub log_format: Option<String>,
    /// A secret.
    pub sentry_dsn: Option<SecretText>,
    pub otlp_endpoint: Option<String>,
    pub session_idle: Option<String>,
    pub session_lifetime: Option<String>,
    pub upload_max_file: Option<String>,
    pub upload_max_total: Option<String>,
    /// What a compressed file may grow to.
    pub upload_max_expanded: Option<String>,
    pub upload_per_user: Option<u32>,
    pub upload_expire: Option<String>,
    /// Requests by scope, such as `backup_create = "2/hour"`, or `off`.
    pub throttle: BTreeMap<String, String>,
    /// Time limits by kind of job.
    pub limits: BTreeMap<String, RawLimits>,
    pub oidc: Option<RawOidc>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct RawLimits {
    /// The job is cancelled.
    pub soft: Option<String>,
    /// Its process is killed.
    pub hard: Option<String>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct RawOidc {
    /// What the login page calls it.
    pub name: Option<String>,
    pub issuer: String,
    pub client_id: String,
    /// A secret.
    pub client_secret: Option<SecretText>,
    pub scopes: Vec<String>,
    pub role_claim: Option<String>,
    /// Role by value of that claim.
    pub roles: BTreeMap<String, Role>,
    pub default_role: Option<Role>,
    /// Permissions by value of that claim.
    pub grants: BTreeMap<String, Vec<Permission>>,
}

impl RawConfig {
    /// Parses the text of the file at `path`.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let file = File { text, path };
        let wrong = |e: toml::de::Error| file.wrong(&e);
        let table = DeTable::parse(text).map_err(wrong)?;
        file.check(table.get_ref(), keys::ROOT, "")?;
        let mut raw: RawConfig = toml::from_str(text).map_err(wrong)?;
        for (name, policy) in &mut raw.policy {
            policy.name.clone_from(name);
        }
        for (name, target) in &mut raw.notify {
            target.name.clone_from(name);
        }
        Ok(raw)
    }
}

/// The text being read, for telling where something stands in it.
struct File<'a> {
    text: &'a str,
    path: &'a Path,
}

impl File<'_> {
    fn at(&self, span: Option<Range<usize>>) -> String {
        match span {
            Some(span) => format!("{}:{}", self.path.display(), line_of(self.text, span.start)),
            None => self.path.display().to_string(),
        }
    }

    /// The parser's message names neither file nor value; a value may be a secret, so no source line is shown.
    fn wrong(&self, error: &toml::de::Error) -> ConfigError {
        let message = error.message().replace('\n', " ");
        ConfigError::new(format!("{}: {message}", self.at(error.span())))
    }

    /// Checks the keys of one table and of those below it. `place` is its dotted name, empty at the root.
    fn check(&self, table: &DeTable<'_>, keys: Keys, place: &str) -> Result<(), ConfigError> {
        for (key, value) in table {
            let name: &str = key.get_ref();
            let Some((_, shape)) = keys.iter().find(|(known, _)| *known == name) else {
                return Err(unknown_key(&self.at(Some(key.span())), name, keys, place));
            };
            let below = match place {
                "" => name.to_owned(),
                _ => format!("{place}.{name}"),
            };
            match (shape, value.get_ref()) {
                (Shape::Table(keys), DeValue::Table(inner)) => self.check(inner, keys, &below)?,
                (Shape::List(keys), DeValue::Array(items)) => {
                    for item in items {
                        if let DeValue::Table(inner) = item.get_ref() {
                            self.check(inner, keys, &below)?;
                        }
                    }
                }
                (Shape::Named(keys), DeValue::Table(inner)) => {
                    self.check_named(inner, &below, |_| keys)?;
                }
                (Shape::Channel, DeValue::Table(inner)) => {
                    self.check_named(inner, &below, |table| {
                        let channel = table.get("channel").map(|value| value.get_ref());
                        match channel {
                            Some(DeValue::String(channel)) => keys::of_channel(channel),
                            _ => keys::ANY_CHANNEL,
                        }
                    })?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Checks tables that bear names of the user's choice.
    fn check_named(
        &self,
        tables: &DeTable<'_>,
        section: &str,
        keys: impl Fn(&DeTable<'_>) -> Keys,
    ) -> Result<(), ConfigError> {
        for (name, entry) in tables {
            let name: &str = name.get_ref();
            let DeValue::Table(inner) = entry.get_ref() else {
                return Err(ConfigError::new(format!(
                    "{}: '{name}' stands in [{section}], where only tables may",
                    self.at(Some(entry.span()))
                ))
                .with_hint(format!("begin a table with its name: [{section}.NAME]")));
            };
            self.check(inner, keys(inner), &format!("{section}.{name}"))?;
        }
        Ok(())
    }
}

fn unknown_key(at: &str, name: &str, known: Keys, place: &str) -> ConfigError {
    let place = match place {
        "" => "the file".to_owned(),
        place => format!("[{place}]"),
    };
    let error = ConfigError::new(format!("{at}: unknown key '{name}' in {place}"));
    let known: Vec<&str> = known.iter().map(|(key, _)| *key).collect();
    match nearest(name, known.iter().copied()) {
        Some(best) => error.with_hint(format!("did you mean '{best}'?")),
        None => error.with_hint(format!("known keys: {}", known.join(", "))),
    }
}

/// The candidate that is most like `name`, if one is alike at all.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())]
        .iter()
        .filter(|b| **b == b'\n')
        .count()
        + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(text: &str) -> String {
        let error = RawConfig::parse(text, Path::new("pgkeep.toml")).unwrap_err();
        match error.hint {
            Some(hint) => format!("{} / {hint}", error.message),
            None => error.message,
        }
    }

    #[test]
    fn a_complete_file_is_read() {
        let text = include_str!("example.toml");
        let raw = RawConfig::parse(text, Path::new("example.toml")).unwrap();
        assert_eq!(raw.app["shop"].databases.len(), 2);
        assert_eq!(raw.repository["main"].retries, Some(8));
    }

    #[test]
    fn every_listed_key_is_one_that_is_read() {
        // serde would ignore a key that is listed but has no field, so each is given a value of a wrong type.
        for (section, others, keys) in [
            ("defaults", "", keys::DEFAULTS),
            ("app.x", "", keys::APP),
            ("repository.x", "", keys::REPOSITORY),
            ("policy.x", "app = \"shop\"", keys::POLICY),
            ("policy.x.schedule", "", keys::SCHEDULE),
            ("policy.x.retention", "", keys::RETENTION),
            ("policy.x.retention.keep", "", keys::KEEP),
            ("server", "", keys::SERVER),
            ("server.limits.backup", "", keys::LIMITS),
            ("server.oidc", "", keys::OIDC),
            (
                "notify.x",
                "channel = \"slack\"\nurl = \"env:X\"",
                keys::TARGET,
            ),
        ] {
            for (key, shape) in keys {
                if *key == "app" && section == "policy.x" {
                    continue;
                }
                let wrong = match shape {
                    Shape::Value => "{ a = 1 }",
                    _ => "false",
                };
                let text = format!("[{section}]\n{others}\n{key} = {wrong}\n");
                let text = match section.starts_with("policy.x.") {
                    true => format!("[policy.x]\napp = \"shop\"\n{text}"),
                    false => text,
                };
                let error = RawConfig::parse(&text, Path::new("f")).expect_err(key);
                assert!(!error.message.contains("missing field"), "{section}.{key}");
            }
        }
    }

    #[test]
    fn the_reference_page_names_every_key() {
        let page = include_str!("../../../../docs/reference/configuration.md");
        for key in keys::every() {
            let written = [
                format!("\n{key} = "),
                format!("{{ {key} = "),
                format!(", {key} = "),
            ];
            assert!(written.iter().any(|way| page.contains(way)), "{key}");
        }
        let examples = page.split("```toml").skip(1);
        for example in examples {
            let example = example.split("```").next().unwrap();
            RawConfig::parse(example, Path::new("page")).unwrap();
        }
    }

    #[test]
    fn neither_a_file_nor_an_option_tells_its_secrets_in_its_debug_text() {
        let text = "
            catalog = \"postgres://u:canary@h/plain\"
            [app.shop]
            databases = [\"postgres://u:canary@h/shop\"]
            admin_url = \"canary\"
            [repository.main]
            secret_access_key = \"canary\"
            [notify.chat]
            channel = \"slack\"
            url = \"https://canary\"
            [server]
            sentry_dsn = \"canary\"
            [server.oidc]
            issuer = \"https://issuer\"
            client_id = \"id\"
            client_secret = \"canary\"
        ";
        let raw = RawConfig::parse(text, Path::new("pgkeep.toml")).unwrap();
        let options = crate::args::ConnectionArgs {
            database_url: Some("postgres://u:canary@h/db".into()),
            admin_url: Some("canary".into()),
            ..Default::default()
        };
        let shown = format!("{raw:?} {options:?}");
        assert!(!shown.contains("canary"), "{shown}");
        assert!(
            shown.contains("https://issuer"),
            "the rest is shown: {shown}"
        );
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let errors: Vec<String> = [
            "[app.shop]\ndatabase = [\"shop\"]\n",
            "\n[defualts]\njobs = 2\n",
            "[repository.main]\naddress = \"./b\"\nzzz = 1\n",
            "[defaults]\njobs = \"many\"\n",
            "[app]\ndatabases = [\"shop\"]\n",
            "[app.shop]\ndatabases = \"shop\n",
        ]
        .iter()
        .map(|text| error_of(text))
        .collect();
        insta::assert_snapshot!(errors.join("\n"));
    }
}
