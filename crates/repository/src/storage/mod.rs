//! Where a repository's objects lie, behind one narrow trait.
//!
//! A store holds immutable objects named by their kind and by a content hash. Everything that makes a store better
//! behaved (retries, speed limits, injected faults, recording) is a wrapper that is a [`Storage`] itself; operations on
//! repositories contain none of it.
//!
//! Paths are exactly restic's: `config`, `keys/…`, `locks/…`, `snapshots/…`, `index/…`, and `data/ab/abcdef…` for packs.

mod download;
pub mod faulty;
mod local;
pub mod probe;
pub mod recording;
pub mod retry;
pub mod s3;
pub mod throttle;
mod upload;

pub use download::{ObjectDownload, download};
pub use local::LocalStorage;
pub use probe::{ProbeReport, probe};
pub use upload::{ObjectUpload, upload};

use jiff::Timestamp;
use pgkeep_model::CancelToken;
use secrecy::SecretString;
use std::{fmt, sync::Arc, time::Duration};

/// The kinds of object that a repository is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileKind {
    Config,
    Key,
    Lock,
    Snapshot,
    Index,
    Pack,
}

impl FileKind {
    pub const ALL: [FileKind; 6] = [
        FileKind::Config,
        FileKind::Key,
        FileKind::Lock,
        FileKind::Snapshot,
        FileKind::Index,
        FileKind::Pack,
    ];

    /// The folder that holds objects of this kind; empty for the config, which lies at the root.
    pub fn folder(self) -> &'static str {
        match self {
            FileKind::Config => "",
            FileKind::Key => "keys",
            FileKind::Lock => "locks",
            FileKind::Snapshot => "snapshots",
            FileKind::Index => "index",
            FileKind::Pack => "data",
        }
    }

    /// The word used in messages.
    pub fn noun(self) -> &'static str {
        match self {
            FileKind::Config => "config",
            FileKind::Key => "key",
            FileKind::Lock => "lock",
            FileKind::Snapshot => "snapshot",
            FileKind::Index => "index",
            FileKind::Pack => "pack",
        }
    }
}

/// Names one object; the config's name is always `config`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    pub kind: FileKind,
    pub name: String,
}

impl ObjectKey {
    pub fn new(kind: FileKind, name: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
        }
    }

    pub fn config() -> Self {
        Self::new(FileKind::Config, "config")
    }

    /// The object's path below the repository's root, with `/` between the parts.
    pub fn path(&self) -> String {
        match self.kind {
            FileKind::Config => "config".into(),
            FileKind::Pack => {
                let shard = self.name.get(..2).unwrap_or("00");
                format!("data/{shard}/{}", self.name)
            }
            kind => format!("{}/{}", kind.folder(), self.name),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FileKind::Config => f.write_str("config"),
            kind => write!(f, "{} {}", kind.noun(), self.name),
        }
    }
}

/// An object found by a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    pub name: String,
    pub size: u64,
}

/// A place for objects. Calls block; they may come from many threads at once.
pub trait Storage: Send + Sync + fmt::Debug {
    /// Stores an object, whole. Its bytes are durable on return; its name is durable after the next [`Storage::flush`]
    /// (at once for everything but packs). Writing the same content again is harmless, for names are content hashes.
    fn put(&self, key: &ObjectKey, data: &[u8]) -> Result<(), StorageError>;
    /// Stores an object only if none has its name: [`StorageErrorKind::AlreadyExists`] otherwise.
    fn create_new(&self, key: &ObjectKey, data: &[u8]) -> Result<(), StorageError>;
    fn get(&self, key: &ObjectKey) -> Result<Vec<u8>, StorageError>;
    /// Reads exactly `len` bytes; an object that ends earlier is an error.
    fn get_range(&self, key: &ObjectKey, offset: u64, len: u64) -> Result<Vec<u8>, StorageError>;
    /// The object's size, or `None` when there is no such object.
    fn stat(&self, key: &ObjectKey) -> Result<Option<u64>, StorageError>;
    /// Every object of a kind whose name is well formed. What cannot be listed is an error, never "nothing there".
    fn list(&self, kind: FileKind) -> Result<Vec<StoredObject>, StorageError>;
    /// Removes an object; removing what is not there succeeds.
    fn delete(&self, key: &ObjectKey) -> Result<(), StorageError>;
    /// A barrier: everything put or deleted so far stays so after a power loss.
    fn flush(&self) -> Result<(), StorageError>;
    /// Prepares an empty place for a new repository (folders); harmless on one that exists.
    fn prepare(&self) -> Result<(), StorageError> {
        Ok(())
    }
    /// Removes unfinished writes that began before a moment and that no listing shows; returns how many there were.
    fn remove_leftovers(&self, _begun_before: Timestamp) -> Result<u64, StorageError> {
        Ok(0)
    }
    /// The place in words, without secrets.
    fn location(&self) -> String;
}

