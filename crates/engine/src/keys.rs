//! The file that a repository's key is read from, and its change to a new key.
//!
//! Order of effects of [`rotate`]: the new key in a file beside, a copy of the old key beside, the new key added to the
//! repository and seen to open it, the new file put in the place of the old one by one rename, the old key removed from the
//! repository. So the key in the file opens the repository at every moment, whoever reads it and wherever this ends; broken
//! off in the middle, it leaves a key too many, never one too few. A lock on the file keeps two changes from crossing.

use crate::{Error, ErrorCode, Result};
use pgkeep_repository::{Repository, generate_key};
use rustix::fs::{FlockOperation, flock};
use secrecy::{ExposeSecret, SecretString};
use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

/// What [`rotate`] did.
#[derive(Debug)]
pub struct Rotated {
    /// Id of the new key.
    pub id: String,
    /// Holds the old key; copies of the repository made before open with that.
    pub old_file: PathBuf,
    /// Why the old key still opens the repository, where it could not be removed at the end.
    pub not_retired: Option<Error>,
}

/// Gives the repository a new key in the place of the one that it was opened with, and puts it into the file that holds that
/// one. Makes a random key where none is given. Refused, with nothing changed, where the file cannot be replaced.
pub fn rotate(
    repository: &Repository,
    place: &Path,
    old: &SecretString,
    new: Option<SecretString>,
    label: &str,
) -> Result<Rotated> {
    let file = KeyFile::lock(place, old)?;
    let new = new.unwrap_or_else(generate_key);
    if new.expose_secret().is_empty() || new.expose_secret().ends_with(['\n', '\r']) {
        return Err(Error::invalid(
            "a key that lies in a file is not empty and does not end with a line break",
        ));
    }
    let files = file.prepare(&new, old)?;
    let keys = repository.keys();
    let id = match keys.add_seen(&new, label) {
        Ok(id) => id,
        Err(e) => {
            files.take_back();
            return Err(e.into());
        }
    };
    if let Err(e) = fs::rename(&files.new, &file.path) {
        return Err(undone(&keys.remove(&id), &id, files, &file.path, &e));
    }
    // From here on the file holds the new key, so that one stays whatever happens.
    let retired = sync_folder(&file.path)
        .map_err(Error::from)
        .and_then(|()| Ok(keys.retire_for(&id)?));
    let not_retired = retired.err().map(|e| {
        let old = keys.current_id();
        let old = old.get(..8).unwrap_or(old);
        e.context("the new key is in force, but the old one could not be removed")
            .hint(format!("remove it: pgkeep key remove {old}"))
    });
    Ok(Rotated {
        id,
        old_file: files.old,
        not_retired,
    })
}

/// The new key could not take the old one's place, so it goes again.
fn undone(
    removed: &pgkeep_repository::Result<String>,
    id: &str,
    files: Prepared,
    place: &Path,
    why: &io::Error,
) -> Error {
    let place = place.display();
    let failed = format!("cannot put the new key in the place of {place}: {why}");
    match removed {
        Ok(_) => {
            files.take_back();
            Error::refused(format!("{failed}; the repository keeps its old key")).hint(BY_HAND)
        }
        Err(e) => Error::new(
            ErrorCode::Failed,
            format!("{failed}; the repository opens with both keys: {e}"),
        )
        .hint(format!(
            "the new key lies in {}; remove it by `pgkeep key remove {}`, or put it there by hand",
            files.new.display(),
            id.get(..8).unwrap_or(id)
        )),
    }
}

/// What helps where a key's file cannot be changed from here.
pub const BY_HAND: &str = "add a key (`pgkeep key add --new-key-file FILE`), put it where the key is read from, then remove the \
     old one: `pgkeep key list`, `pgkeep key remove ID`";

/// A key's file, locked as long as the value lives.
struct KeyFile {
    /// Without symbolic links.
    path: PathBuf,
    mode: u32,
    owner: (u32, u32),
    _lock: File,
}

