//! What a worker writes about the job that it runs. Every call names the fence of its claim; once the job has been taken from
//! the worker, each answers [`CatalogError::Fenced`] and changes nothing.

use super::row::job_event;
use super::{Heartbeat, Job, JobError, JobProgress, LogLine, Outcome};
use crate::Catalog;
use crate::db::{Tx, Value, json, params};
use crate::error::{CatalogError, Result};
use crate::events::NewEvent;
use jiff::Timestamp;
use std::time::Duration;

/// A job's log ends here; what comes after is dropped, and the last line says so.
pub(super) const MAX_LOG_LINES: i64 = 20_000;
/// A longer line is cut.
const MAX_LINE_BYTES: usize = 8 * 1024;

impl Catalog {
    /// Keeps the lease, and says whether somebody has asked to cancel.
    pub async fn heartbeat(&self, id: &str, fence: i64, lease: Duration) -> Result<Heartbeat> {
        let mut tx = self.begin().await?;
        let lease_until = tx.now() + lease;
        let row = tx
            .row(
                "UPDATE jobs SET lease_until = $3 WHERE id = $1 AND fence = $2 AND state = 'running'
                 RETURNING cancel_requested",
                params![id, fence, lease_until],
            )
            .await?;
        let Some(row) = row else {
            return Err(lost(&mut tx, id).await?);
        };
        let cancel_requested = row.bool("cancel_requested")?;
        tx.commit().await?;
        Ok(Heartbeat { cancel_requested })
    }

    /// Says what the job is doing. The newest word replaces the one before.
    pub async fn progress(
        &self,
        id: &str,
        fence: i64,
        phase: &str,
        progress: Option<&JobProgress>,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        let row = tx
            .row(
                "UPDATE jobs SET phase = $3, done_bytes = $4, total_bytes = $5, item = $6
                 WHERE id = $1 AND fence = $2 AND state = 'running' RETURNING app",
                params![
                    id,
                    fence,
                    phase,
                    progress.map(|p| p.done_bytes),
                    progress.and_then(|p| p.total_bytes),
                    progress.and_then(|p| p.item.clone()),
                ],
            )
            .await?;
        let Some(row) = row else {
            return Err(lost(&mut tx, id).await?);
        };
        let data = serde_json::json!({
            "phase": phase,
            "done_bytes": progress.map(|p| p.done_bytes),
            "total_bytes": progress.and_then(|p| p.total_bytes),
            "item": progress.and_then(|p| p.item.as_deref()),
        });
        tx.event(
            NewEvent::progress(id)
                .app(row.opt_text("app")?.as_deref())
                .data(data),
        );
        tx.commit().await
    }

    /// Appends to the job's log.
    pub async fn log(&self, id: &str, fence: i64, lines: &[LogLine]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        let count = i64::try_from(lines.len()).unwrap_or(i64::MAX);
        let row = tx
            .row(
                "UPDATE jobs SET log_lines = log_lines + $3 WHERE id = $1 AND fence = $2 AND state = 'running'
                 RETURNING log_lines, app",
                params![id, fence, count],
            )
            .await?;
        let Some(row) = row else {
            return Err(lost(&mut tx, id).await?);
        };
        let newest = row.int("log_lines")?;
        for (number, line) in (newest - count + 1..).zip(lines) {
            let text = match number {
                n if n > MAX_LOG_LINES => break,
                MAX_LOG_LINES => "the log is full: what comes after is not written down",
                _ => cut(&line.text),
            };
            tx.run(
                "INSERT INTO job_log (job, line, at, level, text) VALUES ($1, $2, $3, $4, $5)",
                params![id, number, line.at, line.level.as_str(), text],
            )
            .await?;
        }
        tx.event(
            NewEvent::log(id)
                .app(row.opt_text("app")?.as_deref())
                .data(serde_json::json!({ "line": newest.min(MAX_LOG_LINES) })),
        );
        tx.commit().await
    }

