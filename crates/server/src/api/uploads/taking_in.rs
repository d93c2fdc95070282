//! The file of an upload: where it lies, how it grows, how it goes.

use super::{CreateUpload, Row};
use crate::api::problem::{Code, Problem};
use crate::auth::Principal;
use crate::state::AppState;
use axum::body::{Body, Bytes};
use futures_util::{Stream, StreamExt};
use jiff::{SignedDuration, Timestamp};
use pgkeep_catalog::people::uploads::NewUpload;
use pgkeep_engine::import::{BEGINNING, Foreign};
use rustix::fs::OFlags;
use std::io::SeekFrom;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// A client that sends nothing for so long is cut off.
const SILENCE: Duration = Duration::from_secs(30);
/// What stays free on the disk: the catalog lies on it, too, as a rule.
const RESERVE: u64 = 256 << 20;
/// After so many bytes it is looked again whether there is room for more.
const LOOK: u64 = 1 << 20;
/// The catalog learns at least this often how far an upload has come.
const STEP: u64 = 64 << 20;

/// Makes an upload that fits, with room for its file.
pub(super) async fn begin(
    state: &AppState,
    who: &Principal,
    body: CreateUpload,
) -> Result<Row, Problem> {
    let limits = &state.settings.uploads;
    if body.file_name.len() > 255 || body.file_name.chars().any(char::is_control) {
        return Err(Problem::invalid(
            "fileName",
            "at most 255 bytes, no control characters",
        ));
    }
    let is_hash = |text: &String| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if body.sha256.as_ref().is_some_and(|text| !is_hash(text)) {
        return Err(Problem::invalid("sha256", "64 hexadecimal digits"));
    }
    let size = body.size_bytes.unwrap_or(0);
    if size > limits.max_file_bytes {
        return Err(Problem::new(
            Code::TooLarge,
            format!("at most {} bytes are taken", limits.max_file_bytes),
        ));
    }
    let totals = state.catalog.upload_totals(&who.user_id).await?;
    if totals.of_owner >= u64::from(limits.max_per_user) {
        return Err(Problem::new(
            Code::Conflict,
            format!("you have {} uploads already", totals.of_owner),
        )
        .hint("finish or abort one of them"));
    }
    if totals.bytes.saturating_add(size) > limits.max_total_bytes {
        return Err(room_taken());
    }
    let new = NewUpload {
        owner: who.user_id.clone(),
        app: None,
        file_name: body.file_name,
        size_bytes: body.size_bytes,
        sha256: body.sha256.map(|text| text.to_lowercase()),
        expires_at: expiry(state),
    };
    if free_bytes(state).await? < size {
        return Err(disk_full());
    }
    Ok(state.catalog.create_upload(&new).await?)
}

/// What uploads may still take of the disk that they lie on.
async fn free_bytes(state: &AppState) -> Result<u64, Problem> {
    let folder = state.settings.places.incoming();
    let looked = tokio::task::spawn_blocking(move || {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        let disk = rustix::fs::statvfs(&folder)?;
        Ok::<_, std::io::Error>(disk.f_bavail.saturating_mul(disk.f_frsize))
    });
    let free = looked.await.map_err(Problem::internal)?;
    Ok(free.map_err(Problem::internal)?.saturating_sub(RESERVE))
}

fn disk_full() -> Problem {
    Problem::new(
        Code::NoSpace,
        "there is no room for it on the server's disk",
    )
    .retry_after(600)
}

fn room_taken() -> Problem {
    Problem::new(Code::Busy, "the room for uploads is taken")
        .hint(
            "upload_max_total in the server's settings says how much all uploads may have together",
        )
        .retry_after(600)
}

/// How many bytes may come before it is looked again; refuses where there is no room for the next `bytes`. What was announced
/// has its part of the total already.
async fn room(state: &AppState, row: &Row, bytes: u64) -> Result<u64, Problem> {
    let free = free_bytes(state).await?;
    if free < bytes {
        return Err(disk_full());
    }
    let left = match row.size_bytes {
        Some(_) => u64::MAX,
        None => {
            let totals = state.catalog.upload_totals(&row.owner).await?;
            let taken = totals.bytes.saturating_add(state.uploads.ahead());
            state.settings.uploads.max_total_bytes.saturating_sub(taken)
        }
    };
    if left < bytes {
        return Err(room_taken());
    }
    Ok(left.min(free).min(LOOK.max(bytes)))
}

fn expiry(state: &AppState) -> Timestamp {
    let time = SignedDuration::try_from(state.settings.uploads.expire)
        .unwrap_or(SignedDuration::from_hours(24));
    state.catalog.now() + time
}

pub(super) fn place(state: &AppState, id: &str) -> PathBuf {
    state.settings.places.incoming().join(id)
}

