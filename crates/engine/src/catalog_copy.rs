//! Copies of a server's catalog, kept in the repositories that it manages: apps, policies, accounts and the audit log are
//! as hard to lose as the backups themselves.
//!
//! A copy is a snapshot with one file and a tag of its own, so lists of backups do not show it and retention does not
//! touch it. The newest few are kept; older ones go only after the new one is stored.

use crate::{
    Context, Error, Result,
    backup::{self, Store},
};
use jiff::Timestamp;
use pgkeep_model::Phase;
use pgkeep_repository::{LockGuard, NewFile, Repository, Snapshot, SnapshotId};
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Marks the snapshots that hold a catalog.
pub const TAG: &str = "pgkeep-catalog";
/// Tells the copies of several servers in one repository apart.
const SERVER: &str = "server:";
/// Where the file lies in its snapshot.
const PATH: &str = "catalog";
/// zstd level.
const COMPRESSION: i32 = 1;

/// A copy, as stored or found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CatalogCopy {
    pub id: String,
    pub time: Timestamp,
    /// Which server's catalog it is.
    pub server: String,
    pub hostname: String,
}

/// What storing a copy did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CatalogCopyReport {
    pub id: String,
    pub bytes: u64,
    pub bytes_added: u64,
    /// Ids of older copies that were removed.
    pub removed: Vec<String>,
}

/// Stores `file` as the newest copy of `server`'s catalog, then removes all but the newest `keep` of that server.
pub fn store(
    repository: &Repository,
    file: &Path,
    server: &str,
    keep: usize,
    context: &Context,
) -> Result<CatalogCopyReport> {
    let time = context.clock.now();
    let store = Store::open(repository, "catalog backup", COMPRESSION, context)?;
    let mut source = File::open(file).map_err(|e| Error::from(e).context(file.display()))?;
    context
        .progress
        .phase(Phase::Data, source.metadata().ok().map(|m| m.len()));
    let mut stream = store.writer().stream();
    let bytes = io::copy(&mut source, &mut stream)?;
    let files = vec![NewFile {
        path: PATH.into(),
        mode: 0o600,
        modified: time,
        parts: vec![stream.finish()?],
    }];
    context.progress.phase(Phase::Publish, None);
    let tags = vec![TAG.into(), format!("{SERVER}{server}")];
    let meta = backup::meta(time, tags, format!("/{PATH}"), context);
    let (id, written, lock) = store.write(files, meta, context)?;
    Ok(CatalogCopyReport {
        removed: remove_older(repository, &lock, server, keep.max(1), &id)?,
        id: id.to_string(),
        bytes,
        bytes_added: written.bytes_added,
    })
}

/// The copies that a repository holds, oldest first.
pub fn list(repository: &Repository) -> Result<Vec<CatalogCopy>> {
    Ok(copies(repository)?.iter().map(CatalogCopy::of).collect())
}

/// Writes a copy that [`list`] told of to a file that does not exist yet.
pub fn fetch(repository: &Repository, copy: &CatalogCopy, to: &Path) -> Result<()> {
    let snapshot = copies(repository)?
        .into_iter()
        .find(|snapshot| snapshot.id.to_string() == copy.id)
        .ok_or_else(|| {
            Error::not_found(format!("copy {} is no longer in the repository", copy.id))
                .hint("`pgkeep catalog copies` lists those that are")
        })?;
    let reader = repository.open_snapshot(&snapshot)?;
    let file = reader
        .file(PATH)
        .ok_or_else(|| Error::not_found(format!("snapshot {} holds no catalog", snapshot.id)))?;
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(|e| Error::from(e).context(to.display()))?;
    io::copy(&mut reader.read(file), &mut out)?;
    out.sync_all()?;
    Ok(())
}

fn copies(repository: &Repository) -> Result<Vec<Snapshot>> {
    let (mut snapshots, _unreadable) = repository.snapshots_lenient()?;
    snapshots.retain(|s| s.tags.iter().any(|tag| tag == TAG));
    Ok(snapshots)
}

fn remove_older(
    repository: &Repository,
    lock: &LockGuard,
    server: &str,
    keep: usize,
    newest: &SnapshotId,
) -> Result<Vec<String>> {
    let mut older: Vec<Snapshot> = copies(repository)?
        .into_iter()
        .filter(|copy| server_of(copy) == server && copy.id != *newest)
        .collect();
    older.truncate(older.len().saturating_sub(keep - 1));
    for copy in &older {
        lock.confirm()?;
        repository.delete_snapshot(&copy.id)?;
    }
    Ok(older.iter().map(|copy| copy.id.to_string()).collect())
}

fn server_of(snapshot: &Snapshot) -> &str {
    snapshot
        .tags
        .iter()
        .find_map(|tag| tag.strip_prefix(SERVER))
        .unwrap_or_default()
}

impl CatalogCopy {
    fn of(snapshot: &Snapshot) -> Self {
        Self {
            id: snapshot.id.to_string(),
            time: snapshot.time,
            server: server_of(snapshot).to_owned(),
            hostname: snapshot.hostname.clone(),
        }
    }
}
