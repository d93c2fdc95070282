//! `pgkeep.toml` as it is written.
//!
//! The keys are listed once, in the tables below, and checked before the values are read: a key that nobody knows is
//! refused with its line and the nearest known key, for a misspelt `exclude_table_data` must not pass in silence.

use super::ConfigError;
use serde::Deserialize;
use std::{collections::BTreeMap, path::Path};
use toml::de::{DeTable, DeValue};

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct RawConfig {
    pub defaults: RawDefaults,
    pub app: BTreeMap<String, RawApp>,
    pub repository: BTreeMap<String, RawRepository>,
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

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct RawApp {
    pub databases: Vec<String>,
    pub admin_url: Option<String>,
    pub environment: Option<String>,
    pub repository: Option<String>,
    pub jobs: Option<u16>,
    pub compression: Option<i32>,
    pub exclude_table_data: Vec<String>,
    pub schemas: Vec<String>,
    pub bin_dirs: Vec<String>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct RawRepository {
    pub address: Option<String>,
    pub key: Option<String>,
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<String>,
    pub session_token: Option<String>,
    pub server_side_encryption: Option<String>,
    pub virtual_host_style: Option<bool>,
    pub upload_limit: Option<String>,
    pub download_limit: Option<String>,
    pub retries: Option<u32>,
    pub timeout: Option<String>,
}

const ROOT: &[&str] = &["defaults", "app", "repository"];
const DEFAULTS: &[&str] = &[
    "app",
    "repository",
    "environment",
    "jobs",
    "compression",
    "bin_dirs",
];
const APP: &[&str] = &[
    "databases",
    "admin_url",
    "environment",
    "repository",
    "jobs",
    "compression",
    "exclude_table_data",
    "schemas",
    "bin_dirs",
];
const REPOSITORY: &[&str] = &[
    "address",
    "key",
    "endpoint",
    "region",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "server_side_encryption",
    "virtual_host_style",
    "upload_limit",
    "download_limit",
    "retries",
    "timeout",
];

impl RawConfig {
    /// Parses the text of the file at `path`.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let at = |span: Option<std::ops::Range<usize>>| match span {
            Some(span) => format!("{}:{}", path.display(), line_of(text, span.start)),
            None => path.display().to_string(),
        };
        // The parser's message names neither file nor value; a value may be a secret, so no source line is shown.
        let wrong = |e: toml::de::Error| {
            ConfigError::new(format!(
                "{}: {}",
                at(e.span()),
                e.message().replace('\n', " ")
            ))
        };
        let table = DeTable::parse(text).map_err(wrong)?;
        let check = |table: &DeTable<'_>, known: &[&str], place: &str| -> Result<(), ConfigError> {
            for key in table.keys() {
                let name: &str = key.get_ref();
                if !known.contains(&name) {
                    return Err(unknown_key(&at(Some(key.span())), name, known, place));
                }
            }
            Ok(())
        };
        check(table.get_ref(), ROOT, "the file")?;
        for (section, value) in table.get_ref().iter() {
            let DeValue::Table(inner) = value.get_ref() else {
                continue;
            };
            let section: &str = section.get_ref();
            if section == "defaults" {
                check(inner, DEFAULTS, "[defaults]")?;
                continue;
            }
            for (name, entry) in inner.iter() {
                let name: &str = name.get_ref();
                let place = format!("[{section}.{name}]");
                let DeValue::Table(entry_table) = entry.get_ref() else {
                    return Err(ConfigError::new(format!(
                        "{}: '{name}' stands in [{section}], where only tables may",
                        at(Some(entry.span()))
                    ))
                    .with_hint(format!("begin a table with its name: [{section}.NAME]")));
                };
                check(
                    entry_table,
                    if section == "app" { APP } else { REPOSITORY },
                    &place,
                )?;
            }
        }
        toml::from_str(text).map_err(wrong)
    }
}

fn unknown_key(at: &str, name: &str, known: &[&str], place: &str) -> ConfigError {
    let error = ConfigError::new(format!("{at}: unknown key '{name}' in {place}"));
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
        for (section, keys) in [
            ("defaults", DEFAULTS),
            ("app.x", APP),
            ("repository.x", REPOSITORY),
        ] {
            for key in keys {
                let text = format!("[{section}]\n{key} = {{ a = 1 }}\n");
                assert!(
                    RawConfig::parse(&text, Path::new("f")).is_err(),
                    "{section}.{key} is not read"
                );
            }
        }
    }

    #[test]
    fn the_reference_page_names_every_key() {
        let page = include_str!("../../../../docs/reference/configuration.md");
        for key in DEFAULTS.iter().chain(APP).chain(REPOSITORY) {
            assert!(page.contains(&format!("\n{key} = ")), "{key}");
        }
        let example = page.split("```").nth(1).unwrap().trim_start_matches("toml");
        RawConfig::parse(example, Path::new("page")).unwrap();
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
