//! Writes a stored tree to disk: contents first, attributes of each entry after what would disturb them.

use super::TreeReport;
use crate::{Context, Error, Result};
use ignore::gitignore::Gitignore;
use pgkeep_model::manifest::OddFile;
use pgkeep_repository::{Node, NodeKind, SnapshotReader};
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{self, AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags},
    io::Errno,
};
use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    io::Read,
    path::{Path, PathBuf},
};

/// Stretches of zeros of at least this size become holes.
const BLOCK: usize = 4096;
/// Entries that are named when something is odd with them.
const NAMED: usize = 100;

/// What was written, as the proof must know it.
#[derive(Default)]
pub(super) struct Written {
    pub entries: u64,
    /// Paths that were left out or could not be made.
    pub absent: HashSet<PathBuf>,
    /// Only some entries were asked for.
    pub partial: bool,
}

struct Writing<'a> {
    reader: &'a SnapshotReader,
    matcher: Option<&'a Gitignore>,
    report: &'a mut TreeReport,
    context: &'a Context,
    root: OwnedFd,
    /// Where the first name of a file with several names is.
    links: HashMap<(u64, u64), PathBuf>,
    written: Written,
    buffer: Vec<u8>,
}

pub(super) fn tree(
    reader: &SnapshotReader,
    root: &Node,
    folder: &Path,
    matcher: Option<&Gitignore>,
    report: &mut TreeReport,
    context: &Context,
) -> Result<Written> {
    let opened = fs::openat(CWD, folder, folder_flags(), Mode::empty())
        .map_err(|e| told(e, "open", folder))?;
    let mut writing = Writing {
        reader,
        matcher,
        report,
        context,
        root: opened.try_clone().map_err(Error::from)?,
        links: HashMap::new(),
        written: Written {
            partial: matcher.is_some(),
            ..Written::default()
        },
        buffer: vec![0; 1 << 20],
    };
    writing.folder(root, opened.as_fd(), Path::new(""), false)?;
    fs::syncfs(&opened).map_err(|e| told(e, "sync", folder))?;
    Ok(writing.written)
}

/// Gives the tree's own folder its attributes. Until then nobody but us may look into it.
pub(super) fn open_to_others(root: &Node, folder: &Path, owners: bool) -> Result<()> {
    let failed = |e| told(e, "set attributes of", folder);
    let opened = fs::openat(CWD, folder, folder_flags(), Mode::empty()).map_err(failed)?;
    if owners {
        fs::fchown(&opened, owner(root.uid), group(root.gid)).map_err(failed)?;
    }
    for (name, value) in &root.attributes {
        // A file system that has none had none to lose but here; the tree is not kept out of its place for that.
        let _ = fs::fsetxattr(&opened, name.as_str(), value, XattrFlags::empty());
    }
    fs::fchmod(&opened, Mode::from_raw_mode(root.mode)).map_err(failed)?;
    fs::futimens(&opened, &times(root)).map_err(failed)
}

pub(super) fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

fn told(e: Errno, what: &str, path: &Path) -> Error {
    Error::from(std::io::Error::from(e)).context(format!("{what} {}", path.display()))
}

