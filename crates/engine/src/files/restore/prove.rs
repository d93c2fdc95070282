//! Is what lies on disk what the backup holds? Every entry is looked at and every byte read again, from disk.

use super::{
    super::digest::{EntryDigest, FolderDigest},
    write::{Written, folder_flags},
};
use crate::{Context, Error, Result, files::node_from};
use pgkeep_repository::{BlobId, Node, NodeKind, SnapshotReader};
use rustix::{
    fd::{AsFd, BorrowedFd},
    fs::{self, AtFlags, CWD, Mode, OFlags},
};
use sha2::{Digest, Sha256};
use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    fs::File,
    io::Read,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

/// Differences that are named; one is enough to fail.
const NAMED: usize = 20;

pub(super) struct Found {
    pub differences: Vec<String>,
    /// Of the whole tree, as the manifest words it.
    pub digest: String,
}

struct Proof<'a> {
    reader: &'a SnapshotReader,
    written: &'a Written,
    owners: bool,
    context: &'a Context,
    differences: Vec<String>,
    buffer: Vec<u8>,
}

pub(super) fn tree(
    reader: &SnapshotReader,
    root: &Node,
    folder: &Path,
    written: &Written,
    context: &Context,
) -> Result<Found> {
    let opened = fs::openat(CWD, folder, folder_flags(), Mode::empty())
        .map_err(|e| Error::from(std::io::Error::from(e)).context(folder.display()))?;
    let mut proof = Proof {
        reader,
        written,
        owners: super::is_root(),
        context,
        differences: Vec::new(),
        buffer: Vec::new(),
    };
    let digest = proof.folder(root, opened.as_fd(), Path::new(""))?;
    Ok(Found {
        differences: proof.differences,
        digest: hex::encode(digest),
    })
}

impl Proof<'_> {
    fn folder(&mut self, stored: &Node, at: BorrowedFd<'_>, path: &Path) -> Result<EntryDigest> {
        let mut digest = FolderDigest::new();
        let mut surplus = names_in(at)?;
        for child in self.reader.children(stored)? {
            self.context.cancel.check()?;
            let path = path.join(&child.name);
            surplus.remove(&child.name);
            if self.written.absent.contains(&path) {
                continue;
            }
            self.entry(&child, at, &path, &mut digest)?;
        }
        if path.as_os_str().is_empty() {
            surplus.remove(OsStr::new(super::mark::FILE));
        }
        for name in surplus {
            self.differ(&path.join(name), "is not in the backup");
        }
        Ok(digest.finish())
    }

    fn entry(
        &mut self,
        stored: &Node,
        at: BorrowedFd<'_>,
        path: &Path,
        digest: &mut FolderDigest,
    ) -> Result<()> {
        let Ok(stat) = fs::statat(at, &stored.name, AtFlags::SYMLINK_NOFOLLOW) else {
            self.differ(path, "is missing");
            return Ok(());
        };
        let mut found = node_from(stored.name.clone(), &stat);
        if found.kind == NodeKind::Symlink {
            found.target = fs::readlinkat(at, &stored.name, Vec::new())
                .ok()
                .map(|target| PathBuf::from(OsString::from_vec(target.into_bytes())));
        }
        if !self.owners {
            (found.uid, found.gid) = (stored.uid, stored.gid);
        }
        let mut below = None;
        let mut content = Vec::new();
        match found.kind {
            NodeKind::Dir if stored.is_dir() => {
                let opened = fs::openat(at, &stored.name, folder_flags(), Mode::empty())
                    .map_err(|e| Error::from(std::io::Error::from(e)).context(path.display()))?;
                below = Some(self.folder(stored, opened.as_fd(), path)?);
            }
            NodeKind::File if stored.is_file() => content = self.content(stored, at, path)?,
            _ => {}
        }
        if found.kind != stored.kind {
            self.differ(path, "is of another kind");
        } else if found.mode != stored.mode && found.kind != NodeKind::Symlink {
            self.differ(path, "has another mode");
        } else if (found.uid, found.gid) != (stored.uid, stored.gid) {
            self.differ(path, "belongs to somebody else");
        } else if found.size != stored.size || content != stored.content {
            self.differ(path, "has another content");
        } else if found.target != stored.target {
            self.differ(path, "points elsewhere");
        } else if found.modified != stored.modified {
            self.differ(path, "has another time");
        }
        digest.add(&found, &content, below.as_ref());
        Ok(())
    }

    /// The names of the stretches of a file that its chunks were.
    fn content(&mut self, stored: &Node, at: BorrowedFd<'_>, path: &Path) -> Result<Vec<BlobId>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let told = |e: std::io::Error| Error::from(e).context(path.display());
        let opened = fs::openat(at, &stored.name, flags, Mode::empty());
        let mut file = File::from(opened.map_err(|e| told(e.into()))?);
        let mut names = Vec::new();
        for chunk in &stored.content {
            let len = self.reader.chunk_len(chunk).unwrap_or(0) as usize;
            self.buffer.resize(len, 0);
            if file.read_exact(&mut self.buffer).is_err() {
                return Ok(names);
            }
            self.context.cancel.check()?;
            self.context.progress.bytes(len as u64);
            names.push(BlobId(Sha256::digest(&self.buffer).into()));
        }
        Ok(names)
    }

    fn differ(&mut self, path: &Path, what: &str) {
        if self.differences.len() < NAMED {
            self.differences.push(format!("{} {what}", path.display()));
        }
    }
}

fn names_in(folder: BorrowedFd<'_>) -> Result<HashSet<OsString>> {
    let listing = fs::Dir::read_from(folder).map_err(|e| Error::from(std::io::Error::from(e)))?;
    let mut names = HashSet::new();
    for entry in listing {
        let entry = entry.map_err(|e| Error::from(std::io::Error::from(e)))?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.insert(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}
