//! A hook that is told over HTTP: one POST of a JSON object. Any status from 200 to 299 is a success.

use super::Facts;
use crate::{Context, Result};
use secrecy::{ExposeSecret, SecretString};
use std::{
    sync::mpsc::{RecvTimeoutError, channel},
    time::{Duration, Instant},
};

/// How much of an answer is kept.
const KEPT_ANSWER: usize = 4 << 10;
const LOOK: Duration = Duration::from_millis(100);

/// The receiver's answer, or why there is none.
type Told = std::result::Result<String, String>;

/// Posts the facts. A refusal is no error of ours, cancelling is.
pub(super) fn tell(
    url: &SecretString,
    moment: &str,
    facts: &Facts,
    limit: Duration,
    context: &Context,
) -> Result<Told> {
    let mut body = serde_json::to_value(facts)?;
    if let Some(object) = body.as_object_mut() {
        object.insert("moment".into(), moment.into());
        object.insert("at".into(), context.clock.now().to_string().into());
        object.insert("host".into(), context.hostname.clone().into());
    }
    let (sender, receiver) = channel();
    let url = url.clone();
    // The client brings threads of its own, which must not be started inside those of a server.
    std::thread::Builder::new()
        .name("webhook".into())
        .spawn(move || {
            // Nobody listens any more where the wait was given up.
            let _ = sender.send(post(&url, &body, limit));
        })?;
    let end = Instant::now() + limit + Duration::from_secs(5);
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(told) => return Ok(told),
            Err(RecvTimeoutError::Disconnected) => return Ok(Err("its thread ended".into())),
            Err(RecvTimeoutError::Timeout) if Instant::now() >= end => {
                return Ok(Err("no answer in time".into()));
            }
            Err(RecvTimeoutError::Timeout) => context.cancel.check()?,
        }
    }
}

fn post(url: &SecretString, body: &serde_json::Value, limit: Duration) -> Told {
    // Fails where another part of the program has chosen one already.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let client = reqwest::blocking::Client::builder()
        .timeout(limit)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("pgkeep/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(words)?;
    let answer = client
        .post(url.expose_secret())
        .json(body)
        .send()
        .map_err(words)?;
    let status = answer.status();
    let mut text = answer.text().unwrap_or_default();
    let mut end = KEPT_ANSWER.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    match status.is_success() {
        true => Ok(text),
        false => Err(format!("it answered {status}")),
    }
}

/// The error without the address, which may hold a secret.
fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    match cause {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
