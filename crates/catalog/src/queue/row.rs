//! A job's row, read.

use super::{Approval, Job, JobProgress};
use crate::db::Row;
use crate::error::{CatalogError, Result};
use crate::events::NewEvent;
use pgkeep_model::job::{JobKind, JobState, Trigger};

impl Job {
    pub(super) fn read(row: &Row) -> Result<Job> {
        let small = |n: i64| u32::try_from(n).unwrap_or(0);
        let big = |n: i64| u64::try_from(n).unwrap_or(0);
        let kind = row.text("kind")?;
        let state = row.text("state")?;
        let done_bytes = row.opt_int("done_bytes")?;
        let total_bytes = row.opt_int("total_bytes")?.map(big);
        let item = row.opt_text("item")?;
        Ok(Job {
            id: row.text("id")?,
            spec: row.json("spec")?,
            kind: JobKind::named(&kind)
                .ok_or_else(|| CatalogError::corrupt("kind of a job", &kind))?,
            state: JobState::named(&state)
                .ok_or_else(|| CatalogError::corrupt("state of a job", &state))?,
            app: row.opt_text("app")?,
            repository: row.opt_text("repository")?,
            policy: row.opt_text("policy")?,
            trigger: trigger_named(&row.text("trigger_kind")?)?,
            created_by: row.text("created_by")?,
            priority: i32::try_from(row.int("priority")?).unwrap_or(0),
            created_at: row.time("created_at")?,
            run_at: row.time("run_at")?,
            scheduled_for: row.opt_time("scheduled_for")?,
            started_at: row.opt_time("started_at")?,
            finished_at: row.opt_time("finished_at")?,
            attempts: small(row.int("attempts")?),
            max_attempts: small(row.int("max_attempts")?),
            node: row.opt_text("node")?,
            fence: row.int("fence")?,
            lease_until: row.opt_time("lease_until")?,
            cancel_requested: row.bool("cancel_requested")?,
            held: row.bool("held")?,
            approval: match row.text("approval")?.as_str() {
                "needed" => Approval::Needed,
                "approved" => {
                    Approval::ApprovedBy(row.opt_text("approved_by")?.unwrap_or_default())
                }
                _ => Approval::NotNeeded,
            },
            asked_by: row.opt_text("asked_by")?,
            agreed_plan: row.opt_text("agreed_plan")?,
            dedup_key: row.opt_text("dedup_key")?,
            concurrency_key: row.opt_text("concurrency_key")?,
            phase: row.opt_text("phase")?,
            progress: done_bytes.map(|done| JobProgress {
                done_bytes: big(done),
                total_bytes,
                item,
            }),
            error: row.opt_json("error")?,
            result: row.opt_json("result")?,
            soft_limit_secs: small(row.int("soft_limit_secs")?),
            hard_limit_secs: small(row.int("hard_limit_secs")?),
            correlation: row.opt_text("correlation")?,
            revision: row.int("revision")?,
        })
    }
}

pub(super) fn trigger_str(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Schedule => "schedule",
        Trigger::Api => "api",
        Trigger::Cli => "cli",
        Trigger::Internal => "internal",
    }
}

fn trigger_named(name: &str) -> Result<Trigger> {
    Ok(match name {
        "schedule" => Trigger::Schedule,
        "api" => Trigger::Api,
        "cli" => Trigger::Cli,
        "internal" => Trigger::Internal,
        other => return Err(CatalogError::corrupt("trigger of a job", other)),
    })
}

/// Tells of a change of a job.
pub(super) fn job_event(job: &Job, change: &str) -> NewEvent {
    NewEvent::new("job", &job.id)
        .app(job.app.as_deref())
        .data(serde_json::json!({
            "change": change,
            "kind": job.kind.as_str(),
            "state": job.state.as_str(),
            "policy": job.policy,
            "revision": job.revision,
        }))
}
