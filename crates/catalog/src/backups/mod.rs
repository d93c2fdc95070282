//! Backups that the server knows of: a copy of what the repositories say, plus what jobs found out, made for fast lists.
//!
//! The repositories are the truth; this can be thrown away and made again (`sync`).

mod of_app;
mod write;

pub use of_app::Holding;

use crate::Catalog;
use crate::db::{Row, Value};
use crate::error::{CatalogError, Result};
use crate::filter::{Filter, escape_like};
use crate::paging::{Cursor, Page, Paged};
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
    /// Names of its file trees.
    pub files: Vec<String>,
    /// The newest migration that was applied, where a framework keeps count.
    pub schema_version: Option<String>,
    pub description: String,
    pub tags: Vec<String>,
    pub pinned: bool,
    pub partial: bool,
    pub checked_at: Option<Timestamp>,
    pub proven_at: Option<Timestamp>,
    pub proven_seconds: Option<f64>,
    pub damaged_at: Option<Timestamp>,
    pub drill_failed_at: Option<Timestamp>,
    /// It holds far less than an earlier one did, in words; `None` once somebody accepted that.
    pub shrunk: Option<String>,
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

impl BackupRow {
    /// How far it has been proven; what is wrong with it comes first.
    pub fn state(&self) -> BackupState {
        if self.damaged_at.is_some() {
            BackupState::Damaged
        } else if self.drill_failed_at.is_some() {
            BackupState::DrillFailed
        } else if self.proven_at.is_some() {
            BackupState::Proven
        } else if self.checked_at.is_some() {
            BackupState::Checked
        } else {
            BackupState::Stored
        }
    }
}

impl BackupState {
    pub const ALL: [BackupState; 5] = [
        BackupState::Stored,
        BackupState::Checked,
        BackupState::Proven,
        BackupState::DrillFailed,
        BackupState::Damaged,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            BackupState::Stored => "stored",
            BackupState::Checked => "checked",
            BackupState::Proven => "proven",
            BackupState::DrillFailed => "drill_failed",
            BackupState::Damaged => "damaged",
        }
    }

    pub fn named(name: &str) -> Option<BackupState> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// The rows for which [`BackupRow::state`] is this.
    fn condition(self) -> &'static str {
        match self {
            BackupState::Damaged => "damaged_at IS NOT NULL",
            BackupState::DrillFailed => "damaged_at IS NULL AND drill_failed_at IS NOT NULL",
            BackupState::Proven => {
                "damaged_at IS NULL AND drill_failed_at IS NULL AND proven_at IS NOT NULL"
            }
            BackupState::Checked => {
                "damaged_at IS NULL AND drill_failed_at IS NULL AND proven_at IS NULL AND checked_at IS NOT NULL"
            }
            BackupState::Stored => {
                "damaged_at IS NULL AND drill_failed_at IS NULL AND proven_at IS NULL AND checked_at IS NULL"
            }
        }
    }
}

impl BackupSort {
    fn name(self) -> &'static str {
        match self {
            BackupSort::Time => "time",
            BackupSort::Bytes => "bytes",
            BackupSort::Seconds => "seconds",
        }
    }

    /// What is unknown sorts as the least.
    fn column(self) -> &'static str {
        match self {
            BackupSort::Time => "time",
            BackupSort::Bytes => "coalesce(bytes, -1)",
            BackupSort::Seconds => "coalesce(seconds, -1.0)",
        }
    }

    fn value(self, row: &BackupRow) -> f64 {
        match self {
            BackupSort::Time => row.time.as_millisecond() as f64,
            BackupSort::Bytes => row.bytes.map_or(-1.0, |n| n as f64),
            BackupSort::Seconds => row.seconds.unwrap_or(-1.0),
        }
    }

    /// The cursor's value in the column's own type, so that the comparison is exact.
    fn param(self, value: f64) -> Value {
        match self {
            BackupSort::Time | BackupSort::Bytes => (value as i64).into(),
            BackupSort::Seconds => value.into(),
        }
    }
}

impl Catalog {
    pub async fn backups(
        &self,
        filter: &BackupFilter,
        sort: BackupSort,
        page: &Page,
    ) -> Result<Paged<BackupRow>> {
        let mut wanted = filter.clause();
        let column = sort.column();
        let (order, op) = if page.descending {
            ("DESC", "<")
        } else {
            ("ASC", ">")
        };
        if let Some(after) = &page.after {
            let cursor = Cursor::decode(after, sort.name())?;
            let (id, repository) = cursor.id.split_once('@').unwrap_or((&cursor.id, ""));
            let value = wanted.param(sort.param(cursor.value));
            let id = wanted.param(id);
            let repository = wanted.param(repository);
            wanted.condition(format!(
                "({column}, id, repository) {op} ({value}, {id}, {repository})"
            ));
        }
        let limit = wanted.param(page.rows() + 1);
        let sql = format!(
            "SELECT * FROM backups {} ORDER BY {column} {order}, id {order}, repository {order} LIMIT {limit}",
            wanted.clause()
        );
        let rows = self
            .db()
            .rows(sqlx::AssertSqlSafe(sql), wanted.into_params())
            .await?;
        let rows = rows.iter().map(BackupRow::read).collect::<Result<_>>()?;
        Ok(Paged::of(rows, page.rows(), |row| Cursor {
            sort: sort.name().to_owned(),
            value: sort.value(row),
            id: format!("{}@{}", row.id, row.repository),
        }))
    }

