//! What is known of repositories besides their definitions: how much they held on each day, and whether the recovery kit of
//! the key is in a safe place.
//!
//! A definition that gets another key has no confirmed kit any more; a key that is changed where a reference leads to is
//! told by [`Catalog::forget_recovery_kit`].

use crate::Catalog;
use crate::db::params;
use crate::error::{CatalogError, Result};
use crate::events::NewEvent;
use jiff::Timestamp;
use pgkeep_model::growth::Size;
use std::collections::BTreeMap;

const DAY_MILLIS: i64 = 86_400_000;
/// Days for which measurements are kept.
const DAYS_KEPT: i64 = 400;

impl Catalog {
    /// Writes down that somebody put the recovery kit of a repository's key into a safe place, now; returns when that is.
    pub async fn confirm_recovery_kit(&self, repository: &str) -> Result<Timestamp> {
        let mut tx = self.begin().await?;
        let now = tx.now();
        let row = tx
            .row(
                "UPDATE repositories SET recovery_kit_at = $2 WHERE name = $1 RETURNING recovery_kit_at",
                params![repository, now],
            )
            .await?
            .ok_or_else(|| CatalogError::not_found("repository", repository))?;
        tx.event(told(repository, "recovery_kit_confirmed"));
        tx.commit().await?;
        row.time("recovery_kit_at")
    }

    /// The key was changed: the kit that was made before opens the repository no more. One that is not known is no error.
    pub async fn forget_recovery_kit(&self, repository: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        let changed = tx
            .run(
                "UPDATE repositories SET recovery_kit_at = NULL WHERE name = $1 AND recovery_kit_at IS NOT NULL",
                params![repository],
            )
            .await?;
        if changed > 0 {
            tx.event(told(repository, "recovery_kit_outdated"));
        }
        tx.commit().await
    }

    /// When the recovery kit was confirmed, by repository; those without are left out.
    pub async fn recovery_kits(&self) -> Result<BTreeMap<String, Timestamp>> {
        let rows = self
            .db()
            .rows(
                "SELECT name, recovery_kit_at FROM repositories WHERE recovery_kit_at IS NOT NULL",
                params![],
            )
            .await?;
        rows.iter()
            .map(|row| Ok((row.text("name")?, row.time("recovery_kit_at")?)))
            .collect()
    }

    /// Writes down how much a repository holds; the last measurement of a day stands for the day.
    pub async fn record_size(&self, repository: &str, size: &Size) -> Result<()> {
        let day = size.at.as_millisecond().div_euclid(DAY_MILLIS);
        let mut tx = self.begin().await?;
        tx.run(
            "INSERT INTO repository_sizes (repository, day, measured_at, stored_bytes, free_bytes)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (repository, day) DO UPDATE SET measured_at = excluded.measured_at,
                 stored_bytes = excluded.stored_bytes, free_bytes = excluded.free_bytes",
            params![repository, day, size.at, size.stored_bytes, size.free_bytes],
        )
        .await?;
        tx.run(
            "DELETE FROM repository_sizes WHERE repository = $1 AND day < $2",
            params![repository, day - DAYS_KEPT],
        )
        .await?;
        tx.commit().await
    }

    /// What was measured since a time, oldest first, by repository.
    pub async fn sizes_since(&self, since: Timestamp) -> Result<BTreeMap<String, Vec<Size>>> {
        let rows = self
            .db()
            .rows(
                "SELECT * FROM repository_sizes WHERE measured_at >= $1 ORDER BY repository, day",
                params![since],
            )
            .await?;
        let mut all: BTreeMap<String, Vec<Size>> = BTreeMap::new();
        for row in &rows {
            let big = |n: i64| u64::try_from(n).unwrap_or(0);
            let size = Size {
                at: row.time("measured_at")?,
                stored_bytes: big(row.int("stored_bytes")?),
                free_bytes: big(row.int("free_bytes")?),
            };
            all.entry(row.text("repository")?).or_default().push(size);
        }
        Ok(all)
    }
}

fn told(repository: &str, change: &str) -> NewEvent {
    NewEvent::new("repository", repository).data(serde_json::json!({ "change": change }))
}
