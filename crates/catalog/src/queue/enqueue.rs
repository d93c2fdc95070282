//! Making jobs.

use super::row::{job_event, trigger_str};
use super::{Claim, Enqueued, Job, NewJob};
use crate::Catalog;
use crate::db::{Tx, Value, json, params};
use crate::error::{CatalogError, Result};
use crate::people::idempotency::{Answering, answer};
use jiff::Timestamp;
use std::time::Duration;

impl Catalog {
    /// Puts a job into the queue, unless one with its dedup key waits or runs already. Of a run of a schedule
    /// ([`NewJob::scheduled_for`]), one that is over counts too: it is made once for all time.
    pub async fn enqueue(&self, job: NewJob) -> Result<Enqueued> {
        self.enqueue_answering(job, None).await
    }

    /// As [`Catalog::enqueue`]; a new job is the answer to a request, which is kept with it.
    pub async fn enqueue_answering(
        &self,
        job: NewJob,
        request: Option<Answering<'_>>,
    ) -> Result<Enqueued> {
        // The one that is there can end between two statements; then the next turn makes a new one.
        for _ in 0..10 {
            let mut tx = self.begin().await?;
            if let Some(made) = self.insert(&mut tx, &job, &Begin::Queued).await? {
                if let Some(asked) = &request {
                    let body = (asked.body)(&made);
                    answer(&mut tx, asked.key, asked.principal, asked.status, &body).await?;
                }
                tx.event(job_event(&made, "queued"));
                tx.commit().await?;
                return Ok(Enqueued::New(made));
            }
            let there = tx
                .row(
                    "SELECT * FROM jobs WHERE dedup_key = $1
                         AND (state IN ('queued', 'running') OR scheduled_for IS NOT NULL)",
                    params![&job.dedup_key],
                )
                .await?;
            if let Some(row) = there {
                return Ok(Enqueued::Existing(Job::read(&row)?));
            }
        }
        Err(CatalogError::Collision(
            "the job with the same key came and went".to_owned(),
        ))
    }

    /// Writes down a job that a command run by hand does at this moment. It is never taken up again.
    ///
    /// [`CatalogError::InUse`] names the job that holds its concurrency key or dedup key.
    pub async fn begin_by_hand(&self, job: NewJob, node: &str, lease: Duration) -> Result<Claim> {
        let job = NewJob {
            max_attempts: 1,
            ..job
        };
        let mut tx = self.begin().await?;
        let begin = Begin::Running {
            node: node.to_owned(),
            lease_until: tx.now() + lease,
        };
        let Some(made) = self.insert(&mut tx, &job, &begin).await? else {
            let holder = tx
                .row(
                    "SELECT * FROM jobs WHERE state IN ('queued', 'running') AND (dedup_key = $1
                         OR (state = 'running' AND concurrency_key = $2)) ORDER BY state DESC LIMIT 1",
                    params![&job.dedup_key, &job.concurrency_key],
                )
                .await?;
            let by = match holder {
                Some(row) => format!("job {}", row.text("id")?),
                None => "a job that has just ended".to_owned(),
            };
            return Err(CatalogError::InUse {
                what: "slot",
                name: job.concurrency_key.or(job.dedup_key).unwrap_or_default(),
                by,
            });
        };
        tx.event(job_event(&made, "claimed"));
        tx.commit().await?;
        Ok(Claim {
            fence: made.fence,
            job: made,
        })
    }

    /// `None` when a key is taken.
    async fn insert(&self, tx: &mut Tx, job: &NewJob, begin: &Begin) -> Result<Option<Job>> {
        let now = tx.now();
        let (state, node, lease_until, started_at, claims) = match begin {
            Begin::Queued => ("queued", None, None, None, 0i64),
            Begin::Running { node, lease_until } => (
                "running",
                Some(node.clone()),
                Some(*lease_until),
                Some(now),
                1,
            ),
        };
        let params: Vec<Value> = params![
            self.new_id(),
            job.spec.kind().as_str(),
            json(&job.spec)?,
            state,
            &job.app,
            &job.repository,
            &job.policy,
            trigger_str(job.trigger),
            &job.created_by,
            job.priority,
            now,
            job.run_at,
            job.scheduled_for,
            started_at,
            claims,
            job.max_attempts.max(1),
            node,
            lease_until,
            if job.needs_approval { "needed" } else { "none" },
            &job.dedup_key,
            &job.concurrency_key,
            job.soft_limit_secs,
            job.hard_limit_secs,
            &job.correlation,
            &job.asked_by,
            &job.agreed_plan,
        ];
        let row = tx
            .row(
                "INSERT INTO jobs (id, kind, spec, state, app, repository, policy, trigger_kind, created_by, priority,
                     created_at, run_at, scheduled_for, started_at, attempts, fence, max_attempts, node, lease_until,
                     approval, dedup_key, concurrency_key, soft_limit_secs, hard_limit_secs, correlation,
                     asked_by, agreed_plan, cancel_requested, held, log_lines, revision)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15, $16, $17, $18,
                     $19, $20, $21, $22, $23, $24, $25, $26, 0, 0, 0, 1)
                 ON CONFLICT DO NOTHING RETURNING *",
                params,
            )
            .await?;
        row.as_ref().map(Job::read).transpose()
    }
}

/// How a new job stands.
enum Begin {
    Queued,
    Running {
        node: String,
        lease_until: Timestamp,
    },
}
