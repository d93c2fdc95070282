//! What the server knows beyond the repositories: apps, policies, jobs, events, backups, people. SQL lives only here.
//!
//! A [`Catalog`] is one SQLite file, or a schema `pgkeep` in a PostgreSQL database; the same SQL serves both. It is the
//! meeting point of several processes: the server, one process for each job, commands run by hand, workers on other machines.
//! So nothing about it is kept in memory longer than a [`Stamp`] allows, and every change is one short transaction.
//!
//! What stays true:
//! - a job is claimed by at most one worker, and whatever a worker writes about it names the fence of its claim: a worker
//!   that slept through its lease changes nothing;
//! - a change and the event that tells of it are one transaction;
//! - secrets are sealed under a key that does not lie in the catalog, and that key is made once, with the catalog;
//! - a catalog of a newer version is refused, never guessed at.

mod backups;
pub mod blocking;
mod copy;
mod db;
mod definitions;
mod error;
mod events;
mod filter;
mod migrate;
mod nodes;
mod open;
mod paging;
pub mod people;
mod presence;
mod pulse;
mod queue;
mod repositories;
mod seal;
mod settings;
mod stamp;

pub use backups::{BackupFilter, BackupRow, BackupSort, BackupState, Holding};
pub use copy::{CopyFacts, Holdings, key_id_in};
pub use definitions::{ManagedBy, Stored};
pub use error::{CatalogError, Result};
pub use events::{Event, NewEvent};
pub use migrate::SCHEMA_VERSION;
pub use nodes::{Node, NodeBeat};
pub use open::{KeySource, Location, OpenOptions};
pub use paging::{Page, Paged};
pub use presence::Presence;
pub use queue::{
    Approval, CancelOutcome, Claim, Enqueued, Heartbeat, Job, JobError, JobFilter, JobProgress,
    LogLevel, LogLine, NewJob, Outcome, PolicyRuns, QueueDepth, QueuePause, Reconciled,
    StoredLogLine,
};
pub use stamp::Stamp;

use jiff::{SignedDuration, Timestamp};
use pgkeep_model::Clock;
use secrecy::SecretString;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use uuid::{ContextV7, Uuid};

/// A catalog that is open; cloning it is cheap and gives the same one.
#[derive(Debug, Clone)]
pub struct Catalog {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    db: db::Db,
    seal: seal::Seal,
    clock: Arc<dyn Clock>,
    /// Milliseconds that the database's clock is ahead of ours; `None` where the clock is followed as it is.
    ahead_millis: Option<AtomicI64>,
    instance: String,
    location: String,
    ids: Mutex<ContextV7>,
    claims: queue::ClaimDesk,
    pulse: Arc<pulse::Pulse>,
}

impl Catalog {
    /// The time: the clock's, and on PostgreSQL the database's, so that leases of several machines agree.
    pub fn now(&self) -> Timestamp {
        let now = self.inner.clock.now();
        let Some(ahead) = &self.inner.ahead_millis else {
            return now;
        };
        let ahead = SignedDuration::from_millis(ahead.load(Ordering::Relaxed));
        now.checked_add(ahead).unwrap_or(now)
    }

    /// Asks the database for its time once more: either clock may have been set since.
    pub(crate) async fn follow_clock(&self) -> Result<()> {
        if let Some(ahead) = &self.inner.ahead_millis {
            let millis = open::clock_ahead(self.db(), &*self.inner.clock).await?;
            ahead.store(millis, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Names this catalog for good; made with it.
    pub fn instance_id(&self) -> &str {
        &self.inner.instance
    }

    /// Where it is, in words that hold no secret.
    pub fn location(&self) -> &str {
        &self.inner.location
    }

    /// Whether workers of other machines can join.
    pub fn is_shared(&self) -> bool {
        self.inner.db.is_postgres()
    }

    /// Changes with every event that this process writes; other processes' changes are seen by asking only.
    pub fn changed(&self) -> watch::Receiver<i64> {
        self.inner.pulse.events()
    }

    /// Why this process cannot write to it any more, such as a full disk; `None` again as soon as it can.
    pub fn unwritable(&self) -> Option<String> {
        self.inner.pulse.unwritable()
    }

    /// Makes a text safe to store: references stay, all else is sealed. `context` names its place, `table/name/field`.
    pub fn seal(&self, context: &str, plain: &str) -> String {
        self.inner.seal.seal(context, plain)
    }

    /// Opens what [`Catalog::seal`] made under the same `context`. References come back as they are; who uses them resolves them.
    pub fn reveal(&self, context: &str, stored: &str) -> Result<SecretString> {
        self.inner.seal.open(context, stored)
    }

    /// Names the key that opens the secrets, without telling it.
    pub fn key_id(&self) -> &str {
        self.inner.seal.id()
    }

    /// Ends all connections. Work that is under way fails.
    pub async fn close(&self) {
        match &self.inner.db {
            db::Db::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            db::Db::Postgres(pool) => pool.close().await,
        }
    }

    pub(crate) fn db(&self) -> &db::Db {
        &self.inner.db
    }

    /// Begins a writing transaction; see [`db`] for what it may do.
    pub(crate) async fn begin(&self) -> Result<db::Tx> {
        self.inner
            .db
            .begin(self.inner.pulse.clone(), self.now())
            .await
    }

    /// A new id: later ones sort after earlier ones.
    pub(crate) fn new_id(&self) -> String {
        let now = self.now();
        let context = self.inner.ids.lock().unwrap_or_else(|e| e.into_inner());
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
        Uuid::new_v7(uuid::Timestamp::from_unix(&*context, seconds, nanos)).to_string()
    }
}
