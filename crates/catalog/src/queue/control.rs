//! What people do to jobs: cancel, hold, reorder, approve, and pause the queue.

use super::row::job_event;
use super::{CancelOutcome, Job, QueuePause};
use crate::Catalog;
use crate::db::{Value, json, params};
use crate::error::{CatalogError, Result};
use crate::events::NewEvent;
use crate::open::put_meta;
use pgkeep_model::job::JobState;

impl Catalog {
    /// Ends a job that waits, asks one that runs to stop, and leaves one that is over as it is.
    pub async fn cancel(&self, id: &str) -> Result<CancelOutcome> {
        let mut tx = self.begin().await?;
        let now = tx.now();
        let row = tx
            .row(
                "UPDATE jobs SET state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END,
                     finished_at = CASE WHEN state = 'queued' THEN $2 ELSE finished_at END,
                     cancel_requested = 1, revision = revision + 1
                 WHERE id = $1 AND state IN ('queued', 'running') RETURNING *",
                params![id, now],
            )
            .await?;
        let Some(row) = row else {
            return Ok(CancelOutcome::AlreadyOver(self.job_in(&mut tx, id).await?));
        };
        let job = Job::read(&row)?;
        let outcome = if job.state == JobState::Cancelled {
            tx.event(job_event(&job, "cancelled"));
            CancelOutcome::Cancelled(job)
        } else {
            tx.event(job_event(&job, "cancel_requested"));
            CancelOutcome::Asked(job)
        };
        tx.commit().await?;
        Ok(outcome)
    }

    /// Keeps a job that waits from being claimed.
    pub async fn hold(&self, id: &str) -> Result<Job> {
        self.change_waiting(id, "held", "held = 1", Vec::new())
            .await
    }

    /// Lets a job that was held be claimed again.
    pub async fn unhold(&self, id: &str) -> Result<Job> {
        self.change_waiting(id, "unheld", "held = 0", Vec::new())
            .await
    }

    /// Moves a job that waits before or behind others.
    pub async fn set_priority(&self, id: &str, priority: i32) -> Result<Job> {
        self.change_waiting(id, "priority", "priority = $2", params![priority])
            .await
    }

    /// Says yes to a job that needs it, as `account`, which is called `by`. Who may say so is the caller's to decide; the
    /// account that asked for it may not. Where none is known, its name counts.
    pub async fn approve(&self, id: &str, account: &str, by: &str) -> Result<Job> {
        let mut tx = self.begin().await?;
        let row = tx
            .row(
                "UPDATE jobs SET approval = 'approved', approved_by = $2, revision = revision + 1
                 WHERE id = $1 AND state = 'queued' AND approval = 'needed'
                     AND CASE WHEN asked_by IS NULL THEN created_by <> $2 ELSE asked_by <> $3 END RETURNING *",
                params![id, by, account],
            )
            .await?;
        let Some(row) = row else {
            let job = self.job_in(&mut tx, id).await?;
            let why = match job {
                Job { state, .. } if state != JobState::Queued => {
                    format!("does not wait for an approval: it is {}", state.as_str())
                }
                Job {
                    approval: super::Approval::Needed,
                    ..
                } => "cannot be approved by the one who asked for it".to_owned(),
                _ => "needs no approval".to_owned(),
            };
            return Err(not_now(id, why));
        };
        let job = Job::read(&row)?;
        tx.event(job_event(&job, "approved"));
        tx.commit().await?;
        Ok(job)
    }

    /// From now on nothing is claimed; what runs goes on.
    pub async fn pause_queue(&self, by: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        let pause = QueuePause {
            by: by.to_owned(),
            at: tx.now(),
        };
        put_meta(&mut tx, "queue_paused", &json(&pause)?).await?;
        tx.event(
            NewEvent::new("queue", "queue")
                .data(serde_json::json!({ "change": "paused", "by": by })),
        );
        tx.commit().await
    }

    /// Lets jobs be claimed again; a queue that is not paused stays as it is.
    pub async fn resume_queue(&self) -> Result<()> {
        let mut tx = self.begin().await?;
        if tx
            .run("DELETE FROM meta WHERE key = 'queue_paused'", params![])
            .await?
            > 0
        {
            tx.event(
                NewEvent::new("queue", "queue").data(serde_json::json!({ "change": "resumed" })),
            );
        }
        tx.commit().await
    }

    /// Who paused the queue, and when; `None` while jobs are handed out.
    pub async fn queue_paused(&self) -> Result<Option<QueuePause>> {
        self.db()
            .row(
                "SELECT value FROM meta WHERE key = 'queue_paused'",
                params![],
            )
            .await?
            .map(|row| row.json("value"))
            .transpose()
    }

    async fn change_waiting(
        &self,
        id: &str,
        change: &'static str,
        set: &'static str,
        more: Vec<Value>,
    ) -> Result<Job> {
        let mut tx = self.begin().await?;
        let mut params = params![id];
        params.extend(more);
        let sql = format!(
            "UPDATE jobs SET {set}, revision = revision + 1 WHERE id = $1 AND state = 'queued' RETURNING *"
        );
        let Some(row) = tx.row(sqlx::AssertSqlSafe(sql), params).await? else {
            let job = self.job_in(&mut tx, id).await?;
            return Err(not_now(
                id,
                format!("does not wait any more: it is {}", job.state.as_str()),
            ));
        };
        let job = Job::read(&row)?;
        tx.event(job_event(&job, change));
        tx.commit().await?;
        Ok(job)
    }
}

fn not_now(id: &str, why: String) -> CatalogError {
    CatalogError::NotNow {
        what: "job",
        name: id.to_owned(),
        why,
    }
}
