//! Backups that the server knows of: a copy of what the repositories say, plus what jobs found out, made for fast lists.
//!
//! The repositories are the truth; this can be thrown away and made again (`sync`).

use crate::{Catalog, Page, Paged, Result};
use jiff::Timestamp;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct BackupRow {
    pub repository: String,
    /// Hexadecimal; stays the same when tags change.
    pub id: String,
    pub app: String,
    pub environment: String,
    pub kind: String,
    pub time: Timestamp,
    pub databases: Vec<String>,
    pub description: String,
    pub tags: Vec<String>,
    pub pinned: bool,
    pub partial: bool,
    pub checked_at: Option<Timestamp>,
    pub proven_at: Option<Timestamp>,
    pub proven_seconds: Option<f64>,
    pub damaged_at: Option<Timestamp>,
    pub drill_failed_at: Option<Timestamp>,
    pub policy: Option<String>,
    pub job: Option<String>,
    pub rows: Option<u64>,
    /// Of the data, before deduplication and compression.
    pub bytes: Option<u64>,
    /// Stored anew in the repository.
    pub bytes_added: Option<u64>,
    pub seconds: Option<f64>,
    pub hostname: String,
    pub username: String,
    /// Grows with every change; ignored when written.
    pub revision: i64,
}

/// How far a backup has been proven, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackupState {
    Stored,
    Checked,
    Proven,
    DrillFailed,
    Damaged,
}

/// An id that a backup had before, whose facts go to the new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalId {
    pub new: String,
    pub original: String,
}

/// Which backups to list; `None` means all.
#[derive(Debug, Clone, Default)]
pub struct BackupFilter {
    /// Only backups of these apps: `Some` of an empty list means none at all.
    pub apps: Option<Vec<String>>,
    pub repository: Option<String>,
    pub environment: Option<String>,
    pub kind: Option<String>,
    pub policy: Option<String>,
    pub state: Option<BackupState>,
    pub pinned: Option<bool>,
    /// At this time or later.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Part of the description, of a database's, app's or policy's name, of a tag, or the begin of the id.
    pub text: Option<String>,
    pub tag: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BackupSort {
    #[default]
    Time,
    Bytes,
    Seconds,
}

impl Catalog {
    pub async fn upsert_backup(&self, _row: &BackupRow) -> Result<()> {
        todo!()
    }
    /// Makes the list of a repository be these. Facts that only jobs know (job, policy, rows, bytes, seconds) are kept.
    pub async fn replace_backups(
        &self,
        _repository: &str,
        _rows: &[BackupRow],
        _renamed: &[OriginalId],
    ) -> Result<()> {
        todo!()
    }
    pub async fn remove_backup(&self, _repository: &str, _id: &str) -> Result<()> {
        todo!()
    }
    pub async fn backups(
        &self,
        _filter: &BackupFilter,
        _sort: BackupSort,
        _page: &Page,
    ) -> Result<Paged<BackupRow>> {
        todo!()
    }
    /// Finds a backup by the begin of its id, in one repository or in all.
    pub async fn backup(&self, _repository: Option<&str>, _id_prefix: &str) -> Result<BackupRow> {
        todo!()
    }
    /// Newest whole, undamaged backup of an app.
    pub async fn newest_good_backup(&self, _app: &str) -> Result<Option<BackupRow>> {
        todo!()
    }
    /// Newest backup of an app that was proven and is not damaged.
    pub async fn newest_proven_backup(&self, _app: &str) -> Result<Option<BackupRow>> {
        todo!()
    }
}
