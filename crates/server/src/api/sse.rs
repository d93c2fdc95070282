//! Server-sent events.
//!
//! A stream lives for a quarter of an hour at most: the client comes back by itself with `Last-Event-ID`. A client that does
//! not read is dropped, not waited for, and so is one whose account may no longer listen.

use super::jobs::{Job, LogLine};
use super::problem::{Code, Problem};
use super::streams::Standing;
use crate::auth::Principal;
use crate::state::AppState;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use pgkeep_catalog::Event;
use serde::Serialize;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

/// How long a stream lives.
const LIFE: Duration = Duration::from_secs(15 * 60);
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Messages that wait for a client to read them.
const WAITING: usize = 64;
/// A client that leaves its messages unread for so long is dropped.
const PATIENCE: Duration = Duration::from_secs(30);
/// Events read at once when a client comes back.
const BATCH: u32 = 500;
/// How often a log is looked at that nobody told about.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const LOG_BATCH: u32 = 500;

/// What happened.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Event)]
pub struct EventBody<'e> {
    pub id: i64,
    pub at: jiff::Timestamp,
    /// `job`, `progress`, `log`, `queue`, `backup`, `policy`, `app`, ...
    pub topic: &'e str,
    pub app: Option<&'e str>,
    /// Id or name of what it is about.
    pub subject: &'e str,
    #[schema(value_type = Object)]
    pub data: &'e serde_json::Value,
}

/// The number that a client saw last, from the header that browsers send.
pub fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let number = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse::<i64>().ok());
    number
        .filter(|number| *number >= 0)
        .map(Some)
        .ok_or_else(|| Problem::new(Code::InvalidRequest, "Last-Event-ID is not a number"))
}

/// Where a stream's messages go.
struct Listener {
    sender: mpsc::Sender<Message>,
    standing: Standing,
    shutdown: CancellationToken,
}

/// The client is gone, does not read, or may not.
struct Gone;

impl Listener {
    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        if !self.standing.holds().await {
            return Err(Gone);
        }
        match self.sender.send_timeout(message, PATIENCE).await {
            Ok(()) => Ok(()),
            Err(_) => Err(Gone),
        }
    }
}

/// Starts a task that feeds a stream, and answers with the stream.
fn respond<F>(
    state: &AppState,
    who: &Principal,
    headers: &HeaderMap,
    feed: impl FnOnce(Listener) -> F,
) -> Result<Response, Problem>
where
    F: Future<Output = Result<(), Gone>> + Send + 'static,
{
    let place = state.streams.place(who)?;
    let (sender, receiver) = mpsc::channel(WAITING);
    let shutdown = state.shutdown.clone();
    let feed = feed(Listener {
        sender: sender.clone(),
        standing: Standing::new(&state.auth, headers, who),
        shutdown: shutdown.clone(),
    });
    state.tasks.spawn(async move {
        let _place = place;
        tokio::select! {
            _ = feed => {}
            () = sender.closed() => {}
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(LIFE) => {}
        }
    });
    let stream = ReceiverStream::new(receiver).map(Ok::<_, Infallible>);
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("alive");
    let mut response = Sse::new(stream).keep_alive(keep_alive).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that hold answers back would hold these back for ever.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// The stream of everything that changes, after event `after` or from now on.
pub fn everything(
    state: &AppState,
    who: Principal,
    headers: &HeaderMap,
    topics: Vec<String>,
    after: Option<i64>,
) -> Result<Response, Problem> {
    let listener_state = state.clone();
    let listening = who.clone();
    respond(state, &listening, headers, move |mut listener| async move {
        let wanted = move |event: &Event| {
            who.sees_maybe(event.app.as_deref())
                && (topics.is_empty() || topics.contains(&event.topic))
        };
        // Listening begins before the past is read, so nothing falls in between.
        let mut live = listener_state.events.listen();
        let catalog = &listener_state.catalog;
        let mut seen = match after {
            Some(after) => after,
            None => catalog.newest_event_id().await.map_err(|_| Gone)?,
        };
        listener.send(hello(seen)).await?;
        if after.is_some() {
            let oldest = catalog.oldest_event_id().await.map_err(|_| Gone)?;
            if oldest > seen + 1 {
                listener.send(missed()).await?;
            }
            loop {
                let events = catalog.events_after(seen, BATCH).await.map_err(|_| Gone)?;
                let full = events.len() == BATCH as usize;
                for event in events {
                    seen = event.id;
                    if wanted(&event) {
                        listener.send(message(&event)).await?;
                    }
                }
                if !full {
                    break;
                }
            }
        }
        loop {
            match live.recv().await {
                Ok(event) if event.id <= seen => {}
                Ok(event) => {
                    seen = event.id;
                    if wanted(&event) {
                        listener.send(message(&event)).await?;
                    }
                }
                // It comes back and reads from the catalog what it missed.
                Err(RecvError::Lagged(_) | RecvError::Closed) => return Err(Gone),
            }
        }
    })
}

/// Tells the client where the stream stands, so that it can come back there even if nothing happens.
fn hello(seen: i64) -> Message {
    Message::default()
        .event("hello")
        .id(seen.to_string())
        .data("{}")
}

/// Some events are gone for good: what is shown must be loaded anew.
fn missed() -> Message {
    Message::default().event("missed").data("{}")
}

fn message(event: &Event) -> Message {
    let body = EventBody {
        id: event.id,
        at: event.at,
        topic: &event.topic,
        app: event.app.as_deref(),
        subject: &event.subject,
        data: &event.data,
    };
    let text = serde_json::to_string(&body).unwrap_or_else(|_| "{}".to_string());
    Message::default()
        .event("change")
        .id(event.id.to_string())
        .data(text)
}

/// The lines of a job's log after line `after`, as they come, and the job once it is over.
pub fn follow_log(
    state: &AppState,
    who: &Principal,
    headers: &HeaderMap,
    job: String,
    after: i64,
) -> Result<Response, Problem> {
    let followed = state.clone();
    respond(state, who, headers, move |mut listener| async move {
        let mut live = followed.events.listen();
        let mut seen = after;
        loop {
            // The state is read before the lines: what a job writes before it ends is not missed.
            let now = followed.catalog.job(&job).await.map_err(|_| Gone)?;
            loop {
                let lines = followed
                    .catalog
                    .job_log(&job, seen, LOG_BATCH)
                    .await
                    .map_err(|_| Gone)?;
                let full = lines.len() == LOG_BATCH as usize;
                for line in lines {
                    seen = line.line;
                    listener.send(log_line(line.into())).await?;
                }
                if !full {
                    break;
                }
            }
            if now.state.is_final() {
                let text = serde_json::to_string(&Job::brief(now)).map_err(|_| Gone)?;
                return listener
                    .send(Message::default().event("end").data(text))
                    .await;
            }
            wait(&mut live, &job, &listener.shutdown).await;
        }
    })
}

fn log_line(line: LogLine) -> Message {
    let text = serde_json::to_string(&line).unwrap_or_else(|_| "{}".to_string());
    Message::default()
        .event("line")
        .id(line.line.to_string())
        .data(text)
}

/// Until something happened to the job, or some time went by.
async fn wait(
    live: &mut tokio::sync::broadcast::Receiver<std::sync::Arc<Event>>,
    job: &str,
    shutdown: &CancellationToken,
) {
    let something = async {
        loop {
            match live.recv().await {
                Ok(event) if event.subject != job => {}
                Ok(_) | Err(RecvError::Lagged(_)) => return,
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    tokio::select! {
        () = something => {}
        () = shutdown.cancelled() => {}
        () = tokio::time::sleep(LOOK_EVERY) => {}
    }
}
