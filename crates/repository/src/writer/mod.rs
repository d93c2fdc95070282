//! Writing one snapshot: streams in, packs out, and the snapshot file last.
//!
//! ```text
//! stream (caller's thread): cut into chunks ─┐
//! stream …                                   ├─ chunks ─ workers: hash, look up, compress, seal, pack ─ packs ─ uploaders: put
//! stream …                                   ┘
//! ```
//! Both queues are bounded, so a slow store slows the callers instead of filling memory. Held at most, with chunks of up
//! to 4 MiB: one for each open stream, three for each worker, and `workers + 2 × uploads` packs of `pack_size`. With four
//! workers, two uploads and eight streams that is about 230 MiB, usually less than half, for chunks are 1 MiB on average.
//!
//! Folders of real file systems take another way into the same queue and packs, see [`files`].
//!
//! Order of effects in [`Writer::publish`]: data packs, tree packs, a barrier, index files, a barrier, the snapshot. While
//! streams are written, packs that are already durable are indexed now and then ([`pipeline`]), so that a run which
//! ends early (error, cancel, power loss) leaves behind what the next one need not store again, and never a reference to
//! something that is not there.

mod files;
mod pipeline;
mod stream;

pub use files::{FileWriter, StoredContent};
pub use stream::{StreamParts, StreamWriter};

use crate::{
    error::{RepositoryError, Result},
    id::{BlobId, SnapshotId},
    index::Index,
    repository::Repository,
    snapshot::{self, Snapshot},
    storage::FileKind,
    tree::{Folder, PlannedFile},
};
use jiff::Timestamp;
use pgkeep_model::CancelToken;
use pipeline::{Pipeline, Shared};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::Arc};

/// Trees are read one after the other, so their packs stay small.
const TREE_PACK_SIZE: usize = 4 << 20;

/// How a [`Writer`] works.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// zstd level.
    pub compression_level: i32,
    /// Threads that hash, compress and encrypt.
    pub workers: usize,
    /// Packs sent to the store at the same time.
    pub uploads: usize,
    /// Bytes after which a pack is full.
    pub pack_size: usize,
    pub cancel: CancelToken,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            compression_level: 1,
            workers: std::thread::available_parallelism()
                .map_or(2, usize::from)
                .min(8),
            uploads: 2,
            pack_size: 16 << 20,
            cancel: CancelToken::new(),
        }
    }
}

/// A file of the snapshot to be.
#[derive(Debug)]
pub struct NewFile {
    /// Relative path with `/` between its parts.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    pub modified: Timestamp,
    /// The streams that make up its content, in order.
    pub parts: Vec<StreamParts>,
}

/// What the snapshot says of itself.
#[derive(Debug, Clone)]
pub struct SnapshotMeta {
    pub time: Timestamp,
    pub hostname: String,
    pub username: String,
    pub tags: Vec<String>,
    /// Where the content came from, as a list of snapshots shows it.
    pub paths: Vec<String>,
    pub program_version: String,
}

/// What one writer stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteSummary {
    /// Bytes of all streams.
    pub bytes_read: u64,
    /// Bytes of them that the repository did not hold yet.
    pub bytes_new: u64,
    /// Bytes by which the packs grew the repository.
    pub bytes_added: u64,
    /// Chunks of the streams that were stored, and that were there already.
    pub blobs_new: u64,
    pub blobs_known: u64,
    pub packs: u64,
    /// Packs that were passed over because they are missing or have the wrong size; their blobs were stored again if met.
    pub packs_quarantined: u64,
}

/// Writes one snapshot. Dropping it without [`Writer::publish`] publishes nothing.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    pipeline: Option<Pipeline>,
}