impl KeyFile {
    /// Locks the file, which must still hold the key that the repository was opened with.
    fn lock(place: &Path, old: &SecretString) -> Result<Self> {
        let unreadable = |e: io::Error| {
            Error::new(
                ErrorCode::RepositoryAccess,
                format!("cannot read the key file {}: {e}", place.display()),
            )
            .hint("the account that runs pgkeep must be able to read it")
        };
        let path = fs::canonicalize(place).map_err(unreadable)?;
        let file = File::open(&path).map_err(unreadable)?;
        let changed = || {
            Error::new(
                ErrorCode::Busy,
                format!("the key in {} is being changed by another", place.display()),
            )
            .hint("run it again")
        };
        let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
        // Some network file systems have no such locks; who else holds one is what counts.
        if locked == Err(rustix::io::Errno::WOULDBLOCK) {
            return Err(changed());
        }
        // Read by its name: what was locked may have been replaced in between.
        let text = fs::read_to_string(&path).map_err(unreadable)?;
        if text.trim_end_matches(['\n', '\r']) != old.expose_secret() {
            return Err(changed());
        }
        let metadata = file.metadata().map_err(unreadable)?;
        Ok(Self {
            path,
            mode: metadata.mode() & 0o777,
            owner: (metadata.uid(), metadata.gid()),
            _lock: file,
        })
    }

    /// Writes both keys beside the file: the new one with the file's own owner and mode, for who reads it now reads it then.
    fn prepare(&self, new: &SecretString, old: &SecretString) -> Result<Prepared> {
        let files = Prepared {
            new: unused_beside(&with_end(&self.path, ".new")),
            old: unused_beside(&self.path.with_extension("old.key")),
        };
        let written = [(&files.new, new), (&files.old, old)]
            .into_iter()
            .try_for_each(|(path, key)| write_new(path, key).and_then(|()| self.adopt(path)));
        written.map_err(|e| {
            files.take_back();
            let place = self.path.display();
            Error::refused(format!("the key file {place} cannot be replaced: {e}")).hint(BY_HAND)
        })?;
        Ok(files)
    }

    fn adopt(&self, path: &Path) -> io::Result<()> {
        let file = File::open(path)?;
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != self.owner {
            fchown(&file, Some(self.owner.0), Some(self.owner.1))?;
        }
        file.set_permissions(Permissions::from_mode(self.mode))?;
        file.sync_all()
    }
}

/// Both keys, beside the file.
struct Prepared {
    new: PathBuf,
    old: PathBuf,
}

impl Prepared {
    /// Nothing of this is in force.
    fn take_back(&self) {
        let _ = fs::remove_file(&self.new);
        let _ = fs::remove_file(&self.old);
    }
}

