//! Writing backups down: one that a job made, or all of a repository as it lists them.

use super::BackupRow;
use crate::Catalog;
use crate::db::{Tx, Value, json, params};
use crate::error::Result;
use crate::events::NewEvent;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Of more backups than these at once, one event tells.
const TOLD_ONE_BY_ONE: usize = 100;

impl Catalog {
    /// Writes down a backup. What is `None` of the facts that only jobs know stays as it was.
    pub async fn upsert_backup(&self, row: &BackupRow) -> Result<()> {
        self.upsert_backups(std::slice::from_ref(row)).await
    }

    /// Writes down several at once.
    pub async fn upsert_backups(&self, rows: &[BackupRow]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        for row in rows {
            let new = upsert(&mut tx, row).await?;
            if rows.len() <= TOLD_ONE_BY_ONE {
                tx.event(NewEvent::new("backup", &row.id).app(Some(&row.app)).data(
                    serde_json::json!({
                        "change": if new { "made" } else { "changed" },
                        "repository": row.repository,
                        "kind": row.kind,
                        "state": row.state().as_str(),
                    }),
                ));
            }
        }
        if rows.len() > TOLD_ONE_BY_ONE {
            tx.event(synced(&rows[0].repository));
        }
        tx.commit().await
    }

    /// Makes the list of a repository be what it was at `listed_at`: what was written down since then stays. Facts that only
    /// jobs know (job, policy, rows, bytes, seconds) are kept. One event tells of all of it, and none where nothing changed.
    pub async fn replace_backups(
        &self,
        repository: &str,
        rows: &[BackupRow],
        listed_at: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.lock("backups").await?;
        let mut known: BTreeMap<String, BackupRow> = tx
            .rows(
                "SELECT * FROM backups WHERE repository = $1",
                params![repository],
            )
            .await?
            .iter()
            .map(|row| BackupRow::read(row).map(|row| (row.id.clone(), row)))
            .collect::<Result<_>>()?;
        let mut changes = 0;
        for row in rows {
            let row = BackupRow {
                repository: repository.to_owned(),
                ..row.clone()
            };
            match known.remove(&row.id) {
                Some(before) if row.adds_nothing_to(&before) => {}
                _ => {
                    upsert(&mut tx, &row).await?;
                    changes += 1;
                }
            }
        }
        for id in known.keys() {
            changes += tx
                .run(
                    "DELETE FROM backups WHERE repository = $1 AND id = $2 AND written_at < $3",
                    params![repository, id, listed_at],
                )
                .await?;
        }
        if changes > 0 {
            tx.event(synced(repository));
        }
        tx.commit().await
    }

    /// Forgets a backup that is no longer in its repository. One that is not known is no error.
    pub async fn remove_backup(&self, repository: &str, id: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        let row = tx
            .row(
                "DELETE FROM backups WHERE repository = $1 AND id = $2 RETURNING app",
                params![repository, id],
            )
            .await?;
        if let Some(row) = row {
            tx.event(
                NewEvent::new("backup", id)
                    .app(row.opt_text("app")?.as_deref())
                    .data(serde_json::json!({ "change": "removed", "repository": repository })),
            );
        }
        tx.commit().await
    }
}

impl BackupRow {
    /// Whether writing it over `before` would change nothing.
    fn adds_nothing_to(&self, before: &BackupRow) -> bool {
        let merged = BackupRow {
            policy: self.policy.clone().or_else(|| before.policy.clone()),
            job: self.job.clone().or_else(|| before.job.clone()),
            rows: self.rows.or(before.rows),
            bytes: self.bytes.or(before.bytes),
            bytes_added: self.bytes_added.or(before.bytes_added),
            seconds: self.seconds.or(before.seconds),
            revision: before.revision,
            ..self.clone()
        };
        merged.rounded() == *before
    }

    /// Times lose what is smaller than a millisecond.
    fn rounded(self) -> BackupRow {
        let round =
            |time: Timestamp| Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time);
        BackupRow {
            time: round(self.time),
            checked_at: self.checked_at.map(round),
            proven_at: self.proven_at.map(round),
            damaged_at: self.damaged_at.map(round),
            drill_failed_at: self.drill_failed_at.map(round),
            ..self
        }
    }
}

/// Many backups of a repository changed: who shows a list asks for it again.
fn synced(repository: &str) -> NewEvent {
    NewEvent::new("repository", repository).data(serde_json::json!({ "change": "synced" }))
}

/// Returns whether it was not known before.
async fn upsert(tx: &mut Tx, row: &BackupRow) -> Result<bool> {
    let now = tx.now();
    let params: Vec<Value> = params![
        &row.repository,
        &row.id,
        &row.app,
        &row.environment,
        &row.kind,
        row.time,
        json(&row.databases)?,
        &row.description,
        json(&row.tags)?,
        row.pinned,
        row.partial,
        row.checked_at,
        row.proven_at,
        row.proven_seconds,
        row.damaged_at,
        row.drill_failed_at,
        &row.policy,
        &row.job,
        row.rows,
        row.bytes,
        row.bytes_added,
        row.seconds,
        &row.hostname,
        &row.username,
        now,
        json(&row.files)?,
        &row.schema_version,
        &row.shrunk,
    ];
    let written = tx
        .row(
            "INSERT INTO backups (repository, id, app, environment, kind, time, databases, description, tags, pinned,
                 partial, checked_at, proven_at, proven_seconds, damaged_at, drill_failed_at, policy, job, row_count,
                 bytes, bytes_added, seconds, hostname, username, written_at, files, schema_version, shrunk, revision)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                 $21, $22, $23, $24, $25, $26, $27, $28, 1)
             ON CONFLICT (repository, id) DO UPDATE SET app = excluded.app, environment = excluded.environment,
                 kind = excluded.kind, time = excluded.time, databases = excluded.databases,
                 description = excluded.description, tags = excluded.tags, pinned = excluded.pinned,
                 partial = excluded.partial, checked_at = excluded.checked_at, proven_at = excluded.proven_at,
                 proven_seconds = excluded.proven_seconds, damaged_at = excluded.damaged_at,
                 drill_failed_at = excluded.drill_failed_at,
                 policy = coalesce(excluded.policy, backups.policy), job = coalesce(excluded.job, backups.job),
                 row_count = coalesce(excluded.row_count, backups.row_count),
                 bytes = coalesce(excluded.bytes, backups.bytes),
                 bytes_added = coalesce(excluded.bytes_added, backups.bytes_added),
                 seconds = coalesce(excluded.seconds, backups.seconds),
                 hostname = excluded.hostname, username = excluded.username,
                 files = excluded.files, schema_version = excluded.schema_version,
                 shrunk = excluded.shrunk,
                 written_at = excluded.written_at, revision = backups.revision + 1
             RETURNING revision",
            params,
        )
        .await?;
    written.map_or(Ok(true), |row| Ok(row.int("revision")? == 1))
}
