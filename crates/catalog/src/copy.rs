//! Copies of the whole catalog, for its own backup, and for moving between SQLite and PostgreSQL.
//!
//! A catalog in SQLite is copied as an SQLite file, one in PostgreSQL as lines of JSON: a head that names format, version and
//! key, then `{"table": …, "row": {…}}` for each row. Either can be taken into either kind of catalog. Secrets in a copy are
//! sealed as they are in the catalog, so a copy without the key file tells none.

use crate::db::{Db, Tx, Value, params};
use crate::error::{CatalogError, Result};
use crate::open::put_meta;
use crate::seal::{Seal, read_key_file};
use crate::{Catalog, JobError, SCHEMA_VERSION};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::path::Path;

const FORMAT: &str = "pgkeep-catalog";
/// Rows that are fetched and inserted at a time.
const ROWS_AT_ONCE: usize = 500;

/// Since this version, steps have only added tables, and columns with a default: a copy as old as this fits as it is.
const OLDEST_TAKEN: i64 = 3;

/// Tables in an order in which none refers to a later one.
const TABLES: [&str; 21] = [
    "meta",
    "settings",
    "apps",
    "repositories",
    "repository_sizes",
    "policies",
    "targets",
    "jobs",
    "job_log",
    "events",
    "backups",
    "users",
    "login_failures",
    "sessions",
    "tokens",
    "audit",
    "audit_head",
    "idempotency",
    "uploads",
    "deliveries",
    "setup_tokens",
];
/// What people ask of a catalog, by the tables that hold it.
const TOLD: [(&str, &str); 9] = [
    ("apps", "app"),
    ("repositories", "repository"),
    ("policies", "policy"),
    ("targets", "notification target"),
    ("users", "account"),
    ("tokens", "token"),
    ("jobs", "job"),
    ("backups", "listed backup"),
    ("audit", "audit entry"),
];
/// A catalog that has rows in these is in use.
const MISSED: [&str; 3] = ["apps", "users", "jobs"];
/// Facts of the one catalog that they lie in.
const NOT_COPIED_META: [&str; 2] = ["key_id", "instance_id"];

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    format: String,
    schema: i64,
    key_id: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    table: String,
    row: Map<String, Json>,
}

/// What can be told of a copy before it is taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopyFacts {
    /// Names the key that its secrets are sealed under.
    pub key_id: String,
    /// The version of its tables.
    pub schema: i64,
    pub holds: Holdings,
}

/// How many of each a catalog holds, in the order in which they are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holdings {
    counts: [u64; TOLD.len()],
}

impl Holdings {
    /// Nothing that [`Catalog::import_from`] would refuse to write over.
    pub fn is_empty(&self) -> bool {
        let missed = |table: &str| MISSED.contains(&table);
        let mut counts = TOLD.iter().zip(self.counts);
        counts.all(|((table, _), count)| count == 0 || !missed(table))
    }

    /// The noun for one, and how many there are.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        TOLD.iter().map(|(_, noun)| *noun).zip(self.counts)
    }
}

impl Serialize for Holdings {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        let names = TOLD.iter().map(|(table, _)| *table);
        serializer.collect_map(names.zip(self.counts))
    }
}

impl CopyFacts {
    /// Reads a copy to its end, without taking it in. One that this version cannot take in is refused.
    pub async fn of(path: &Path) -> Result<CopyFacts> {
        let mut source = Source::open(path).await?;
        let head = source.head_taken(path).await?;
        let mut counts = [0; TOLD.len()];
        while let Some(lines) = source.rows().await? {
            for line in lines {
                if let Some(at) = TOLD.iter().position(|(table, _)| *table == line.table) {
                    counts[at] += 1;
                }
            }
        }
        Ok(CopyFacts {
            key_id: head.key_id,
            schema: head.schema,
            holds: Holdings { counts },
        })
    }
}

/// Names the key in a key file; `None` where there is no such file.
pub fn key_id_in(path: &Path) -> Result<Option<String>> {
    Ok(read_key_file(path)?.map(|key| Seal::new(key).id().to_owned()))
}

