//! Takes a channel's secrets out of texts that others wrote: answers of receivers, errors of libraries.

use pgkeep_model::notice::Channel;
use url::Url;

const REDACTED: &str = "[secret]";
/// Shorter parts of an address are words such as `services`, which would make errors unreadable.
const SHORTEST_TOKEN: usize = 8;

/// The texts that must not be seen, longest first, so that none is left half.
pub(crate) struct Redactor {
    secrets: Vec<String>,
}

impl Redactor {
    pub(crate) fn of(channel: &Channel) -> Redactor {
        let mut secrets = Vec::new();
        match channel {
            Channel::Email { password, .. } => {
                secrets.extend(password.as_deref().map(str::to_owned))
            }
            Channel::Slack { url }
            | Channel::Discord { url }
            | Channel::Teams { url }
            | Channel::DeadManPing { url } => secrets.extend(parts_of(url)),
            Channel::Webhook { url, secret } => {
                secrets.extend(parts_of(url));
                secrets.extend(secret.as_deref().map(str::to_owned));
                let bare = secret
                    .as_deref()
                    .and_then(|secret| secret.strip_prefix("whsec_"));
                secrets.extend(bare.map(str::to_owned));
            }
        }
        secrets.retain(|secret| !secret.is_empty());
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Redactor { secrets }
    }

    pub(crate) fn clean(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| {
            text.replace(secret.as_str(), REDACTED)
        })
    }
}

/// The address itself, and each part of it that may be a token.
fn parts_of(address: &str) -> Vec<String> {
    let mut parts = vec![address.to_owned()];
    let Ok(url) = Url::parse(address) else {
        return parts;
    };
    parts.push(url.to_string());
    parts.extend(url.password().map(str::to_owned));
    if url.path().len() >= SHORTEST_TOKEN {
        parts.push(url.path().to_owned());
    }
    parts.extend(url.path_segments().into_iter().flatten().map(str::to_owned));
    parts.extend(url.query().map(str::to_owned));
    parts.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
    let fixed = 2;
    let mut kept: Vec<String> = parts.drain(..fixed).collect();
    kept.extend(
        parts
            .into_iter()
            .filter(|part| part.len() >= SHORTEST_TOKEN),
    );
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_an_address_are_taken_out_of_any_text() {
        let channel = Channel::Webhook {
            url: "https://user:passw0rd1@chat.example/services/T0CANARY01/B1CANARY02?key=canary-three".into(),
            secret: Some("whsec_Y2FuYXJ5LWZvdXI=".into()),
        };
        let text = "T0CANARY01 B1CANARY02 canary-three passw0rd1 Y2FuYXJ5LWZvdXI= and \
                    https://user:passw0rd1@chat.example/services/T0CANARY01/B1CANARY02?key=canary-three stay unseen";
        let clean = Redactor::of(&channel).clean(text);
        for canary in ["CANARY", "canary", "passw0rd1", "Y2Fu"] {
            assert!(!clean.contains(canary), "{canary} in {clean}");
        }
        assert!(clean.ends_with("stay unseen"));
    }

    #[test]
    fn a_text_without_secrets_stays_as_it_is() {
        let channel = Channel::Slack {
            url: "https://hooks.example/x".into(),
        };
        assert_eq!(Redactor::of(&channel).clean("answered 500"), "answered 500");
    }
}
