//! Messages on their way: which notice goes to which target, and how often that was tried.
//!
//! A notice goes to a target once, however often it is handed in: so whoever reads events can start again where it stood
//! before a crash. The cursor of that reader moves in the transaction that hands the messages in.

use crate::Catalog;
use crate::db::{Row, json, params};
use crate::error::{CatalogError, Result};
use jiff::Timestamp;
use pgkeep_model::notice::Notice;
use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    pub id: String,
    /// Name of the target.
    pub target: String,
    pub notice: Notice,
    /// Bad news of the same key is the same bad news again.
    pub dedup_key: String,
    pub state: DeliveryState,
    /// How often it was tried and failed.
    pub attempts: u32,
    pub next_at: Timestamp,
    pub created_at: Timestamp,
    pub sent_at: Option<Timestamp>,
    /// Why the newest try failed.
    pub error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    Due,
    Sent,
    /// Tried as often as it is worth.
    GivenUp,
}

#[derive(Debug, Clone)]
pub struct NewDelivery {
    pub target: String,
    pub notice: Notice,
    pub dedup_key: String,
}

impl DeliveryState {
    pub fn as_str(self) -> &'static str {
        match self {
            DeliveryState::Due => "due",
            DeliveryState::Sent => "sent",
            DeliveryState::GivenUp => "given_up",
        }
    }

    fn named(name: &str) -> Option<DeliveryState> {
        [
            DeliveryState::Due,
            DeliveryState::Sent,
            DeliveryState::GivenUp,
        ]
        .into_iter()
        .find(|state| state.as_str() == name)
    }
}

impl Catalog {
    /// Hands in one message; `false` where that target has that notice already.
    pub async fn enqueue_delivery(
        &self,
        target: &str,
        notice: &Notice,
        dedup_key: &str,
    ) -> Result<bool> {
        let new = NewDelivery {
            target: target.to_owned(),
            notice: notice.clone(),
            dedup_key: dedup_key.to_owned(),
        };
        Ok(self.enqueue_deliveries(&[new], None).await? == 1)
    }

    /// Hands in messages, and stores a setting with them: where the reader of events stands. Returns how many are new.
    pub async fn enqueue_deliveries(
        &self,
        new: &[NewDelivery],
        cursor: Option<(&str, &Value)>,
    ) -> Result<u64> {
        let mut tx = self.begin().await?;
        let now = tx.now();
        let mut made = 0;
        for delivery in new {
            made += tx
                .run(
                    "INSERT INTO deliveries (id, target, notice_id, notice, dedup_key, state, next_at, created_at)
                     VALUES ($1, $2, $3, $4, $5, 'due', $6, $6)
                     ON CONFLICT (target, notice_id) DO NOTHING",
                    params![
                        self.new_id(),
                        &delivery.target,
                        &delivery.notice.id,
                        json(&delivery.notice)?,
                        &delivery.dedup_key,
                        now
                    ],
                )
                .await?;
        }
        if let Some((key, value)) = cursor {
            tx.run(
                "INSERT INTO settings (key, value, updated_at) VALUES ($1, $2, $3)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
                params![key, json(value)?, now],
            )
            .await?;
        }
        tx.commit().await?;
        Ok(made)
    }

    /// Messages whose time has come, the oldest first.
    pub async fn due_deliveries(&self, now: Timestamp, limit: u32) -> Result<Vec<Delivery>> {
        let rows = self
            .db()
            .rows(
                "SELECT * FROM deliveries WHERE state = 'due' AND next_at <= $1 ORDER BY next_at, id LIMIT $2",
                params![now, limit],
            )
            .await?;
        rows.iter().map(delivery_of).collect()
    }

    /// Takes a due message for so long, so that no second sender sends it, too; false where another one has it.
    pub async fn take_delivery(&self, delivery: &Delivery, until: Timestamp) -> Result<bool> {
        let mut tx = self.begin().await?;
        let changed = tx
            .run(
                "UPDATE deliveries SET next_at = $3 WHERE id = $1 AND state = 'due' AND next_at = $2",
                params![&delivery.id, delivery.next_at, until],
            )
            .await?;
        tx.commit().await?;
        Ok(changed == 1)
    }

    pub async fn delivered(&self, id: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        let now = tx.now();
        tx.run(
            "UPDATE deliveries SET state = 'sent', sent_at = $2, error = NULL WHERE id = $1",
            params![id, now],
        )
        .await?;
        tx.commit().await
    }

    /// Notes a failed try, and when the next one is; never where absent.
    pub async fn delivery_failed(
        &self,
        id: &str,
        why: &str,
        next_at: Option<Timestamp>,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        let now = tx.now();
        let state = match next_at {
            Some(_) => DeliveryState::Due,
            None => DeliveryState::GivenUp,
        };
        tx.run(
            "UPDATE deliveries SET state = $2, attempts = attempts + 1, error = $3, next_at = $4 WHERE id = $1",
            params![id, state.as_str(), why, next_at.unwrap_or(now)],
        )
        .await?;
        tx.commit().await
    }

    /// When a target was last handed news of this key, whether it has arrived or is still due.
    pub async fn last_sent(&self, target: &str, dedup_key: &str) -> Result<Option<Timestamp>> {
        let row = self
            .db()
            .row(
                "SELECT max(created_at) AS at FROM deliveries WHERE target = $1 AND dedup_key = $2 AND state <> 'given_up'",
                params![target, dedup_key],
            )
            .await?;
        row.map_or(Ok(None), |row| row.opt_time("at"))
    }

    /// The newest messages of a target, or of all.
    pub async fn deliveries(&self, target: Option<&str>, limit: u32) -> Result<Vec<Delivery>> {
        let rows = self
            .db()
            .rows(
                "SELECT * FROM deliveries WHERE $1 = '' OR target = $1 ORDER BY id DESC LIMIT $2",
                params![target.unwrap_or(""), limit],
            )
            .await?;
        rows.iter().map(delivery_of).collect()
    }
}

fn delivery_of(row: &Row) -> Result<Delivery> {
    let state = row.text("state")?;
    Ok(Delivery {
        id: row.text("id")?,
        target: row.text("target")?,
        notice: row.json("notice")?,
        dedup_key: row.text("dedup_key")?,
        state: DeliveryState::named(&state)
            .ok_or_else(|| CatalogError::corrupt("the state of a delivery", &state))?,
        attempts: u32::try_from(row.int("attempts")?).unwrap_or(u32::MAX),
        next_at: row.time("next_at")?,
        created_at: row.time("created_at")?,
        sent_at: row.opt_time("sent_at")?,
        error: row.opt_text("error")?,
    })
}
