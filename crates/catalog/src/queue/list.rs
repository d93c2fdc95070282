//! Looking at jobs.

use super::row::trigger_str;
use super::{Job, JobFilter, LogLevel, PolicyRuns, QueueDepth, StoredLogLine};
use crate::Catalog;
use crate::db::{Tx, Value, params};
use crate::error::{CatalogError, Result};
use crate::filter::Filter;
use crate::paging::{Cursor, Page, Paged};
use pgkeep_model::job::{JobKind, JobState};
use std::collections::BTreeMap;

/// Kinds of jobs that are a policy's own runs; its cleanups are not.
const RUNS: &str = "policy IS NOT NULL AND kind IN ('backup', 'export')";

impl Catalog {
    /// The job of this id, or [`CatalogError::NotFound`].
    pub async fn job(&self, id: &str) -> Result<Job> {
        let row = self
            .db()
            .row("SELECT * FROM jobs WHERE id = $1", params![id])
            .await?;
        match row {
            Some(row) => Job::read(&row),
            None => Err(CatalogError::not_found("job", id)),
        }
    }

    pub(super) async fn job_in(&self, tx: &mut Tx, id: &str) -> Result<Job> {
        let row = tx
            .row("SELECT * FROM jobs WHERE id = $1", params![id])
            .await?;
        match row {
            Some(row) => Job::read(&row),
            None => Err(CatalogError::not_found("job", id)),
        }
    }

    /// Jobs in the order in which they were made.
    pub async fn jobs(&self, filter: &JobFilter, page: &Page) -> Result<Paged<Job>> {
        let mut wanted = Filter::default();
        let states: Vec<Value> = filter.states.iter().map(|s| s.as_str().into()).collect();
        let kinds: Vec<Value> = filter.kinds.iter().map(|k| k.as_str().into()).collect();
        wanted.one_of("state", states);
        wanted.one_of("kind", kinds);
        wanted.apps(filter.apps.as_deref());
        wanted.equals("repository", filter.repository.as_deref());
        wanted.equals("policy", filter.policy.as_deref());
        wanted.equals("trigger_kind", filter.trigger.map(trigger_str));
        wanted.compares("created_at >=", filter.since);
        wanted.compares("created_at <", filter.until);
        if let Some(text) = &filter.text {
            wanted.contains(&["app", "policy", "created_by", "error"], "id", text);
        }
        if let Some(after) = &page.after {
            let cursor = Cursor::decode(after, "id")?;
            let op = if page.descending { "id <" } else { "id >" };
            wanted.compares(op, Some(cursor.id));
        }
        let order = if page.descending { "DESC" } else { "ASC" };
        let limit = wanted.param(page.rows() + 1);
        let sql = format!(
            "SELECT * FROM jobs {} ORDER BY id {order} LIMIT {limit}",
            wanted.clause()
        );
        let rows = self
            .db()
            .rows(sqlx::AssertSqlSafe(sql), wanted.into_params())
            .await?;
        let jobs = rows.iter().map(Job::read).collect::<Result<_>>()?;
        Ok(Paged::of(jobs, page.rows(), |job| Cursor {
            sort: "id".to_owned(),
            value: 0.0,
            id: job.id.clone(),
        }))
    }

    /// Lines of a job's log after a line number, oldest first.
    pub async fn job_log(
        &self,
        id: &str,
        after_line: i64,
        limit: u32,
    ) -> Result<Vec<StoredLogLine>> {
        self.db()
            .rows(
                "SELECT line, at, level, text FROM job_log WHERE job = $1 AND line > $2 ORDER BY line LIMIT $3",
                params![id, after_line, limit],
            )
            .await?
            .iter()
            .map(|row| {
                Ok(StoredLogLine {
                    line: row.int("line")?,
                    at: row.time("at")?,
                    level: LogLevel::named(&row.text("level")?),
                    text: row.text("text")?,
                })
            })
            .collect()
    }

