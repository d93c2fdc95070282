//! A notice for programs, signed as Standard Webhooks says (<https://www.standardwebhooks.com>).
//!
//! The body is `{"type": "pgkeep.failure", "timestamp": …, "data": {…}}`. `webhook-id` is the notice's id, the same at every
//! attempt, so that a receiver can drop what it has; `webhook-timestamp` is the attempt's own time.

use crate::SendError;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use pgkeep_model::notice::Notice;
use serde_json::{Value, json};
use sha2::Sha256;

/// A secret that signs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the webhook's secret is not base64, or of fewer than 24 bytes")]
pub struct SignatureError;

/// As few bytes as the specification allows in a secret.
const SHORTEST_SECRET: usize = 24;

pub(crate) fn message(notice: &Notice) -> Vec<u8> {
    let kind = serde_json::to_value(notice.kind).expect("a kind is a plain word");
    let kind = kind.as_str().unwrap_or_default().to_owned();
    let data = json!({
        "id": notice.id,
        "kind": kind,
        "app": notice.app,
        "policy": notice.policy,
        "job": notice.job,
        "backup": notice.backup,
        "summary": notice.summary,
        "hint": notice.hint,
        "facts": notice.facts,
        "link": notice.link,
    });
    let message: Value = json!({
        "type": format!("pgkeep.{kind}"),
        "timestamp": notice.time.to_string(),
        "data": data,
    });
    message.to_string().into_bytes()
}

/// The headers of one attempt; without a secret, those that a receiver may still go by.
pub(crate) fn headers(
    notice: &Notice,
    body: &[u8],
    secret: Option<&str>,
    now: Timestamp,
) -> Result<Vec<(&'static str, String)>, SendError> {
    let seconds = now.as_second();
    let mut headers = vec![
        ("webhook-id", notice.id.clone()),
        ("webhook-timestamp", seconds.to_string()),
    ];
    if let Some(secret) = secret {
        let signed = signature(secret, &notice.id, seconds, body).map_err(|error| {
            SendError::lasting(
                error.to_string(),
                "write it as `whsec_` and the base64 of 24 to 64 random bytes: `echo whsec_$(openssl rand -base64 32)`",
            )
        })?;
        headers.push(("webhook-signature", signed));
    }
    Ok(headers)
}

/// The value of `webhook-signature`: `v1,` and the base64 of HMAC-SHA256 over id, time and body.
pub fn signature(
    secret: &str,
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> Result<String, SignatureError> {
    let encoded = secret.strip_prefix("whsec_").unwrap_or(secret);
    let key = STANDARD
        .decode(encoded.trim())
        .map_err(|_| SignatureError)?;
    if key.len() < SHORTEST_SECRET {
        return Err(SignatureError);
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| SignatureError)?;
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    Ok(format!(
        "v1,{}",
        STANDARD.encode(mac.finalize().into_bytes())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the specification's own libraries test with.
    #[test]
    fn signatures_are_those_of_the_specification() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signed = signature(
            secret,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(
            signed.as_deref(),
            Ok("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        );
    }

    #[test]
    fn a_secret_that_is_none_is_refused() {
        for secret in ["", "whsec_", "whsec_not base64!", "whsec_c2hvcnQ="] {
            assert_eq!(
                signature(secret, "id", 0, b""),
                Err(SignatureError),
                "{secret}"
            );
        }
    }
}
