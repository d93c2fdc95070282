//! Claiming: who gets which job.
//!
//! A claim is one statement. It costs a durable commit, which is slow on a disk, so claims that are asked for at the same
//! time share one: whoever comes first serves all who wait (the desk), each with a statement of its own.

use super::row::job_event;
use super::{Claim, Job};
use crate::Catalog;
use crate::db::{Tx, Value, params};
use crate::error::{CatalogError, Result};
use pgkeep_model::job::JobKind;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::oneshot;

/// How many claims share a commit.
const BATCH: usize = 64;
/// How often a claim is tried when another program took the same concurrency key at the same moment.
const TRIES: usize = 20;

/// Where the claims of this process wait for each other.
#[derive(Debug, Default)]
pub(crate) struct ClaimDesk {
    waiting: Mutex<Vec<Waiting>>,
    serving: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Waiting {
    node: String,
    kinds: Vec<JobKind>,
    lease: Duration,
    answer: oneshot::Sender<Result<Option<Handed>>>,
}

/// A claim on its way to the one who asked. Dropped on the way, it gives the job back: else the lease would run out with
/// nobody at work.
#[derive(Debug)]
struct Handed {
    claim: Option<Claim>,
    catalog: Catalog,
}

impl Drop for Handed {
    fn drop(&mut self) {
        let Some(claim) = self.claim.take() else {
            return;
        };
        let catalog = self.catalog.clone();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            if let Err(error) = catalog.release(&claim.job.id, claim.fence).await {
                tracing::warn!(job = claim.job.id, %error, "a job claimed for nobody stays so until its lease runs out");
            }
        });
    }
}

impl Catalog {
    /// Takes the job whose turn it is: due, not held, approved where that is needed, its concurrency key free, and the queue
    /// not paused; the highest priority first, then what has waited longest. All kinds where `kinds` is empty.
    ///
    /// Dropped before it has answered, it claims nothing.
    pub async fn claim(
        &self,
        node: &str,
        kinds: &[JobKind],
        lease: Duration,
    ) -> Result<Option<Claim>> {
        let (answer, answered) = oneshot::channel();
        self.desk_line().push(Waiting {
            node: node.to_owned(),
            kinds: kinds.to_vec(),
            lease,
            answer,
        });
        // On a task of its own: who serves must not be stopped half-way because one of those who wait has gone.
        let catalog = self.clone();
        tokio::spawn(async move {
            let _serving = catalog.inner.claims.serving.lock().await;
            catalog.serve_claims().await;
        });
        match answered.await {
            Ok(Ok(handed)) => Ok(handed.and_then(|mut handed| handed.claim.take())),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(CatalogError::Busy("the program is ending".to_owned())),
        }
    }

    fn desk_line(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.inner
            .claims
            .waiting
            .lock()
            .unwrap_or_else(|e| e.into_inner())
    }

    async fn serve_claims(&self) {
        let mut batch: Vec<Waiting> = {
            let mut line = self.desk_line();
            let count = line.len().min(BATCH);
            line.drain(..count).collect()
        };
        batch.retain(|waiting| !waiting.answer.is_closed());
        if batch.is_empty() {
            return;
        }
        match self.claim_batch(&batch).await {
            Ok(claims) => {
                for (waiting, claim) in batch.into_iter().zip(claims) {
                    let handed = claim.map(|claim| Handed {
                        claim: Some(claim),
                        catalog: self.clone(),
                    });
                    // Where nobody listens any more, it is given back by being dropped.
                    let _ = waiting.answer.send(Ok(handed));
                }
            }
            Err(error) => {
                for waiting in batch {
                    // Nobody listens any more where this fails.
                    let _ = waiting.answer.send(Err(error.again()));
                }
            }
        }
    }

    async fn claim_batch(&self, batch: &[Waiting]) -> Result<Vec<Option<Claim>>> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_claim_batch(batch).await {
                Err(CatalogError::Collision(_)) if tries < TRIES => tokio::task::yield_now().await,
                outcome => return outcome,
            }
        }
    }

    async fn try_claim_batch(&self, batch: &[Waiting]) -> Result<Vec<Option<Claim>>> {
        let mut tx = self.begin().await?;
        let mut claims = Vec::with_capacity(batch.len());
        for waiting in batch {
            let job = take(&mut tx, waiting).await?;
            claims.push(job.map(|job| {
                tx.event(job_event(&job, "claimed"));
                Claim {
                    fence: job.fence,
                    job,
                }
            }));
        }
        tx.commit().await?;
        Ok(claims)
    }
}

/// The claim: one statement.
async fn take(tx: &mut Tx, waiting: &Waiting) -> Result<Option<Job>> {
    let now = tx.now();
    let mut params: Vec<Value> = params![&waiting.node, now, now + waiting.lease];
    let mut kinds = String::new();
    if !waiting.kinds.is_empty() {
        let mut places = Vec::new();
        for kind in &waiting.kinds {
            params.push(kind.as_str().into());
            places.push(format!("${}", params.len()));
        }
        kinds = format!("AND kind IN ({})", places.join(", "));
    }
    let skip_locked = if tx.is_postgres() {
        "FOR UPDATE SKIP LOCKED"
    } else {
        ""
    };
    let sql = format!(
        "UPDATE jobs SET state = 'running', node = $1, fence = fence + 1, attempts = attempts + 1, started_at = $2,
             lease_until = $3, phase = NULL, done_bytes = NULL, total_bytes = NULL, item = NULL,
             revision = revision + 1
         WHERE id = (
             SELECT id FROM jobs AS candidate
             WHERE state = 'queued' AND run_at <= $2 AND held = 0 AND approval <> 'needed' {kinds}
                 AND NOT EXISTS (SELECT 1 FROM meta WHERE key = 'queue_paused')
                 AND (concurrency_key IS NULL OR NOT EXISTS (
                     SELECT 1 FROM jobs AS busy
                     WHERE busy.state = 'running' AND busy.concurrency_key = candidate.concurrency_key))
             ORDER BY priority DESC, run_at, id LIMIT 1 {skip_locked})
         RETURNING *"
    );
    let row = tx.row(sqlx::AssertSqlSafe(sql), params).await?;
    row.as_ref().map(Job::read).transpose()
}