/// Writes a body at the end of an upload's file; gives how long that is then.
/// A file that begins as no dump does goes at once.
pub(super) async fn take_in(state: &AppState, row: &Row, body: Body) -> Result<u64, Problem> {
    let writing = state.uploads.begin(&row.id)?;
    // Another request may have added to it before this one had the file for itself.
    if state.catalog.upload(&row.id).await?.received_bytes != row.received_bytes {
        return Err(Problem::new(
            Code::WrongState,
            "another request has added to this upload",
        ));
    }
    let most = row.size_bytes.unwrap_or(u64::MAX);
    let most = most.min(state.settings.uploads.max_file_bytes);
    let mut options = std::fs::OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits() as i32);
    let mut file = tokio::fs::OpenOptions::from(options)
        .open(place(state, &row.id))
        .await
        .map_err(Problem::internal)?;
    file.set_len(row.received_bytes)
        .await
        .map_err(Problem::internal)?;
    file.seek(SeekFrom::Start(row.received_bytes))
        .await
        .map_err(Problem::internal)?;
    let mut stream = body.into_data_stream();
    let mut beginning = beginning_of(state, row).await?;
    let (mut known, mut received, mut allowed) = (row.received_bytes, row.received_bytes, 0);
    let ended = loop {
        let next = tokio::select! {
            next = tokio::time::timeout(SILENCE, stream.next()) => next,
            () = state.shutdown.cancelled() => {
                break Err(Problem::new(Code::Busy, "the server is being stopped").retry_after(60));
            }
        };
        let piece = match next {
            Err(_) => break Err(Problem::new(Code::TimedOut, "nothing came for too long")),
            Ok(None) => break Ok(()),
            Ok(Some(Err(_))) => {
                break Err(Problem::new(Code::InvalidRequest, "the body broke off"));
            }
            Ok(Some(Ok(piece))) => piece,
        };
        if received + piece.len() as u64 > most {
            break Err(Problem::new(
                Code::TooLarge,
                format!("the file may have {most} bytes"),
            ));
        }
        let wanted = BEGINNING.saturating_sub(beginning.len()).min(piece.len());
        if wanted > 0 {
            beginning.extend_from_slice(&piece[..wanted]);
            if let Some(foreign) = Foreign::tell(&beginning, false) {
                read_on(stream).await;
                discard(state, &row.id).await?;
                return Err(no_dump(foreign));
            }
        }
        let length = piece.len() as u64;
        if allowed < length {
            match room(state, row, length).await {
                Ok(room) => allowed = room,
                Err(problem) => {
                    read_on(&mut stream).await;
                    break Err(problem);
                }
            }
        }
        file.write_all(&piece).await.map_err(Problem::internal)?;
        received += length;
        allowed -= length;
        if received - known >= STEP {
            stored(state, &mut file, &row.id, known, received).await?;
            known = received;
        }
        if row.size_bytes.is_none() {
            writing.is_ahead(received - known);
        }
    };
    if received > known {
        stored(state, &mut file, &row.id, known, received).await?;
    }
    ended.map(|()| received)
}

/// What has come of a file's beginning before.
async fn beginning_of(state: &AppState, row: &Row) -> Result<Vec<u8>, Problem> {
    let mut beginning = Vec::new();
    let there = row.received_bytes.min(BEGINNING as u64);
    // Where all of the beginning is there, it was looked at when it came.
    if there > 0 && there < BEGINNING as u64 {
        let file = tokio::fs::File::open(place(state, &row.id))
            .await
            .map_err(Problem::internal)?;
        file.take(there)
            .read_to_end(&mut beginning)
            .await
            .map_err(Problem::internal)?;
    } else {
        beginning.resize(there as usize, 0);
    }
    Ok(beginning)
}

/// Lets a client that is still sending come to its end, if that is near, so that it reads why it is refused.
pub(super) async fn read_on(mut body: impl Stream<Item = Result<Bytes, axum::Error>> + Unpin) {
    let reading = async {
        let mut left: usize = 8 << 20;
        while let Some(Ok(piece)) = body.next().await {
            left = left.saturating_sub(piece.len());
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(5), reading).await;
}

/// The refusal of what is no dump.
pub(super) fn no_dump(foreign: Foreign) -> Problem {
    let hint = match foreign {
        Foreign::Form | Foreign::OneLine => format!("send {AS_IT_IS}"),
        Foreign::Empty | Foreign::WebPage | Foreign::Json => {
            format!("look into the file: it must be a dump or a package. Send {AS_IT_IS}")
        }
        Foreign::Toc => "pack its folder into one tar file, and send that".to_owned(),
        other => other.hint().to_owned(),
    };
    Problem::new(
        Code::Invalid,
        format!(
            "the file is none that pg_dump or pgkeep writes: {}",
            foreign.what()
        ),
    )
    .hint(hint)
}

const AS_IT_IS: &str = "the file's bytes as they are, and nothing else: `curl --data-binary @FILE`, or \
    `curl --request POST --upload-file FILE`; not --form, not --data";

async fn stored(
    state: &AppState,
    file: &mut tokio::fs::File,
    id: &str,
    from: u64,
    to: u64,
) -> Result<(), Problem> {
    file.flush().await.map_err(Problem::internal)?;
    file.sync_data().await.map_err(Problem::internal)?;
    let expires = expiry(state);
    Ok(state.catalog.advance_upload(id, from, to, expires).await?)
}

/// Removes an upload and its file.
pub(super) async fn discard(state: &AppState, id: &str) -> Result<(), Problem> {
    match tokio::fs::remove_file(place(state, id)).await {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Problem::internal(e)),
        _ => {}
    }
    state.catalog.drop_upload(id).await?;
    Ok(())
}
