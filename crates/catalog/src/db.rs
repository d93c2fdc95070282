//! One way to run one SQL text on SQLite and on PostgreSQL.
//!
//! Keys and JSON are TEXT, times are integers of milliseconds, truth is 0 or 1, parameters are `$1`, `$2`, …: both
//! understand that. Reads go through [`Db::rows`]. Whatever writes runs in a [`Tx`]:
//!
//! - On SQLite there is one writing connection, and a transaction takes the file's write lock at its begin (`BEGIN
//!   IMMEDIATE`), so a transaction never fails half-way because another process was faster. A task that holds a `Tx` must
//!   not begin another one: it would wait for itself.
//! - On PostgreSQL a transaction is READ COMMITTED. What two of them must not do at once is either one statement whose
//!   WHERE names the state that it expects, or it takes [`Tx::lock`] first.
//! - Events are collected in the `Tx` and written at its commit, last of all, under a lock that is held to the end:
//!   so their numbers become visible in order, and a reader that saw number 7 never finds a 6 later.

use crate::error::{CatalogError, Result};
use crate::events::NewEvent;
use crate::pulse::Pulse;
use jiff::Timestamp;
use sqlx::postgres::PgConnectOptions;
use sqlx::{
    ColumnIndex, Connection as _, PgConnection, PgPool, Postgres, Row as _, SqlSafeStr, SqlStr,
    Sqlite, SqlitePool,
};
use std::{sync::Arc, time::Duration};

#[derive(Debug, Clone)]
pub(crate) enum Db {
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Postgres(PgPool),
}

/// A parameter of a statement.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Int(Option<i64>),
    Real(Option<f64>),
    Text(Option<String>),
}

/// Makes the parameters of a statement: `params![id, fence, now]`.
macro_rules! params {
    ($($value:expr),* $(,)?) => { vec![$($crate::db::Value::from($value)),*] };
}
pub(crate) use params;

/// A row of an answer; columns are read by name.
#[derive(Debug)]
pub(crate) enum Row {
    Sqlite(sqlx::sqlite::SqliteRow),
    Postgres(sqlx::postgres::PgRow),
}

/// A writing transaction; rolled back when dropped without [`Tx::commit`].
pub(crate) struct Tx {
    inner: Inner,
    events: Vec<NewEvent>,
    pulse: Arc<Pulse>,
    now: Timestamp,
}

enum Inner {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

impl Db {
    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self, Db::Postgres(_))
    }

    /// Reads outside of any transaction.
    pub(crate) async fn rows(&self, sql: impl SqlSafeStr, params: Vec<Value>) -> Result<Vec<Row>> {
        let sql = sql.into_sql_str();
        match self {
            Db::Sqlite { readers, .. } => {
                sqlite_rows(&mut *readers.acquire().await?, sql, params).await
            }
            Db::Postgres(pool) => {
                let mut connection = explained(pool, pool.acquire().await).await?;
                postgres_rows(&mut connection, sql, params).await
            }
        }
    }

    pub(crate) async fn row(
        &self,
        sql: impl SqlSafeStr,
        params: Vec<Value>,
    ) -> Result<Option<Row>> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }

    /// `now` is the time that the transaction's events carry.
    pub(crate) async fn begin(&self, pulse: Arc<Pulse>, now: Timestamp) -> Result<Tx> {
        // On a task of its own: dropped half-way (a client hung up), it would leave a connection with an open transaction.
        let db = self.clone();
        let begun = tokio::spawn(async move {
            Ok::<Inner, CatalogError>(match db {
                Db::Sqlite { writer, .. } => {
                    Inner::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?)
                }
                Db::Postgres(pool) => Inner::Postgres(explained(&pool, pool.begin().await).await?),
            })
        });
        let inner = begun
            .await
            .map_err(|_| CatalogError::Busy("the program is ending".to_owned()))?;
        Ok(Tx {
            inner: pulse.wrote(inner)?,
            events: Vec::new(),
            pulse,
            now,
        })
    }
}