    /// How many jobs there are in each state, and what those that wait are waiting for.
    pub async fn queue_depth(&self) -> Result<QueueDepth> {
        let big = |n: i64| u64::try_from(n).unwrap_or(0);
        let now = self.now();
        let mut depth = QueueDepth::default();
        let rows = self
            .db()
            .rows(
                "SELECT state, kind, count(*) AS n FROM jobs GROUP BY state, kind ORDER BY state, kind",
                params![],
            )
            .await?;
        for row in &rows {
            let (state, kind) = (row.text("state")?, row.text("kind")?);
            if let (Some(state), Some(kind)) = (JobState::named(&state), JobKind::named(&kind)) {
                let count = big(row.int("n")?);
                if state == JobState::Running {
                    depth.running += count;
                }
                depth.counts.push((state, kind, count));
            }
        }
        let rows = self
            .db()
            .rows(
                "SELECT CASE WHEN approval = 'needed' THEN 'approval' WHEN held = 1 THEN 'held'
                     WHEN run_at > $1 THEN 'later' ELSE 'ready' END AS waits_for,
                     count(*) AS n, min(run_at) AS oldest
                 FROM jobs WHERE state = 'queued' GROUP BY 1",
                params![now],
            )
            .await?;
        for row in &rows {
            let count = big(row.int("n")?);
            match row.text("waits_for")?.as_str() {
                "approval" => depth.waiting_for_approval = count,
                "held" => depth.held = count,
                "later" => depth.later = count,
                _ => {
                    depth.ready = count;
                    depth.oldest_ready = row.opt_time("oldest")?;
                }
            }
        }
        Ok(depth)
    }

    /// Jobs of an app that a worker has at this moment, oldest first.
    pub async fn running_jobs_of_app(&self, app: &str) -> Result<Vec<Job>> {
        self.read_jobs(
            "SELECT * FROM jobs WHERE app = $1 AND state = 'running' ORDER BY id",
            params![app],
        )
        .await
    }

    /// What is known of the runs of every policy that ever ran.
    pub async fn policy_runs(&self) -> Result<Vec<PolicyRuns>> {
        let sql = format!(
            "SELECT policy, max(scheduled_for) AS scheduled,
                 max(CASE WHEN state IN ('succeeded', 'skipped') THEN finished_at END) AS good,
                 max(CASE WHEN state = 'failed' THEN finished_at END) AS bad
             FROM jobs WHERE {RUNS} GROUP BY policy ORDER BY policy"
        );
        let rows = self.db().rows(sqlx::AssertSqlSafe(sql), params![]).await?;
        let mut finished = self
            .newest_by_policy("state NOT IN ('queued', 'running')")
            .await?;
        let mut active = self
            .newest_by_policy("state IN ('queued', 'running')")
            .await?;
        rows.iter()
            .map(|row| {
                let policy = row.text("policy")?;
                Ok(PolicyRuns {
                    last_scheduled_for: row.opt_time("scheduled")?,
                    last_success_at: row.opt_time("good")?,
                    last_failure_at: row.opt_time("bad")?,
                    last_finished: finished.remove(&policy),
                    active: active.remove(&policy),
                    policy,
                })
            })
            .collect()
    }

    async fn newest_by_policy(&self, states: &str) -> Result<BTreeMap<String, Job>> {
        let sql = format!(
            "SELECT * FROM jobs WHERE id IN (SELECT max(id) FROM jobs WHERE {RUNS} AND {states} GROUP BY policy)"
        );
        let rows = self.db().rows(sqlx::AssertSqlSafe(sql), params![]).await?;
        rows.iter()
            .map(|row| Ok((row.text("policy")?, Job::read(row)?)))
            .collect()
    }

    async fn read_jobs(&self, sql: &'static str, params: Vec<Value>) -> Result<Vec<Job>> {
        let rows = self.db().rows(sql, params).await?;
        rows.iter().map(Job::read).collect()
    }
}
