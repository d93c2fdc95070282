//! Texts that may be secrets: `env:NAME` and `file:/path` say where one is, anything else is the secret itself.

use serde::{Deserialize, Serialize};
use std::{fmt, ops::Deref};

/// Such a text in a definition, in a request, or on the command line. It reads like a `str` and is stored as one, but its
/// `Debug` tells no secret, so that neither a log line nor a failing comparison gives one away.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    /// The text as it was given, the secret itself where it is no reference.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text says where a secret is instead of holding it.
pub fn is_reference(text: &str) -> bool {
    text.starts_with("env:") || text.starts_with("file:")
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match is_reference(&self.0) {
            true => self.0.fmt(f),
            false => f.write_str("***"),
        }
    }
}

impl Deref for SecretText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for SecretText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl PartialEq<str> for SecretText {
    fn eq(&self, text: &str) -> bool {
        self.0 == text
    }
}

impl PartialEq<&str> for SecretText {
    fn eq(&self, text: &&str) -> bool {
        self.0 == *text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::{AppDefinition, RepositoryDefinition},
        notice::NotificationTarget,
    };
    use serde::de::DeserializeOwned;

    /// Takes in what holds `secrets` canaries: none may be seen in its debug text, and all must be there when it is stored.
    fn keeps_quiet<T: DeserializeOwned + Serialize + fmt::Debug>(json: &str, secrets: usize) {
        let value: T = serde_json::from_str(json).unwrap();
        for shown in [format!("{value:?}"), format!("{value:#?}")] {
            assert!(!shown.contains("canary"), "{shown}");
            assert!(shown.contains("plain"), "the rest is shown: {shown}");
        }
        let stored = serde_json::to_string(&value).unwrap();
        assert_eq!(stored.matches("canary").count(), secrets, "{stored}");
    }

    #[test]
    fn definitions_tell_no_secret_in_their_debug_text() {
        keeps_quiet::<AppDefinition>(
            r#"{"environment": "plain", "databases": ["canary"], "admin_url": "canary", "fence": {"pgbouncer": "canary"},
                "drill": {"admin_url": "canary"}, "hooks": [{"on": "after_backup", "url": "canary"}]}"#,
            5,
        );
        keeps_quiet::<RepositoryDefinition>(
            r#"{"address": "plain", "key": "canary", "access_key_id": "canary", "secret_access_key": "canary",
                "session_token": "canary"}"#,
            4,
        );
        for (channel, secrets) in [
            (
                r#""channel": "email", "to": [], "from": "a", "host": "h", "password": "canary""#,
                1,
            ),
            (r#""channel": "slack", "url": "canary""#, 1),
            (r#""channel": "discord", "url": "canary""#, 1),
            (r#""channel": "teams", "url": "canary""#, 1),
            (
                r#""channel": "webhook", "url": "canary", "secret": "canary""#,
                2,
            ),
            (r#""channel": "dead_man_ping", "url": "canary""#, 1),
        ] {
            keeps_quiet::<NotificationTarget>(
                &format!(r#"{{"name": "plain", {channel}}}"#),
                secrets,
            );
        }
    }

    #[test]
    fn where_a_secret_is_may_be_seen() {
        for (text, shown) in [
            ("env:NAME", "\"env:NAME\""),
            ("file:/path", "\"file:/path\""),
            ("hunter2", "***"),
        ] {
            assert_eq!(format!("{:?}", SecretText::from(text)), shown);
        }
    }
}