impl Tx {
    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.inner, Inner::Postgres(_))
    }

    /// The time at which the transaction began.
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// Runs a statement and says how many rows it changed.
    pub(crate) async fn run(&mut self, sql: impl SqlSafeStr, params: Vec<Value>) -> Result<u64> {
        let sql = sql.into_sql_str();
        let done = match &mut self.inner {
            Inner::Sqlite(tx) => sqlite_run(tx, sql, params).await,
            Inner::Postgres(tx) => postgres_run(tx, sql, params).await,
        };
        self.pulse.wrote(done)
    }

    /// Runs a statement that answers with rows (`SELECT`, or one with `RETURNING`).
    pub(crate) async fn rows(
        &mut self,
        sql: impl SqlSafeStr,
        params: Vec<Value>,
    ) -> Result<Vec<Row>> {
        let sql = sql.into_sql_str();
        let done = match &mut self.inner {
            Inner::Sqlite(tx) => sqlite_rows(tx, sql, params).await,
            Inner::Postgres(tx) => postgres_rows(tx, sql, params).await,
        };
        self.pulse.wrote(done)
    }

    pub(crate) async fn row(
        &mut self,
        sql: impl SqlSafeStr,
        params: Vec<Value>,
    ) -> Result<Option<Row>> {
        Ok(self.rows(sql, params).await?.into_iter().next())
    }

    /// Runs several statements without parameters, as a migration has them.
    pub(crate) async fn script(&mut self, sql: &'static str) -> Result<()> {
        match &mut self.inner {
            Inner::Sqlite(tx) => sqlx::raw_sql(sql).execute(&mut **tx).await.map(drop)?,
            Inner::Postgres(tx) => sqlx::raw_sql(sql).execute(&mut **tx).await.map(drop)?,
        }
        Ok(())
    }

    /// Waits until no other transaction holds `name`, and holds it to the end. On SQLite every transaction holds everything.
    pub(crate) async fn lock(&mut self, name: &'static str) -> Result<()> {
        if self.is_postgres() {
            self.rows(
                "SELECT pg_advisory_xact_lock(1886874480, hashtext($1))",
                params![name],
            )
            .await?;
        }
        Ok(())
    }

    /// Remembers an event for the commit.
    pub(crate) fn event(&mut self, event: NewEvent) {
        self.events.push(event);
    }

    pub(crate) async fn commit(mut self) -> Result<()> {
        let events = std::mem::take(&mut self.events);
        let mut newest = None;
        if !events.is_empty() {
            self.lock("events").await?;
            newest = crate::events::append(&mut self, events).await?;
        }
        let done = match self.inner {
            Inner::Sqlite(tx) => tx.commit().await,
            Inner::Postgres(tx) => tx.commit().await,
        };
        self.pulse.wrote(done.map_err(CatalogError::from))?;
        self.pulse.committed(newest);
        Ok(())
    }
}

/// A pool goes on trying while nobody answers, and then tells only that it waited: so one connection more is tried, for its
/// error.
pub(crate) async fn explained<T>(pool: &PgPool, done: Result<T, sqlx::Error>) -> Result<T> {
    if let Err(sqlx::Error::PoolTimedOut) = done {
        let options = pool.connect_options();
        let tried = PgConnection::connect_with(&options);
        if let Ok(Err(error)) = tokio::time::timeout(Duration::from_secs(1), tried).await {
            return Err(unreachable_at(&options, error));
        }
    }
    Ok(done?)
}

/// What a failure to connect says, with the address.
pub(crate) fn unreachable_at(options: &PgConnectOptions, error: sqlx::Error) -> CatalogError {
    match CatalogError::from(error) {
        CatalogError::Unreachable(why) | CatalogError::Database(why) => {
            CatalogError::Unreachable(format!("{}: {why}", address(options)))
        }
        other => other,
    }
}

/// Where a catalog on PostgreSQL is, without its secrets.
pub(crate) fn address(options: &PgConnectOptions) -> String {
    format!(
        "postgres://{}:{}/{}",
        options.get_host(),
        options.get_port(),
        options.get_database().unwrap_or("")
    )
}

macro_rules! runners {
    ($database:ty, $rows:ident, $run:ident, $row:path) => {
        async fn $rows(
            connection: &mut <$database as sqlx::Database>::Connection,
            sql: SqlStr,
            params: Vec<Value>,
        ) -> Result<Vec<Row>> {
            let mut query = sqlx::query::<$database>(sql);
            for value in params {
                query = match value {
                    Value::Int(v) => query.bind(v),
                    Value::Real(v) => query.bind(v),
                    Value::Text(v) => query.bind(v),
                };
            }
            let rows = query.fetch_all(connection).await?;
            Ok(rows.into_iter().map($row).collect())
        }

        async fn $run(
            connection: &mut <$database as sqlx::Database>::Connection,
            sql: SqlStr,
            params: Vec<Value>,
        ) -> Result<u64> {
            let mut query = sqlx::query::<$database>(sql);
            for value in params {
                query = match value {
                    Value::Int(v) => query.bind(v),
                    Value::Real(v) => query.bind(v),
                    Value::Text(v) => query.bind(v),
                };
            }
            Ok(query.execute(connection).await?.rows_affected())
        }
    };
}

