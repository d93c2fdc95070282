//! Opening and making repositories, and the keys that open them.

use crate::{Context, Error, ErrorCode, Result};
use pgkeep_repository::{
    LockGuard, LockMode, Repository, RepositoryError,
    storage::{self, StorageErrorKind, StorageOptions},
};
use secrecy::SecretString;

/// Where a repository lies and what opens it.
#[derive(Clone)]
pub struct RepositoryAddress {
    /// A folder, `file:///…` or `s3://bucket/prefix?endpoint=…`.
    pub address: String,
    pub options: StorageOptions,
    pub password: SecretString,
}

/// What `init` made.
#[derive(Debug, serde::Serialize)]
pub struct InitReport {
    pub id: String,
    pub location: String,
    /// What the storage was found not to be able to do, in words; nothing that is needed.
    pub lacks: Vec<String>,
}

/// Makes a repository after trying out its storage; refuses one that cannot be written, read back, listed and deleted from.
pub fn init(address: &RepositoryAddress, context: &Context) -> Result<InitReport> {
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
    let repository = Repository::init(storage, &address.password, context.clock.clone())?;
    Ok(InitReport {
        id: repository.id(),
        location: repository.storage().location(),
        lacks: probe.lacks(),
    })
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
