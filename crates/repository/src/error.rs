//! What can go wrong with a repository, in the classes that a caller acts on.

use crate::{
    id::{BlobId, PackId},
    lock::LockInfo,
    storage::{StorageError, StorageErrorKind},
};
use pgkeep_model::Cancelled;
use std::io;

pub type Result<T, E = RepositoryError> = std::result::Result<T, E>;

/// An operation on a repository failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RepositoryError {
    #[error("{location} is not a repository: it has no config file")]
    NotARepository { location: String },
    #[error("{location} holds a repository that lost its config file")]
    ConfigLost { location: String },
    #[error("{location} holds a repository that lost all its key files")]
    KeysLost { location: String },
    #[error("{location} already holds a repository")]
    AlreadyExists { location: String },
    #[error("no key of the repository opens with this password")]
    WrongPassword,
    #[error("the repository has format version {found}, this build reads version {supported}")]
    UnsupportedFormat { found: u32, supported: u32 },
    /// A file other than a pack cannot be trusted.
    #[error("{object} is damaged: {what}")]
    Damaged { object: String, what: String },
    /// A blob cannot be read back as it was written.
    #[error("blob {} in pack {} is damaged: {what}", blob.short(), pack.short())]
    DamagedBlob {
        blob: BlobId,
        pack: PackId,
        what: String,
    },
    #[error("blob {} is in no index", blob.short())]
    MissingBlob { blob: BlobId },
    #[error("the repository is locked by {holder}")]
    Locked { holder: Box<LockInfo> },
    #[error("the lock on the repository was lost: {reason}")]
    LockLost { reason: String },
    /// A plan was made for another state.
    #[error("the repository was changed since the prune was planned")]
    Changed,
    #[error("no snapshot matches {wanted}")]
    SnapshotNotFound { wanted: String },
    #[error("{count} snapshots match {wanted}")]
    AmbiguousSnapshot { wanted: String, count: usize },
    #[error("no file {path} in snapshot {snapshot}")]
    FileNotFound { snapshot: String, path: String },
    #[error("the repository has no key {wanted}")]
    KeyNotFound { wanted: String },
    #[error("key {id}: {reason}")]
    KeyRefused { id: String, reason: &'static str },
    #[error("{what}")]
    Invalid { what: String },
    #[error(transparent)]
    Storage(StorageError),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl RepositoryError {
    pub(crate) fn damaged(object: impl std::fmt::Display, what: impl std::fmt::Display) -> Self {
        Self::Damaged {
            object: object.to_string(),
            what: what.to_string(),
        }
    }

    pub(crate) fn invalid(what: impl std::fmt::Display) -> Self {
        Self::Invalid {
            what: what.to_string(),
        }
    }

    /// The error inside one of `io`'s that a stream gave, or that one in words.
    pub fn from_io(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(inner) => inner,
            Err(other) => Self::invalid(other),
        }
    }

    /// Whether stored bytes are missing or not what was written.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::ConfigLost { .. }
            | Self::KeysLost { .. }
            | Self::Damaged { .. }
            | Self::DamagedBlob { .. }
            | Self::MissingBlob { .. } => true,
            Self::Storage(e) => {
                matches!(
                    e.kind,
                    StorageErrorKind::NotFound | StorageErrorKind::Truncated
                )
            }
            _ => false,
        }
    }

    /// What to do next, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotARepository { .. } => Some(
                "check the address, and that its disk is mounted; `pgkeep init` makes a new, empty repository",
            ),
            Self::ConfigLost { .. } => Some(
                "clear nothing, the backups are there: `pgkeep check --repair` makes the config anew with the repository's key",
            ),
            Self::KeysLost { .. } => Some(
                "without a file in keys/ nothing can be read, whatever key is known: bring that folder back from a copy, or write the file that the recovery kit holds",
            ),
            Self::AlreadyExists { .. } => Some("use it as it is, or choose another place"),
            Self::WrongPassword => Some(
                "give the key that the repository was made with, or another that was added to it",
            ),
            Self::UnsupportedFormat { found, supported } if found < supported => {
                Some("upgrade it once with `restic migrate upgrade_repo_v2`")
            }
            Self::UnsupportedFormat { .. } => Some("use a newer pgkeep"),
            Self::Damaged { .. } | Self::DamagedBlob { .. } | Self::MissingBlob { .. } => Some(
                "run `pgkeep check --read-data` to see which backups are touched; others can still be restored",
            ),
            Self::Locked { .. } => Some(
                "wait until it is done; a lock that its owner left behind ends by itself after 30 minutes",
            ),
            Self::LockLost { .. } | Self::Changed => Some("run it again"),
            Self::SnapshotNotFound { .. } => Some("`pgkeep list` shows what there is"),
            Self::KeyNotFound { .. } => Some("`pgkeep key list` shows the ids of all keys"),
            Self::AmbiguousSnapshot { .. } => Some("give more digits of the id"),
            Self::Storage(e) => e.hint(),
            Self::FileNotFound { .. }
            | Self::KeyRefused { .. }
            | Self::Invalid { .. }
            | Self::Cancelled(_) => None,
        }
    }
}

impl From<StorageError> for RepositoryError {
    fn from(error: StorageError) -> Self {
        match error.kind {
            StorageErrorKind::Cancelled => Self::Cancelled(Cancelled),
            _ => Self::Storage(error),
        }
    }
}

impl From<RepositoryError> for io::Error {
    /// Keeps the whole error inside, so that it can be had back by `downcast`.
    fn from(error: RepositoryError) -> Self {
        let kind = match &error {
            e if e.is_damage() => io::ErrorKind::InvalidData,
            RepositoryError::Storage(e) if e.kind == StorageErrorKind::NoSpace => {
                io::ErrorKind::StorageFull
            }
            // Also for a cancelled operation: `Interrupted` would make `write_all` try again for ever.
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}
