//! Writing down who did what. Values are masked here, whoever hands them in: see [`masked`].

use super::Principal;
use crate::http::{Client, request_id};
use pgkeep_catalog::people::audit::{AuditEntry, AuditResult};
use pgkeep_catalog::{Catalog, Result};
use serde_json::Value;

/// What was done, or tried.
#[derive(Debug, Clone)]
pub struct Act {
    action: &'static str,
    object: String,
    app: Option<String>,
    before: Option<Value>,
    after: Option<Value>,
    result: AuditResult,
    reason: Option<String>,
}

impl Act {
    /// `action` is noun and verb (`user.create`), `object` noun and name (`user/ann`).
    pub fn done(action: &'static str, object: impl Into<String>) -> Self {
        Self {
            action,
            object: object.into(),
            app: None,
            before: None,
            after: None,
            result: AuditResult::Done,
            reason: None,
        }
    }

    /// The permission, the confirmation or the right moment was missing.
    pub fn refused(
        action: &'static str,
        object: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            result: AuditResult::Refused,
            reason: Some(reason.into()),
            ..Self::done(action, object)
        }
    }

    pub fn failed(
        action: &'static str,
        object: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            result: AuditResult::Failed,
            reason: Some(reason.into()),
            ..Self::done(action, object)
        }
    }

    /// The app that it is about: who sees only some apps sees only their entries.
    pub fn app(mut self, app: Option<&str>) -> Self {
        self.app = app.map(str::to_owned);
        self
    }

    pub fn before(mut self, value: impl serde::Serialize) -> Self {
        self.before = serde_json::to_value(value).ok().map(masked);
        self
    }

    pub fn after(mut self, value: impl serde::Serialize) -> Self {
        self.after = serde_json::to_value(value).ok().map(masked);
        self
    }

    /// Why it was done, as who did it says.
    pub fn reason(mut self, reason: Option<String>) -> Self {
        self.reason = reason;
        self
    }

    /// Writes it down as the principal's.
    pub async fn by(self, catalog: &Catalog, who: &Principal, client: &Client) -> Result<i64> {
        self.write(
            catalog,
            who.label(),
            who.kind(),
            Some(client.address.to_string()),
        )
        .await
    }

    /// Writes it down as of an account that has just proven itself.
    pub async fn by_user(self, catalog: &Catalog, name: &str, client: &Client) -> Result<i64> {
        let from = Some(client.address.to_string());
        self.write(catalog, name.to_owned(), "user", from).await
    }

    /// Writes it down as of somebody who was not recognised, under the name that they gave.
    pub async fn by_nobody(self, catalog: &Catalog, name: &str, client: &Client) -> Result<i64> {
        let name: String = name.chars().take(100).collect();
        self.write(catalog, name, "nobody", Some(client.address.to_string()))
            .await
    }

    /// Writes it down as the server's own.
    pub async fn by_system(self, catalog: &Catalog) -> Result<i64> {
        self.write(catalog, "pgkeep".to_owned(), "system", None)
            .await
    }

    /// Writes it down as of whoever runs the command line on the server's machine.
    pub async fn by_cli(self, catalog: &Catalog, user: &str) -> Result<i64> {
        self.write(catalog, user.to_owned(), "cli", None).await
    }

    async fn write(
        self,
        catalog: &Catalog,
        actor: String,
        kind: &str,
        from: Option<String>,
    ) -> Result<i64> {
        let entry = AuditEntry {
            actor,
            actor_kind: kind.to_owned(),
            from,
            action: self.action.to_owned(),
            object: self.object,
            app: self.app,
            before: self.before,
            after: self.after,
            result: self.result,
            reason: self.reason,
            request_id: request_id::current(),
        };
        catalog.audit_append(&entry).await
    }
}

/// The value with `***` in place of each secret: of fields that are named like one, and of passwords in addresses.
/// References to secrets (`env:`, `file:`) stay: they tell where a secret is, not what it is.
pub fn masked(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| {
                    let value = match value {
                        Value::String(text) if is_secret_name(&name) => {
                            Value::String(masked_text(&text))
                        }
                        other => masked(other),
                    };
                    (name, value)
                })
                .collect(),
        ),
        Value::Array(values) => Value::Array(values.into_iter().map(masked).collect()),
        Value::String(text) => Value::String(without_password(text)),
        other => other,
    }
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    name == "key"
        || name == "url"
        || name.ends_with("url")
        || ["password", "secret", "token", "accesskey", "dsn"]
            .iter()
            .any(|word| name.contains(word) && name != "accesskeyid")
}

fn masked_text(text: &str) -> String {
    if pgkeep_model::secret::is_reference(text) || text.is_empty() {
        text.to_owned()
    } else {
        "***".to_owned()
    }
}

/// `postgres://ann:secret@host` without the secret.
fn without_password(text: String) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text;
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let Some(at) = rest[..end].rfind('@') else {
        return text;
    };
    match rest[..at].split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:***{}", &rest[at..]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        let value = json!({
            "url": "postgres://app:canary@db/shop",
            "adminUrl": "env:ADMIN_URL",
            "admin_url": "postgres://app:canary@db/shop",
            "key": "canary",
            "secret_access_key": "canary",
            "accessKeyId": "AKIA",
            "address": "sftp://ann:canary@host/path",
            "channel": {"password": "canary", "host": "mail", "passwordFile": "file:/run/secret"},
            "list": [{"clientSecret": "canary"}, "https://x:canary@y"],
            "name": "shop",
            "count": 3,
        });
        let masked = masked(value);
        let text = masked.to_string();
        assert!(!text.contains("canary"), "{text}");
        assert_eq!(masked["adminUrl"], "env:ADMIN_URL");
        assert_eq!(masked["address"], "sftp://ann:***@host/path");
        assert_eq!(masked["accessKeyId"], "AKIA");
        assert_eq!(masked["name"], "shop");
        assert_eq!(masked["count"], 3);
        assert_eq!(masked["channel"]["passwordFile"], "file:/run/secret");
    }
}
