//! What a folder that pgkeep made or keeps says of itself: an extended attribute, or a file in it where there are none.
//! Without a mark that names it, a folder is never ours, whatever its name.

use crate::{Error, Result};
use jiff::Timestamp;
use rustix::{
    fs::{self, XattrFlags},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use std::{
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

const ATTRIBUTE: &str = "user.pgkeep";
/// Where the file system has no attributes of users.
pub(in crate::files) const FILE: &str = ".pgkeep-folder.json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderMark {
    /// True for a folder that was replaced and is kept; false for one that is not finished.
    pub kept: bool,
    /// The path that it had, or is to have.
    pub of: PathBuf,
    /// Names under which it is what it says; a copy of it elsewhere is not.
    pub names: Vec<PathBuf>,
    /// The backup that it was replaced by, or is made of.
    pub backup: String,
    pub at: Timestamp,
    /// A kept one may be removed then.
    pub until: Option<Timestamp>,
}

impl FolderMark {
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let json = serde_json::to_vec(self)?;
        match fs::lsetxattr(folder, ATTRIBUTE, &json, XattrFlags::empty()) {
            Ok(()) => Ok(()),
            Err(Errno::NOTSUP | Errno::NOSPC | Errno::PERM | Errno::ACCESS) => {
                let mut file = std::fs::File::options()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
                    .open(folder.join(FILE))
                    .map_err(|e| Error::from(e).context(folder.display()))?;
                file.write_all(&json)?;
                Ok(file.sync_all()?)
            }
            Err(e) => Err(Error::from(std::io::Error::from(e)).context(folder.display())),
        }
    }

    /// The mark of a folder under its own name.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        let mut buffer = vec![0; 64 << 10];
        let json = match fs::lgetxattr(folder, ATTRIBUTE, &mut buffer) {
            Ok(n) => buffer[..n].to_vec(),
            Err(_) => {
                let file = folder.join(FILE);
                let found = std::fs::symlink_metadata(&file).ok()?;
                if !found.is_file() || found.len() > buffer.len() as u64 {
                    return None;
                }
                std::fs::read(file).ok()?
            }
        };
        let mark: FolderMark = serde_json::from_slice(&json).ok()?;
        mark.names.iter().any(|name| name == folder).then_some(mark)
    }

    /// Takes the mark off; a folder without one stays as it is.
    pub(super) fn remove(folder: &Path) -> Result<()> {
        match fs::lremovexattr(folder, ATTRIBUTE) {
            Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => {}
            Err(e) => {
                return Err(Error::from(std::io::Error::from(e)).context(folder.display()));
            }
        }
        match std::fs::remove_file(folder.join(FILE)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::from(e).context(folder.display()))
            }
            _ => Ok(()),
        }
    }
}
