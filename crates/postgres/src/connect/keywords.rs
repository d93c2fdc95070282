//! Connection strings as keyword and value pairs, before they mean anything.
//!
//! Two spellings are read, as in libpq ("Connection Strings"): `postgres://user:password@host:port,…/db?key=value` and
//! `key=value key='a value'`.

use super::{Environment, OptionsError};
use percent_encoding::percent_decode_str;
use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

/// Every keyword of libpq 18, with the environment variable that stands behind it.
const KEYWORDS: &[(&str, Option<&str>)] = &[
    ("application_name", Some("PGAPPNAME")),
    ("channel_binding", Some("PGCHANNELBINDING")),
    ("client_encoding", None),
    ("connect_timeout", Some("PGCONNECT_TIMEOUT")),
    ("dbname", Some("PGDATABASE")),
    ("fallback_application_name", None),
    ("gssdelegation", None),
    ("gssencmode", Some("PGGSSENCMODE")),
    ("gsslib", None),
    ("host", Some("PGHOST")),
    ("hostaddr", Some("PGHOSTADDR")),
    ("keepalives", None),
    ("keepalives_count", None),
    ("keepalives_idle", None),
    ("keepalives_interval", None),
    ("krbsrvname", None),
    ("load_balance_hosts", Some("PGLOADBALANCEHOSTS")),
    ("max_protocol_version", None),
    ("min_protocol_version", None),
    ("options", Some("PGOPTIONS")),
    ("passfile", Some("PGPASSFILE")),
    ("password", Some("PGPASSWORD")),
    ("port", Some("PGPORT")),
    ("replication", None),
    ("require_auth", Some("PGREQUIREAUTH")),
    ("requirepeer", Some("PGREQUIREPEER")),
    ("service", Some("PGSERVICE")),
    ("ssl_max_protocol_version", Some("PGSSLMAXPROTOCOLVERSION")),
    ("ssl_min_protocol_version", Some("PGSSLMINPROTOCOLVERSION")),
    ("sslcert", Some("PGSSLCERT")),
    ("sslcertmode", Some("PGSSLCERTMODE")),
    ("sslcompression", None),
    ("sslcrl", Some("PGSSLCRL")),
    ("sslcrldir", Some("PGSSLCRLDIR")),
    ("sslkey", Some("PGSSLKEY")),
    ("sslmode", Some("PGSSLMODE")),
    ("sslnegotiation", Some("PGSSLNEGOTIATION")),
    ("sslpassword", None),
    ("sslrootcert", Some("PGSSLROOTCERT")),
    ("sslsni", Some("PGSSLSNI")),
    ("target_session_attrs", Some("PGTARGETSESSIONATTRS")),
    ("tcp_user_timeout", None),
    ("user", Some("PGUSER")),
];

/// Keywords whose meaning cannot be honoured; ignoring them would weaken what the user asked for. The values that ask
/// for nothing are let through.
const UNSUPPORTED: &[(&str, &[&str], &str)] = &[
    (
        "gssencmode",
        &["disable", "prefer"],
        "use TLS (sslmode) instead of GSSAPI encryption",
    ),
    (
        "replication",
        &["false", "off", "no", "0"],
        "remove it: backups use ordinary connections",
    ),
    (
        "require_auth",
        &[],
        "remove it, or use channel_binding=require",
    ),
    (
        "requirepeer",
        &[],
        "remove it, or connect over TLS with sslmode=verify-full",
    ),
    (
        "sslcertmode",
        &["allow", "disable"],
        "name the client certificate with sslcert and sslkey",
    ),
    ("sslcrl", &[], "revocation lists are not read; remove it"),
    ("sslcrldir", &[], "revocation lists are not read; remove it"),
    (
        "sslnegotiation",
        &["postgres"],
        "direct TLS is not supported; remove it",
    ),
    (
        "sslpassword",
        &[],
        "store the client key unencrypted, readable by its owner only",
    ),
];

