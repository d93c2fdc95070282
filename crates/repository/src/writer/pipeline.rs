//! The threads behind a [`super::Writer`], and what they share.
//!
//! The first failure is kept and shown to everyone; after it chunks and packs are still taken from the queues, so that
//! no one waits for ever, but are thrown away.

use super::{WriteSummary, WriterOptions, files::Trees, stream::ChunkSlots};
use crate::{
    chunker::Gear,
    error::{RepositoryError, Result},
    id::BlobId,
    index::{self, Index, IndexedPack},
    node::Node,
    pack::{BlobKind, FinishedPack, PackBuilder},
    repository::Repository,
    storage::{FileKind, ObjectKey},
};
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use zstd::bulk::Compressor;

/// A run that ends early has at most this much of its work stored but not indexed.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(15);
/// Keeps a pack's header small when blobs are.
const MAX_BLOBS_PER_PACK: usize = 8192;

/// What workers get to do.
pub(super) enum Work {
    Chunk(Chunk),
    Batch(Batch),
}

/// A large piece on its way to the workers.
pub(super) struct Chunk {
    naming: Naming,
    data: Vec<u8>,
}

/// Who finds a chunk's id.
enum Naming {
    /// The worker, which tells the stream.
    Worker { slots: Arc<ChunkSlots>, number: u32 },
    /// The sender did, and took on itself to have it stored.
    Done(BlobId),
}

impl Chunk {
    /// A piece of a stream, whose id is to be put in the slot of that number.
    pub(super) fn of_stream(slots: Arc<ChunkSlots>, number: u32, data: Vec<u8>) -> Self {
        Self {
            naming: Naming::Worker { slots, number },
            data,
        }
    }

    /// A chunk that the sender has claimed.
    pub(super) fn hashed(id: BlobId, data: Vec<u8>) -> Self {
        Self {
            naming: Naming::Done(id),
            data,
        }
    }
}

/// Small chunks, all of them claimed by the sender, one after the other in `data`.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) data: Vec<u8>,
    pub(super) blobs: Vec<(BlobId, usize)>,
}

impl Batch {
    pub(super) fn push(&mut self, id: BlobId, data: &[u8]) {
        self.data.extend_from_slice(data);
        self.blobs.push((id, data.len()));
    }
}

/// What streams, workers and uploaders share.
pub(super) struct Shared {
    pub(super) repository: Repository,
    pub(super) gear: Gear,
    options: WriterOptions,
    index: Index,
    /// Blobs that some worker of this run took on itself to store.
    claimed: Mutex<HashSet<(BlobId, BlobKind)>>,
    durable: Mutex<Durable>,
    pub(super) trees: Trees,
    /// Folders of real file systems, by their path in the snapshot.
    pub(super) grafts: Mutex<Vec<(String, Node)>>,
    /// Closed when the streams end.
    chunks: Mutex<Option<Sender<Work>>>,
    chunk_buffers: (Sender<Vec<u8>>, Receiver<Vec<u8>>),
    pack_buffers: (Sender<Vec<u8>>, Receiver<Vec<u8>>),
    failed: AtomicBool,
    failure: Mutex<Option<RepositoryError>>,
    counts: Counts,
}

/// Packs that the store has, but no index file yet.
struct Durable {
    packs: Vec<IndexedPack>,
    blobs: usize,
    indexed_at: Instant,
}

#[derive(Default)]
struct Counts {
    bytes_read: AtomicU64,
    bytes_new: AtomicU64,
    bytes_added: AtomicU64,
    blobs_new: AtomicU64,
    blobs_known: AtomicU64,
    packs: AtomicU64,
    packs_quarantined: u64,
}

impl Shared {
    pub(super) fn new(
        repository: Repository,
        options: WriterOptions,
        index: Index,
        quarantined: u64,
    ) -> Self {
        let secret = repository
            .master_key()
            .derive("chunk boundaries", &repository.id());
        let workers = options.workers.max(1);
        Self {
            gear: Gear::new(&secret),
            repository,
            index,
            claimed: Mutex::default(),
            trees: Mutex::new(None),
            grafts: Mutex::default(),
            durable: Mutex::new(Durable {
                packs: Vec::new(),
                blobs: 0,
                indexed_at: Instant::now(),
            }),
            chunks: Mutex::new(None),
            chunk_buffers: bounded(workers * 4),
            pack_buffers: bounded(workers + options.uploads),
            failed: AtomicBool::new(false),
            failure: Mutex::new(None),
            counts: Counts {
                packs_quarantined: quarantined,
                ..Counts::default()
            },
            options,
        }
    }