impl Catalog {
    /// Writes a copy, as of one moment, to a place where nothing is yet. Work goes on meanwhile.
    pub async fn snapshot_to(&self, path: &Path) -> Result<()> {
        let file = private_file(path)?;
        match self.db() {
            Db::Sqlite { readers, .. } => {
                let mut connection = readers.acquire().await?.detach();
                sqlx::raw_sql("PRAGMA query_only = OFF")
                    .execute(&mut connection)
                    .await?;
                let target = path.to_str().ok_or_else(|| {
                    CatalogError::Invalid(format!("{} is not valid UTF-8", path.display()))
                })?;
                sqlx::query("VACUUM INTO $1")
                    .bind(target)
                    .execute(&mut connection)
                    .await?;
                connection.close().await?;
            }
            Db::Postgres(pool) => {
                let mut out = BufWriter::new(&file);
                let head = Head {
                    format: FORMAT.to_owned(),
                    schema: SCHEMA_VERSION,
                    key_id: self.key_id().to_owned(),
                };
                write_line(&mut out, path, &head)?;
                let mut tx = pool
                    .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                    .await?;
                for table in TABLES {
                    let declare = format!(
                        "DECLARE copied NO SCROLL CURSOR FOR SELECT row_to_json(t)::text AS row FROM {table} AS t"
                    );
                    sqlx::raw_sql(AssertSqlSafe(declare))
                        .execute(&mut *tx)
                        .await?;
                    loop {
                        let rows =
                            sqlx::query(AssertSqlSafe(format!("FETCH {ROWS_AT_ONCE} FROM copied")))
                                .fetch_all(&mut *tx)
                                .await?;
                        if rows.is_empty() {
                            break;
                        }
                        for row in rows {
                            let row = serde_json::from_str(row.try_get("row")?)
                                .map_err(|e| CatalogError::corrupt(table, e))?;
                            let table = table.to_owned();
                            write_line(&mut out, path, &Line { table, row })?;
                        }
                    }
                    sqlx::raw_sql("CLOSE copied").execute(&mut *tx).await?;
                }
                tx.commit().await?;
                out.flush().map_err(|e| io("write", path, e))?;
            }
        }
        file.sync_all().map_err(|e| io("write", path, e))
    }

    /// The same of a catalog whose file is no longer under its name: only a connection that is open already still reaches it.
    /// Nothing can be written to the catalog meanwhile.
    pub async fn rescue_to(&self, path: &Path) -> Result<()> {
        let Db::Sqlite { writer, .. } = self.db() else {
            return self.snapshot_to(path).await;
        };
        let file = private_file(path)?;
        let target = path.to_str().ok_or_else(|| {
            CatalogError::Invalid(format!("{} is not valid UTF-8", path.display()))
        })?;
        let mut connection = writer.acquire().await?;
        sqlx::query("VACUUM INTO $1")
            .bind(target)
            .execute(&mut *connection)
            .await?;
        file.sync_all().map_err(|e| io("write", path, e))
    }

    /// How many of each it holds.
    pub async fn holdings(&self) -> Result<Holdings> {
        let mut counts = [0; TOLD.len()];
        for ((table, _), count) in TOLD.iter().zip(&mut counts) {
            let sql = format!("SELECT count(*) AS n FROM {table}");
            let row = self.db().row(AssertSqlSafe(sql), params![]).await?;
            *count = u64::try_from(row.map_or(Ok(0), |row| row.int("n"))?).unwrap_or_default();
        }
        Ok(Holdings { counts })
    }

    /// Takes in a copy of a catalog that was made under the same key. This one must have no apps, people or jobs yet. Jobs
    /// that waited or ran when the copy was made are closed as failed: nobody knows what became of them.
    pub async fn import_from(&self, path: &Path) -> Result<()> {
        self.take_in(path, false).await
    }

    /// The same in the place of what this catalog holds, which is gone then. Either all of it happens or nothing.
    pub async fn replace_from(&self, path: &Path) -> Result<()> {
        self.take_in(path, true).await
    }

    async fn take_in(&self, path: &Path, replacing: bool) -> Result<()> {
        let mut source = Source::open(path).await?;
        let head = source.head_taken(path).await?;
        if head.key_id != self.key_id() {
            return Err(CatalogError::WrongKey {
                expected: head.key_id,
                found: self.key_id().to_owned(),
            });
        }
        let mut tx = self.begin().await?;
        tx.lock("import").await?;
        if replacing {
            // What refers to others goes before them; facts of the catalog itself are written over below.
            for table in TABLES.into_iter().rev().filter(|table| *table != "meta") {
                tx.run(AssertSqlSafe(format!("DELETE FROM {table}")), params![])
                    .await?;
            }
        } else {
            refuse_unless_empty(&mut tx, self.location()).await?;
        }
        let mut cleared = Vec::new();
        while let Some(lines) = source.rows().await? {
            for line in lines {
                let Some(table) = TABLES.into_iter().find(|t| *t == line.table) else {
                    continue;
                };
                if !cleared.contains(&table) {
                    cleared.push(table);
                    if table != "meta" {
                        tx.run(AssertSqlSafe(format!("DELETE FROM {table}")), params![])
                            .await?;
                    }
                }
                insert(&mut tx, table, line.row).await?;
            }
        }
        close_open_jobs(&mut tx).await?;
        if tx.is_postgres() {
            tx.rows(
                "SELECT setval(pg_get_serial_sequence('events', 'id'), coalesce(max(id), 1)) AS at FROM events",
                params![],
            )
            .await?;
        }
        tx.commit().await
    }
}

