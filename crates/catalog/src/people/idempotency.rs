//! Requests that make something, repeatable: the same key and the same request give the same answer, once made.
//!
//! A request that puts a job into the queue is answered in the transaction that does so ([`Catalog::enqueue_answering`]):
//! a server that is killed at any moment leaves either the job and its answer, or neither.

use crate::Catalog;
use crate::db::{Tx, params};
use crate::error::Result;
use crate::queue::Job;
use jiff::SignedDuration;

/// After this time a request that was never answered is taken for dead, and its key is free again.
const ABANDONED: SignedDuration = SignedDuration::from_mins(5);

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Idempotency {
    /// Nothing: do the work, then call [`Catalog::idempotency_finish`] or [`Catalog::idempotency_abandon`].
    New,
    /// It was answered so.
    Replay { status: u16, body: String },
    /// The key was used for another request.
    Mismatch,
    /// The same request is being worked on.
    InProgress,
}

/// The request that a job answers, and how.
pub struct Answering<'a> {
    pub key: &'a str,
    pub principal: &'a str,
    pub status: u16,
    /// The answer's body.
    pub body: &'a (dyn Fn(&Job) -> String + Sync),
}

impl Catalog {
    pub async fn idempotency_begin(
        &self,
        key: &str,
        principal: &str,
        request_hash: &str,
    ) -> Result<Idempotency> {
        let mut tx = self.begin().await?;
        let now = tx.now();
        let made = tx
            .run(
                "INSERT INTO idempotency (principal, idem_key, request_hash, created_at) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (principal, idem_key) DO UPDATE SET request_hash = $3, created_at = $4
                    WHERE idempotency.status IS NULL AND idempotency.created_at <= $5",
                params![principal, key, request_hash, now, now - ABANDONED],
            )
            .await?;
        let row = tx
            .row(
                "SELECT request_hash, status, body FROM idempotency WHERE principal = $1 AND idem_key = $2",
                params![principal, key],
            )
            .await?;
        tx.commit().await?;
        if made == 1 {
            return Ok(Idempotency::New);
        }
        let Some(row) = row else {
            // Given up by the other request just now.
            return Ok(Idempotency::InProgress);
        };
        if row.text("request_hash")? != request_hash {
            return Ok(Idempotency::Mismatch);
        }
        Ok(match row.opt_int("status")? {
            Some(status) => Idempotency::Replay {
                status: u16::try_from(status).unwrap_or(500),
                body: row.opt_text("body")?.unwrap_or_default(),
            },
            None => Idempotency::InProgress,
        })
    }

    /// Keeps the answer, in the place of that of a job that the work has put into the queue.
    pub async fn idempotency_finish(
        &self,
        key: &str,
        principal: &str,
        status: u16,
        body: &str,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.run(
            "UPDATE idempotency SET status = $3, body = $4 WHERE principal = $1 AND idem_key = $2",
            params![principal, key, u32::from(status), body],
        )
        .await?;
        tx.commit().await
    }

    /// Frees the keys of all requests that were never answered. Only where no other server works on the catalog: then
    /// whoever worked on them is dead, and has made nothing.
    pub async fn free_unanswered_keys(&self) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.run("DELETE FROM idempotency WHERE status IS NULL", params![])
            .await?;
        tx.commit().await
    }

    /// Frees the key of a request that changed nothing, so that it can be tried again.
    pub async fn idempotency_abandon(&self, key: &str, principal: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.run(
            "DELETE FROM idempotency WHERE principal = $1 AND idem_key = $2 AND status IS NULL",
            params![principal, key],
        )
        .await?;
        tx.commit().await
    }
}

/// Keeps the answer to a request that has none yet.
pub(crate) async fn answer(
    tx: &mut Tx,
    key: &str,
    principal: &str,
    status: u16,
    body: &str,
) -> Result<()> {
    tx.run(
        "UPDATE idempotency SET status = $3, body = $4 WHERE principal = $1 AND idem_key = $2 AND status IS NULL",
        params![principal, key, u32::from(status), body],
    )
    .await?;
    Ok(())
}