    /// How many backups a filter finds.
    pub async fn count_backups(&self, filter: &BackupFilter) -> Result<u64> {
        let wanted = filter.clause();
        let sql = format!("SELECT count(*) AS n FROM backups {}", wanted.clause());
        let row = self
            .db()
            .row(sqlx::AssertSqlSafe(sql), wanted.into_params())
            .await?;
        row.map_or(Ok(0), |row| Ok(u64::try_from(row.int("n")?).unwrap_or(0)))
    }

    /// Finds a backup by the begin of its id, in one repository or in all. [`CatalogError::Invalid`] where several fit.
    pub async fn backup(&self, repository: Option<&str>, id_prefix: &str) -> Result<BackupRow> {
        let mut wanted = Filter::default();
        wanted.equals("repository", repository);
        let prefix = wanted.param(format!("{}%", escape_like(&id_prefix.to_lowercase())));
        wanted.condition(format!("id LIKE {prefix} ESCAPE '\\'"));
        let sql = format!(
            "SELECT * FROM backups {} ORDER BY time DESC LIMIT 2",
            wanted.clause()
        );
        let rows = self
            .db()
            .rows(sqlx::AssertSqlSafe(sql), wanted.into_params())
            .await?;
        match rows.as_slice() {
            [] => Err(CatalogError::not_found("backup", id_prefix)),
            _ if id_prefix.is_empty() => Err(CatalogError::not_found("backup", id_prefix)),
            [row] => BackupRow::read(row),
            several => {
                // A copy in another repository bears the same id: then it is one backup, and the newest word counts.
                let first = BackupRow::read(&several[0])?;
                let second = BackupRow::read(&several[1])?;
                if first.id == second.id {
                    return Ok(first);
                }
                Err(CatalogError::Invalid(format!(
                    "{id_prefix} is the begin of several backups' ids: give more digits"
                )))
            }
        }
    }
}

impl BackupFilter {
    fn clause(&self) -> Filter {
        let mut wanted = Filter::default();
        wanted.apps(self.apps.as_deref());
        wanted.equals("repository", self.repository.as_deref());
        wanted.equals("environment", self.environment.as_deref());
        wanted.equals("kind", self.kind.as_deref());
        wanted.equals("policy", self.policy.as_deref());
        wanted.equals("pinned", self.pinned);
        wanted.compares("time >=", self.since);
        wanted.compares("time <", self.until);
        if let Some(state) = self.state {
            wanted.condition(state.condition());
        }
        if let Some(text) = &self.text {
            wanted.contains(
                &["description", "databases", "app", "policy", "tags"],
                "id",
                text,
            );
        }
        if let Some(tag) = &self.tag {
            // The list is stored as JSON, so a whole tag stands between its quotes.
            let quoted = serde_json::Value::from(tag.as_str()).to_string();
            let place = wanted.param(format!("%{}%", escape_like(&quoted)));
            wanted.condition(format!("tags LIKE {place} ESCAPE '\\'"));
        }
        wanted
    }
}

impl BackupRow {
    fn read(row: &Row) -> Result<BackupRow> {
        let big = |n: i64| u64::try_from(n).unwrap_or(0);
        Ok(BackupRow {
            repository: row.text("repository")?,
            id: row.text("id")?,
            app: row.text("app")?,
            environment: row.text("environment")?,
            kind: row.text("kind")?,
            time: row.time("time")?,
            databases: row.json("databases")?,
            files: row.json("files")?,
            schema_version: row.opt_text("schema_version")?,
            description: row.text("description")?,
            tags: row.json("tags")?,
            pinned: row.bool("pinned")?,
            partial: row.bool("partial")?,
            checked_at: row.opt_time("checked_at")?,
            proven_at: row.opt_time("proven_at")?,
            proven_seconds: row.opt_real("proven_seconds")?,
            damaged_at: row.opt_time("damaged_at")?,
            drill_failed_at: row.opt_time("drill_failed_at")?,
            shrunk: row.opt_text("shrunk")?,
            policy: row.opt_text("policy")?,
            job: row.opt_text("job")?,
            rows: row.opt_int("row_count")?.map(big),
            bytes: row.opt_int("bytes")?.map(big),
            bytes_added: row.opt_int("bytes_added")?.map(big),
            seconds: row.opt_real("seconds")?,
            hostname: row.text("hostname")?,
            username: row.text("username")?,
            revision: row.int("revision")?,
        })
    }
}
