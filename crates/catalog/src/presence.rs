//! Who works with a catalog in PostgreSQL: told by locks that end with their connections.
//!
//! Servers and workers hold one lock together as long as they live, whoever replaces the whole catalog holds it alone. It
//! is gone with its process, however that ends, so nobody waits for a sign of life to grow old. A catalog that is a file
//! needs none of this: its server locks a file beside it.

use crate::Catalog;
use crate::db::Db;
use crate::error::{CatalogError, Result};
use sqlx::{Connection as _, PgConnection};
use std::time::Duration;

/// How often the connection is asked whether it still stands.
const ROUND: Duration = Duration::from_secs(10);
/// For one answer of the database.
const PATIENCE: Duration = Duration::from_secs(10);

/// A share in the catalog, or the whole of it.
#[derive(Debug)]
pub struct Presence(Option<PgConnection>);

impl Catalog {
    /// Says that this process works with the catalog. [`CatalogError::Busy`] where the catalog is being replaced.
    pub async fn join(&self) -> Result<Presence> {
        self.lock_presence(
            "SELECT pg_advisory_lock_shared(1886874480, hashtext('presence'))",
            "it is being replaced by a copy",
        )
        .await
    }

    /// Keeps servers and workers away from a catalog in PostgreSQL. [`CatalogError::Busy`] where some are there.
    pub async fn alone(&self) -> Result<Presence> {
        self.lock_presence(
            "SELECT pg_advisory_lock(1886874480, hashtext('presence'))",
            "a server or a worker is at work with it",
        )
        .await
    }

    async fn lock_presence(&self, lock: &'static str, refusal: &str) -> Result<Presence> {
        let Db::Postgres(pool) = self.db() else {
            return Ok(Presence(None));
        };
        // Not the pool's any more: it is held for as long as the process lives.
        let mut connection = pool.acquire().await?.detach();
        // Who has just ended may not have been noticed yet.
        sqlx::raw_sql("SET lock_timeout TO '2s'")
            .execute(&mut connection)
            .await?;
        match sqlx::raw_sql(lock).execute(&mut connection).await {
            Ok(_) => Ok(Presence(Some(connection))),
            Err(sqlx::Error::Database(e)) if e.code().as_deref() == Some("55P03") => {
                Err(CatalogError::Busy(refusal.to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Presence {
    /// Whether it still stands: a connection that was cut has given its lock back.
    pub async fn confirm(&mut self) -> Result<()> {
        let Some(connection) = &mut self.0 else {
            return Ok(());
        };
        match tokio::time::timeout(PATIENCE, connection.ping()).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(CatalogError::Unreachable("no answer in time".to_owned())),
        }
    }

    /// Keeps a share, and takes it again where it was lost; does not return.
    pub async fn stay(&mut self, catalog: &Catalog) {
        loop {
            tokio::time::sleep(ROUND).await;
            if self.confirm().await.is_ok() {
                continue;
            }
            match catalog.join().await {
                Ok(again) => *self = again,
                Err(error) => tracing::warn!(
                    "that this process works with the catalog cannot be said there: {error}"
                ),
            }
        }
    }

    /// Gives it back.
    pub async fn leave(self) {
        if let Some(connection) = self.0 {
            // Where nobody hears it, the connection is gone, and the lock with it.
            let _ = tokio::time::timeout(PATIENCE, connection.close()).await;
        }
    }
}
