//! What happened, in order: the source of the server's event stream, and of what people are told.
//!
//! An event is written in the transaction of the change that it tells of. The newest [`KEPT`] are kept. Progress and log
//! events replace the one before of the same job, so a long job does not push everything else out.

use crate::Catalog;
use crate::db::{Tx, params};
use crate::error::Result;
use jiff::Timestamp;
use serde_json::Value;

/// How many events are kept.
pub const KEPT: i64 = 20_000;
/// The oldest are removed once in so many.
const TRIM_EVERY: i64 = 500;

#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Grows with every event, with gaps.
    pub id: i64,
    pub at: Timestamp,
    /// `job`, `progress`, `log`, `queue`, `backup`, `policy`, `app`, `repository`, `target`, `setting`, `node`, ...
    pub topic: String,
    /// The app that it is about, for those who see some apps only.
    pub app: Option<String>,
    /// Id or name of the object.
    pub subject: String,
    pub data: Value,
}

/// An event to be written with a transaction.
#[derive(Debug, Clone)]
pub struct NewEvent {
    topic: &'static str,
    app: Option<String>,
    subject: String,
    data: Value,
    /// Removes the event before that this one replaces; names its topic, so that the index of just those serves.
    replaces: Option<&'static str>,
}

impl NewEvent {
    pub fn new(topic: &'static str, subject: impl Into<String>) -> NewEvent {
        NewEvent {
            topic,
            app: None,
            subject: subject.into(),
            data: Value::Null,
            replaces: None,
        }
    }

    pub fn app(mut self, app: Option<&str>) -> NewEvent {
        self.app = app.map(str::to_owned);
        self
    }

    pub fn data(mut self, data: Value) -> NewEvent {
        self.data = data;
        self
    }

    /// What a job does; takes the place of the event before.
    pub(crate) fn progress(job: &str) -> NewEvent {
        NewEvent {
            replaces: Some("DELETE FROM events WHERE topic = 'progress' AND subject = $1"),
            ..NewEvent::new("progress", job)
        }
    }

    /// How long a job's log is; takes the place of the event before.
    pub(crate) fn log(job: &str) -> NewEvent {
        NewEvent {
            replaces: Some("DELETE FROM events WHERE topic = 'log' AND subject = $1"),
            ..NewEvent::new("log", job)
        }
    }
}

impl Catalog {
    /// Writes an event that belongs to no other change.
    pub async fn publish(&self, event: NewEvent) -> Result<()> {
        let mut tx = self.begin().await?;
        tx.event(event);
        tx.commit().await
    }

    /// The events after `id`, oldest first.
    pub async fn events_after(&self, id: i64, limit: u32) -> Result<Vec<Event>> {
        self.db()
            .rows(
                "SELECT id, at, topic, app, subject, data FROM events WHERE id > $1 ORDER BY id LIMIT $2",
                params![id, limit],
            )
            .await?
            .iter()
            .map(|row| {
                Ok(Event {
                    id: row.int("id")?,
                    at: row.time("at")?,
                    topic: row.text("topic")?,
                    app: row.opt_text("app")?,
                    subject: row.text("subject")?,
                    data: row.json("data")?,
                })
            })
            .collect()
    }

    /// Number of the newest event; 0 before the first.
    pub async fn newest_event_id(&self) -> Result<i64> {
        self.db()
            .row("SELECT coalesce(max(id), 0) AS id FROM events", params![])
            .await?
            .map_or(Ok(0), |row| row.int("id"))
    }

    /// Number of the newest event that tells more than how far a job is.
    pub async fn newest_change_id(&self) -> Result<i64> {
        self.db()
            .row(
                "SELECT id FROM events WHERE topic NOT IN ('progress', 'log') ORDER BY id DESC LIMIT 1",
                params![],
            )
            .await?
            .map_or(Ok(0), |row| row.int("id"))
    }

    /// Number of the oldest event that is kept; who asks for what came before has missed something.
    pub async fn oldest_event_id(&self) -> Result<i64> {
        self.db()
            .row("SELECT coalesce(min(id), 0) AS id FROM events", params![])
            .await?
            .map_or(Ok(0), |row| row.int("id"))
    }
}

/// Writes the events of a transaction; returns the number of the last.
pub(crate) async fn append(tx: &mut Tx, events: Vec<NewEvent>) -> Result<Option<i64>> {
    let now = tx.now();
    let mut newest = None;
    for event in events {
        if let Some(delete) = event.replaces {
            tx.run(delete, params![&event.subject]).await?;
        }
        let row = tx
            .row(
                "INSERT INTO events (at, topic, app, subject, data) VALUES ($1, $2, $3, $4, $5) RETURNING id",
                params![now, event.topic, event.app, event.subject, event.data.to_string()],
            )
            .await?;
        newest = row.map(|row| row.int("id")).transpose()?;
        if let Some(id) = newest.filter(|id| id % TRIM_EVERY == 0) {
            tx.run("DELETE FROM events WHERE id <= $1", params![id - KEPT])
                .await?;
        }
    }
    Ok(newest)
}
