//! What the status of an app asks: its newest backups that are good for something, and how many lie where.
//!
//! A status is judged every second, so none of these may cost more as an app's list of backups grows: each reads an index.

use super::BackupRow;
use crate::Catalog;
use crate::db::params;
use crate::error::Result;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What one repository holds of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    pub repository: String,
    /// How many backups.
    pub backups: u64,
    /// When the newest was made.
    pub newest: Timestamp,
}

impl Catalog {
    /// Newest whole, undamaged backup of an app that holds what those before it did.
    pub async fn newest_good_backup(&self, app: &str) -> Result<Option<BackupRow>> {
        self.newest(app, "partial = 0 AND damaged_at IS NULL AND shrunk IS NULL")
            .await
    }

    /// Newest backup of an app that was proven, and of which nothing bad was found since.
    pub async fn newest_proven_backup(&self, app: &str) -> Result<Option<BackupRow>> {
        self.newest(
            app,
            "partial = 0 AND damaged_at IS NULL AND drill_failed_at IS NULL AND shrunk IS NULL
                 AND proven_at IS NOT NULL",
        )
        .await
    }

    /// Backups of an app, newest first, back to the oldest that holds far less than the one before it; none where none does.
    pub async fn backups_since_shrunk(&self, app: &str) -> Result<Vec<BackupRow>> {
        let rows = self
            .db()
            .rows(
                "SELECT * FROM backups WHERE app = $1 AND time >=
                     (SELECT min(time) FROM backups WHERE app = $1 AND shrunk IS NOT NULL)
                 ORDER BY time DESC, id DESC LIMIT 5000",
                params![app],
            )
            .await?;
        rows.iter().map(BackupRow::read).collect()
    }

    /// What each repository holds of an app, by the repository's name; one that holds nothing is left out.
    pub async fn holdings_of(&self, app: &str) -> Result<Vec<Holding>> {
        let rows = self
            .db()
            .rows(
                "SELECT repository, count(*) AS n, max(time) AS newest FROM backups WHERE app = $1
                 GROUP BY repository ORDER BY repository",
                params![app],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Holding {
                    repository: row.text("repository")?,
                    backups: u64::try_from(row.int("n")?).unwrap_or(0),
                    newest: row.time("newest")?,
                })
            })
            .collect()
    }

    /// How many backups of an app each policy made.
    pub async fn backups_by_policy(&self, app: &str) -> Result<BTreeMap<String, u64>> {
        let rows = self
            .db()
            .rows(
                "SELECT policy, count(*) AS n FROM backups WHERE app = $1 AND policy IS NOT NULL GROUP BY policy",
                params![app],
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok((
                    row.text("policy")?,
                    u64::try_from(row.int("n")?).unwrap_or(0),
                ))
            })
            .collect()
    }

    /// Newest whole backup of an app in one repository of which nothing bad is known.
    pub async fn newest_good_backup_in(
        &self,
        app: &str,
        repository: &str,
    ) -> Result<Option<BackupRow>> {
        let row = self
            .db()
            .row(
                "SELECT * FROM backups WHERE app = $1 AND repository = $2 AND partial = 0 AND damaged_at IS NULL
                     AND drill_failed_at IS NULL AND shrunk IS NULL
                 ORDER BY time DESC, id DESC LIMIT 1",
                params![app, repository],
            )
            .await?;
        row.as_ref().map(BackupRow::read).transpose()
    }

    async fn newest(&self, app: &str, condition: &'static str) -> Result<Option<BackupRow>> {
        let sql = format!(
            "SELECT * FROM backups WHERE app = $1 AND {condition} ORDER BY time DESC, id DESC LIMIT 1"
        );
        let row = self
            .db()
            .row(sqlx::AssertSqlSafe(sql), params![app])
            .await?;
        row.as_ref().map(BackupRow::read).transpose()
    }
}
