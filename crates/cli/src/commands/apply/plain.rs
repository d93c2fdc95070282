//! Secrets that a file holds themselves: they work, are sealed in the catalog and masked when shown, but whoever reads the
//! file has them.

use crate::config::{Definitions, has_password};
use pgkeep_model::{
    notice::Channel,
    secret::{SecretText, is_reference},
};

/// One sentence for each.
pub fn secrets_in(wanted: &Definitions) -> Vec<String> {
    let mut found = Vec::new();
    let mut look = |section: &str, name: &str, fields: &[(&str, Option<&SecretText>)]| {
        for (field, text) in fields {
            if text.is_some_and(|text| !text.is_empty() && !is_reference(text)) {
                found.push(format!(
                    "[{section}.{name}] holds its {field} in plain text; use env:NAME or file:PATH"
                ));
            }
        }
    };
    for (name, repository) in &wanted.repositories {
        let fields = [
            ("key", repository.key.as_ref()),
            ("secret_access_key", repository.secret_access_key.as_ref()),
            ("session_token", repository.session_token.as_ref()),
        ];
        look("repository", name, &fields);
    }
    for (name, target) in &wanted.targets {
        let fields = match &target.channel {
            Channel::Email { password, .. } => [("password", password.as_ref()), ("", None)],
            Channel::Webhook { url, secret } => [("url", Some(url)), ("secret", secret.as_ref())],
            Channel::Slack { url }
            | Channel::Discord { url }
            | Channel::Teams { url }
            | Channel::DeadManPing { url } => [("url", Some(url)), ("", None)],
        };
        look("notify", name, &fields);
    }
    for (name, app) in &wanted.apps {
        // An address without a password is no secret.
        let with_password = |url: &&SecretText| has_password(url);
        let fields = [
            ("databases", app.databases.iter().find(with_password)),
            ("admin_url", app.admin_url.as_ref().filter(with_password)),
            (
                "drill.admin_url",
                app.drill.admin_url.as_ref().filter(with_password),
            ),
            (
                "upgrade.from",
                app.upgrade.from.as_ref().filter(with_password),
            ),
            ("upgrade.to", app.upgrade.to.as_ref().filter(with_password)),
        ];
        look("app", name, &fields);
    }
    found
}
