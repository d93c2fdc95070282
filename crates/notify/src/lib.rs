//! Tells people what happened: e-mail, chat, webhooks, dead-man pings.
//!
//! A [`Notice`] is put into words once (`words`), dressed for a channel, and sent by one attempt of [`Sender::send`]. The
//! crate keeps nothing: which notice goes where, and when a failed attempt is made again, is its caller's business, who
//! gets all that it needs for that from [`SendError`].
//!
//! What holds for every channel:
//!
//! - an attempt ends within [`TIME_LIMIT`], redirects are not followed, and of an answer only the beginning is read;
//! - messages may go to hosts of a private network, where people run their own chat, but never to the addresses at which
//!   clouds hand out credentials, whatever name leads there (`address`);
//! - addresses of webhooks are secrets, since most hold a token in their path. Neither they nor passwords stand in an
//!   error, whoever wrote its text (`redact`).

mod address;
mod discord;
mod email;
mod error;
#[cfg(test)]
mod golden;
mod http;
mod redact;
mod retry;
mod slack;
mod teams;
mod webhook;
mod words;

pub use error::SendError;
pub use retry::{Verdict, judge};
pub use webhook::{SignatureError, signature};
pub use words::{Words, words};

use pgkeep_model::{
    Clock,
    notice::{Channel, Notice},
};
use redact::Redactor;
use std::{fmt, sync::Arc, time::Duration};

/// The longest that one attempt takes.
pub const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Sends notices, one attempt a call.
#[derive(Clone)]
pub struct Sender {
    clock: Arc<dyn Clock>,
    time_limit: Duration,
}

/// What the receiver answered to a message that it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// `hooks.example.com answered 202`
    pub summary: String,
}

impl Sender {
    pub fn new(clock: Arc<dyn Clock>) -> Sender {
        Sender {
            clock,
            time_limit: TIME_LIMIT,
        }
    }

    /// The same with another limit on the length of an attempt.
    pub fn with_time_limit(self, time_limit: Duration) -> Sender {
        Sender { time_limit, ..self }
    }

    /// Makes one attempt. The channel's secrets must be the values themselves, no longer references to them.
    pub async fn send(&self, channel: &Channel, notice: &Notice) -> Result<Receipt, SendError> {
        let attempt = async {
            match channel {
                Channel::Email { .. } => email::send(channel, notice, self.clock.now()).await,
                Channel::Slack { url } => http::post(url, &slack::message(notice), &[]).await,
                Channel::Discord { url } => http::post(url, &discord::message(notice), &[]).await,
                Channel::Teams { url } => http::post(url, &teams::message(notice), &[]).await,
                Channel::Webhook { url, secret } => {
                    let body = webhook::message(notice);
                    let headers =
                        webhook::headers(notice, &body, secret.as_deref(), self.clock.now())?;
                    http::post(url, &body, &headers).await
                }
                Channel::DeadManPing { url } => http::get(url).await,
            }
        };
        let outcome = match tokio::time::timeout(self.time_limit, attempt).await {
            Ok(outcome) => outcome,
            Err(_) => Err(SendError::temporary(format!(
                "no answer within {} s",
                self.time_limit.as_secs()
            ))),
        };
        let redactor = Redactor::of(channel);
        outcome.map_err(|error| error.redacted(&redactor))
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sender").finish_non_exhaustive()
    }
}
