//! Secrets: read from where the configuration points, and never shown.

use super::{ConfigError, Environment};
use secrecy::SecretString;
use std::path::Path;

/// Reads a secret written as `env:NAME`, `file:/path` or literally; relative paths count from `base`. The flag tells
/// that it was literal, which deserves a warning.
pub fn read_secret(
    text: &str,
    base: &Path,
    environment: &Environment,
    what: &str,
) -> Result<(SecretString, bool), ConfigError> {
    if let Some(name) = text.strip_prefix("env:") {
        let value = environment.get(name).ok_or_else(|| {
            ConfigError::new(format!(
                "{what}: the environment variable {name} is not set"
            ))
        })?;
        return Ok((SecretString::from(value), false));
    }
    if let Some(path) = text.strip_prefix("file:") {
        return read_file(&base.join(path), what).map(|secret| (secret, false));
    }
    Ok((SecretString::from(text), true))
}

/// Reads a secret that is a file's content; line ends after it do not belong to it.
pub fn read_file(path: &Path, what: &str) -> Result<SecretString, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| ConfigError::new(format!("{what}: cannot read {}: {e}", path.display())))?;
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err(ConfigError::new(format!(
            "{what}: {} is empty",
            path.display()
        )));
    }
    Ok(SecretString::from(text))
}

/// Tells whether a connection string holds a password.
pub fn has_password(url: &str) -> bool {
    masked_url(url) != url
}

/// The connection string with its password as stars, for showing.
pub fn masked_url(url: &str) -> String {
    let mut text = url.to_owned();
    let scheme = text.find("://").map(|at| at + 3);
    if let Some(start) = scheme {
        let end = text[start..]
            .find(['/', '?', '#'])
            .map_or(text.len(), |at| start + at);
        // A password may hold @ itself; the last one before the host ends the user part.
        if let Some(at) = text[start..end].rfind('@').map(|at| start + at)
            && let Some(colon) = text[start..at].find(':').map(|colon| start + colon)
            && colon + 1 < at
        {
            text.replace_range(colon + 1..at, "****");
        }
    }
    mask_parameters(&text, scheme.is_some())
}

/// Masks `password=` and `sslpassword=` values, both in a URL's query and in key=value form.
fn mask_parameters(text: &str, is_url: bool) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("password") {
        let after = &rest[at + "password".len()..];
        let value = after.trim_start();
        let Some(value) = value.strip_prefix('=') else {
            out.push_str(&rest[..at + "password".len()]);
            rest = after;
            continue;
        };
        let value = if is_url { value } else { value.trim_start() };
        let length = value_length(value, is_url);
        out.push_str(&rest[..at]);
        out.push_str("password=");
        if length > 0 {
            out.push_str("****");
        }
        rest = &value[length..];
    }
    out.push_str(rest);
    out
}

fn value_length(value: &str, is_url: bool) -> usize {
    if is_url {
        return value.find(['&', '#']).unwrap_or(value.len());
    }
    let quoted = value.starts_with('\'');
    let mut escaped = false;
    for (at, c) in value.char_indices().skip(usize::from(quoted)) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\'' if quoted => return at + 1,
            c if c.is_whitespace() && !quoted => return at,
            _ => {}
        }
    }
    value.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn passwords_are_masked_wherever_they_stand() {
        for (given, shown) in [
            ("postgres://u:p@h/db", "postgres://u:****@h/db"),
            (
                "postgres://u:p@ss:w@h:5432/db?sslmode=require",
                "postgres://u:****@h:5432/db?sslmode=require",
            ),
            (
                "postgres://u@h/db?password=x&a=b",
                "postgres://u@h/db?password=****&a=b",
            ),
            ("postgres://u@h/db", "postgres://u@h/db"),
            (
                "host=h password=secret user=u",
                "host=h password=**** user=u",
            ),
            (
                "host=h password = 'a b\\'c' user=u",
                "host=h password=**** user=u",
            ),
            (
                "host=h sslpassword=x dbname=shop",
                "host=h sslpassword=**** dbname=shop",
            ),
            ("shop", "shop"),
        ] {
            assert_eq!(masked_url(given), shown);
        }
        assert!(has_password("postgres://u:p@h/db"));
        assert!(!has_password("postgres://u@h/db?sslmode=require"));
    }

    #[test]
    fn secrets_come_from_variables_files_or_literally() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "from file\n").unwrap();
        std::fs::write(folder.path().join("empty"), "\n").unwrap();
        let environment = Environment::new([("KEY".to_owned(), "from env".to_owned())]);
        let read = |text| {
            read_secret(text, folder.path(), &environment, "key")
                .map(|(s, literal)| (s.expose_secret().to_owned(), literal))
        };
        assert_eq!(read("env:KEY").unwrap(), ("from env".into(), false));
        assert_eq!(read("file:key").unwrap(), ("from file".into(), false));
        assert_eq!(read("plain").unwrap(), ("plain".into(), true));
        for wrong in ["env:MISSING", "file:missing", "file:empty"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