fn private_file(path: &Path) -> Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| io("make", path, e))
}

fn write_line(out: &mut impl std::io::Write, path: &Path, line: &impl Serialize) -> Result<()> {
    serde_json::to_writer(&mut *out, line).map_err(|e| io("write", path, e.into()))?;
    out.write_all(b"\n").map_err(|e| io("write", path, e))
}

async fn refuse_unless_empty(tx: &mut Tx, location: &str) -> Result<()> {
    for table in MISSED {
        let sql = format!("SELECT 1 AS one FROM {table} LIMIT 1");
        if tx.row(AssertSqlSafe(sql), params![]).await?.is_some() {
            return Err(CatalogError::NotNow {
                what: "catalog",
                name: location.to_owned(),
                why: format!("is not empty: it has {table}"),
            });
        }
    }
    Ok(())
}

async fn insert(tx: &mut Tx, table: &'static str, row: Map<String, Json>) -> Result<()> {
    if table == "meta" {
        let text = |column| row.get(column).and_then(Json::as_str).unwrap_or_default();
        if NOT_COPIED_META.contains(&text("key")) {
            return Ok(());
        }
        return put_meta(tx, text("key"), text("value")).await;
    }
    let (mut columns, mut places, mut values) = (Vec::new(), Vec::new(), Vec::<Value>::new());
    for (column, value) in row {
        // The names become SQL.
        if !column.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            return Err(CatalogError::corrupt(
                table,
                format!("a column named {column}"),
            ));
        }
        values.push(match value {
            Json::Null => continue,
            Json::Bool(value) => value.into(),
            Json::Number(n) => match n.as_i64() {
                Some(n) => n.into(),
                None => n.as_f64().into(),
            },
            Json::String(text) => text.into(),
            _ => {
                return Err(CatalogError::corrupt(
                    table,
                    format!("the value of {column}"),
                ));
            }
        });
        columns.push(column);
        places.push(format!("${}", values.len()));
    }
    let sql = format!(
        "INSERT INTO {table} ({}) VALUES ({})",
        columns.join(", "),
        places.join(", ")
    );
    tx.run(AssertSqlSafe(sql), values).await.map(drop)
}

async fn close_open_jobs(tx: &mut Tx) -> Result<()> {
    let error = JobError::new(
        "catalog_restored",
        "the catalog was restored from a copy that was made before this job ended",
    );
    let now = tx.now();
    tx.run(
        "UPDATE jobs SET state = 'failed', error = $1, finished_at = $2, lease_until = NULL, fence = fence + 1,
             revision = revision + 1
         WHERE state IN ('queued', 'running')",
        params![crate::db::json(&error)?, now],
    )
    .await
    .map(drop)
}

/// A copy that is being read.
enum Source {
    Sqlite {
        connection: SqliteConnection,
        table: usize,
        offset: i64,
    },
    Lines(BufReader<File>, std::path::PathBuf),
}

impl Source {
    async fn open(path: &Path) -> Result<Source> {
        let mut file = File::open(path).map_err(|e| io("open", path, e))?;
        let mut begin = [0u8; 16];
        let read = file.read(&mut begin).map_err(|e| io("read", path, e))?;
        if &begin[..read] == b"SQLite format 3\0" {
            let connection = SqliteConnectOptions::new()
                .filename(path)
                .read_only(true)
                .immutable(true)
                .disable_statement_logging()
                .connect()
                .await?;
            return Ok(Source::Sqlite {
                connection,
                table: 0,
                offset: 0,
            });
        }
        let file = File::open(path).map_err(|e| io("open", path, e))?;
        Ok(Source::Lines(BufReader::new(file), path.to_owned()))
    }

    /// The head of a copy that this version takes in.
    async fn head_taken(&mut self, path: &Path) -> Result<Head> {
        let head = self.head().await?;
        if (OLDEST_TAKEN..=SCHEMA_VERSION).contains(&head.schema) {
            return Ok(head);
        }
        Err(CatalogError::Invalid(format!(
            "{} is a copy of version {} and this pgkeep takes in versions {OLDEST_TAKEN} to {SCHEMA_VERSION}",
            path.display(),
            head.schema
        )))
    }