    /// Fails once anything has failed, or the operation was cancelled.
    pub(super) fn check(&self) -> Result<()> {
        if let Err(cancelled) = self.options.cancel.check() {
            self.fail(cancelled.into());
        }
        if self.failed.load(Relaxed) {
            return Err(self
                .failure
                .lock()
                .clone()
                .expect("the failure is kept before the flag is set"));
        }
        Ok(())
    }

    pub(super) fn fail(&self, error: RepositoryError) {
        self.failure.lock().get_or_insert(error);
        self.failed.store(true, Relaxed);
    }

    pub(super) fn count_read(&self, bytes: u64) {
        self.counts.bytes_read.fetch_add(bytes, Relaxed);
    }

    /// Queues work; waits while the workers are behind.
    pub(super) fn send(&self, work: Work) -> Result<()> {
        let sender = self.chunks.lock().clone();
        let sent = sender.is_some_and(|sender| sender.send(work).is_ok());
        self.check()?;
        if sent {
            Ok(())
        } else {
            Err(RepositoryError::invalid("the writer has ended"))
        }
    }

    pub(super) fn recycled_buffer(&self) -> Vec<u8> {
        self.chunk_buffers.1.try_recv().unwrap_or_default()
    }

    pub(super) fn index_contains(&self, id: &BlobId, kind: BlobKind) -> bool {
        self.index.contains(id, kind)
    }

    /// Whether a pack has reached `size`, or holds as many blobs as one may.
    pub(super) fn is_full_of(&self, pack: &PackBuilder, size: usize) -> bool {
        pack.len() >= size || pack.blob_count() >= MAX_BLOBS_PER_PACK
    }

    /// Whether the caller must store the blob: it is not in the repository, and no one else of this run has it in hand.
    pub(super) fn claim(&self, id: BlobId, kind: BlobKind) -> bool {
        let new = !self.index.contains(&id, kind) && self.claimed.lock().insert((id, kind));
        if kind == BlobKind::Data {
            let count = if new {
                &self.counts.blobs_new
            } else {
                &self.counts.blobs_known
            };
            count.fetch_add(1, Relaxed);
        }
        new
    }

    pub(super) fn compressor(&self) -> Result<Compressor<'static>> {
        Compressor::new(self.options.compression_level).map_err(|e| {
            RepositoryError::invalid(format!(
                "compression level {} is not possible: {e}",
                self.options.compression_level
            ))
        })
    }

    pub(super) fn add_blob(
        &self,
        pack: &mut PackBuilder,
        id: BlobId,
        kind: BlobKind,
        plain: &[u8],
        compressor: &mut Compressor<'_>,
    ) -> Result<()> {
        pack.add(id, kind, plain, self.repository.master_key(), compressor)
            .map_err(|e| RepositoryError::invalid(format!("cannot compress a chunk: {e}")))?;
        if kind == BlobKind::Data {
            self.counts.bytes_new.fetch_add(plain.len() as u64, Relaxed);
        }
        Ok(())
    }

    /// Finishes a pack and stores it, in this thread.
    pub(super) fn store_pack(&self, pack: PackBuilder) -> Result<()> {
        self.put_pack(pack.finish(self.repository.master_key()))
    }

    fn put_pack(&self, pack: FinishedPack) -> Result<()> {
        self.check()?;
        self.repository.storage().put(
            &ObjectKey::new(FileKind::Pack, pack.id.to_string()),
            &pack.data,
        )?;
        self.counts.packs.fetch_add(1, Relaxed);
        self.counts
            .bytes_added
            .fetch_add(pack.data.len() as u64, Relaxed);
        let due = {
            let mut durable = self.durable.lock();
            durable.blobs += pack.blobs.len();
            durable.packs.push(IndexedPack::new(pack.id, &pack.blobs));
            durable.blobs >= index::MAX_BLOBS_PER_FILE
                || durable.indexed_at.elapsed() >= CHECKPOINT_EVERY
        };
        let _ = self.pack_buffers.0.try_send(pack.data);
        if due { self.checkpoint() } else { Ok(()) }
    }

    /// Writes index files for the packs that were stored since the last time.
    pub(super) fn checkpoint(&self) -> Result<()> {
        // Held to the end: who finds nothing left to index may rely on it that the index is written.
        let mut durable = self.durable.lock();
        if durable.packs.is_empty() {
            return Ok(());
        }
        self.repository.storage().flush()?;
        index::write(&self.repository, &durable.packs)?;
        self.repository.storage().flush()?;
        *durable = Durable {
            packs: Vec::new(),
            blobs: 0,
            indexed_at: Instant::now(),
        };
        Ok(())
    }

    pub(super) fn summary(&self) -> WriteSummary {
        let counts = &self.counts;
        WriteSummary {
            bytes_read: counts.bytes_read.load(Relaxed),
            bytes_new: counts.bytes_new.load(Relaxed),
            bytes_added: counts.bytes_added.load(Relaxed),
            blobs_new: counts.blobs_new.load(Relaxed),
            blobs_known: counts.blobs_known.load(Relaxed),
            packs: counts.packs.load(Relaxed),
            packs_quarantined: counts.packs_quarantined,
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("summary", &self.summary())
            .finish_non_exhaustive()
    }
}

