//! Streams of chunks, read ahead within bounds.
//!
//! A backup's workers spread one table over several packs, so a stream looks at a window of its next chunks, reads each
//! pack's part of it in as few requests as it can, and gives the chunks out in order. A stream of more than a few chunks
//! does so in a thread of its own, so that reading, checking and unpacking go on while the caller is busy. Held at most:
//! one window of stored bytes and four plain chunks.

use super::blob::{read_located, unreadable};
use crate::{
    error::{RepositoryError, Result},
    id::BlobId,
    index::{Index, Located},
    pack::{self, BlobKind},
    repository::Repository,
    storage::{FileKind, ObjectKey},
};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::{
    collections::VecDeque,
    io::{self, Read},
    sync::Arc,
};
use zstd::bulk::Decompressor;

/// Stored bytes of a window; the first chunk of it may exceed this alone.
const WINDOW: u64 = 6 << 20;
/// Bytes that are read in vain rather than making two requests.
const GAP: u64 = 128 << 10;
/// Plain chunks that wait for the caller.
const READ_AHEAD: usize = 2;
/// Streams of no more chunks are read in the caller's thread.
const INLINE_CHUNKS: usize = 2;

/// The content of a file, or of a part of it.
#[derive(Debug)]
pub struct BlobStream {
    source: Source,
    current: Vec<u8>,
    at: usize,
    failed: Option<RepositoryError>,
}

#[derive(Debug)]
enum Source {
    Inline(Box<Fetcher>),
    Thread {
        chunks: Receiver<Result<Vec<u8>>>,
        spent: Sender<Vec<u8>>,
    },
    End,
}

impl BlobStream {
    pub(super) fn new(repository: Repository, index: Arc<Index>, chunks: Vec<BlobId>) -> Self {
        Self {
            source: Source::Inline(Box::new(Fetcher::new(repository, index, chunks))),
            current: Vec::new(),
            at: 0,
            failed: None,
        }
    }

    /// Makes the next chunk the current one; false at the end.
    fn advance(&mut self) -> Result<bool> {
        self.at = 0;
        let spent = std::mem::take(&mut self.current);
        if let Source::Inline(fetcher) = &self.source
            && fetcher.remaining() > INLINE_CHUNKS
        {
            self.start_thread()?;
        }
        let next = match &mut self.source {
            Source::Inline(fetcher) => fetcher.next(spent),
            Source::Thread {
                chunks,
                spent: pool,
            } => {
                let _ = pool.try_send(spent);
                // The thread ends by closing the channel, having sent all chunks or an error.
                chunks.recv().ok().transpose()
            }
            Source::End => Ok(None),
        };
        match next {
            Ok(Some(chunk)) => {
                self.current = chunk;
                Ok(true)
            }
            Ok(None) => {
                self.source = Source::End;
                Ok(false)
            }
            Err(e) => {
                self.source = Source::End;
                self.failed = Some(e.clone());
                Err(e)
            }
        }
    }

