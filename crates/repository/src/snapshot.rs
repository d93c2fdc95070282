//! Snapshots: one small file each that names a tree and says when, where and by whom it was made.

use crate::{
    error::{RepositoryError, Result},
    id::{BlobId, SnapshotId},
    repository::Repository,
    storage::{FileKind, ObjectKey, StorageErrorKind},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One recovery point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Hash of the snapshot's file; not stored inside it.
    #[serde(skip)]
    pub id: SnapshotId,
    pub time: Timestamp,
    pub tree: BlobId,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub paths: Vec<String>,
    #[serde(default)]
    pub hostname: String,
    #[serde(default)]
    pub username: String,
    #[serde(
        default,
        deserialize_with = "null_is_empty",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub tags: Vec<String>,
    /// The snapshot that this one took the place of when its tags were changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<SnapshotId>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program_version: String,
    /// Fields that this build does not know, kept when the snapshot is rewritten.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A stored object that cannot be used, and why.
#[derive(Debug, Clone)]
pub struct UnreadableSnapshot {
    pub id: String,
    pub error: RepositoryError,
}

/// All snapshots, oldest first; one that cannot be read fails the whole.
pub(crate) fn list(repository: &Repository) -> Result<Vec<Snapshot>> {
    let (snapshots, problems) = list_lenient(repository)?;
    match problems.into_iter().next() {
        Some(problem) => Err(problem.error),
        None => Ok(snapshots),
    }
}

/// The snapshots that can be read, oldest first, and those that cannot.
pub(crate) fn list_lenient(
    repository: &Repository,
) -> Result<(Vec<Snapshot>, Vec<UnreadableSnapshot>)> {
    let mut snapshots = Vec::new();
    let mut problems = Vec::new();
    for object in repository.storage().list(FileKind::Snapshot)? {
        match load(repository, &object.name) {
            Ok(snapshot) => snapshots.push(snapshot),
            // Removed between the listing and the reading.
            Err(RepositoryError::Storage(e)) if e.kind == StorageErrorKind::NotFound => {}
            Err(error) if error.is_damage() => problems.push(UnreadableSnapshot {
                id: object.name,
                error,
            }),
            Err(error) => return Err(error),
        }
    }
    snapshots.sort_by(|a, b| a.time.cmp(&b.time).then_with(|| a.id.cmp(&b.id)));
    Ok((snapshots, problems))
}

/// Finds a snapshot by its id, the first digits of it, or `latest`.
pub(crate) fn find(repository: &Repository, wanted: &str) -> Result<Snapshot> {
    let not_found = || RepositoryError::SnapshotNotFound {
        wanted: wanted.into(),
    };
    if wanted == "latest" {
        return list(repository)?.pop().ok_or_else(not_found);
    }
    if wanted.parse::<SnapshotId>().is_ok() {
        return match load(repository, wanted) {
            Err(RepositoryError::Storage(e)) if e.kind == StorageErrorKind::NotFound => {
                Err(not_found())
            }
            other => other,
        };
    }
    let mut names: Vec<String> = repository
        .storage()
        .list(FileKind::Snapshot)?
        .into_iter()
        .map(|o| o.name)
        .filter(|name| !wanted.is_empty() && name.starts_with(wanted))
        .collect();
    match (names.pop(), names.len()) {
        (Some(name), 0) => load(repository, &name),
        (None, _) => Err(not_found()),
        (Some(_), others) => Err(RepositoryError::AmbiguousSnapshot {
            wanted: wanted.into(),
            count: others + 1,
        }),
    }
}

/// Stores a snapshot: the step that makes a backup visible. On failure it is not there.
pub(crate) fn save(repository: &Repository, snapshot: &Snapshot) -> Result<SnapshotId> {
    let (key, sealed) = repository.seal_json(FileKind::Snapshot, snapshot);
    if let Err(e) = repository.storage().put(&key, &sealed) {
        // The store may have kept it and lost only the answer; what is reported as failed must not be listed.
        let _ = repository.storage().delete(&key);
        return Err(e.into());
    }
    Ok(key.name.parse().expect("a stored file's name is a hash"))
}

/// Writes the snapshot anew with other tags, then removes the old file; between the two both are listed.
pub(crate) fn change_tags(
    repository: &Repository,
    id: &SnapshotId,
    add: &[String],
    remove: &[String],
) -> Result<SnapshotId> {
    let mut snapshot = load(repository, &id.to_string())?;
    let before = snapshot.tags.clone();
    snapshot.tags.retain(|tag| !remove.contains(tag));
    for tag in add {
        if !snapshot.tags.contains(tag) {
            snapshot.tags.push(tag.clone());
        }
    }
    if snapshot.tags == before {
        return Ok(*id);
    }
    snapshot.original.get_or_insert(*id);
    let new = save(repository, &snapshot)?;
    delete(repository, id)?;
    Ok(new)
}

pub(crate) fn delete(repository: &Repository, id: &SnapshotId) -> Result<()> {
    Ok(repository
        .storage()
        .delete(&ObjectKey::new(FileKind::Snapshot, id.to_string()))?)
}

pub(crate) fn load(repository: &Repository, name: &str) -> Result<Snapshot> {
    let mut snapshot: Snapshot = repository.load_json(&ObjectKey::new(FileKind::Snapshot, name))?;
    snapshot.id = name
        .parse()
        .map_err(|_| RepositoryError::invalid(format!("{name} is not a snapshot id")))?;
    Ok(snapshot)
}
