//! Sends what was handed in, again and again for a day.

use super::Notifier;
use crate::status::doubts::HEARD;
use crate::targets::Machine;
use futures_util::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use pgkeep_catalog::{Catalog, CatalogError, people::deliveries::Delivery};
use pgkeep_model::notice::{Channel, Notice, NoticeKind, NotificationTarget};
use pgkeep_model::secret::SecretText;
use pgkeep_notify::{Receipt, SendError, Sender};
use secrecy::ExposeSecret as _;

/// Messages sent at the same time.
const AT_ONCE: usize = 8;
const BATCH: u32 = 100;
/// A message is another sender's for so long once it has taken it.
pub(super) const TAKEN_FOR: SignedDuration = SignedDuration::from_mins(2);
/// After so long nobody wants to hear it any more.
const WORTH: SignedDuration = SignedDuration::from_hours(24);
const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(30);
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(2);

impl Notifier {
    /// Sends the messages whose time has come.
    pub async fn send_due(&self) -> Result<(), CatalogError> {
        let due = self
            .catalog
            .due_deliveries(self.catalog.now(), BATCH)
            .await?;
        stream::iter(due)
            .for_each_concurrent(AT_ONCE, |delivery| async move {
                if let Err(error) = self.send(&delivery).await {
                    tracing::warn!(%error, target = delivery.target, "a message could not be sent");
                }
            })
            .await;
        Ok(())
    }

    async fn send(&self, delivery: &Delivery) -> Result<(), CatalogError> {
        let now = self.catalog.now();
        if !self
            .catalog
            .take_delivery(delivery, now + TAKEN_FOR)
            .await?
        {
            return Ok(());
        }
        let error = match self.attempt(delivery).await? {
            Ok(receipt) => {
                tracing::info!(
                    target = delivery.target,
                    notice = delivery.notice.id,
                    answer = receipt.summary,
                    "a message was sent"
                );
                return self.catalog.delivered(&delivery.id).await;
            }
            Err(error) => error,
        };
        // Somebody waits for the outcome of a test.
        let next = match delivery.notice.kind {
            NoticeKind::Test => None,
            _ => next_try(delivery.created_at, delivery.attempts, now, &error),
        };
        match next {
            Some(_) => {
                tracing::warn!(target = delivery.target, %error, "a message was not taken; it is tried again")
            }
            None => {
                tracing::error!(target = delivery.target, %error, hint = error.hint, "a message was given up")
            }
        }
        self.catalog
            .delivery_failed(&delivery.id, &error.message, next)
            .await
    }

    async fn attempt(
        &self,
        delivery: &Delivery,
    ) -> Result<Result<Receipt, SendError>, CatalogError> {
        let target = match self.catalog.target(&delivery.target).await {
            Ok(stored) if stored.value.enabled => stored.value,
            Ok(_) => {
                return Ok(Err(gone(format!(
                    "target {} is switched off",
                    delivery.target
                ))));
            }
            Err(CatalogError::NotFound { .. }) => {
                return Ok(Err(gone(format!(
                    "target {} is no longer there",
                    delivery.target
                ))));
            }
            Err(error) => return Err(error),
        };
        Ok(attempt(&self.sender, &self.machine, &target, &delivery.notice).await)
    }
}

/// Why a test message did not arrive. Holds no secret.
pub type TestError = SendError;

/// Sends a test message to a target as it stands, stored or not, in one attempt.
pub async fn send_test(
    target: &NotificationTarget,
    catalog: &Catalog,
    machine: &Machine,
) -> Result<Receipt, TestError> {
    let now = catalog.now();
    let notice = test_notice(target, now);
    let sender = Sender::new(machine.clock.clone());
    let receipt = attempt(&sender, machine, target, &notice).await?;
    // From now on, what did not arrive before says nothing of the target any more.
    let heard = format!("{HEARD}{}", target.name);
    if let Err(error) = catalog.put_setting(&heard, &now.to_string().into()).await {
        tracing::warn!(%error, "that a message arrived could not be written down");
    }
    Ok(receipt)
}

