//! Opening and making repositories, and the keys that open them.

use crate::{Context, Error, ErrorCode, Result};
use pgkeep_repository::{
    LockGuard, LockMode, Repository, RepositoryError,
    storage::{self, StorageErrorKind, StorageOptions},
};
use secrecy::SecretString;
use std::path::Path;

/// Where a repository lies and what opens it.
#[derive(Clone)]
pub struct RepositoryAddress {
    /// A folder, `file:///…` or `s3://bucket/prefix?endpoint=…`.
    pub address: String,
    pub options: StorageOptions,
    pub password: SecretString,
}

/// What `init` made.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct InitReport {
    pub id: String,
    pub location: String,
    /// What the storage was found not to be able to do, in words; nothing that is needed.
    pub lacks: Vec<String>,
    /// Name and content of the key file, for the recovery kit.
    #[serde(skip)]
    pub key_file: (String, String),
}

/// What a folder may hold before it becomes a repository: an unfinished one's own files, and what file systems put there.
const KNOWN_NAMES: [&str; 8] = [
    "config",
    "data",
    "index",
    "keys",
    "locks",
    "snapshots",
    "lost+found",
    ".snapshot",
];

/// Makes a repository after trying out its storage; refuses one that cannot be written, read back, listed and deleted from,
/// and a folder that holds other files.
pub fn init(address: &RepositoryAddress, key_label: &str, context: &Context) -> Result<InitReport> {
    refuse_foreign_files(&address.address)?;
    let storage = storage::open(&address.address, &address.options)?;
    let probe = storage::probe(&*storage);
    if !probe.is_usable() {
        return Err(Error::new(
            ErrorCode::Storage,
            format!(
                "{} cannot hold a repository: {}",
                storage.location(),
                probe.lacks().join(", ")
            ),
        )
        .hint("check address, credentials and permissions"));
    }
    let repository =
        Repository::init_labelled(storage, &address.password, key_label, context.clock.clone())?;
    Ok(InitReport {
        id: repository.id(),
        location: repository.storage().location(),
        lacks: probe.lacks(),
        key_file: repository.keys().current_file()?,
    })
}

/// Makes the config of a repository that lost it anew, by its key; all that is stored stays as it is. False where it has
/// one that can be read.
pub fn restore_config(address: &RepositoryAddress, context: &Context) -> Result<bool> {
    let storage = storage::open(&address.address, &address.options)?;
    match Repository::open(storage.clone(), &address.password, context.clock.clone()) {
        Err(RepositoryError::ConfigLost { .. }) => {
            Repository::rebuild_config(&*storage, &address.password)?;
            Ok(true)
        }
        Err(e) => Err(e.into()),
        Ok(_) => Ok(false),
    }
}

/// The folder that an address names; `None` for an object store.
pub fn local_folder(address: &str) -> Option<&Path> {
    match address.split_once("://") {
        None => Some(Path::new(address)),
        Some(("file", path)) => Some(Path::new(path)),
        Some(_) => None,
    }
}

/// A repository among other files would be taken for theirs, and a clean-up of one would hit the other.
fn refuse_foreign_files(address: &str) -> Result<()> {
    let Some(folder) = local_folder(address) else {
        return Ok(());
    };
    let Ok(entries) = std::fs::read_dir(folder) else {
        // Not there yet, or not readable: the probe of the storage says so.
        return Ok(());
    };
    let mut foreign: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !KNOWN_NAMES.contains(&name.as_str()))
        .collect();
    if foreign.is_empty() {
        return Ok(());
    }
    foreign.sort();
    let more = foreign.len().saturating_sub(3);
    foreign.truncate(3);
    let more = match more {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    Err(Error::refused(format!(
        "{} holds other files: {}{more}",
        folder.display(),
        foreign.join(", ")
    ))
    .hint("give a folder that is empty or does not exist yet"))
}

/// Keeps stock tools and other runs from deleting what is being read. A place that takes no lock file (read-only media, a
/// write-protected bucket, a full disk) can still be restored from: nobody can delete on the former, and on the latter a prune
/// needs a lock file as well.
pub(crate) fn lock_for_reading(
    repository: &Repository,
    reason: &str,
    context: &Context,
) -> Result<Option<LockGuard>> {
    match repository.lock(LockMode::Shared, reason) {
        Ok(lock) => Ok(Some(lock)),
        Err(RepositoryError::Storage(e))
            if matches!(
                e.kind,
                StorageErrorKind::PermissionDenied | StorageErrorKind::NoSpace
            ) =>
        {
            context
                .progress
                .warn(&format!("the repository is read without a lock: {e}"));
            Ok(None)
        }
        Err(e) => Err(e.into()),
    }
}

/// Opens an existing repository.
pub fn open(address: &RepositoryAddress, context: &Context) -> Result<Repository> {
    let storage = storage::open(&address.address, &address.options)?;
    Ok(Repository::open(
        storage,
        &address.password,
        context.clock.clone(),
    )?)
}