/// The running threads of a writer.
#[derive(Debug)]
pub(super) struct Pipeline {
    workers: Vec<JoinHandle<PackBuilder>>,
    uploaders: Vec<JoinHandle<()>>,
}

impl Pipeline {
    pub(super) fn start(shared: &Arc<Shared>) -> Result<Self> {
        let workers = shared.options.workers.max(1);
        let (chunk_sender, chunks) = bounded(workers);
        let (pack_sender, packs) = bounded(1);
        *shared.chunks.lock() = Some(chunk_sender);
        // Made here so that a level that does not exist fails at once.
        let compressors = (0..workers)
            .map(|_| shared.compressor())
            .collect::<Result<Vec<_>>>()?;
        let mut pipeline = Self {
            workers: Vec::new(),
            uploaders: Vec::new(),
        };
        let started = (|| {
            for _ in 0..shared.options.uploads.max(1) {
                let (shared, packs) = (shared.clone(), packs.clone());
                pipeline
                    .uploaders
                    .push(thread("upload", move || upload(&shared, &packs))?);
            }
            for compressor in compressors {
                let (shared, chunks, packs) = (shared.clone(), chunks.clone(), pack_sender.clone());
                pipeline.workers.push(thread("pack", move || {
                    pack(&shared, &chunks, &packs, compressor)
                })?);
            }
            Ok(())
        })();
        drop((chunks, pack_sender, packs));
        match started {
            Ok(()) => Ok(pipeline),
            Err(e) => {
                shared.fail(e);
                pipeline.abandon(shared);
                Err(shared.check().expect_err("it failed just now"))
            }
        }
    }

    /// Waits until every chunk lies in a pack and every pack in the store.
    pub(super) fn finish(self, shared: &Shared) -> Result<()> {
        let leftovers = self.join(shared);
        shared.check()?;
        // Each worker ends with a pack begun; together they make as few packs as they can.
        let mut pack = PackBuilder::new(Vec::new());
        for leftover in leftovers {
            if pack.is_empty() {
                pack = leftover;
                continue;
            }
            for (blob, sealed) in leftover.sealed_blobs() {
                if is_full(&pack, shared) {
                    shared
                        .store_pack(std::mem::replace(&mut pack, PackBuilder::new(Vec::new())))?;
                }
                pack.add_sealed(blob, sealed);
            }
        }
        if pack.is_empty() {
            Ok(())
        } else {
            shared.store_pack(pack)
        }
    }

    /// Ends early: what is in the queues is thrown away, what the store has is indexed for the next run.
    pub(super) fn abandon(self, shared: &Shared) {
        shared.fail(RepositoryError::invalid("the writer has ended"));
        self.join(shared);
        // Only an economy: without the index the packs are merely stored again.
        let _ = shared.checkpoint();
    }

