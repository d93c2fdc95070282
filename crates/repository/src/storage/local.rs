//! A repository in a directory.
//!
//! An object is written under a temporary name, synced, and renamed, so that no reader ever sees a part of one. Packs are
//! many, so the syncing of their folders is put off to [`Storage::flush`]; for every other kind the folder is synced
//! before the call returns. Files are read-only once written: nothing in a repository is ever changed in place.
//!
//! Only their owner may read them. So what root writes into somebody else's repository is given to the owner of its folder:
//! otherwise one backup by hand would shut the service out that keeps the repository.

use super::{FileKind, ObjectKey, Storage, StorageError, StorageErrorKind, StoredObject};
use jiff::Timestamp;
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{
        DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, fchown,
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Marks files that are still being written; a listing passes them over.
const TEMPORARY_MARK: &str = "-tmp-";

/// Keeps objects as files below one directory.
#[derive(Debug)]
pub struct LocalStorage {
    root: PathBuf,
    /// Folders whose entries are not yet known to be durable.
    unsynced: Mutex<BTreeSet<PathBuf>>,
    next_temporary: AtomicU64,
}

impl LocalStorage {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            unsynced: Mutex::new(BTreeSet::new()),
            next_temporary: AtomicU64::new(0),
        }
    }

    fn path(&self, key: &ObjectKey) -> PathBuf {
        self.root.join(key.path())
    }

    /// Whose everything in here is to be, where that is not whoever writes it anyway: only root can give files away.
    fn owner(&self) -> io::Result<Option<Owner>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        Ok(Owner::of(&fs::metadata(&self.root)?))
    }

    /// Writes a synced temporary file beside `target` and hands its path to `finish`, which gives it its name.
    fn write_beside(
        &self,
        target: &Path,
        data: &[u8],
        finish: impl FnOnce(&Path) -> io::Result<()>,
    ) -> io::Result<()> {
        let folder = target.parent().expect("every object lies in a folder");
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let name = target
            .file_name()
            .expect("every object has a name")
            .to_string_lossy();
        let temporary = folder.join(format!(
            "{name}{TEMPORARY_MARK}{}-{number}",
            std::process::id()
        ));
        let owner = self.owner()?;
        let written = match create_and_write(&temporary, data, owner) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && self.root.is_dir() => {
                make_folder(folder, owner)?;
                self.unsynced
                    .lock()
                    .extend(folder.parent().map(Path::to_path_buf));
                create_and_write(&temporary, data, owner)
            }
            other => other,
        };
        let result = written.and_then(|()| finish(&temporary));
        if result.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        result
    }

    /// Makes the folder's entries durable now, or with the next flush where there will be many.
    fn settle_folder(&self, kind: FileKind, path: &Path) -> io::Result<()> {
        let folder = path.parent().expect("every object lies in a folder");
        if kind == FileKind::Pack {
            self.unsynced.lock().insert(folder.to_path_buf());
            Ok(())
        } else {
            sync_folder(folder)
        }
    }

    fn list_folder(&self, folder: &Path, found: &mut Vec<StoredObject>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if !is_object_name(&name) {
                continue;
            }
            match entry.metadata() {
                Ok(meta) if meta.is_file() => found.push(StoredObject {
                    name,
                    size: meta.len(),
                }),
                Ok(_) => {}
                // Removed between the listing and this look at it.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

impl Storage for LocalStorage {
    fn put(&self, key: &ObjectKey, data: &[u8]) -> Result<(), StorageError> {
        let path = self.path(key);
        self.write_beside(&path, data, |temporary| fs::rename(temporary, &path))
            .and_then(|()| self.settle_folder(key.kind, &path))
            .map_err(|e| failed("write", key, &e))
    }

    fn create_new(&self, key: &ObjectKey, data: &[u8]) -> Result<(), StorageError> {
        let path = self.path(key);
        self.write_beside(&path, data, |temporary| {
            // A hard link fails when the name is taken, which a rename would not.
            match fs::hard_link(temporary, &path) {
                Ok(()) => fs::remove_file(temporary),
                Err(e) if is_unsupported(&e) => {
                    create_and_write(&path, data, self.owner()?)?;
                    fs::remove_file(temporary)
                }
                Err(e) => Err(e),
            }
        })
        .and_then(|()| self.settle_folder(key.kind, &path))
        .map_err(|e| failed("create", key, &e))
    }

    fn get(&self, key: &ObjectKey) -> Result<Vec<u8>, StorageError> {
        fs::read(self.path(key)).map_err(|e| failed("read", key, &e))
    }

    fn get_range(&self, key: &ObjectKey, offset: u64, len: u64) -> Result<Vec<u8>, StorageError> {
        let file = File::open(self.path(key)).map_err(|e| failed("read", key, &e))?;
        let size = file.metadata().map_err(|e| failed("read", key, &e))?.len();
        let end = offset.checked_add(len);
        // Checked before the buffer is made: a damaged index must not make us ask for all memory.
        if end.is_none_or(|end| end > size) {
            return Err(StorageError::new(
                StorageErrorKind::Truncated,
                "read",
                key,
                format!("{len} bytes at {offset} were asked for, but it has {size} bytes"),
            ));
        }
        let mut data = vec![0; len as usize];
        file.read_exact_at(&mut data, offset)
            .map_err(|e| failed("read", key, &e))?;
        Ok(data)
    }

    fn stat(&self, key: &ObjectKey) -> Result<Option<u64>, StorageError> {
        match fs::metadata(self.path(key)) {
            Ok(meta) => Ok(Some(meta.len())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed("look at", key, &e)),
        }
    }

    fn list(&self, kind: FileKind) -> Result<Vec<StoredObject>, StorageError> {
        let folder = self.root.join(kind.folder());
        let mut found = Vec::new();
        let result = match kind {
            FileKind::Config => {
                let size = self.stat(&ObjectKey::config())?;
                return Ok(size
                    .map(|size| StoredObject {
                        name: "config".into(),
                        size,
                    })
                    .into_iter()
                    .collect());
            }
            FileKind::Pack => fs::read_dir(&folder).and_then(|shards| {
                for shard in shards {
                    let shard = shard?;
                    if shard.file_type()?.is_dir()
                        && is_shard_name(&shard.file_name().to_string_lossy())
                    {
                        self.list_folder(&shard.path(), &mut found)?;
                    }
                }
                Ok(())
            }),
            // A copied repository may lack the empty folder; every other missing folder is a loss.
            FileKind::Lock if self.root.is_dir() && !folder.exists() => Ok(()),
            _ => self.list_folder(&folder, &mut found),
        };
        result.map_err(|e| failed("list", format!("folder {}", folder.display()), &e))?;
        Ok(found)
    }

    fn delete(&self, key: &ObjectKey) -> Result<(), StorageError> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Ok(()) => self
                .settle_folder(key.kind, &path)
                .map_err(|e| failed("delete", key, &e)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(failed("delete", key, &e)),
        }
    }

    fn flush(&self) -> Result<(), StorageError> {
        let folders = std::mem::take(&mut *self.unsynced.lock());
        for folder in &folders {
            if let Err(e) = sync_folder(folder) {
                // Nothing may be taken as durable later because this flush forgot about it.
                self.unsynced.lock().extend(folders.iter().cloned());
                return Err(failed("sync", format!("folder {}", folder.display()), &e));
            }
        }
        Ok(())
    }

    fn prepare(&self) -> Result<(), StorageError> {
        let all = || -> io::Result<()> {
            make_folder(&self.root, None)?;
            let owner = self.owner()?;
            for kind in FileKind::ALL {
                make_folder(&self.root.join(kind.folder()), owner)?;
            }
            for shard in 0..=255u8 {
                make_folder(&self.root.join("data").join(format!("{shard:02x}")), owner)?;
            }
            sync_folder(&self.root.join("data"))?;
            sync_folder(&self.root)?;
            match self.root.canonicalize()?.parent() {
                Some(parent) => sync_folder(parent),
                None => Ok(()),
            }
        };
        all().map_err(|e| failed("create", format!("folder {}", self.root.display()), &e))
    }

    fn remove_leftovers(&self, begun_before: Timestamp) -> Result<u64, StorageError> {
        let mut folders: Vec<PathBuf> = FileKind::ALL
            .iter()
            .map(|kind| self.root.join(kind.folder()))
            .collect();
        folders.extend((0..=255u8).map(|shard| self.root.join(format!("data/{shard:02x}"))));
        let mut removed = 0;
        for folder in folders {
            removed += remove_temporaries(&folder, begun_before)
                .map_err(|e| failed("clear", format!("folder {}", folder.display()), &e))?;
        }
        Ok(removed)
    }

    fn location(&self) -> String {
        self.root.display().to_string()
    }
}

fn remove_temporaries(folder: &Path, begun_before: Timestamp) -> io::Result<u64> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        other => other?,
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().contains(TEMPORARY_MARK) {
            continue;
        }
        let modified = match entry.metadata().and_then(|meta| meta.modified()) {
            // Its writer finished just now.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        if Timestamp::try_from(modified).is_ok_and(|modified| modified < begun_before) {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn create_and_write(path: &Path, data: &[u8], owner: Option<Owner>) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    if let Some(owner) = owner
        && !owner.has(&file.metadata()?)
    {
        fchown(&file, Some(owner.user), Some(owner.group)).map_err(|e| not_given(path, &e))?;
    }
    file.write_all(data)?;
    // Some network file systems have no permissions to set; that must not fail a backup.
    let _ = file.set_permissions(fs::Permissions::from_mode(0o400));
    file.sync_all()
}

fn make_folder(path: &Path, owner: Option<Owner>) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    match owner {
        Some(owner) if !owner.has(&fs::metadata(path)?) => {
            chown(path, Some(owner.user), Some(owner.group)).map_err(|e| not_given(path, &e))
        }
        _ => Ok(()),
    }
}