runners!(Sqlite, sqlite_rows, sqlite_run, Row::Sqlite);
runners!(Postgres, postgres_rows, postgres_run, Row::Postgres);

impl Row {
    pub(crate) fn text(&self, column: &str) -> Result<String> {
        self.get(column)
    }

    pub(crate) fn opt_text(&self, column: &str) -> Result<Option<String>> {
        self.get(column)
    }

    pub(crate) fn int(&self, column: &str) -> Result<i64> {
        self.get(column)
    }

    pub(crate) fn opt_int(&self, column: &str) -> Result<Option<i64>> {
        self.get(column)
    }

    pub(crate) fn opt_real(&self, column: &str) -> Result<Option<f64>> {
        self.get(column)
    }

    pub(crate) fn bool(&self, column: &str) -> Result<bool> {
        Ok(self.int(column)? != 0)
    }

    pub(crate) fn time(&self, column: &str) -> Result<Timestamp> {
        timestamp(self.int(column)?)
    }

    pub(crate) fn opt_time(&self, column: &str) -> Result<Option<Timestamp>> {
        self.opt_int(column)?.map(timestamp).transpose()
    }

    /// A value that was stored as JSON.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, column: &str) -> Result<T> {
        serde_json::from_str(&self.text(column)?).map_err(|e| CatalogError::corrupt(column, e))
    }

    pub(crate) fn opt_json<T: serde::de::DeserializeOwned>(
        &self,
        column: &str,
    ) -> Result<Option<T>> {
        self.opt_text(column)?
            .map(|text| serde_json::from_str(&text).map_err(|e| CatalogError::corrupt(column, e)))
            .transpose()
    }

    fn get<'r, T>(&'r self, column: &str) -> Result<T>
    where
        T: sqlx::Decode<'r, Sqlite>
            + sqlx::Type<Sqlite>
            + sqlx::Decode<'r, Postgres>
            + sqlx::Type<Postgres>,
        for<'c> &'c str: ColumnIndex<sqlx::sqlite::SqliteRow> + ColumnIndex<sqlx::postgres::PgRow>,
    {
        Ok(match self {
            Row::Sqlite(row) => row.try_get(column)?,
            Row::Postgres(row) => row.try_get(column)?,
        })
    }
}

fn timestamp(millis: i64) -> Result<Timestamp> {
    Timestamp::from_millisecond(millis).map_err(|e| CatalogError::corrupt("a time", e))
}

/// Writes a value as JSON for a TEXT column.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| CatalogError::Invalid(e.to_string()))
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Int(Some(value))
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Value {
        Value::Int(Some(value.into()))
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Value {
        Value::Int(Some(value.into()))
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Value {
        Value::Int(Some(i64::try_from(value).unwrap_or(i64::MAX)))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Int(Some(value.into()))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Value {
        Value::Real(Some(value))
    }
}

impl From<Option<f64>> for Value {
    fn from(value: Option<f64>) -> Value {
        Value::Real(value)
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Value {
        Value::Int(value)
    }
}

impl From<Option<u64>> for Value {
    fn from(value: Option<u64>) -> Value {
        Value::Int(value.map(|v| i64::try_from(v).unwrap_or(i64::MAX)))
    }
}

impl From<Timestamp> for Value {
    fn from(value: Timestamp) -> Value {
        Value::Int(Some(value.as_millisecond()))
    }
}

impl From<Option<Timestamp>> for Value {
    fn from(value: Option<Timestamp>) -> Value {
        Value::Int(value.map(|v| v.as_millisecond()))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::Text(Some(value.to_owned()))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::Text(Some(value))
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Value {
        Value::Text(Some(value.clone()))
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Value {
        Value::Text(value)
    }
}

impl From<&Option<String>> for Value {
    fn from(value: &Option<String>) -> Value {
        Value::Text(value.clone())
    }
}

impl From<Option<&str>> for Value {
    fn from(value: Option<&str>) -> Value {
        Value::Text(value.map(str::to_owned))
    }
}