impl Writing<'_> {
    /// True when anything was made in it. `chosen`: a folder above matched, so all below it is wanted.
    fn folder(
        &mut self,
        node: &Node,
        at: BorrowedFd<'_>,
        path: &Path,
        chosen: bool,
    ) -> Result<bool> {
        let mut any = false;
        for child in self.reader.children(node)? {
            self.context.cancel.check()?;
            let path = path.join(&child.name);
            let wanted = chosen || self.wanted(&path, child.is_dir());
            if child.is_dir() {
                any |= self.subfolder(&child, at, &path, wanted)?;
            } else if wanted {
                any |= self.entry(&child, at, &path)?;
            } else {
                self.written.absent.insert(path);
            }
        }
        Ok(any)
    }

    fn wanted(&self, path: &Path, is_dir: bool) -> bool {
        self.matcher
            .is_none_or(|matcher| matcher.matched(path, is_dir).is_ignore())
    }

    fn subfolder(
        &mut self,
        node: &Node,
        at: BorrowedFd<'_>,
        path: &Path,
        wanted: bool,
    ) -> Result<bool> {
        let name = name(node);
        fs::mkdirat(at, name, Mode::RWXU).map_err(|e| told(e, "make", path))?;
        let opened = fs::openat(at, name, folder_flags(), Mode::empty())
            .map_err(|e| told(e, "open", path))?;
        let any = self.folder(node, opened.as_fd(), path, wanted)?;
        if !any && !wanted {
            // Nothing in it was asked for.
            fs::unlinkat(at, name, AtFlags::REMOVEDIR).map_err(|e| told(e, "remove", path))?;
            self.written.absent.insert(path.to_owned());
            return Ok(false);
        }
        self.attributes(node, opened.as_fd(), path);
        self.written.entries += 1;
        Ok(true)
    }

    fn entry(&mut self, node: &Node, at: BorrowedFd<'_>, path: &Path) -> Result<bool> {
        if let Some(id) = node.link_id() {
            if let Some(first) = self.links.get(&id) {
                fs::linkat(&self.root, first, at, name(node), AtFlags::empty())
                    .map_err(|e| told(e, "link", path))?;
                self.written.entries += 1;
                self.report.files += 1;
                return Ok(true);
            }
            self.links.insert(id, path.to_owned());
        }
        let made = match &node.kind {
            NodeKind::File => return self.file(node, at, path),
            NodeKind::Dir => unreachable!("folders are made elsewhere"),
            NodeKind::Symlink => match &node.target {
                Some(target) => fs::symlinkat(target, at, name(node)),
                None => Err(Errno::INVAL),
            },
            NodeKind::Fifo => special(node, at, FileType::Fifo),
            NodeKind::Socket => special(node, at, FileType::Socket),
            NodeKind::BlockDevice => special(node, at, FileType::BlockDevice),
            NodeKind::CharDevice => special(node, at, FileType::CharacterDevice),
            NodeKind::Other(_) => Err(Errno::NOTSUP),
        };
        match made {
            Ok(()) => {
                self.written.entries += 1;
                self.attributes_unopened(node, at, path);
                Ok(true)
            }
            // A disk that is full fails everything; what this account may not make is told.
            Err(e @ (Errno::NOSPC | Errno::DQUOT | Errno::IO)) => Err(told(e, "make", path)),
            Err(e) => {
                self.odd(path, format!("cannot be made: {e}"));
                self.written.absent.insert(path.to_owned());
                Ok(false)
            }
        }
    }

    fn file(&mut self, node: &Node, at: BorrowedFd<'_>, path: &Path) -> Result<bool> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(at, name(node), flags, Mode::RUSR | Mode::WUSR)
            .map_err(|e| told(e, "make", path))?;
        let mut stream = self.reader.read_node(node);
        let mut offset = 0;
        loop {
            let filled = fill(&mut stream, &mut self.buffer)
                .map_err(|e| Error::from(e).context(path.display()))?;
            if filled == 0 {
                break;
            }
            for (n, block) in self.buffer[..filled].chunks(BLOCK).enumerate() {
                if block.iter().any(|byte| *byte != 0) {
                    write_at(&file, block, offset + (n * BLOCK) as u64)
                        .map_err(|e| told(e, "write", path))?;
                }
            }
            offset += filled as u64;
            self.context.cancel.check()?;
            self.context.progress.bytes(filled as u64);
        }
        if offset != node.size {
            return Err(Error::new(
                crate::ErrorCode::Damaged,
                format!(
                    "{}: {offset} bytes are stored, its entry says {}",
                    path.display(),
                    node.size
                ),
            ));
        }
        // A hole at the end is made by the length alone.
        fs::ftruncate(&file, offset).map_err(|e| told(e, "write", path))?;
        self.attributes(node, file.as_fd(), path);
        self.report.files += 1;
        self.report.bytes += offset;
        self.written.entries += 1;
        Ok(true)
    }

    /// Owner first, for changing it takes away setuid and capabilities; times last.
    fn attributes(&mut self, node: &Node, file: BorrowedFd<'_>, path: &Path) {
        if self.report.owners
            && let Err(e) = fs::fchown(file, owner(node.uid), group(node.gid))
        {
            self.odd(path, format!("its owner cannot be set: {e}"));
        }
        for (name, value) in &node.attributes {
            if let Err(e) = fs::fsetxattr(file, name.as_str(), value, XattrFlags::empty()) {
                self.odd(path, format!("its attribute {name} cannot be set: {e}"));
            }
        }
        if let Err(e) = fs::fchmod(file, Mode::from_raw_mode(node.mode)) {
            self.odd(path, format!("its mode cannot be set: {e}"));
        }
        if let Err(e) = fs::futimens(file, &times(node)) {
            self.odd(path, format!("its times cannot be set: {e}"));
        }
    }

    /// The same for what cannot be opened without harm. Links have no mode of their own.
    fn attributes_unopened(&mut self, node: &Node, at: BorrowedFd<'_>, path: &Path) {
        let (name, flags) = (name(node), AtFlags::SYMLINK_NOFOLLOW);
        if self.report.owners
            && let Err(e) = fs::chownat(at, name, owner(node.uid), group(node.gid), flags)
        {
            self.odd(path, format!("its owner cannot be set: {e}"));
        }
        if node.kind != NodeKind::Symlink
            && let Err(e) = fs::chmodat(at, name, Mode::from_raw_mode(node.mode), AtFlags::empty())
        {
            self.odd(path, format!("its mode cannot be set: {e}"));
        }
        if let Err(e) = fs::utimensat(at, name, &times(node), flags) {
            self.odd(path, format!("its times cannot be set: {e}"));
        }
    }

    fn odd(&mut self, path: &Path, reason: String) {
        if self.report.odd.len() < NAMED {
            self.report.odd.push(OddFile {
                path: path.display().to_string(),
                reason,
            });
        }
    }
}