/// Keyword and value pairs. `Debug` shows the keywords only.
#[derive(Clone, Default)]
pub(super) struct Settings {
    pairs: BTreeMap<String, String>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.pairs.keys()).finish()
    }
}

impl Settings {
    pub fn parse(text: &str) -> Result<Self, OptionsError> {
        let text = text.trim();
        if let Some(rest) = strip_scheme(text) {
            parse_url(rest)
        } else if text.contains("://")
            && !text.split("://").next().unwrap_or_default().contains('=')
        {
            Err(OptionsError::Malformed(
                "it must begin with postgres:// or postgresql://".into(),
            ))
        } else if text.contains('=') {
            parse_pairs(text)
        } else {
            let mut settings = Settings::default();
            settings.set("dbname", text)?;
            Ok(settings)
        }
    }

    /// A value that is set and not empty.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs
            .get(key)
            .map(String::as_str)
            .filter(|v| !v.is_empty())
    }

    pub fn password(&self) -> Option<String> {
        self.get("password").map(str::to_owned)
    }

    pub fn set(&mut self, key: &str, value: &str) -> Result<(), OptionsError> {
        // Spellings of other drivers that mean the same.
        let (key, value) = match (key, value) {
            ("ssl", "true" | "1") => ("sslmode", "require"),
            other => other,
        };
        if !KEYWORDS.iter().any(|(name, _)| *name == key) {
            return Err(OptionsError::UnknownKeyword {
                name: key.to_owned(),
                nearest: nearest_keyword(key),
            });
        }
        self.pairs.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    pub fn set_default(&mut self, key: &str, value: &str) -> Result<(), OptionsError> {
        if self.get(key).is_none() {
            self.set(key, value)?;
        }
        Ok(())
    }

    pub fn fill_from_environment(&mut self, env: &Environment) {
        for (key, variable) in KEYWORDS {
            if let Some(value) = variable.and_then(|v| env.get(v))
                && self.get(key).is_none()
            {
                self.pairs.insert((*key).to_owned(), value.to_owned());
            }
        }
    }

    pub fn refuse_unsupported(&self) -> Result<(), OptionsError> {
        for (name, harmless, hint) in UNSUPPORTED {
            if self
                .get(name)
                .is_some_and(|value| !harmless.contains(&value))
            {
                return Err(OptionsError::Unsupported {
                    name: (*name).to_owned(),
                    hint,
                });
            }
        }
        Ok(())
    }

    pub fn number<T: FromStr>(&self, key: &str) -> Result<Option<T>, OptionsError> {
        self.get(key)
            .map(|text| {
                text.trim()
                    .parse()
                    .map_err(|_| OptionsError::invalid(key, text, "a whole number is expected"))
            })
            .transpose()
    }

    /// Seconds; zero means none.
    pub fn seconds(&self, key: &str) -> Result<Option<Duration>, OptionsError> {
        Ok(self
            .number::<u32>(key)?
            .filter(|n| *n != 0)
            .map(|n| Duration::from_secs(n.into())))
    }

    /// One of a few words; the first is the default.
    pub fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Result<T, OptionsError> {
        let Some(text) = self.get(key) else {
            return Ok(choices[0].1);
        };
        choices
            .iter()
            .find(|(word, _)| *word == text)
            .map(|c| c.1)
            .ok_or_else(|| {
                let words: Vec<_> = choices.iter().map(|c| c.0).collect();
                OptionsError::invalid(key, text, format!("it must be one of {}", words.join(", ")))
            })
    }
}

/// Accepts the schemes that frameworks put into `DATABASE_URL` (`postgresql+driver`, `postgis`) besides libpq's two.
fn strip_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let base = scheme.split('+').next().unwrap_or(scheme);
    matches!(base, "postgres" | "postgresql" | "postgis").then_some(rest)
}

