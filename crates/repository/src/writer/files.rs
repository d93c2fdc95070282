//! Storing file trees: contents of many files from many threads, and the folders above them as soon as they are known.
//!
//! A stream's chunks get their ids from workers, some time later. Here the ids are needed at once, for a folder is
//! written when its files are: so each thread that reads files hashes what it reads, looks whether it is new, and only then
//! hands it to the workers. Small files go to them in batches, for a queue costs more than a small file does.
//!
//! A tree may be stored before the data that it names; nothing refers to it before [`Writer::publish`] has seen that all
//! data is durable.

use super::{
    TREE_PACK_SIZE, Writer,
    pipeline::{Batch, Chunk, Shared, Work},
};
use crate::{
    chunker::Chunker,
    error::{RepositoryError, Result},
    id::BlobId,
    node::Node,
    pack::{BlobKind, PackBuilder},
    tree::Tree,
};
use parking_lot::Mutex;
use std::{
    io::{self, Read},
    sync::Arc,
};
use zstd::bulk::Compressor;

/// Bytes that are asked of a file at a time.
const READ_SIZE: usize = 256 << 10;
/// Chunks of at least this size go to the workers alone.
const LARGE: usize = 128 << 10;
/// A batch of small chunks is full at this size, or at this number.
const BATCH_BYTES: usize = 512 << 10;
const BATCH_BLOBS: usize = 512;

/// Stores contents of files; each thread has its own. Call [`FileWriter::finish`] at the end.
#[derive(Debug)]
pub struct FileWriter {
    shared: Arc<Shared>,
    chunker: Chunker,
    buffer: Vec<u8>,
    batch: Batch,
}

/// What became of a file's content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredContent {
    /// Bytes that were read.
    pub size: u64,
    pub chunks: Vec<BlobId>,
}

impl Writer {
    /// Starts storing files. Any number of them may be at work at the same time.
    pub fn files(&self) -> FileWriter {
        FileWriter {
            chunker: Chunker::new(self.shared.gear.clone()),
            buffer: Vec::new(),
            batch: Batch::default(),
            shared: self.shared.clone(),
        }
    }

    /// Whether the repository holds all of these chunks, in packs that are really there.
    pub fn holds(&self, chunks: &[BlobId]) -> bool {
        let known = |id| self.shared.index_contains(id, BlobKind::Data);
        chunks.iter().all(known)
    }

    /// Stores a folder whose entries are complete, in any order; returns the id of its tree.
    pub fn store_folder(&self, nodes: Vec<Node>) -> Result<BlobId> {
        self.shared.check()?;
        let mut nodes: Vec<_> = nodes.into_iter().map(Node::into_stored).collect();
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        let json = Tree { nodes }.to_json();
        store_tree(&self.shared, &json)
    }

    /// Places a folder that [`Writer::store_folder`] stored at `path` in the snapshot.
    pub fn graft(&self, path: &str, folder: Node) {
        self.shared.grafts.lock().push((path.into(), folder));
    }
}

impl FileWriter {
    /// Stores everything that `source` gives. An error of the source comes back as the inner one, and concerns this file
    /// alone; an error of the repository fails the whole writer.
    pub fn store(&mut self, source: &mut impl Read) -> Result<io::Result<StoredContent>> {
        self.chunker.restart();
        let mut stored = StoredContent::default();
        // Bytes of the chunk in the making; those before `seen` have gone through the chunker.
        let mut filled = 0;
        loop {
            if self.buffer.len() < filled + READ_SIZE {
                self.buffer.resize(filled + READ_SIZE, 0);
            }
            let n = match source.read(&mut self.buffer[filled..filled + READ_SIZE]) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Ok(Err(e)),
            };
            let mut seen = filled;
            filled += n;
            stored.size += n as u64;
            while let Some(cut) = self.chunker.next_cut(&self.buffer[seen..filled]) {
                let end = seen + cut;
                stored.chunks.push(self.store_chunk(end)?);
                self.buffer.copy_within(end..filled, 0);
                filled -= end;
                seen = 0;
            }
        }
        if filled > 0 {
            stored.chunks.push(self.store_chunk(filled)?);
        }
        Ok(Ok(stored))
    }

    /// Hands over what waits in the batch.
    pub fn finish(mut self) -> Result<()> {
        self.flush()
    }

    fn store_chunk(&mut self, len: usize) -> Result<BlobId> {
        let data = &self.buffer[..len];
        let id = BlobId::of(data);
        self.shared.count_read(len as u64);
        if !self.shared.claim(id, BlobKind::Data) {
            self.shared.check()?;
            return Ok(id);
        }
        if len >= LARGE {
            let mut copy = self.shared.recycled_buffer();
            copy.extend_from_slice(data);
            self.shared.send(Work::Chunk(Chunk::hashed(id, copy)))?;
            return Ok(id);
        }
        if self.batch.data.capacity() == 0 {
            self.batch.data = self.shared.recycled_buffer();
        }
        self.batch.push(id, data);
        if self.batch.data.len() >= BATCH_BYTES || self.batch.blobs.len() >= BATCH_BLOBS {
            self.flush()?;
        }
        Ok(id)
    }

    fn flush(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        if batch.blobs.is_empty() {
            return Ok(());
        }
        self.shared.send(Work::Batch(batch))
    }
}

impl Drop for FileWriter {
    /// Chunks that were claimed and never sent must not be counted on.
    fn drop(&mut self) {
        if !self.batch.blobs.is_empty() {
            let error = RepositoryError::invalid("a thread that stores files ended early");
            self.shared.fail(error);
        }
    }
}

/// The pack of trees that is being filled.
pub(super) struct TreePack {
    pack: PackBuilder,
    compressor: Compressor<'static>,
}

/// Stores a tree, if the repository has not got it.
pub(super) fn store_tree(shared: &Shared, json: &[u8]) -> Result<BlobId> {
    let id = BlobId::of(json);
    if !shared.claim(id, BlobKind::Tree) {
        return Ok(id);
    }
    let mut trees = shared.trees.lock();
    if trees.is_none() {
        *trees = Some(TreePack {
            pack: PackBuilder::new(Vec::new()),
            compressor: shared.compressor()?,
        });
    }
    let TreePack { pack, compressor } = trees.as_mut().expect("it was made just now");
    shared.add_blob(pack, id, BlobKind::Tree, json, compressor)?;
    let full = shared.is_full_of(pack, TREE_PACK_SIZE);
    let full = full.then(|| std::mem::replace(pack, PackBuilder::new(Vec::new())));
    drop(trees);
    full.map_or(Ok(()), |pack| shared.store_pack(pack))?;
    Ok(id)
}

/// Stores the trees that wait for a full pack.
pub(super) fn flush_trees(shared: &Shared) -> Result<()> {
    match shared.trees.lock().take() {
        Some(TreePack { pack, .. }) if !pack.is_empty() => shared.store_pack(pack),
        _ => Ok(()),
    }
}

pub(super) type Trees = Mutex<Option<TreePack>>;