pub(super) fn test_notice(target: &NotificationTarget, now: Timestamp) -> Notice {
    let id = format!("test-{}-{}", target.name, now.as_millisecond());
    Notice {
        summary: format!(
            "this is a test of the target {}: messages arrive",
            target.name
        ),
        ..Notice::new(id, NoticeKind::Test, now)
    }
}

async fn attempt(
    sender: &Sender,
    machine: &Machine,
    target: &NotificationTarget,
    notice: &Notice,
) -> Result<Receipt, SendError> {
    let (machine, target) = (machine.clone(), target.clone());
    // References lead to files.
    let channel = tokio::task::spawn_blocking(move || resolved(&machine, target))
        .await
        .map_err(|error| gone(format!("reading the target's secrets failed: {error}")))??;
    sender.send(&channel, notice).await
}

/// The channel with its secrets in place of references to them.
fn resolved(machine: &Machine, target: NotificationTarget) -> Result<Channel, SendError> {
    let mut channel = target.channel;
    let secrets: Vec<(&str, &mut SecretText)> = match &mut channel {
        Channel::Email { password, .. } => {
            password.iter_mut().map(|text| ("password", text)).collect()
        }
        Channel::Slack { url }
        | Channel::Discord { url }
        | Channel::Teams { url }
        | Channel::DeadManPing { url } => vec![("url", url)],
        Channel::Webhook { url, secret } => {
            let secret = secret.iter_mut().map(|text| ("secret", text));
            [("url", url)].into_iter().chain(secret).collect()
        }
    };
    for (field, text) in secrets {
        let what = format!("{field} of target {}", target.name);
        let found = machine.secret(text, &what).map_err(|error| SendError {
            message: error.message.clone(),
            hint: error.hint.clone(),
            // The variable or file may be put in place while the server runs.
            retry: true,
            retry_after: None,
        })?;
        *text = found.expose_secret().into();
    }
    Ok(channel)
}

fn gone(message: String) -> SendError {
    SendError {
        message,
        hint: None,
        retry: false,
        retry_after: None,
    }
}

/// When a message that was tried `attempts` times before and failed once more is tried again; never where that does not help.
fn next_try(
    created_at: Timestamp,
    attempts: u32,
    now: Timestamp,
    error: &SendError,
) -> Option<Timestamp> {
    if !error.retry {
        return None;
    }
    let doubled = FIRST_WAIT.saturating_mul(1 << attempts.min(16));
    let asked = error
        .retry_after
        .and_then(|wait| SignedDuration::try_from(wait).ok())
        .unwrap_or_default();
    let next = now
        .saturating_add(doubled.min(LONGEST_WAIT).max(asked))
        .ok()?;
    (next.duration_since(created_at) <= WORTH).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn check(age_secs: i64, attempts: u32, error: &SendError, expected_wait: Option<i64>) {
        let created = Timestamp::UNIX_EPOCH;
        let now = created + SignedDuration::from_secs(age_secs);
        let next = next_try(created, attempts, now, error);
        assert_eq!(
            next.map(|next| next.duration_since(now).as_secs()),
            expected_wait,
            "{age_secs} s old, {attempts} attempts"
        );
    }

    #[test]
    fn waits_grow_up_to_two_hours_and_end_after_a_day() {
        let error = SendError {
            retry: true,
            ..gone("busy".into())
        };
        check(0, 0, &error, Some(30));
        check(30, 1, &error, Some(60));
        check(90, 2, &error, Some(120));
        check(8_000, 9, &error, Some(7_200));
        check(8_000, 40, &error, Some(7_200));
        check(86_400 - 7_200, 20, &error, Some(7_200));
        check(86_400 - 7_199, 20, &error, None);
        check(200_000, 0, &error, None);
    }

    #[test]
    fn what_the_receiver_asks_for_counts() {
        let error = SendError {
            retry: true,
            retry_after: Some(Duration::from_secs(900)),
            ..gone("slow down".into())
        };
        check(0, 0, &error, Some(900));
        check(0, 6, &error, Some(1_920));
    }

    #[test]
    fn what_stays_wrong_is_not_tried_again() {
        check(0, 0, &gone("no such address".into()), None);
    }
}
