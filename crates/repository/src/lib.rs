//! Encrypted, deduplicating repositories of snapshots in restic's public format, version 2.

mod check;
mod chunker;
mod codec;
mod config;
mod crypto;
mod error;
mod host;
mod id;
mod index;
mod keys;
mod lock;
mod pack;
mod prune;
mod reader;
mod repository;
mod snapshot;
pub mod storage;
mod tree;
mod writer;

pub use check::{CheckOptions, CheckReport, Problem, ReadData};
pub use config::FORMAT_VERSION;
pub use error::{RepositoryError, Result};
pub use id::{BlobId, InvalidId, PackId, SnapshotId};
pub use keys::{KeyInfo, Keys};
pub use lock::{LockGuard, LockInfo, LockMode};
pub use prune::{PruneOptions, PrunePlan, PruneReport, RepairReport};
pub use reader::{BlobStream, FileEntry, SnapshotReader};
pub use repository::Repository;
pub use snapshot::{Snapshot, UnreadableSnapshot};
pub use writer::{
    NewFile, SnapshotMeta, StreamParts, StreamWriter, WriteSummary, Writer, WriterOptions,
};
