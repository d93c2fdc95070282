//! Backups as files: streamed out of the repository while they are made, never laid down in between.
//!
//! A download has the same bytes each time, so one that broke off goes on by `Range`. Its size is known only once it was
//! written in full; the first request that asks for a range therefore makes the file twice: once to count, once to send.

use super::backups::load;
use super::blocking::CancelOnDrop;
use super::download_limit::{Admitted, Counted, Part, admit, admit_anew};
use super::extract::{BackupId, Path, Query};
use super::problem::{Code, Problem};
use super::routes::{Routes, needs};
use crate::auth::Principal;
use crate::auth::audit::Act;
use crate::http::Client;
use crate::settings::ThrottleScope;
use crate::state::AppState;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use pgkeep_catalog::BackupRow;
use pgkeep_engine::export::{Download, ExportFormat};
use pgkeep_model::access::Permission;
use pgkeep_model::{CancelToken, Silent};
use serde::Deserialize;
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

/// Downloads made at the same time; each keeps a core busy.
const AT_ONCE: usize = 4;
/// Pieces of this size wait for the client, a few of them.
const PIECE: usize = 128 << 10;
const PIECES: usize = 8;
/// Sizes that are remembered.
const KNOWN_SIZES: usize = 1_000;

pub fn routes() -> Routes {
    Routes::new("downloads").add(
        needs(Permission::Download)
            .throttle_answered(ThrottleScope::BackupDownload)
            .streams_out(),
        routes!(download),
    )
}

/// Bounds downloads, and remembers how large each became.
pub struct DownloadRoom {
    places: Arc<Semaphore>,
    sizes: Mutex<HashMap<String, u64>>,
    pub counted: Counted,
}

impl Default for DownloadRoom {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(AT_ONCE)),
            sizes: Mutex::default(),
            counted: Counted::default(),
        }
    }
}

impl DownloadRoom {
    /// Room for one more download, if there is any.
    pub fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.places
            .clone()
            .try_acquire_owned()
            .map_err(|_| Problem::new(Code::Busy, "other downloads are being made").retry_after(10))
    }

    fn size(&self, etag: &str) -> Option<u64> {
        self.sizes().get(etag).copied()
    }

    fn remember(&self, etag: &str, size: u64) {
        let mut sizes = self.sizes();
        if sizes.len() >= KNOWN_SIZES {
            sizes.clear();
        }
        sizes.insert(etag.to_owned(), size);
    }

    fn sizes(&self) -> std::sync::MutexGuard<'_, HashMap<String, u64>> {
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// `pg_dump -Fc`
    #[default]
    Custom,
    /// SQL text, gzip-compressed
    Plain,
    /// `pg_dump -Fd`, in a tar file
    Directory,
    /// `pg_dump -Ft`
    Tar,
}

impl FileFormat {
    /// The word of the API for it.
    fn as_str(self) -> &'static str {
        match self {
            FileFormat::Custom => "custom",
            FileFormat::Plain => "plain",
            FileFormat::Directory => "directory",
            FileFormat::Tar => "tar",
        }
    }
}