impl Writer {
    /// Loads the index, looks which packs are really there, and starts the workers. The caller holds a shared lock.
    pub(crate) fn new(repository: &Repository, options: WriterOptions) -> Result<Self> {
        options.cancel.check()?;
        // What an unreadable index file knew counts as not stored, and is stored again.
        let (mut index, _) = Index::load_lenient(repository)?;
        let stored: HashMap<_, _> = repository
            .storage()
            .list(FileKind::Pack)?
            .into_iter()
            .filter_map(|object| Some((object.name.parse().ok()?, object.size)))
            .collect();
        let quarantined = index.quarantine(&stored);
        let shared = Shared::new(repository.clone(), options, index, quarantined.len() as u64);
        let shared = Arc::new(shared);
        let pipeline = Pipeline::start(&shared)?;
        Ok(Self {
            shared,
            pipeline: Some(pipeline),
        })
    }

    /// Starts a stream, which starts a new chunk. Any number may be written at the same time.
    pub fn stream(&self) -> StreamWriter {
        StreamWriter::new(self.shared.clone())
    }

    /// Indexes what is stored so far, so that it need not be stored again should this run not reach its end.
    pub fn checkpoint(&self) -> Result<()> {
        self.shared.check()?;
        self.shared.checkpoint()
    }

    /// What was stored so far.
    pub fn progress(&self) -> WriteSummary {
        self.shared.summary()
    }

    /// Waits for all work, stores trees and index, and last the snapshot. Any failure of any stream, worker or upload
    /// fails it, and then there is no snapshot.
    pub fn publish(
        self,
        files: Vec<NewFile>,
        meta: SnapshotMeta,
    ) -> Result<(SnapshotId, WriteSummary)> {
        self.publish_if(files, meta, || Ok(()))
    }

    /// The same; `may` has the last word right before the snapshot is written, when all it needs is stored.
    pub fn publish_if(
        mut self,
        files: Vec<NewFile>,
        meta: SnapshotMeta,
        may: impl FnOnce() -> Result<()>,
    ) -> Result<(SnapshotId, WriteSummary)> {
        let pipeline = self
            .pipeline
            .take()
            .expect("only publish and drop take the pipeline, and both end the writer");
        let shared = &self.shared;
        let result = pipeline
            .finish(shared)
            .and_then(|()| store_trees(shared, folder_of(shared, files)?, meta.time))
            .and_then(|tree| {
                shared.checkpoint()?;
                shared.check()?;
                may()?;
                let snapshot = Snapshot {
                    id: SnapshotId::default(),
                    time: meta.time,
                    tree,
                    paths: meta.paths,
                    hostname: meta.hostname,
                    username: meta.username,
                    tags: meta.tags,
                    original: None,
                    program_version: meta.program_version,
                    other: serde_json::Map::new(),
                };
                snapshot::save(&shared.repository, &snapshot)
            });
        match result {
            Ok(id) => Ok((id, shared.summary())),
            Err(e) => {
                let _ = shared.checkpoint();
                Err(e)
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(pipeline) = self.pipeline.take() {
            pipeline.abandon(&self.shared);
        }
    }
}

/// Puts the files in their folders, each with the chunks of all its streams.
fn folder_of(shared: &Arc<Shared>, files: Vec<NewFile>) -> Result<Folder> {
    let mut root = Folder::default();
    for file in files {
        let mut size = 0;
        let mut chunks = Vec::new();
        for part in &file.parts {
            size += part.bytes;
            chunks.extend(part.chunk_ids(shared).ok_or_else(|| {
                RepositoryError::invalid(format!(
                    "a part of {} belongs to another writer",
                    file.path
                ))
            })?);
        }
        root.insert(
            &file.path,
            PlannedFile {
                mode: file.mode,
                modified: file.modified,
                size,
                chunks,
            },
        )?;
    }
    Ok(root)
}

fn store_trees(shared: &Shared, mut root: Folder, time: Timestamp) -> Result<BlobId> {
    for (path, folder) in std::mem::take(&mut *shared.grafts.lock()) {
        root.graft(&path, folder.into_stored())?;
    }
    let owner = (crate::host::uid(), crate::host::gid());
    let root = root.store(time, owner, &mut |json| {
        shared.check()?;
        files::store_tree(shared, json)
    })?;
    files::flush_trees(shared)?;
    Ok(root)
}