    fn join(self, shared: &Shared) -> Vec<PackBuilder> {
        *shared.chunks.lock() = None;
        let mut leftovers = Vec::new();
        for worker in self.workers {
            match worker.join() {
                Ok(pack) => leftovers.push(pack),
                Err(_) => shared.fail(RepositoryError::invalid("a packing thread panicked")),
            }
        }
        for uploader in self.uploaders {
            if uploader.join().is_err() {
                shared.fail(RepositoryError::invalid("an uploading thread panicked"));
            }
        }
        leftovers
    }
}

fn thread<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(run)
        .map_err(|e| RepositoryError::invalid(format!("cannot start a thread: {e}")))
}

fn is_full(pack: &PackBuilder, shared: &Shared) -> bool {
    shared.is_full_of(pack, shared.options.pack_size)
}

/// A worker: turns chunks into packs until the streams end, and returns the pack that it has begun.
fn pack(
    shared: &Shared,
    chunks: &Receiver<Work>,
    packs: &Sender<FinishedPack>,
    mut compressor: Compressor<'static>,
) -> PackBuilder {
    let mut pack = PackBuilder::new(Vec::new());
    for work in chunks {
        let mut data = match work {
            Work::Chunk(chunk) => {
                if shared.check().is_ok()
                    && let Err(e) = pack_chunk(shared, &chunk, &mut pack, &mut compressor)
                {
                    shared.fail(e);
                }
                chunk.data
            }
            Work::Batch(batch) => {
                if let Err(e) = pack_batch(shared, &batch, &mut pack, packs, &mut compressor) {
                    shared.fail(e);
                }
                batch.data
            }
        };
        data.clear();
        let _ = shared.chunk_buffers.0.try_send(data);
        if is_full(&pack, shared) {
            send_pack(shared, &mut pack, packs);
        }
    }
    pack
}

/// Hands a full pack to the uploaders and begins another.
fn send_pack(shared: &Shared, pack: &mut PackBuilder, packs: &Sender<FinishedPack>) {
    let buffer = shared.pack_buffers.1.try_recv().unwrap_or_default();
    let full = std::mem::replace(pack, PackBuilder::new(buffer));
    if shared.check().is_ok()
        && packs
            .send(full.finish(shared.repository.master_key()))
            .is_err()
    {
        shared.fail(RepositoryError::invalid("an uploading thread panicked"));
    }
}

fn pack_batch(
    shared: &Shared,
    batch: &Batch,
    pack: &mut PackBuilder,
    packs: &Sender<FinishedPack>,
    compressor: &mut Compressor<'_>,
) -> Result<()> {
    let mut at = 0;
    for (id, len) in &batch.blobs {
        shared.check()?;
        shared.add_blob(
            pack,
            *id,
            BlobKind::Data,
            &batch.data[at..at + len],
            compressor,
        )?;
        at += len;
        if is_full(pack, shared) {
            send_pack(shared, pack, packs);
        }
    }
    Ok(())
}

fn pack_chunk(
    shared: &Shared,
    chunk: &Chunk,
    pack: &mut PackBuilder,
    compressor: &mut Compressor<'_>,
) -> Result<()> {
    let (slots, number) = match &chunk.naming {
        Naming::Done(id) => {
            return shared.add_blob(pack, *id, BlobKind::Data, &chunk.data, compressor);
        }
        Naming::Worker { slots, number } => (slots, *number as usize),
    };
    let id = BlobId::of(&chunk.data);
    if shared.claim(id, BlobKind::Data) {
        shared.add_blob(pack, id, BlobKind::Data, &chunk.data, compressor)?;
    }
    let mut slots = slots.lock();
    if slots.len() <= number {
        slots.resize(number + 1, BlobId::default());
    }
    slots[number] = id;
    Ok(())
}

/// An uploader: stores packs until the workers end.
fn upload(shared: &Shared, packs: &Receiver<FinishedPack>) {
    for pack in packs {
        if let Err(e) = shared.put_pack(pack) {
            shared.fail(e);
        }
    }
}