/// Somebody else than root.
#[derive(Debug, Clone, Copy)]
struct Owner {
    user: u32,
    group: u32,
}

impl Owner {
    fn of(folder: &fs::Metadata) -> Option<Self> {
        let (user, group) = (folder.uid(), folder.gid());
        (user != 0).then_some(Self { user, group })
    }

    fn has(self, what: &fs::Metadata) -> bool {
        what.uid() == self.user
    }
}

/// A file system that lets not even root give files away would leave one that its owner cannot read.
fn not_given(path: &Path, error: &io::Error) -> io::Error {
    let path = path.display();
    let why = format!("{path} cannot be given to the owner of the repository: {error}");
    io::Error::new(error.kind(), why)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match File::open(path).and_then(|folder| folder.sync_all()) {
        // Some file systems cannot sync a folder and say so.
        Err(e) if is_unsupported(&e) || e.kind() == io::ErrorKind::InvalidInput => Ok(()),
        other => other,
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
        || error.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error())
}

/// Whether a file name can be an object's: 64 lower-case hexadecimal digits.
fn is_object_name(name: &str) -> bool {
    name.len() == 64
        && name
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn is_shard_name(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

fn failed(
    operation: &'static str,
    object: impl std::fmt::Display,
    error: &io::Error,
) -> StorageError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => StorageErrorKind::NotFound,
        io::ErrorKind::AlreadyExists => StorageErrorKind::AlreadyExists,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            StorageErrorKind::PermissionDenied
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageErrorKind::NoSpace,
        io::ErrorKind::UnexpectedEof => StorageErrorKind::Truncated,
        io::ErrorKind::Interrupted | io::ErrorKind::TimedOut => StorageErrorKind::Temporary,
        _ => StorageErrorKind::Other,
    };
    StorageError::new(kind, operation, object, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    fn storage() -> (tempfile::TempDir, LocalStorage) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let storage = LocalStorage::new(folder.path().join("repo"));
        storage.prepare().expect("folders");
        (folder, storage)
    }

    #[test]
    fn unfinished_writes_are_not_listed_and_go_when_they_are_old() {
        let (_folder, storage) = storage();
        let key = ObjectKey::new(FileKind::Pack, "ab".repeat(32));
        storage.put(&key, b"whole").expect("put");
        let path = storage.path(&key);
        let unfinished = path.with_file_name(format!("{}{TEMPORARY_MARK}77-0", key.name));
        fs::write(&unfinished, b"who").expect("written");
        assert_eq!(storage.list(FileKind::Pack).expect("list").len(), 1);
        let begun = fs::metadata(&unfinished)
            .and_then(|m| m.modified())
            .expect("a time");
        let begun = Timestamp::try_from(begun).expect("in range");
        assert_eq!(
            storage.remove_leftovers(begun),
            Ok(0),
            "it may still be written"
        );
        assert_eq!(
            storage.remove_leftovers(begun + SignedDuration::from_secs(1)),
            Ok(1)
        );
        assert!(!unfinished.exists());
        assert_eq!(storage.get(&key), Ok(b"whole".to_vec()));
    }

    #[test]
    fn an_object_is_made_once_and_a_range_beyond_its_end_is_an_error() {
        let (_folder, storage) = storage();
        let key = ObjectKey::config();
        storage.create_new(&key, b"0123456789").expect("created");
        let again = storage.create_new(&key, b"other").expect_err("it exists");
        assert_eq!(again.kind, StorageErrorKind::AlreadyExists);
        assert_eq!(storage.get_range(&key, 3, 4), Ok(b"3456".to_vec()));
        for (offset, len) in [(8, 3), (11, 0), (u64::MAX, 2), (0, u64::MAX)] {
            let short = storage
                .get_range(&key, offset, len)
                .expect_err("beyond the end");
            assert_eq!(short.kind, StorageErrorKind::Truncated, "{len} at {offset}");
        }
        storage.delete(&key).expect("deleted");
        storage
            .delete(&key)
            .expect("deleting what is not there succeeds");
        assert_eq!(storage.stat(&key), Ok(None));
        assert_eq!(
            storage.get(&key).expect_err("gone").kind,
            StorageErrorKind::NotFound
        );
    }

    /// Only root can make the scene; as anybody else the test shows that nothing is given away.
    #[test]
    fn what_root_writes_belongs_to_the_owner_of_the_repository() {
        const SOMEBODY: u32 = 54_321;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().join("repo");
        fs::create_dir(&root).expect("made");
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            chown(&root, Some(SOMEBODY), Some(SOMEBODY)).expect("given away");
        }
        let owner = fs::metadata(&root).expect("there").uid();
        assert_eq!(owner == SOMEBODY, is_root);
        let storage = LocalStorage::new(&root);
        storage.prepare().expect("folders");
        let (config, pack) = (
            ObjectKey::config(),
            ObjectKey::new(FileKind::Pack, "ab".repeat(32)),
        );
        storage.create_new(&config, b"config").expect("created");
        let shard = storage.path(&pack).parent().expect("a folder").to_owned();
        fs::remove_dir(&shard).expect("removed");
        storage.put(&pack, b"pack").expect("put");
        for path in [
            root.join("snapshots"),
            root.join("data/00"),
            shard,
            storage.path(&config),
            storage.path(&pack),
        ] {
            let found = fs::metadata(&path).expect("there");
            assert_eq!(found.uid(), owner, "{}", path.display());
            assert_eq!(found.mode() & 0o077, 0, "{}", path.display());
        }
    }

    #[test]
    fn a_place_without_room_or_permission_says_so() {
        let full = LocalStorage::new("/dev/full");
        assert!(full.put(&ObjectKey::config(), b"x").is_err());
        let error = failed(
            "write",
            "config",
            &io::Error::from(io::ErrorKind::StorageFull),
        );
        assert_eq!(error.kind, StorageErrorKind::NoSpace);
        assert!(error.hint().is_some());
    }
}
