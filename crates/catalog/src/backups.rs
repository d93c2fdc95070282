//! Backups that the server knows of: a copy of what the repositories say, plus what jobs found out, made for fast lists.
//!
//! The repositories are the truth; this can be thrown away and made again (`sync`).

use crate::Catalog;
use crate::db::{Row, Tx, Value, json, params};
use crate::error::{CatalogError, Result};
use crate::events::NewEvent;
use crate::filter::{Filter, escape_like};
use crate::paging::{Cursor, Page, Paged};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Of more backups than these at once, one event tells.
const TOLD_ONE_BY_ONE: usize = 100;

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

    /// How many backups a filter finds, and what they added to their repositories in all.
    pub async fn count_backups(&self, filter: &BackupFilter) -> Result<(u64, u64)> {
        let wanted = filter.clause();
        let sql = format!(
            "SELECT count(*) AS n, CAST(coalesce(sum(bytes_added), 0) AS BIGINT) AS added FROM backups {}",
            wanted.clause()
        );
        let row = self
            .db()
            .row(sqlx::AssertSqlSafe(sql), wanted.into_params())
            .await?;
        let big = |n: i64| u64::try_from(n).unwrap_or(0);
        match row {
            Some(row) => Ok((big(row.int("n")?), big(row.int("added")?))),
            None => Ok((0, 0)),
        }
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
