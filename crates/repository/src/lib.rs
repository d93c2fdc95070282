//! Encrypted, deduplicating repositories of snapshots in restic's public format, version 2.
//!
//! A repository is a set of immutable objects in a [`storage::Storage`]. Streams are cut into chunks by their content;
//! each distinct chunk is a *blob*, named by the hash of its plain bytes, compressed and sealed, and many blobs make a
//! *pack*. An *index* file says which packs hold which blobs. A *tree* is a directory as a blob. A *snapshot* file
//! names a root tree: it is what makes a backup exist. Everything is sealed with a master key that the *key* files hold,
//! each under a password. Stock restic (0.14 and newer) reads, checks and prunes what this crate writes, and the other
//! way round.
//!
//! This crate knows nothing of databases. It blocks; threads are its own and end with the value that started them.
//!
//! # Order of writes
//!
//! An object is durable before anything that refers to it is written, and goes only after everything that refers to it:
//!
//! | operation | order |
//! |---|---|
//! | init | folders, key, config (create-only: it makes the place a repository) |
//! | backup | packs of data, packs of trees (those of file trees beside the data), flush, index files, flush, snapshot |
//! | while a backup runs | every 15 seconds: flush, index of the packs that are durable, flush |
//! | change of tags | new snapshot file, then the old one is deleted |
//! | forget | snapshot files are deleted, nothing else |
//! | prune | new packs, flush, new index files, flush, old index files deleted, flush, old packs deleted |
//! | rotation of a key | new key file, seen to open, the new password put where it is looked for, then the old one is deleted |
//!
//! So a process that is killed, or a machine that loses power, leaves objects that nothing refers to, and never a
//! reference to an object that is not there. Readers list snapshots first and load the index after.
//!
//! # Who waits for whom
//!
//! Shared locks live beside each other, an exclusive lock lives alone; who cannot have its lock fails at once and says who
//! holds the other. Lock files are restic's, so the same holds between this crate and stock tools.
//!
//! A holder asks for its lock once more right before what cannot be taken back ([`LockGuard::confirm`]): before a snapshot is
//! written ([`Writer::publish_if`]), before one is deleted, before a prune changes the index, and before it deletes packs.
//!
//! | | backup | restore, read | check | tags, forget | key add | prune, repair |
//! |---|---|---|---|---|---|---|
//! | lock | shared | shared | shared | shared | none | exclusive |
//! | beside backup | yes | yes | yes | yes | yes | no |
//! | beside restore, read | yes | yes | yes | yes | yes | no |
//! | beside check | yes: what it adds meanwhile is not looked at | yes | yes | yes | yes | no |
//! | beside tags, forget | yes | a reader keeps what it opened | yes | of the same snapshot: both new files stay | yes | no |
//! | beside prune, repair | no | no | no | no | yes | no |
//!
//! Stock restic takes an exclusive lock for `forget` and `tag`; here a shared one is enough. Both touch snapshot files only:
//! a backup that takes parts over from one that goes meanwhile still finds them, for only a prune deletes packs, and a prune
//! waits until the backup is published; a prune that was planned before refuses. So one app's cleanup never fails because
//! another app's backup runs. What a forget decided may be overtaken: a backup that was pinned since stays, and one whose
//! tags change at the same moment is listed again and goes the next time.
//!
//! Should a lock fail all the same (a clock far off, a lock file removed by hand), packs younger than prune's grace time are
//! kept, and a writer stores again what it finds missing when it starts.

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
mod node;
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
pub use keys::{KeyInfo, Keys, generate_key};
pub use lock::{LockGuard, LockInfo, LockMode};
pub use node::{Node, NodeKind};
pub use prune::{PruneOptions, PrunePlan, PruneReport, RepairReport};
pub use reader::{BlobStream, FileEntry, SnapshotReader, Walk};
pub use repository::Repository;
pub use snapshot::{Snapshot, UnreadableSnapshot};
pub use writer::{
    FileWriter, NewFile, SnapshotMeta, StoredContent, StreamParts, StreamWriter, WriteSummary,
    Writer, WriterOptions,
};