    /// Ends the job.
    pub async fn finish(&self, id: &str, fence: i64, outcome: Outcome) -> Result<Job> {
        let (state, result, error) = match &outcome {
            Outcome::Succeeded(result) => ("succeeded", Some(json(result)?), None),
            Outcome::Skipped(result) => ("skipped", Some(json(result)?), None),
            Outcome::Failed(error) => ("failed", None, Some(json(error)?)),
            Outcome::Found(error, report) => ("failed", Some(json(report)?), Some(json(error)?)),
            Outcome::Cancelled => ("cancelled", None, None),
        };
        let mut tx = self.begin().await?;
        let now = tx.now();
        let job = change(
            &mut tx,
            id,
            "UPDATE jobs SET state = $3, result = $4, error = $5, finished_at = $6, lease_until = NULL,
                 revision = revision + 1
             WHERE id = $1 AND fence = $2 AND state = 'running' RETURNING *",
            params![id, fence, state, result, error, now],
        )
        .await?;
        tx.event(job_event(&job, state));
        tx.commit().await?;
        Ok(job)
    }

    /// Puts the job back into the queue for another attempt at `run_at`. One that somebody asked to cancel is cancelled.
    pub async fn retry_later(
        &self,
        id: &str,
        fence: i64,
        error: JobError,
        run_at: Timestamp,
    ) -> Result<Job> {
        self.put_back(id, fence, Some(error), Some(run_at)).await
    }

    /// Hands the job back as if it had not been claimed. What is never taken up again ends as failed, and one that
    /// somebody asked to cancel as cancelled.
    pub async fn release(&self, id: &str, fence: i64) -> Result<Job> {
        let job = self.job(id).await?;
        if job.kind.is_taken_up_again() || job.cancel_requested {
            return self.put_back(id, fence, None, None).await;
        }
        let error = JobError {
            hint: Some("look at what it has done so far, then start it again".to_owned()),
            ..JobError::new("shut_down", "the server was shut down while the job ran")
        };
        self.finish(id, fence, Outcome::Failed(error)).await
    }

    async fn put_back(
        &self,
        id: &str,
        fence: i64,
        error: Option<JobError>,
        run_at: Option<Timestamp>,
    ) -> Result<Job> {
        let mut tx = self.begin().await?;
        let now = tx.now();
        // Without an error it is as if the attempt had never been.
        let uncounted = i64::from(error.is_none());
        let error = error.as_ref().map(json).transpose()?;
        let job = change(
            &mut tx,
            id,
            "UPDATE jobs SET state = CASE WHEN cancel_requested = 1 THEN 'cancelled' ELSE 'queued' END,
                 finished_at = CASE WHEN cancel_requested = 1 THEN $3 END,
                 error = coalesce($4, error), run_at = coalesce($5, run_at), attempts = attempts - $6,
                 lease_until = NULL, node = NULL, phase = NULL, done_bytes = NULL, total_bytes = NULL, item = NULL,
                 revision = revision + 1
             WHERE id = $1 AND fence = $2 AND state = 'running' RETURNING *",
            params![id, fence, now, error, run_at, uncounted],
        )
        .await?;
        tx.event(job_event(&job, job.state.as_str()));
        tx.commit().await?;
        Ok(job)
    }
}

/// Runs an UPDATE of one job under its fence.
async fn change(tx: &mut Tx, id: &str, sql: &'static str, params: Vec<Value>) -> Result<Job> {
    match tx.row(sql, params).await? {
        Some(row) => Job::read(&row),
        None => Err(lost(tx, id).await?),
    }
}

/// Nothing matched id, fence and state.
async fn lost(tx: &mut Tx, id: &str) -> Result<CatalogError> {
    let there = tx
        .row("SELECT id FROM jobs WHERE id = $1", params![id])
        .await?;
    Ok(match there {
        Some(_) => CatalogError::Fenced { job: id.to_owned() },
        None => CatalogError::not_found("job", id),
    })
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_LINE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