impl From<FileFormat> for ExportFormat {
    fn from(format: FileFormat) -> Self {
        match format {
            FileFormat::Custom => ExportFormat::Custom,
            FileFormat::Plain => ExportFormat::Plain,
            FileFormat::Directory => ExportFormat::Directory,
            FileFormat::Tar => ExportFormat::Tar,
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DownloadQuery {
    /// What the file is for stock PostgreSQL tools.
    #[serde(default)]
    #[param(inline)]
    format: FileFormat,
    /// Which database, where the backup holds several.
    database: Option<String>,
    /// Which repository, where copies of it lie in several.
    repository: Option<String>,
}

/// Streams one database of a backup as a file that stock PostgreSQL tools read. A file counts once: requests for ranges of
/// it belong to a download that was counted, up to 50 of them within the limit's time, until twice its bytes were sent. What is
/// refused before the file is made counts nothing.
#[utoipa::path(get, path = "/backups/{id}/download",
    params(("id" = String, Path, description = "id of the backup, or its beginning"), DownloadQuery,
        ("Range" = Option<String>, Header, description = "one range of bytes: `bytes=1000-`"),
        ("If-Range" = Option<String>, Header, description = "the ETag of the part that is there already")),
    responses(
        (status = 200, description = "the file", content_type = "application/octet-stream", body = Vec<u8>),
        (status = 206, description = "the range of it", content_type = "application/octet-stream", body = Vec<u8>),
        (status = 416, description = "there are no such bytes", body = super::problem::ProblemBody, content_type = "application/problem+json"),
    ))]
async fn download(
    state: AppState,
    who: Principal,
    client: Client,
    Path(id): Path<BackupId>,
    Query(query): Query<DownloadQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let row = load(&state, &who, query.repository.as_deref(), &id).await?;
    let place = state.downloads.place()?;
    let wanted = Wanted {
        database: query.database.clone(),
        format: query.format,
        row,
    };
    let etag = wanted.etag();
    let asked = asked_range(&headers, &etag);
    if let (Some(range), Some(size)) = (asked, state.downloads.size(&etag)) {
        range.satisfied(size)?;
    }
    let mut admitted = match admit(&state, &who, &etag, asked.is_some()) {
        Ok(admitted) => admitted,
        Err(refusal) => return Ok(refusal),
    };
    let range = match asked {
        Some(range) => Some((range, size_of(&state, &wanted, &etag).await?)),
        None => None,
    };
    let span = match range {
        Some((range, size)) => {
            let span = range.satisfied(size)?;
            if !admitted.part.take(span.len(), size) {
                admitted = match admit_anew(&state, &who, &etag) {
                    Ok(admitted) => admitted,
                    Err(refusal) => return Ok(refusal),
                };
                admitted.part.take(span.len(), size);
            }
            span
        }
        None => Span::ALL,
    };
    Act::done("backup.download", format!("backup/{}", wanted.row.id))
        .app(Some(&wanted.row.app))
        .after(serde_json::json!({ "database": query.database, "format": query.format.as_str() }))
        .by(&state.catalog, &who, &client)
        .await?;
    let Admitted { part, standing } = admitted;
    let (name, stream) = start(&state, wanted, etag.clone(), (span, part), place).await?;
    let known = state.downloads.size(&etag);
    let mut response = Body::from_stream(stream).into_response();
    let headers = response.headers_mut();
    if let Some(standing) = standing {
        standing.write(headers);
    }
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    // A name made of letters, digits, `.`, `_` and `-` needs no quoting rules.
    let disposition = format!("attachment; filename=\"{name}\"");
    headers.insert(header::CONTENT_DISPOSITION, header_value(&disposition)?);
    headers.insert(header::ETAG, header_value(&etag)?);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'"),
    );
    match range {
        Some((_, size)) => {
            let shown = format!("bytes {}-{}/{size}", span.from, span.to - 1);
            headers.insert(header::CONTENT_RANGE, header_value(&shown)?);
            headers.insert(header::CONTENT_LENGTH, (span.to - span.from).into());
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        None => {
            if let Some(size) = known {
                headers.insert(header::CONTENT_LENGTH, size.into());
            }
        }
    }
    Ok(response)
}

/// A text as the value of a header.
pub fn header_value(text: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::from_str(text).map_err(Problem::internal)
}

/// One file of one backup.
#[derive(Clone)]
struct Wanted {
    row: BackupRow,
    database: Option<String>,
    format: FileFormat,
}

impl Wanted {
    /// Equal for equal bytes: the same backup, database and format.
    fn etag(&self) -> String {
        let database = self.database.as_deref().unwrap_or_default();
        format!(
            "\"{}-{}-{}\"",
            &self.row.id[..self.row.id.len().min(32)],
            hex::encode(database),
            self.format.as_str()
        )
    }
}

/// A part of the file, `to` not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    from: u64,
    to: u64,
}

impl Span {
    pub const ALL: Span = Span {
        from: 0,
        to: u64::MAX,
    };

    fn len(self) -> u64 {
        self.to - self.from
    }
}