/// Why a storage operation failed, as far as a caller acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StorageErrorKind {
    NotFound,
    AlreadyExists,
    PermissionDenied,
    NoSpace,
    Cancelled,
    /// May go away by itself: a timeout, a reset connection, a busy server.
    Temporary,
    /// The object ends before the bytes that were asked for.
    Truncated,
    Other,
}

/// A storage operation failed on an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {operation} {object}: {message}")]
pub struct StorageError {
    pub kind: StorageErrorKind,
    pub operation: &'static str,
    pub object: String,
    pub message: String,
}

impl StorageError {
    pub fn new(
        kind: StorageErrorKind,
        operation: &'static str,
        object: impl fmt::Display,
        message: impl fmt::Display,
    ) -> Self {
        Self {
            kind,
            operation,
            object: object.to_string(),
            message: message.to_string(),
        }
    }

    /// Whether trying the same again can help.
    pub fn is_retryable(&self) -> bool {
        self.kind == StorageErrorKind::Temporary
    }

    /// What to do next, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self.kind {
            StorageErrorKind::PermissionDenied => {
                Some("check the owner and permissions of the repository, or the credentials")
            }
            StorageErrorKind::NoSpace => Some(
                "nothing that was stored before is harmed; free some space there (`prune` itself needs a few MiB), then let old backups go with `pgkeep forget --prune`",
            ),
            StorageErrorKind::Temporary => {
                Some("try again; what was stored so far is not sent again")
            }
            StorageErrorKind::Other if self.message.contains("NoSuchBucket") => {
                Some("check the bucket's name and region; pgkeep does not make buckets")
            }
            StorageErrorKind::NotFound
            | StorageErrorKind::AlreadyExists
            | StorageErrorKind::Cancelled
            | StorageErrorKind::Truncated
            | StorageErrorKind::Other => None,
        }
    }
}

/// Credentials and particulars of an S3-compatible store.
#[derive(Debug, Clone)]
pub struct S3Options {
    pub access_key_id: String,
    pub secret_access_key: SecretString,
    pub session_token: Option<SecretString>,
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub server_side_encryption: Option<ServerSideEncryption>,
    /// `bucket.host/…` addresses instead of `host/bucket/…`.
    pub virtual_host_style: bool,
}

/// How the store encrypts what it keeps, on top of the repository's own encryption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerSideEncryption {
    /// `AES256` with the store's own keys.
    S3,
    /// `aws:kms`, with a key id or the account's default key.
    Kms { key_id: Option<String> },
}

/// How to reach and use a store.
#[derive(Debug, Clone)]
pub struct StorageOptions {
    pub s3: Option<S3Options>,
    pub upload_limit_bytes_per_sec: Option<u64>,
    pub download_limit_bytes_per_sec: Option<u64>,
    /// How often a temporary failure is tried again.
    pub retries: u32,
    /// Longest wait for one request.
    pub timeout: Duration,
    /// Ends pauses between retries and waits for the speed limit.
    pub cancel: CancelToken,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            s3: None,
            upload_limit_bytes_per_sec: None,
            download_limit_bytes_per_sec: None,
            retries: 5,
            timeout: Duration::from_secs(120),
            cancel: CancelToken::new(),
        }
    }
}

/// Opens the store at an address: a path, `file:///path`, or `s3://bucket/prefix`.
pub fn open(address: &str, options: &StorageOptions) -> Result<Arc<dyn Storage>, StorageError> {
    let storage: Arc<dyn Storage> = match address.split_once("://") {
        None => Arc::new(LocalStorage::new(address)),
        Some(("file", path)) => Arc::new(LocalStorage::new(path)),
        Some(("s3", _)) => Arc::new(s3::S3Storage::open(address, options)?),
        Some((scheme, _)) => {
            return Err(StorageError::new(
                StorageErrorKind::Other,
                "open",
                "repository address",
                format!("the scheme {scheme}:// is not known; a path, file:// and s3:// are"),
            ));
        }
    };
    Ok(wrapped(storage, options))
}

/// Puts the speed limit around the store and the retries around both, so that a retry pays for its bytes too.
fn wrapped(storage: Arc<dyn Storage>, options: &StorageOptions) -> Arc<dyn Storage> {
    let (upload, download) = (
        options.upload_limit_bytes_per_sec,
        options.download_limit_bytes_per_sec,
    );
    let storage = if upload.is_some() || download.is_some() {
        Arc::new(throttle::Throttle::new(
            storage,
            upload,
            download,
            options.cancel.clone(),
        ))
    } else {
        storage
    };
    Arc::new(retry::Retry::new(
        storage,
        options.retries,
        options.cancel.clone(),
    ))
}
