//! Streams of chunks, read ahead within bounds.
//!
//! A stream of more than a few chunks has two threads behind it: one loads the next window of stored bytes while the
//! other checks and unpacks the one before, and both go on while the caller is busy. Held at most: two windows of stored
//! bytes and four plain chunks, which is about 20 MiB. The threads end when the stream is dropped.

use super::{
    blob::read_located,
    window::{Loader, Window},
};
use crate::{
    error::{RepositoryError, Result},
    id::BlobId,
    index::{Index, Located},
    pack::{self, BlobKind},
    repository::Repository,
};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::{
    collections::VecDeque,
    io::{self, Read},
    sync::Arc,
};
use zstd::bulk::Decompressor;

/// Plain chunks that wait for the caller.
const READ_AHEAD: usize = 2;
/// Streams of no more chunks are read in the caller's thread.
const INLINE_CHUNKS: usize = 2;

/// The content of a file, or of a part of it.
#[derive(Debug)]
pub struct BlobStream {
    source: Source,
    /// Chunks that are still to come.
    left: usize,
    current: Vec<u8>,
    at: usize,
    failed: Option<RepositoryError>,
}

#[derive(Debug)]
enum Source {
    Inline {
        loader: Loader,
        opener: Opener,
    },
    Threads {
        chunks: Receiver<Result<Vec<u8>>>,
        spent: Sender<Vec<u8>>,
    },
    End,
}

impl BlobStream {
    pub(super) fn new(repository: Repository, index: Arc<Index>, chunks: Vec<BlobId>) -> Self {
        Self {
            left: chunks.len(),
            source: Source::Inline {
                opener: Opener::new(repository.clone(), index.clone()),
                loader: Loader::new(repository, index, chunks),
            },
            current: Vec::new(),
            at: 0,
            failed: None,
        }
    }

    /// Makes the next chunk the current one.
    fn advance(&mut self) -> Result<()> {
        self.at = 0;
        let spent = std::mem::take(&mut self.current);
        if self.left > INLINE_CHUNKS {
            self.start_threads()?;
        }
        self.current = match &mut self.source {
            Source::Inline { loader, opener } => {
                if opener.window.is_empty() {
                    opener
                        .window
                        .extend(loader.next_window()?.into_iter().flatten());
                }
                opener.next(spent)?
            }
            Source::Threads {
                chunks,
                spent: pool,
            } => {
                let _ = pool.try_send(spent);
                // A closed channel is not the end of the stream: its threads have died.
                chunks.recv().unwrap_or_else(|_| Err(ended()))?
            }
            Source::End => return Err(ended()),
        };
        self.left -= 1;
        Ok(())
    }

    /// Moves the work to threads, if that has not been done.
    fn start_threads(&mut self) -> Result<()> {
        let (mut loader, mut opener) = match std::mem::replace(&mut self.source, Source::End) {
            Source::Inline { loader, opener } => (loader, opener),
            other => {
                self.source = other;
                return Ok(());
            }
        };
        // Nothing waits in this channel: one window is being loaded while another is being opened.
        let (window_sender, windows) = bounded::<Result<Window>>(0);
        let (sender, chunks) = bounded(READ_AHEAD);
        let (spent, recycled) = bounded::<Vec<u8>>(READ_AHEAD);
        spawn("read-ahead", move || {
            while let Some(window) = loader.next_window().transpose() {
                let over = window.is_err();
                if window_sender.send(window).is_err() || over {
                    return;
                }
            }
        })?;
        spawn("unpack", move || {
            for window in windows {
                match window {
                    Ok(window) => opener.window.extend(window),
                    Err(e) => {
                        let _ = sender.send(Err(e));
                        return;
                    }
                }
                while !opener.window.is_empty() {
                    let chunk = opener.next(recycled.try_recv().unwrap_or_default());
                    let over = chunk.is_err();
                    if sender.send(chunk).is_err() || over {
                        return;
                    }
                }
            }
        })?;
        self.source = Source::Threads { chunks, spent };
        Ok(())
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(run)
        .map(drop)
        .map_err(|e| RepositoryError::invalid(format!("cannot start a thread: {e}")))
}

fn ended() -> RepositoryError {
    RepositoryError::invalid("a reading thread ended before all was read")
}

impl Read for BlobStream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        while self.at == self.current.len() {
            if let Some(error) = &self.failed {
                return Err(error.clone().into());
            }
            if self.left == 0 {
                return Ok(0);
            }
            if let Err(e) = self.advance() {
                self.source = Source::End;
                self.failed = Some(e.clone());
                return Err(e.into());
            }
        }
        let n = out.len().min(self.current.len() - self.at);
        out[..n].copy_from_slice(&self.current[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// Checks and unpacks chunks one after the other.
struct Opener {
    repository: Repository,
    index: Arc<Index>,
    window: VecDeque<(Located, Result<Vec<u8>>)>,
    decompressor: Decompressor<'static>,
}

impl Opener {
    fn new(repository: Repository, index: Arc<Index>) -> Self {
        Self {
            repository,
            index,
            window: VecDeque::new(),
            decompressor: Decompressor::new().expect("a decompressor takes nothing but memory"),
        }
    }

    /// The next plain chunk of the window, in `out`'s memory.
    fn next(&mut self, mut out: Vec<u8>) -> Result<Vec<u8>> {
        let (located, sealed) = self.window.pop_front().ok_or_else(ended)?;
        let opened = sealed.and_then(|mut sealed| {
            let master = self.repository.master_key();
            let decompressor = &mut self.decompressor;
            pack::open_blob(
                &located.blob,
                located.pack,
                &mut sealed,
                master,
                decompressor,
                &mut out,
            )
        });
        match opened {
            Err(e) if e.is_damage() => {
                self.read_again(&located.blob.id, &mut out).map_err(|_| e)?;
            }
            other => other?,
        }
        Ok(out)
    }

    /// Reads the blob alone, from every pack that holds it: its neighbours, or the way here, may be what is damaged.
    fn read_again(&mut self, blob: &BlobId, out: &mut Vec<u8>) -> Result<()> {
        let mut places = self.index.candidates(blob, BlobKind::Data);
        places
            .find_map(|place| {
                read_located(&self.repository, &place, &mut self.decompressor, out).ok()
            })
            .ok_or(RepositoryError::MissingBlob { blob: *blob })
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener")
            .field("waiting", &self.window.len())
            .finish_non_exhaustive()
    }
}