/// A range as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    /// From a byte to another one, which is included, or to the end.
    From(u64, Option<u64>),
    /// So many bytes at the end.
    Last(u64),
}

impl Range {
    /// Reads one range; several, or other units, are answered with the whole file, as RFC 9110 allows.
    fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
        let number = |text: &str| text.parse::<u64>().ok();
        match (from, to) {
            ("", last) => Some(Range::Last(number(last)?)),
            (from, "") => Some(Range::From(number(from)?, None)),
            (from, to) => {
                let (from, to) = (number(from)?, number(to)?);
                (from <= to).then_some(Range::From(from, Some(to)))
            }
        }
    }

    fn within(self, size: u64) -> Option<Span> {
        let span = match self {
            Range::From(from, to) => Span {
                from,
                to: to.map_or(size, |to| size.min(to.saturating_add(1))),
            },
            Range::Last(last) => Span {
                from: size.saturating_sub(last),
                to: size,
            },
        };
        (span.from < span.to).then_some(span)
    }

    /// The bytes that are meant, if the file has any of them.
    fn satisfied(self, size: u64) -> Result<Span, Problem> {
        self.within(size).ok_or_else(|| {
            Problem::new(
                Code::RangeNotSatisfiable,
                format!("the file has {size} bytes"),
            )
        })
    }
}

fn asked_range(headers: &HeaderMap, etag: &str) -> Option<Range> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_RANGE).is_some_and(|known| known != etag) {
        return None;
    }
    Range::parse(text(header::RANGE)?)
}

/// The size of the file: remembered, or found by making it for nobody.
async fn size_of(state: &AppState, wanted: &Wanted, etag: &str) -> Result<u64, Problem> {
    if let Some(size) = state.downloads.size(etag) {
        return Ok(size);
    }
    let cancel = CancelToken::new();
    let _gone = CancelOnDrop(cancel.clone());
    let (state, wanted, etag) = (state.clone(), wanted.clone(), etag.to_owned());
    let made = tokio::task::spawn_blocking(move || {
        let mut counting = Counting(0);
        make(&state, &wanted, &cancel, |download, context| {
            download.write(&mut counting, context)
        })?;
        state.downloads.remember(&etag, counting.0);
        Ok::<_, Problem>(counting.0)
    });
    made.await.map_err(Problem::internal)?
}

/// What is written, as the body of an answer.
pub type Pieces = ReceiverStream<io::Result<Bytes>>;

/// Makes the file on a thread of its own; answers once it is open, with its name.
async fn start(
    state: &AppState,
    wanted: Wanted,
    etag: String,
    (span, part): (Span, Part),
    place: OwnedSemaphorePermit,
) -> Result<(String, Pieces), Problem> {
    let (mut out, stream) = Out::channel(span);
    out.part = Some(part);
    let (opened, open) = oneshot::channel();
    let state = state.clone();
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let mut opened = Some(opened);
        let result = make(&state, &wanted, &CancelToken::new(), |download, context| {
            if let Some(opened) = opened.take() {
                // The client may be gone already; the first write tells.
                let _ = opened.send(Ok(download.file_name()));
            }
            download.write(&mut out, context)?;
            Ok(out.finish()?)
        });
        match (result, opened) {
            (Ok(()), _) => {
                if span == Span::ALL {
                    state.downloads.remember(&etag, out.position);
                }
            }
            (Err(problem), Some(opened)) => {
                let _ = opened.send(Err(problem));
            }
            // The range is complete; what came after it was not made.
            (Err(_), None) if out.is_past() => {}
            (Err(problem), None) => {
                tracing::warn!(?problem, "a download broke off");
                out.fail(io::Error::other("the download broke off"));
            }
        }
    });
    let name = open.await.map_err(Problem::internal)??;
    Ok((name, stream))
}