fn parse_url(rest: &str) -> Result<Settings, OptionsError> {
    let mut settings = Settings::default();
    let (rest, query) = match rest.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (rest, None),
    };
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, Some(path)),
        None => (rest, None),
    };
    let (credentials, hosts) = match authority.rsplit_once('@') {
        Some((credentials, hosts)) => (Some(credentials), hosts),
        None => (None, authority),
    };
    if let Some(credentials) = credentials {
        let (user, password) = match credentials.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (credentials, None),
        };
        settings.set("user", &decode(user)?)?;
        if let Some(password) = password {
            settings.set("password", &decode(password)?)?;
        }
    }
    parse_hosts(hosts, &mut settings)?;
    if let Some(path) = path {
        settings.set("dbname", &decode(path)?)?;
    }
    for pair in query
        .into_iter()
        .flat_map(|q| q.split('&'))
        .filter(|p| !p.is_empty())
    {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            OptionsError::Malformed(format!("\"{pair}\" after the ? lacks a value"))
        })?;
        settings.set(&decode(key)?, &decode(value)?)?;
    }
    Ok(settings)
}

fn parse_hosts(text: &str, settings: &mut Settings) -> Result<(), OptionsError> {
    if text.is_empty() {
        return Ok(());
    }
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for host in text.split(',') {
        let (name, port) = if let Some(inner) = host.strip_prefix('[') {
            let (name, after) = inner.split_once(']').ok_or_else(|| {
                OptionsError::Malformed("an IPv6 address lacks its closing ]".into())
            })?;
            let port = match after {
                "" => "",
                _ => after.strip_prefix(':').ok_or_else(|| {
                    OptionsError::Malformed("after ] only :port can follow".into())
                })?,
            };
            (name.to_owned(), port)
        } else {
            let (name, port) = host.split_once(':').unwrap_or((host, ""));
            (decode(name)?, port)
        };
        names.push(name);
        ports.push(port.to_owned());
    }
    settings.set("host", &names.join(","))?;
    if ports.iter().any(|p| !p.is_empty()) {
        settings.set("port", &ports.join(","))?;
    }
    Ok(())
}

/// Percent-decodes; the text itself is not in the error, for it may be a password.
fn decode(text: &str) -> Result<String, OptionsError> {
    let bytes = text.as_bytes();
    for (i, _) in bytes.iter().enumerate().filter(|(_, b)| **b == b'%') {
        let digits = bytes.get(i + 1..i + 3).unwrap_or_default();
        if digits.len() != 2 || !digits.iter().all(u8::is_ascii_hexdigit) || digits == b"00" {
            return Err(OptionsError::Malformed(
                "a % must be followed by two hexadecimal digits (a plain % is %25)".into(),
            ));
        }
    }
    percent_decode_str(text)
        .decode_utf8()
        .map(|s| s.into_owned())
        .map_err(|_| OptionsError::Malformed("a percent-encoded part is not UTF-8".into()))
}

fn parse_pairs(text: &str) -> Result<Settings, OptionsError> {
    let mut settings = Settings::default();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(settings);
        }
        let mut key = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=' && !c.is_whitespace()) {
            key.push(c);
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.next() != Some('=') {
            return Err(OptionsError::Malformed(format!(
                "\"{}\" is not followed by =",
                shown(&key)
            )));
        }
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let quoted = chars.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        loop {
            match chars.next_if(|c| quoted || !c.is_whitespace()) {
                None if quoted => {
                    return Err(OptionsError::Malformed(format!(
                        "the value of {key} lacks its closing quote"
                    )));
                }
                None => break,
                Some('\'') if quoted => break,
                Some('\\') => value.extend(chars.next()),
                Some(c) => value.push(c),
            }
        }
        settings.set(&key, &value)?;
    }
}

/// A stray word may be a piece of a password with a space in it, so only a known keyword is repeated.
fn shown(key: &str) -> &str {
    if KEYWORDS.iter().any(|(name, _)| *name == key) {
        key
    } else {
        "…"
    }
}

fn nearest_keyword(name: &str) -> Option<String> {
    KEYWORDS
        .iter()
        .map(|(known, _)| (strsim::damerau_levenshtein(name, known), *known))
        .min()
        .filter(|(distance, known)| *distance <= known.len().div_ceil(3))
        .map(|(_, known)| known.to_owned())
}