/// Writes a secret text to a new file that only its owner can read, durably; never over an existing one.
pub fn write_new(path: &Path, content: &SecretString) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder_of(path))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let text = content.expose_secret();
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    file.write_all(text.as_bytes())?;
    file.write_all(newline.as_bytes())?;
    file.sync_all()?;
    sync_folder(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// `path`, or the first of `path.2`, `path.3`, … that does not exist.
fn unused_beside(path: &Path) -> PathBuf {
    let mut candidate = path.to_owned();
    let mut number = 2;
    while candidate.symlink_metadata().is_ok() {
        candidate = with_end(path, &format!(".{number}"));
        number += 1;
    }
    candidate
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgkeep_model::Clock;
    use pgkeep_repository::{
        RepositoryError,
        storage::{self, Storage, StorageOptions},
    };
    use pgkeep_testkit::ManualClock;
    use std::{os::unix::fs::symlink, sync::Arc};

    struct Scene {
        folder: tempfile::TempDir,
        clock: Arc<dyn Clock>,
        repository: Repository,
    }

    const OLD: &str = "the old key";

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let clock: Arc<dyn Clock> = Arc::new(ManualClock::at("2026-11-21T08:00:00Z"));
            let storage = Self::storage(&folder);
            let repository = Repository::init(storage, &OLD.into(), clock.clone()).unwrap();
            Self {
                folder,
                clock,
                repository,
            }
        }

        fn storage(folder: &tempfile::TempDir) -> Arc<dyn Storage> {
            let place = folder.path().join("repository");
            storage::open(place.to_str().unwrap(), &StorageOptions::default()).unwrap()
        }

        fn place(&self, name: &str, key: &str) -> PathBuf {
            let path = self.folder.path().join(name);
            fs::write(&path, key).unwrap();
            path
        }

        fn opens_with(&self, key: &str) -> bool {
            let storage = Self::storage(&self.folder);
            match Repository::open(storage, &key.into(), self.clock.clone()) {
                Ok(_) => true,
                Err(RepositoryError::WrongPassword) => false,
                Err(e) => panic!("{e}"),
            }
        }

        fn rotate(&self, place: &Path, new: Option<&str>) -> Result<Rotated> {
            rotate(
                &self.repository,
                place,
                &OLD.into(),
                new.map(Into::into),
                "",
            )
        }

        /// Names beside the repository.
        fn files(&self) -> Vec<String> {
            let entries = fs::read_dir(self.folder.path()).unwrap().flatten();
            let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
            let mut names: Vec<String> = names.filter(|name| name != "repository").collect();
            names.sort();
            names
        }
    }

    #[test]
    fn the_new_key_takes_the_place_of_the_old_one_which_is_kept_beside() {
        let scene = Scene::new();
        let place = scene.place("shop.key", &format!("{OLD}\n"));
        fs::set_permissions(&place, Permissions::from_mode(0o640)).unwrap();
        let link = scene.folder.path().join("link.key");
        symlink(&place, &link).unwrap();

        let rotated = scene.rotate(&link, None).unwrap();
        assert!(rotated.not_retired.is_none());
        let new = fs::read_to_string(&place).unwrap();
        assert_eq!(new.trim_end().len(), 47, "a random key");
        assert!(scene.opens_with(new.trim_end()) && !scene.opens_with(OLD));
        let kept = fs::read_to_string(&rotated.old_file).unwrap();
        assert_eq!(kept.trim_end(), OLD);
        assert_eq!(scene.files(), ["link.key", "shop.key", "shop.old.key"]);
        assert!(link.symlink_metadata().unwrap().is_symlink());
        for file in [&place, &rotated.old_file] {
            let mode = fs::metadata(file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o640, "{}", file.display());
        }
    }

    #[test]
    fn a_key_that_is_given_is_taken_unless_no_file_can_hold_it() {
        let scene = Scene::new();
        let place = scene.place("shop.key", OLD);
        for unfit in ["", "two lines\n"] {
            scene.rotate(&place, Some(unfit)).unwrap_err();
        }
        assert!(scene.opens_with(OLD));
        scene.rotate(&place, Some("mine")).unwrap();
        assert!(scene.opens_with("mine") && !scene.opens_with(OLD));
        assert_eq!(fs::read_to_string(&place).unwrap(), "mine\n");
    }

    #[test]
    fn what_cannot_be_replaced_is_refused_and_nothing_changes() {
        let scene = Scene::new();
        // There is no room for a longer name beside it.
        let long = scene.place(&"k".repeat(253), OLD);
        let refused = scene.rotate(&long, None).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Refused, "{refused}");
        assert!(refused.hint.is_some());

        let another = scene.place("another.key", "of another repository");
        assert_eq!(
            scene.rotate(&another, None).unwrap_err().code,
            ErrorCode::Busy
        );

        let place = scene.place("shop.key", OLD);
        let held = File::open(&place).unwrap();
        flock(&held, FlockOperation::LockExclusive).unwrap();
        assert_eq!(
            scene.rotate(&place, None).unwrap_err().code,
            ErrorCode::Busy
        );
        drop(held);

        let missing = scene.folder.path().join("missing.key");
        let gone = scene.rotate(&missing, None).unwrap_err();
        assert_eq!(gone.code, ErrorCode::RepositoryAccess);

        assert!(scene.opens_with(OLD));
        assert_eq!(scene.repository.keys().list().unwrap().len(), 1);
        assert_eq!(scene.files().len(), 3, "{:?}", scene.files());
        scene.rotate(&place, None).unwrap();
    }
}