    async fn head(&mut self) -> Result<Head> {
        match self {
            Source::Sqlite { connection, .. } => {
                let row = sqlx::query(
                    "SELECT (SELECT max(version) FROM schema_versions) AS version,
                            (SELECT value FROM meta WHERE key = 'key_id') AS key_id",
                )
                .fetch_one(&mut *connection)
                .await?;
                Ok(Head {
                    format: FORMAT.to_owned(),
                    schema: row.try_get("version")?,
                    key_id: row.try_get("key_id")?,
                })
            }
            Source::Lines(reader, path) => {
                let mut line = String::new();
                reader
                    .read_line(&mut line)
                    .map_err(|e| io("read", path, e))?;
                let head: Head = serde_json::from_str(&line).map_err(|_| not_a_copy(path))?;
                if head.format == FORMAT {
                    Ok(head)
                } else {
                    Err(not_a_copy(path))
                }
            }
        }
    }

    /// The next rows; `None` after the last.
    async fn rows(&mut self) -> Result<Option<Vec<Line>>> {
        match self {
            Source::Sqlite {
                connection,
                table,
                offset,
            } => {
                while let Some(name) = TABLES.get(*table) {
                    let rows = sqlite_rows(connection, name, *offset).await?;
                    if rows.is_empty() {
                        *table += 1;
                        *offset = 0;
                        continue;
                    }
                    *offset += i64::try_from(rows.len()).unwrap_or(i64::MAX);
                    return Ok(Some(rows));
                }
                Ok(None)
            }
            Source::Lines(reader, path) => {
                let mut lines = Vec::new();
                while lines.len() < ROWS_AT_ONCE {
                    let mut line = String::new();
                    if reader
                        .read_line(&mut line)
                        .map_err(|e| io("read", path, e))?
                        == 0
                    {
                        break;
                    }
                    lines.push(
                        serde_json::from_str(&line)
                            .map_err(|e| CatalogError::corrupt(&path.display().to_string(), e))?,
                    );
                }
                Ok((!lines.is_empty()).then_some(lines))
            }
        }
    }
}

/// Rows of a table as JSON, in the order of its keys.
async fn sqlite_rows(
    connection: &mut SqliteConnection,
    table: &str,
    offset: i64,
) -> Result<Vec<Line>> {
    let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info($1)")
        .bind(table)
        .fetch_all(&mut *connection)
        .await?;
    if columns.is_empty() {
        // A copy of an older version, which had no such table.
        return Ok(Vec::new());
    }
    let pairs: Vec<String> = columns
        .iter()
        .map(|column| format!("'{column}', {column}"))
        .collect();
    let sql = format!(
        "SELECT json_object({}) AS row FROM {table} ORDER BY rowid LIMIT {ROWS_AT_ONCE} OFFSET {offset}",
        pairs.join(", ")
    );
    let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Line {
                table: table.to_owned(),
                row: serde_json::from_str(row).map_err(|e| CatalogError::corrupt(table, e))?,
            })
        })
        .collect()
}

fn not_a_copy(path: &Path) -> CatalogError {
    CatalogError::Invalid(format!("{} is not a copy of a catalog", path.display()))
}

fn io(action: &'static str, path: &Path, source: std::io::Error) -> CatalogError {
    CatalogError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeySource, Location, OpenOptions};
    use pgkeep_testkit::ManualClock;
    use std::sync::Arc;

    /// Tables that say nothing beyond the moment, or belong to the one catalog that they lie in.
    const NOT_COPIED: [&str; 3] = ["schema_versions", "nodes", "login_attempts"];

    #[tokio::test]
    async fn each_table_is_copied_or_left_out_on_purpose() {
        let dir = tempfile::tempdir().expect("a folder");
        let catalog = Catalog::open(OpenOptions::new(
            Location::Sqlite(dir.path().join("catalog.sqlite")),
            KeySource::Key([1; 32]),
            Arc::new(ManualClock::at("2026-03-01T12:00:00Z")),
        ))
        .await
        .expect("a new catalog");
        let rows = catalog
            .db()
            .rows(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
                params![],
            )
            .await
            .expect("the schema");
        let found: Vec<String> = rows
            .iter()
            .map(|row| row.text("name").expect("a name"))
            .collect();
        let mut known: Vec<&str> = TABLES.into_iter().chain(NOT_COPIED).collect();
        known.sort_unstable();
        assert_eq!(found, known);
    }
}