/// Opens the backup and lets `write` write it.
fn make(
    state: &AppState,
    wanted: &Wanted,
    cancel: &CancelToken,
    write: impl FnOnce(&Download, &pgkeep_engine::Context) -> pgkeep_engine::Result<()>,
) -> Result<(), Problem> {
    let handle = tokio::runtime::Handle::current();
    let definition = handle.block_on(state.catalog.repository(&wanted.row.repository))?;
    let context = state
        .machine
        .context(None, cancel.clone(), Arc::new(Silent));
    let repository =
        state
            .machine
            .open_repository(&wanted.row.repository, &definition.value, &context)?;
    let download = Download::open(
        &repository,
        &wanted.row.id,
        wanted.database.as_deref(),
        wanted.format.into(),
    )?;
    Ok(write(&download, &context)?)
}

struct Counting(u64);

impl Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends the part of what is written that lies in the span; a write fails once the client is gone or the span is over.
pub struct Out {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
    span: Span,
    /// How much was written, whether sent or not.
    position: u64,
    /// Told what is sent.
    part: Option<Part>,
}

impl Out {
    /// What is written here comes out there; a few pieces wait between the two.
    pub fn channel(span: Span) -> (Self, Pieces) {
        let (pieces, stream) = mpsc::channel(PIECES);
        let out = Self {
            pieces,
            buffer: Vec::with_capacity(PIECE),
            span,
            position: 0,
            part: None,
        };
        (out, ReceiverStream::new(stream))
    }

    /// Tells the client that the rest does not come; one that is gone need not hear it.
    pub fn fail(&self, error: io::Error) {
        let _ = self.pieces.blocking_send(Err(error));
    }

    fn is_past(&self) -> bool {
        self.position >= self.span.to && self.buffer.is_empty()
    }

    fn send(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE));
        if let Some(part) = &mut self.part {
            part.send(piece.len() as u64);
        }
        self.pieces
            .blocking_send(Ok(piece.into()))
            .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the client is gone"))
    }

    /// Sends what is left.
    pub fn finish(&mut self) -> io::Result<()> {
        self.send()
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.position >= self.span.to {
            self.send()?;
            return Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the range is complete",
            ));
        }
        let taken = bytes.len().min(PIECE);
        let (start, end) = (self.position, self.position + taken as u64);
        let from = self.span.from.clamp(start, end) - start;
        let to = self.span.to.clamp(start, end) - start;
        self.buffer
            .extend_from_slice(&bytes[from as usize..to as usize]);
        self.position = end;
        if self.buffer.len() >= PIECE || end >= self.span.to {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        for (text, size, expected) in [
            ("bytes=0-", 10, Some((0, 10))),
            ("bytes=3-5", 10, Some((3, 6))),
            ("bytes=3-50", 10, Some((3, 10))),
            ("bytes=-4", 10, Some((6, 10))),
            ("bytes=-40", 10, Some((0, 10))),
            ("bytes=10-", 10, None),
            ("bytes=-0", 10, None),
        ] {
            let span = Range::parse(text).and_then(|range| range.within(size));
            assert_eq!(span.map(|span| (span.from, span.to)), expected, "{text}");
        }
        for text in [
            "bytes=5-3",
            "bytes=1-2,4-5",
            "lines=1-2",
            "bytes=a-",
            "bytes",
        ] {
            assert_eq!(Range::parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_the_span_is_sent_however_it_is_cut() {
        let data: Vec<u8> = (0..=255).cycle().take(700_000).collect();
        for (from, to) in [
            (0, u64::MAX),
            (1, 5),
            (130_000, 400_001),
            (699_999, 700_000),
        ] {
            let (pieces, mut stream) = mpsc::channel(1_000);
            let mut out = Out {
                pieces,
                buffer: Vec::new(),
                span: Span { from, to },
                position: 0,
                part: None,
            };
            let written = data.chunks(9_999).try_for_each(|part| out.write_all(part));
            assert!(written.and_then(|()| out.finish()).is_ok() || out.is_past());
            drop(out);
            let mut sent = Vec::new();
            while let Some(piece) = stream.blocking_recv() {
                sent.extend_from_slice(&piece.expect("no error was sent"));
            }
            let end = to.min(data.len() as u64) as usize;
            assert!(sent == data[from as usize..end], "{from}..{to}");
        }
    }
}
