//! Secrets in answers and in edits. What is shown has its secret replaced by `***`; who sends that back keeps what is stored.
//!
//! References (`env:NAME`, `file:/path`) are no secrets and are shown as they are.

use pgkeep_model::secret::{SecretText, is_reference};
use url::Url;

/// Stands for a secret.
pub const MASK: &str = "***";

/// A value that is all secret.
pub fn secret(text: &str) -> String {
    match is_reference(text) {
        true => text.to_string(),
        false => MASK.to_string(),
    }
}

/// A connection string without its password; a plain name of a database as it is.
pub fn connection(text: &str) -> String {
    if is_reference(text) || !(text.contains("://") || text.contains('=')) {
        return text.to_string();
    }
    let Ok(mut url) = Url::parse(text) else {
        return MASK.to_string();
    };
    if url.password().is_some() && url.set_password(Some(MASK)).is_err() {
        return MASK.to_string();
    }
    let pairs: Vec<(String, String)> = url
        .query_pairs()
        .map(|(name, value)| match is_harmless(&name) {
            true => (name.into_owned(), value.into_owned()),
            false => (name.into_owned(), MASK.to_string()),
        })
        .collect();
    if pairs.is_empty() {
        url.set_query(None);
    } else {
        url.query_pairs_mut().clear().extend_pairs(pairs);
    }
    url.to_string()
}

/// The address of a repository: a folder, or a URL that might hold a password.
pub fn connection_or_path(text: &str) -> String {
    match text.contains("://") && text.contains('@') {
        true => connection(text),
        false => text.to_string(),
    }
}

fn is_harmless(parameter: &str) -> bool {
    matches!(
        parameter,
        "sslmode"
            | "host"
            | "hostaddr"
            | "port"
            | "user"
            | "dbname"
            | "sslrootcert"
            | "sslcert"
            | "sslkey"
            | "connect_timeout"
            | "application_name"
            | "target_session_attrs"
            | "channel_binding"
            | "passfile"
            | "service"
            | "options"
    )
}

/// The address of a web hook: whoever knows its path may post there.
pub fn hook(text: &str) -> String {
    if is_reference(text) {
        return text.to_string();
    }
    match Url::parse(text) {
        Ok(url) => match url.host_str() {
            Some(host) => format!("{}://{host}/{MASK}", url.scheme()),
            None => MASK.to_string(),
        },
        Err(_) => MASK.to_string(),
    }
}

/// What is to be stored for `sent`: one of the `stored` values, where its mask was sent back.
pub fn unmask<'s>(
    sent: SecretText,
    stored: impl IntoIterator<Item = &'s SecretText>,
    mask: fn(&str) -> String,
) -> SecretText {
    stored
        .into_iter()
        .find(|value| **value != sent && sent == mask(value).as_str())
        .cloned()
        .unwrap_or(sent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{apps::AppBody, notifications::TargetBody, repositories::RepositoryBody};
    use serde::{Serialize, de::DeserializeOwned};
    use serde_json::{Value, json};
    use std::fmt::Debug;

    #[test]
    fn a_connection_shows_everything_but_its_secrets() {
        for (text, shown) in [
            ("shop", "shop"),
            ("env:DATABASE_URL", "env:DATABASE_URL"),
            ("file:/run/secret", "file:/run/secret"),
            (
                "postgres://ann:pw@db:5433/shop",
                "postgres://ann:***@db:5433/shop",
            ),
            ("postgres://ann@db/shop", "postgres://ann@db/shop"),
            (
                "postgres://db/shop?password=pw&sslmode=require",
                "postgres://db/shop?password=***&sslmode=require",
            ),
            ("host=db password=pw", "***"),
        ] {
            assert_eq!(connection(text), shown);
        }
    }

    #[test]
    fn what_was_masked_is_kept_and_what_was_typed_is_taken() {
        let stored = [SecretText::from("postgres://ann:pw@db/shop")];
        let keep = unmask("postgres://ann:***@db/shop".into(), &stored, connection);
        assert_eq!(keep, stored[0]);
        let changed = unmask("postgres://ann:new@db/shop".into(), &stored, connection);
        assert_eq!(changed, "postgres://ann:new@db/shop");
        let moved = unmask("postgres://ann:***@other/shop".into(), &stored, connection);
        assert_eq!(moved, "postgres://ann:***@other/shop");
    }

    #[test]
    fn a_hook_shows_its_host_only() {
        assert_eq!(
            hook("https://hooks.example.org/T0/B0/secret?x=1"),
            "https://hooks.example.org/***"
        );
        assert_eq!(hook("env:HOOK"), "env:HOOK");
    }
    /// Takes in a body with `secrets` canaries, none of which its debug text may show.
    fn keeps_quiet<T: DeserializeOwned + Serialize + Debug>(body: Value, secrets: usize) {
        let body: T = serde_json::from_value(body).unwrap();
        let shown = format!("{body:?}");
        assert!(!shown.contains("canary"), "{shown}");
        let whole = serde_json::to_string(&body).unwrap();
        assert_eq!(whole.matches("canary").count(), secrets, "{whole}");
    }

    #[test]
    fn a_body_that_was_sent_tells_no_secret_in_its_debug_text() {
        let app = json!({
            "databases": ["postgres://app:canary@db/shop"], "adminUrl": "canary", "fence": { "pgbouncer": "canary" },
            "drill": { "adminUrl": "canary" }, "hooks": [{ "on": "after_backup", "url": "canary" }],
            "upgrade": { "from": "canary", "to": "canary" },
        });
        keeps_quiet::<AppBody>(app, 7);
        let repository = json!({
            "key": "canary", "accessKeyId": "canary", "secretAccessKey": "canary", "sessionToken": "canary",
        });
        keeps_quiet::<RepositoryBody>(repository, 4);
        let mail =
            json!({ "type": "email", "to": [], "from": "a", "host": "h", "password": "canary" });
        keeps_quiet::<TargetBody>(json!({ "channel": mail }), 1);
        let signed = json!({ "type": "webhook", "url": "canary", "secret": "canary" });
        keeps_quiet::<TargetBody>(json!({ "channel": signed }), 2);
        for kind in ["slack", "discord", "teams", "dead_man_ping"] {
            keeps_quiet::<TargetBody>(json!({ "channel": { "type": kind, "url": "canary" } }), 1);
        }
    }
}
