//! The folder in which a drill restores file trees: made for it, marked, and removed whatever happens.
//!
//! Order of effects: the folder; a mark in it, held locked as long as the drill lives; what is restored. The kernel lets go
//! of the lock when the process ends, however it ends, so a marked folder whose lock can be had is left over. A folder
//! without the mark that names it is never touched: one that a process left between the first two steps is empty.

use crate::{Context, Error, Result};
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

const MARK: &str = ".pgkeep-drill.json";
/// The mark before it is locked and whole.
const UNFINISHED: &str = ".pgkeep-drill.new";
/// A mark is shorter.
const LONGEST_MARK: u64 = 64 << 10;

#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    /// The folder that it stands in; a copy elsewhere is not ours.
    folder: PathBuf,
    backup: String,
    host: String,
    pid: u32,
    started_at: Timestamp,
}

/// A folder of one drill. Dropping it removes it with all that is in it.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: PathBuf,
    _locked: File,
}

impl Scratch {
    /// Makes a folder below `base`, which is made where it is missing.
    pub(super) fn make(base: &Path, backup: &str, context: &Context) -> Result<Self> {
        let told = |e: std::io::Error, path: &Path| Error::from(e).context(path.display());
        if !base.is_absolute() {
            return Err(Error::invalid(format!(
                "{} is no absolute path",
                base.display()
            )));
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(base)
            .map_err(|e| told(e, base))?;
        let base = base.canonicalize().map_err(|e| told(e, base))?;
        let begin = &backup[..backup.len().min(8)];
        let now = context.clock.now();
        for n in 0..100 {
            let folder = base.join(format!("{begin}-{}{n:02}", now.as_millisecond()));
            match DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(told(e, &folder)),
            }
            let mark = Mark {
                folder: folder.clone(),
                backup: backup.to_owned(),
                host: context.hostname.clone(),
                pid: std::process::id(),
                started_at: now,
            };
            let locked = mark
                .write()
                .inspect_err(|_| drop(fs::remove_dir_all(&folder)))
                .map_err(|e| e.context(folder.display()))?;
            return Ok(Self {
                folder,
                _locked: locked,
            });
        }
        Err(Error::refused(format!(
            "there is no free name in {}",
            base.display()
        )))
    }

    pub(super) fn path(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is left over, and removed as such.
        let _ = remove(&self.folder);
    }
}

impl Mark {
    /// Gives the locked file.
    fn write(&self) -> Result<File> {
        let unfinished = self.folder.join(UNFINISHED);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(std::io::Error::from)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&unfinished, self.folder.join(MARK))?;
        Ok(file)
    }

    /// The mark of a folder that nobody works in any more, with its lock.
    fn of_abandoned(folder: &Path) -> Option<File> {
        let nofollow = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(nofollow)
            .open(folder.join(MARK))
            .ok()?;
        let mut text = Vec::new();
        (&file).take(LONGEST_MARK).read_to_end(&mut text).ok()?;
        let mark: Mark = serde_json::from_slice(&text).ok()?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
        (mark.folder == folder).then_some(file)
    }
}

/// Removes the folders below `base` that killed drills left; returns their paths.
pub(super) fn remove_abandoned(base: &Path) -> Result<Vec<String>> {
    let Ok(base) = base.canonicalize() else {
        return Ok(Vec::new());
    };
    let mut removed = Vec::new();
    for entry in fs::read_dir(&base)? {
        let entry = entry?;
        let folder = entry.path();
        if !entry.file_type()?.is_dir() {
            continue;
        }
        if let Some(_locked) = Mark::of_abandoned(&folder) {
            remove(&folder).map_err(|e| Error::from(e).context(folder.display()))?;
            removed.push(folder.display().to_string());
        }
    }
    Ok(removed)
}

/// The mark goes last, so that a removal that is cut short can be taken up again. Folders are opened first: a restored one
/// may be closed to its own owner.
fn remove(folder: &Path) -> std::io::Result<()> {
    open_all(folder)?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name() == MARK {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    fs::remove_dir_all(folder)
}

fn open_all(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let mut waiting = vec![folder.to_owned()];
    while let Some(current) = waiting.pop() {
        fs::set_permissions(&current, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&current)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use pgkeep_model::{CancelToken, Clock, Silent};
    use std::sync::Arc;

    #[derive(Debug)]
    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            "2026-11-21T12:00:00Z".parse().expect("a time")
        }
    }

    pub(in crate::drill) fn context() -> Context {
        Context {
            clock: Arc::new(Noon),
            cancel: CancelToken::new(),
            progress: Arc::new(Silent),
            hostname: "here".into(),
            username: "me".into(),
            tool_dirs: Vec::new(),
        }
    }

    #[test]
    fn a_folder_goes_with_its_drill_and_only_marked_ones_nobody_holds_go_later() {
        let base = tempfile::tempdir().expect("a folder");
        let drills = base.path().join("drills");
        let make = || Scratch::make(&drills, "0123456789abcdef", &context()).expect("made");
        let (first, second) = (make(), make());
        assert_ne!(first.path(), second.path());
        fs::write(second.path().join("restored"), "x").expect("written");
        let gone = first.path().to_owned();
        drop(first);
        assert!(!gone.exists());

        // One whose process was killed: its mark is there, its lock is not.
        let killed = drills.canonicalize().expect("there").join("killed");
        fs::create_dir_all(killed.join("files/deep")).expect("made");
        let mark = |folder: &Path| Mark {
            folder: folder.to_owned(),
            backup: "0123".into(),
            host: "here".into(),
            pid: 1,
            started_at: Noon.now(),
        };
        drop(mark(&killed).write().expect("marked"));
        // A copy of one, and one of somebody's own.
        let (copied, own) = (drills.join("copied"), drills.join("01234567-1795262400000"));
        fs::create_dir_all(&copied).expect("made");
        fs::copy(killed.join(MARK), copied.join(MARK)).expect("copied");
        fs::create_dir_all(&own).expect("made");

        let removed = remove_abandoned(&drills).expect("looked");
        assert_eq!(removed, [killed.display().to_string()]);
        assert!(!killed.exists() && copied.exists() && own.exists());
        assert!(second.path().join("restored").exists(), "it is held");
        assert!(
            remove_abandoned(&base.path().join("none"))
                .expect("looked")
                .is_empty()
        );
    }
}
