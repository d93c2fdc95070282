//! Jobs whose worker died: a lease that ran out is the sign.

use super::row::job_event;
use super::run::MAX_LOG_LINES;
use super::{Job, JobError, LogLevel, Reconciled};
use crate::Catalog;
use crate::db::{json, params};
use crate::error::Result;
use jiff::Timestamp;
use pgkeep_model::backoff;
use pgkeep_model::job::JobState;

impl Catalog {
    /// Takes every job whose lease ran out before `now` from its worker: queued again after a while where its kind allows
    /// it and attempts are left, failed otherwise. The worker, should it be alive after all, is fenced off.
    pub async fn reconcile(&self, now: Timestamp) -> Result<Vec<Reconciled>> {
        let lost = self
            .db()
            .rows(
                "SELECT * FROM jobs WHERE state = 'running' AND lease_until < $1 ORDER BY id",
                params![now],
            )
            .await?;
        let mut done = Vec::new();
        for row in &lost {
            let job = Job::read(row)?;
            done.extend(self.take_from_worker(&job, now).await?);
        }
        Ok(done)
    }

    /// `None` when its worker, or another reconciler, was faster.
    async fn take_from_worker(&self, job: &Job, now: Timestamp) -> Result<Option<Reconciled>> {
        let node = job.node.as_deref().unwrap_or("unknown");
        let error = JobError {
            hint: (!job.kind.is_taken_up_again())
                .then(|| "look at what it has done so far, then start it again".to_owned()),
            ..JobError::new(
                "worker_lost",
                format!(
                    "the worker that ran it ({node}) died or lost its connection to the catalog"
                ),
            )
        };
        let again = job.kind.is_taken_up_again() && job.attempts < job.max_attempts;
        let mut tx = self.begin().await?;
        // Whether it was cancelled is asked in the statement: that may have happened since it was read.
        let row = tx
            .row(
                "UPDATE jobs SET
                     state = CASE WHEN cancel_requested = 1 THEN 'cancelled' WHEN $5 = 1 THEN 'queued' ELSE 'failed' END,
                     finished_at = CASE WHEN cancel_requested = 1 OR $5 = 0 THEN $3 END,
                     run_at = CASE WHEN $5 = 1 THEN $6 ELSE run_at END,
                     node = CASE WHEN cancel_requested = 0 AND $5 = 1 THEN NULL ELSE node END,
                     error = $4, log_lines = log_lines + 1, lease_until = NULL, phase = NULL, done_bytes = NULL, total_bytes = NULL, item = NULL,
                     revision = revision + 1
                 WHERE id = $1 AND fence = $2 AND state = 'running' AND lease_until < $3 RETURNING *",
                params![
                    &job.id,
                    job.fence,
                    now,
                    json(&error)?,
                    again,
                    now + backoff::after_loss(&job.id, job.attempts),
                ],
            )
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let number = row.int("log_lines")?;
        let job = Job::read(&row)?;
        // Else the log of what its next worker does would begin in the middle without a word.
        if number <= MAX_LOG_LINES {
            let text = match job.state {
                JobState::Queued => format!("{}; it will be tried again", error.message),
                _ => error.message,
            };
            tx.run(
                "INSERT INTO job_log (job, line, at, level, text) VALUES ($1, $2, $3, $4, $5)",
                params![&job.id, number, now, LogLevel::Error.as_str(), text],
            )
            .await?;
        }
        tx.event(job_event(&job, job.state.as_str()));
        tx.commit().await?;
        Ok(Some(match job.state {
            JobState::Cancelled => Reconciled::Cancelled(job),
            JobState::Queued => Reconciled::TakenUpAgain(job),
            _ => Reconciled::Failed(job),
        }))
    }

    /// Forgets jobs that ended before, with their logs; returns how many. The newest of each policy, and its newest good
    /// one, are kept: the scheduler goes by them.
    pub async fn trim_jobs(&self, before: Timestamp) -> Result<u64> {
        let mut tx = self.begin().await?;
        let gone = tx
            .run(
                "DELETE FROM jobs WHERE finished_at < $1 AND state NOT IN ('queued', 'running')
                     AND id NOT IN (SELECT max(id) FROM jobs WHERE policy IS NOT NULL GROUP BY policy, kind)
                     AND id NOT IN (SELECT max(id) FROM jobs WHERE policy IS NOT NULL
                         AND state IN ('succeeded', 'skipped') GROUP BY policy, kind)
                     AND id NOT IN (SELECT job FROM backups WHERE job IS NOT NULL)",
                params![before],
            )
            .await?;
        tx.commit().await?;
        Ok(gone)
    }
}
