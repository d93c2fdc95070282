//! [`Repository`]: an opened repository, the value that everything else works on.

use crate::{
    codec,
    config::Config,
    crypto::MasterKey,
    error::{RepositoryError, Result},
    id::SnapshotId,
    index::Index,
    keys::{self, Keys},
    lock::{self, LockGuard, LockInfo, LockMode},
    reader::SnapshotReader,
    snapshot::{self, Snapshot, UnreadableSnapshot},
    storage::{FileKind, ObjectKey, Storage, StorageErrorKind},
    writer::{Writer, WriterOptions},
};
use parking_lot::Mutex;
use pgkeep_model::Clock;
use secrecy::SecretString;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, sync::Arc};

/// An opened repository. Clones share it.
#[derive(Debug, Clone)]
pub struct Repository {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    master: MasterKey,
    config: Config,
    key_id: String,
    /// The index that was loaded last, with the names of the files that it was made from.
    index: Mutex<Option<(BTreeSet<String>, Arc<Index>)>>,
}

/// True where there is something to read, and no config to read it by.
fn has_lost_config(storage: &dyn Storage) -> Result<bool> {
    if storage.stat(&ObjectKey::config())?.is_some() {
        return Ok(false);
    }
    for kind in [FileKind::Snapshot, FileKind::Index] {
        match storage.list(kind) {
            Ok(found) if !found.is_empty() => return Ok(true),
            Ok(_) => {}
            // Nor is its folder there.
            Err(e) if e.kind == StorageErrorKind::NotFound => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(false)
}

impl Repository {
    /// Makes a repository in an empty place: folders, key, and last the config, which makes it one.
    pub fn init(
        storage: Arc<dyn Storage>,
        password: &SecretString,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        Self::init_labelled(storage, password, "", clock)
    }

    /// The same with a label for the first key, as [`crate::Keys::list`] shows it.
    pub fn init_labelled(
        storage: Arc<dyn Storage>,
        password: &SecretString,
        label: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let exists = || RepositoryError::AlreadyExists {
            location: storage.location(),
        };
        if storage.stat(&ObjectKey::config())?.is_some() {
            return Err(exists());
        }
        storage.prepare()?;
        // A key without a config is what a crash of this function leaves; two of them would be a mixture.
        if has_lost_config(&*storage)? {
            return Err(RepositoryError::ConfigLost {
                location: storage.location(),
            });
        }
        if !storage.list(FileKind::Key)?.is_empty() {
            return Err(RepositoryError::invalid(format!(
                "{} holds a key but neither config nor backups, as an unfinished init leaves it; clear it or choose another place",
                storage.location()
            )));
        }
        let master = MasterKey::random();
        let config = Config::random();
        let key_id = keys::write_key_file(&*storage, &master, password, label, clock.now())?;
        let json = serde_json::to_vec(&config).expect("a config is plain data");
        let sealed = codec::encode(&master, FileKind::Config, &json);
        let created = storage.create_new(&ObjectKey::config(), &sealed);
        if created.is_err() {
            let _ = storage.delete(&ObjectKey::new(FileKind::Key, key_id.clone()));
        }
        match created {
            Err(e) if e.kind == StorageErrorKind::AlreadyExists => return Err(exists()),
            other => other?,
        }
        storage.flush()?;
        Ok(Self {
            inner: Arc::new(Inner {
                storage,
                clock,
                master,
                config,
                key_id,
                index: Mutex::new(None),
            }),
        })
    }

    /// Opens a repository with one of its passwords.
    pub fn open(
        storage: Arc<dyn Storage>,
        password: &SecretString,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let sealed = match storage.get(&ObjectKey::config()) {
            Err(e) if e.kind == StorageErrorKind::NotFound => {
                let location = storage.location();
                return Err(match has_lost_config(&*storage)? {
                    true => RepositoryError::ConfigLost { location },
                    false => RepositoryError::NotARepository { location },
                });
            }
            other => other?,
        };
        let (master, key_id) = keys::open(&*storage, password)?;
        let json = codec::decode(&master, &ObjectKey::config(), sealed)?;
        let version = serde_json::from_slice(&json)
            .ok()
            .and_then(|config: serde_json::Value| config.get("version")?.as_u64());
        if let Some(version) = version
            && version != u64::from(crate::config::FORMAT_VERSION)
        {
            return Err(RepositoryError::UnsupportedFormat {
                found: version.try_into().unwrap_or(u32::MAX),
                supported: crate::config::FORMAT_VERSION,
            });
        }
        let config: Config =
            serde_json::from_slice(&json).map_err(|e| RepositoryError::damaged("config", e))?;
        Ok(Self {
            inner: Arc::new(Inner {
                storage,
                clock,
                master,
                config,
                key_id,
                index: Mutex::new(None),
            }),
        })
    }

    /// The repository's own id, 64 hexadecimal digits, the same for its whole life.
    pub fn id(&self) -> String {
        self.inner.config.id.clone()
    }

    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.inner.storage
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// The passwords that open it.
    pub fn keys(&self) -> Keys<'_> {
        Keys::new(self)
    }

    /// Takes a lock, or fails with who holds a conflicting one.
    pub fn lock(&self, mode: LockMode, reason: &str) -> Result<LockGuard> {
        lock::acquire(self, mode, reason)
    }

    /// Every lock file with what it says; stale and unreadable ones too.
    pub fn locks(&self) -> Result<Vec<(String, Result<LockInfo>)>> {
        lock::list(self)
    }

    /// All snapshots, oldest first; one that cannot be read is an error that names it.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>> {
        snapshot::list(self)
    }

    /// The snapshots that can be read, oldest first, and those that cannot.
    pub fn snapshots_lenient(&self) -> Result<(Vec<Snapshot>, Vec<UnreadableSnapshot>)> {
        snapshot::list_lenient(self)
    }

    /// Finds a snapshot by its id, the first digits of it, or `latest`.
    pub fn find_snapshot(&self, wanted: &str) -> Result<Snapshot> {
        snapshot::find(self, wanted)
    }

    /// Adds and removes tags by writing the snapshot anew; returns its new id. The first id stays in `original`.
    pub fn change_tags(
        &self,
        id: &SnapshotId,
        add: &[String],
        remove: &[String],
    ) -> Result<SnapshotId> {
        snapshot::change_tags(self, id, add, remove)
    }

    /// Removes a snapshot. Its data stays until a prune finds that nothing else needs it.
    pub fn delete_snapshot(&self, id: &SnapshotId) -> Result<()> {
        snapshot::delete(self, id)
    }

    /// Starts writing a snapshot. The caller holds a shared lock until the snapshot is published.
    pub fn writer(&self, options: WriterOptions) -> Result<Writer> {
        Writer::new(self, options)
    }

    /// Opens a snapshot for reading.
    pub fn open_snapshot(&self, snapshot: &Snapshot) -> Result<SnapshotReader> {
        SnapshotReader::open(self, snapshot)
    }

    /// The index as it is now. Index files that cannot be read are passed over: what only they know counts as missing.
    pub(crate) fn index(&self) -> Result<Arc<Index>> {
        let names: BTreeSet<String> = self
            .storage()
            .list(FileKind::Index)?
            .into_iter()
            .map(|o| o.name)
            .collect();
        let mut cached = self.inner.index.lock();
        if let Some((of, index)) = &*cached
            && *of == names
        {
            return Ok(index.clone());
        }
        let (index, _) = Index::load_lenient(self)?;
        let index = Arc::new(index);
        *cached = Some((names, index.clone()));
        Ok(index)
    }

    pub(crate) fn master_key(&self) -> &MasterKey {
        &self.inner.master
    }

    pub(crate) fn key_id(&self) -> &str {
        &self.inner.key_id
    }

    /// Reads a sealed JSON file, checking its name against its content.
    pub(crate) fn load_json<T: DeserializeOwned>(&self, key: &ObjectKey) -> Result<T> {
        let json = codec::decode(self.master_key(), key, self.storage().get(key)?)?;
        serde_json::from_slice(&json).map_err(|e| RepositoryError::damaged(key, e))
    }

    /// Stores a sealed JSON file and returns its name.
    pub(crate) fn save_json<T: Serialize>(&self, kind: FileKind, value: &T) -> Result<String> {
        let (key, sealed) = self.seal_json(kind, value);
        self.storage().put(&key, &sealed)?;
        Ok(key.name)
    }

    /// Seals a value for storing: what its file is to be called, and its bytes.
    pub(crate) fn seal_json<T: Serialize>(
        &self,
        kind: FileKind,
        value: &T,
    ) -> (ObjectKey, Vec<u8>) {
        let json = serde_json::to_vec(value).expect("repository files are plain data");
        let sealed = codec::encode(self.master_key(), kind, &json);
        let name = hex::encode(Sha256::digest(&sealed));
        (ObjectKey::new(kind, name), sealed)
    }
}
