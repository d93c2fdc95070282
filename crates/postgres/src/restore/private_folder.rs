//! A folder for what pg_restore must find in files: for this user's eyes alone, and gone with the restore.
//!
//! A killed process cannot clean up, so its folder carries its process id and a lock that ends with it: the next restore
//! removes the folders of this user whose process is gone and whose lock is free. Both must hold, for processes in
//! other containers may share the place but not the numbers, and a new folder is there before its lock.

use rustix::process::{Pid, geteuid, test_kill_process};
use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use tempfile::TempDir;

const PREFIX: &str = "pgkeep-restore-";
const LOCK: &str = "lock";

/// Removed when dropped.
#[derive(Debug)]
pub(super) struct PrivateFolder {
    folder: TempDir,
    /// Held for as long as the folder is in use.
    _lock: File,
}

impl PrivateFolder {
    pub(super) fn create() -> io::Result<Self> {
        Self::create_in(&std::env::temp_dir())
    }

    fn create_in(place: &Path) -> io::Result<Self> {
        remove_abandoned(place);
        let folder = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(place)?;
        let lock = private_file(&folder.path().join(LOCK))?;
        lock.lock()?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a new file, and returns its path.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> io::Result<PathBuf> {
        let path = self.path().join(name);
        private_file(&path)?.write_all(content)?;
        Ok(path)
    }
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// What cannot be looked at or removed stays: it is someone else's, or the next restore's to try again.
fn remove_abandoned(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name
            .to_str()
            .and_then(|n| n.strip_prefix(PREFIX)?.split('-').next()?.parse().ok())
            .and_then(Pid::from_raw);
        let is_ours = entry
            .metadata()
            .is_ok_and(|m| m.is_dir() && m.uid() == geteuid().as_raw());
        if let Some(pid) = pid
            && is_ours
            && is_gone(pid)
            && is_unlocked(&entry.path().join(LOCK))
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_gone(pid: Pid) -> bool {
    matches!(test_kill_process(pid), Err(rustix::io::Errno::SRCH))
}

fn is_unlocked(lock: &Path) -> bool {
    match File::open(lock) {
        Ok(file) => file.try_lock().is_ok(),
        Err(e) => e.kind() == io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Above what any kernel gives out.
    const NOBODY: i32 = i32::MAX;

    #[test]
    fn only_the_folders_of_dead_processes_are_removed() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let abandoned = place.path().join(format!("{PREFIX}{NOBODY}-abc"));
        let locked = place.path().join(format!("{PREFIX}{NOBODY}-def"));
        let other = place.path().join("pgkeep-restore-notes");
        for folder in [&abandoned, &locked, &other] {
            fs::create_dir(folder).expect("a folder");
        }
        fs::write(abandoned.join("toc.dat"), "x").expect("a file");
        fs::write(abandoned.join(LOCK), "").expect("a file");
        let held = private_file(&locked.join(LOCK)).expect("a file");
        held.lock().expect("locked");

        let first = PrivateFolder::create_in(place.path()).expect("created");
        let second = PrivateFolder::create_in(place.path()).expect("created");
        assert!(!abandoned.exists());
        for folder in [&locked, &other, first.path(), second.path()] {
            assert!(folder.exists(), "{}", folder.display());
        }
        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists());
    }

    #[test]
    fn nobody_else_can_read_it() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let folder = PrivateFolder::create_in(place.path()).expect("created");
        let file = folder.write("toc.dat", b"x").expect("written");
        let mode = |path: &Path| fs::metadata(path).expect("it is there").mode() & 0o777;
        assert_eq!((mode(folder.path()), mode(&file)), (0o700, 0o600));
        folder.write("toc.dat", b"y").expect_err("it is there");
    }
}
