//! The event stream: one reader of the catalog's events for the whole process, and everybody who listens.
//!
//! The reader wakes when this process has written an event, and otherwise once a second while somebody listens, for what
//! job processes and other machines write. A listener that does not keep up is dropped; it comes back with the id of the
//! last event that it saw and reads what it missed from the catalog, so nothing is lost and nothing piles up.

use pgkeep_catalog::{Catalog, Event};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// How far a listener may fall behind.
const BEHIND: usize = 1_024;
/// Events read at once.
const BATCH: u32 = 500;
/// How often other processes' events are looked for, with and without listeners.
const WATCHED: Duration = Duration::from_millis(500);
const UNWATCHED: Duration = Duration::from_secs(5);

/// Where listeners join.
#[derive(Clone)]
pub struct EventHub {
    catalog: Catalog,
    sender: broadcast::Sender<Arc<Event>>,
    /// The newest event that was passed on.
    newest: Arc<AtomicI64>,
    joined: Arc<tokio::sync::Notify>,
}

impl EventHub {
    pub fn new(catalog: Catalog) -> Self {
        Self {
            catalog,
            sender: broadcast::channel(BEHIND).0,
            newest: Arc::new(AtomicI64::new(0)),
            joined: Arc::new(tokio::sync::Notify::new()),
        }
    }

    /// Hears of every event from now on.
    pub fn listen(&self) -> broadcast::Receiver<Arc<Event>> {
        let receiver = self.sender.subscribe();
        self.joined.notify_one();
        receiver
    }

    /// The newest event that was passed on.
    pub fn newest(&self) -> i64 {
        self.newest.load(Ordering::Acquire)
    }

    /// Reads and passes on, until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut changed = self.catalog.changed();
        self.newest
            .store(self.start(&shutdown).await, Ordering::Release);
        loop {
            let pause = match self.sender.receiver_count() {
                0 => UNWATCHED,
                _ => WATCHED,
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = changed.changed() => {}
                () = self.joined.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
            if let Err(error) = self.pass_on().await {
                tracing::warn!(%error, "events could not be read");
                tokio::time::sleep(WATCHED).await;
            }
        }
    }

    async fn start(&self, shutdown: &CancellationToken) -> i64 {
        loop {
            match self.catalog.newest_event_id().await {
                Ok(newest) => return newest,
                Err(error) => tracing::warn!(%error, "events could not be read"),
            }
            tokio::select! {
                () = shutdown.cancelled() => return 0,
                () = tokio::time::sleep(WATCHED) => {}
            }
        }
    }

    async fn pass_on(&self) -> pgkeep_catalog::Result<()> {
        loop {
            let events = self.catalog.events_after(self.newest(), BATCH).await?;
            let full = events.len() == BATCH as usize;
            for event in events {
                self.newest.store(event.id, Ordering::Release);
                // Without listeners there is nobody to tell.
                let _ = self.sender.send(Arc::new(event));
            }
            if !full {
                return Ok(());
            }
        }
    }
}