fn name(node: &Node) -> &OsStr {
    &node.name
}

fn special(node: &Node, at: BorrowedFd<'_>, kind: FileType) -> Result<(), Errno> {
    let device = match kind {
        FileType::BlockDevice | FileType::CharacterDevice => node.device,
        _ => 0,
    };
    fs::mknodat(at, name(node), kind, Mode::RUSR | Mode::WUSR, device)
}

fn owner(uid: u32) -> Option<Uid> {
    (uid != u32::MAX).then(|| Uid::from_raw(uid))
}

fn group(gid: u32) -> Option<Gid> {
    (gid != u32::MAX).then(|| Gid::from_raw(gid))
}

fn times(node: &Node) -> Timestamps {
    let of = |time: jiff::Timestamp| {
        // The nanoseconds of a time before 1970 count backwards; the file system's never do.
        let nanoseconds = time.as_nanosecond();
        Timespec {
            tv_sec: nanoseconds.div_euclid(1_000_000_000) as i64,
            tv_nsec: nanoseconds.rem_euclid(1_000_000_000) as _,
        }
    };
    Timestamps {
        last_access: of(node.accessed),
        last_modification: of(node.modified),
    }
}

fn write_at(file: &OwnedFd, mut data: &[u8], mut offset: u64) -> Result<(), Errno> {
    while !data.is_empty() {
        match rustix::io::pwrite(file, data, offset) {
            Ok(0) => return Err(Errno::IO),
            Ok(n) => {
                data = &data[n..];
                offset += n as u64;
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Fills the buffer as far as the input goes.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}