    fn start_thread(&mut self) -> Result<()> {
        let (sender, chunks) = bounded(READ_AHEAD);
        let (spent, recycled) = bounded::<Vec<u8>>(READ_AHEAD);
        let thread = Source::Thread { chunks, spent };
        let Source::Inline(mut fetcher) = std::mem::replace(&mut self.source, thread) else {
            unreachable!("only an inline source is moved to a thread");
        };
        std::thread::Builder::new()
            .name("read-ahead".into())
            .spawn(move || {
                // Ends when the stream is dropped, for then nothing can be sent.
                let mut expected = fetcher.remaining();
                while expected > 0 {
                    let next = fetcher.next(recycled.try_recv().unwrap_or_default());
                    let over = next.is_err();
                    let Some(message) = next.transpose() else {
                        return;
                    };
                    if sender.send(message).is_err() || over {
                        return;
                    }
                    expected -= 1;
                }
            })
            .map_err(|e| RepositoryError::invalid(format!("cannot start a thread: {e}")))?;
        Ok(())
    }
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
            if !self.advance()? {
                return Ok(0);
            }
        }
        let n = out.len().min(self.current.len() - self.at);
        out[..n].copy_from_slice(&self.current[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

/// Reads, checks and unpacks chunks one after the other.
struct Fetcher {
    repository: Repository,
    index: Arc<Index>,
    chunks: Vec<BlobId>,
    /// Chunks given out so far, and those in the window behind them.
    next: usize,
    window: VecDeque<(Located, Result<Vec<u8>>)>,
    decompressor: Decompressor<'static>,
}

impl Fetcher {
    fn new(repository: Repository, index: Arc<Index>, chunks: Vec<BlobId>) -> Self {
        Self {
            repository,
            index,
            chunks,
            next: 0,
            window: VecDeque::new(),
            decompressor: Decompressor::new().expect("a decompressor takes nothing but memory"),
        }
    }

    fn remaining(&self) -> usize {
        self.chunks.len() - self.next
    }

    /// The next plain chunk, in `out`'s memory.
    fn next(&mut self, mut out: Vec<u8>) -> Result<Option<Vec<u8>>> {
        if self.remaining() == 0 {
            return Ok(None);
        }
        if self.window.is_empty() {
            self.fill_window()?;
        }
        let (located, sealed) = self
            .window
            .pop_front()
            .expect("a window has at least one chunk");
        self.next += 1;
        let opened = sealed.and_then(|mut sealed| {
            let master = self.repository.master_key();
            pack::open_blob(
                &located.blob,
                located.pack,
                &mut sealed,
                master,
                &mut self.decompressor,
                &mut out,
            )
        });
        match opened {
            Ok(()) => Ok(Some(out)),
            Err(e) if e.is_damage() => self
                .read_elsewhere(&located, &mut out)
                .map_err(|_| e)
                .map(|()| Some(out)),
            Err(e) => Err(e),
        }
    }

    /// Tries the other packs that hold the same blob.
    fn read_elsewhere(&mut self, damaged: &Located, out: &mut Vec<u8>) -> Result<()> {
        let blob = damaged.blob.id;
        let mut others = self
            .index
            .candidates(&blob, BlobKind::Data)
            .filter(|other| other.pack != damaged.pack);
        others
            .find_map(|other| {
                read_located(&self.repository, &other, &mut self.decompressor, out).ok()
            })
            .ok_or(RepositoryError::MissingBlob { blob })
    }

    /// Reads the stored bytes of the next chunks. A pack that cannot be read fails only the chunks in it.
    fn fill_window(&mut self) -> Result<()> {
        let mut wanted = Vec::new();
        let mut stored = 0;
        for id in &self.chunks[self.next..] {
            let located = match self.index.find(id, BlobKind::Data) {
                Some(located) => located,
                // Said when its turn comes, after the good ones before it.
                None if !wanted.is_empty() => break,
                None => return Err(RepositoryError::MissingBlob { blob: *id }),
            };
            stored += u64::from(located.blob.length);
            if stored > WINDOW && !wanted.is_empty() {
                break;
            }
            wanted.push(located);
        }
        let mut sealed: Vec<Option<Result<Vec<u8>>>> = wanted.iter().map(|_| None).collect();
        for run in runs(&wanted) {
            let first = &wanted[run.chunks[0]];
            let key = ObjectKey::new(FileKind::Pack, first.pack.to_string());
            let bytes = self
                .repository
                .storage()
                .get_range(&key, run.start, run.end - run.start);
            for number in run.chunks {
                let located = &wanted[number];
                sealed[number] = Some(match &bytes {
                    Ok(bytes) => {
                        let from = (u64::from(located.blob.offset) - run.start) as usize;
                        Ok(bytes[from..][..located.blob.length as usize].to_vec())
                    }
                    Err(e) => Err(unreadable(located, e.clone())),
                });
            }
        }
        self.window = wanted
            .into_iter()
            .zip(sealed)
            .map(|(located, sealed)| (located, sealed.expect("every chunk is in one run")))
            .collect();
        Ok(())
    }
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher")
            .field("next", &self.next)
            .field("of", &self.chunks.len())
            .finish()
    }
}

/// One request: a stretch of a pack, and which of the wanted chunks lie in it.
struct Run {
    start: u64,
    end: u64,
    chunks: Vec<usize>,
}

/// Joins chunks that lie near each other in the same pack.
fn runs(wanted: &[Located]) -> Vec<Run> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|n| (wanted[*n].pack, wanted[*n].blob.offset));
    let mut runs: Vec<Run> = Vec::new();
    let mut last_pack = None;
    for number in order {
        let located = &wanted[number];
        let start = u64::from(located.blob.offset);
        let end = start + u64::from(located.blob.length);
        match runs.last_mut() {
            Some(run)
                if last_pack == Some(located.pack)
                    && start <= run.end + GAP
                    && end.max(run.end) - run.start <= 2 * WINDOW =>
            {
                run.end = run.end.max(end);
                run.chunks.push(number);
            }
            _ => runs.push(Run {
                start,
                end,
                chunks: vec![number],
            }),
        }
        last_pack = Some(located.pack);
    }
    runs
}
