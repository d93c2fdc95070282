//! Walking a tree: what is there, what of it is new, and in which order it is looked at.

use super::{
    digest::EntryDigest,
    entry::{Owners, node_from, read_attributes, read_attributes_at},
    exclude::Exclude,
    folder::{OpenFolder, complete},
    folder_of,
    odd::OddFiles,
    read::{Read, read_file, words},
    restore::MARK_FILE,
};
use crate::{Context, Error, ErrorCode, Result};
use crossbeam_channel::{Receiver, Sender, bounded};
use jiff::{SignedDuration, Timestamp};
use pgkeep_model::{app::FileTree, manifest::FilesManifest};
use pgkeep_repository::{FileWriter, Node, NodeKind, SnapshotReader, Writer};
use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, Dir, Mode, OFlags, Stat},
    io::Errno,
};
use std::{
    ffi::{CStr, CString, OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

/// Files that wait for a reader. Each may keep its folder open, and a process has not many open files.
const WAITING: usize = 128;
/// A file whose inode changed so shortly before the parent read it, or later, may have changed once more within the same
/// tick of the file system's clock: it is read again.
const TICK: SignedDuration = SignedDuration::from_millis(100);

/// How a tree is scanned.
pub struct ScanOptions<'a> {
    pub tree: &'a FileTree,
    /// The backup whose content is taken over where it is unchanged.
    pub previous: Option<Previous<'a>>,
    /// Folders of pgkeep's own, left out where they lie inside the tree.
    pub keep_out: &'a [PathBuf],
    /// Keep the paths of all files, for a question to the database.
    pub keep_paths: bool,
}

/// A backup of the same app, and what it says of the tree.
#[derive(Clone, Copy)]
pub struct Previous<'a> {
    pub reader: &'a SnapshotReader,
    pub manifest: &'a FilesManifest,
}

/// A tree that is stored but not yet part of a snapshot.
#[derive(Debug)]
pub struct Scanned {
    pub manifest: FilesManifest,
    /// The tree's own folder.
    pub node: Node,
    pub paths: ScannedPaths,
}

/// Paths of all files and links, relative to the tree, one after the other; empty unless asked for.
#[derive(Debug, Default)]
pub struct ScannedPaths(Vec<u8>);

impl ScannedPaths {
    fn push(&mut self, path: &Path) {
        self.0.extend_from_slice(path.as_os_str().as_bytes());
        self.0.push(0);
    }

    /// Those in a folder on disk, as a restored tree is.
    pub fn below(folder: &Path) -> std::io::Result<Self> {
        let mut paths = Self::default();
        let mut waiting = vec![folder.to_owned()];
        while let Some(current) = waiting.pop() {
            for entry in std::fs::read_dir(current)? {
                let (kind, path) = entry.and_then(|e| Ok((e.file_type()?, e.path())))?;
                if kind.is_dir() {
                    waiting.push(path);
                } else if let Ok(own) = path.strip_prefix(folder)
                    && own != Path::new(MARK_FILE)
                {
                    paths.push(own);
                }
            }
        }
        Ok(paths)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0
            .split_inclusive(|byte| *byte == 0)
            .map(|path| &path[..path.len() - 1])
    }
}

/// Reads a tree into the repository. What cannot be read is named in the manifest; a tree that cannot be read at all is an
/// error.
pub fn scan(writer: &Writer, options: &ScanOptions<'_>, context: &Context) -> Result<Scanned> {
    let tree = options.tree;
    let scanned_from = context.clock.now();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root =
        rustix::fs::open(&tree.path, flags, Mode::empty()).map_err(|e| unreadable(tree, e))?;
    let stat = rustix::fs::fstat(&root).map_err(|e| unreadable(tree, e))?;
    let scan = Scan {
        writer,
        context,
        tree,
        one_file_system: tree.one_file_system.then_some(stat.st_dev),
        exclude: Exclude::new(tree, options.keep_out)?,
        previous: options.previous,
        unchanged_before: options
            .previous
            .and_then(|p| p.manifest.scanned_from)
            .and_then(|from| from.checked_sub(TICK).ok()),
        owners: Owners::of_this_machine(),
        counts: Counts::default(),
        unreadable: OddFiles::default(),
        changing: OddFiles::default(),
        paths: options.keep_paths.then(Mutex::default),
        failed: AtomicBool::new(false),
        done: Mutex::new(None),
    };
    let (node, digest) = scan.run(root, &stat)?;
    Ok(scan.finish(node, &digest, scanned_from))
}

/// The whole tree is out of reach, which no backup may pass over.
fn unreadable(tree: &FileTree, errno: Errno) -> Error {
    Error::new(
        ErrorCode::Failed,
        format!(
            "cannot read files {} at {}: {}",
            tree.name,
            tree.path,
            words(errno.into())
        ),
    )
    .hint("see that the folder is there and that this account may read it")
}

/// What the walker and the readers share.
struct Scan<'a> {
    writer: &'a Writer,
    context: &'a Context,
    tree: &'a FileTree,
    /// The device to stay on.
    one_file_system: Option<u64>,
    exclude: Exclude,
    previous: Option<Previous<'a>>,
    /// Nothing whose inode changed later is taken over from the previous backup.
    unchanged_before: Option<Timestamp>,
    owners: Owners,
    counts: Counts,
    unreadable: OddFiles,
    changing: OddFiles,
    paths: Option<Mutex<ScannedPaths>>,
    failed: AtomicBool,
    /// The tree's own node, once all below it is stored; or what ended the work before.
    done: Mutex<Option<Result<(Node, EntryDigest)>>>,
}

#[derive(Debug, Default)]
struct Counts {
    files: AtomicU64,
    folders: AtomicU64,
    symlinks: AtomicU64,
    others: AtomicU64,
    bytes: AtomicU64,
    unchanged: AtomicU64,
}

/// A file for the readers.
struct Job {
    folder: Arc<OpenFolder>,
    fd: Arc<OwnedFd>,
    name: CString,
}

/// A folder that the walker is in.
struct Level {
    folder: Arc<OpenFolder>,
    fd: Arc<OwnedFd>,
    subfolders: std::vec::IntoIter<Subfolder>,
}

struct Subfolder {
    name: CString,
    /// What the previous backup holds of it.
    previous: Option<Node>,
}

impl Scan<'_> {
    fn run(&self, root: OwnedFd, stat: &Stat) -> Result<(Node, EntryDigest)> {
        let readers =
            std::thread::available_parallelism().map_or(4, |n| (2 * n.get()).clamp(4, 16));
        let (sender, jobs) = bounded::<Job>(WAITING);
        std::thread::scope(|scope| {
            for _ in 0..readers {
                let jobs = jobs.clone();
                scope.spawn(move || self.read_files(&jobs));
            }
            drop(jobs);
            if let Err(e) = self.walk(root, stat, &sender) {
                self.fail(e);
            }
            drop(sender);
        });
        self.done()
            .take()
            .expect("the last entry completes the tree, or something failed")
    }

    /// Looks at everything in the tree, and leaves the reading of files to others.
    fn walk(&self, root: OwnedFd, stat: &Stat, jobs: &Sender<Job>) -> Result<()> {
        let fd = Arc::new(root);
        let node = self.folder_node(OsString::new(), &fd, stat);
        let folder = OpenFolder::new(PathBuf::new(), node, None);
        let previous = self.previous_root();
        let first = self
            .enter(folder, fd, previous.as_ref(), jobs)?
            .map_err(|e| unreadable(self.tree, e))?;
        let mut levels = vec![first];
        while let Some(mut level) = levels.pop() {
            let Some(subfolder) = level.subfolders.next() else {
                self.complete(level.folder, None)?;
                continue;
            };
            let below = self.descend(&level, subfolder, jobs)?;
            levels.push(level);
            levels.extend(below);
        }
        Ok(())
    }

    /// Opens a folder and looks at what is in it; `None` when there is nothing to see below it.
    fn descend(
        &self,
        level: &Level,
        subfolder: Subfolder,
        jobs: &Sender<Job>,
    ) -> Result<Option<Level>> {
        let Subfolder { name, previous } = subfolder;
        let name_os = OsStr::from_bytes(name.to_bytes());
        let parent = &level.folder;
        let path = parent.path.join(name_os);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&level.fd, &name, flags, Mode::empty())
            .and_then(|fd| Ok((rustix::fs::fstat(&fd)?, Arc::new(fd))));
        let (stat, fd) = match opened {
            Ok(opened) => opened,
            Err(errno) => {
                self.pass_over(&path, errno);
                self.complete(parent.clone(), None)?;
                return Ok(None);
            }
        };
        if self.exclude.is_our_own(&stat) {
            self.context.progress.warn(&format!(
                "files {}: {} is the repository itself and is left out",
                self.tree.name,
                path.display()
            ));
            self.complete(parent.clone(), None)?;
            return Ok(None);
        }
        let node = self.folder_node(name_os, &fd, &stat);
        let folder = OpenFolder::new(path.clone(), node, Some(parent.clone()));
        if self.is_elsewhere(&stat) {
            // The place where something is mounted is part of the tree, what is mounted there is not.
            self.counts.folders.fetch_add(1, Relaxed);
            self.complete(folder, None)?;
            return Ok(None);
        }
        match self.enter(folder, fd, previous.as_ref(), jobs)? {
            Ok(level) => {
                self.counts.folders.fetch_add(1, Relaxed);
                Ok(Some(level))
            }
            Err(errno) => {
                self.pass_over(&path, errno);
                self.complete(parent.clone(), None)?;
                Ok(None)
            }
        }
    }

    /// Lists a folder: entries that need no reading are added to it, files go to the readers, folders are kept for later.
    fn enter(
        &self,
        folder: Arc<OpenFolder>,
        fd: Arc<OwnedFd>,
        previous: Option<&Node>,
        jobs: &Sender<Job>,
    ) -> Result<Result<Level, Errno>> {
        let names = match list(&fd) {
            Ok(names) => names,
            Err(errno) => return Ok(Err(errno)),
        };
        let mut known = Known::new(self.previous_entries(previous));
        let (mut ready, mut subfolders) = (Vec::new(), Vec::new());
        for name in names {
            self.context.cancel.check()?;
            if self.failed.load(Relaxed) {
                break;
            }
            let name_os = OsStr::from_bytes(name.to_bytes());
            let path = folder.path.join(name_os);
            let stat = match rustix::fs::statat(&fd, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(errno) => {
                    self.pass_over(&path, errno);
                    continue;
                }
            };
            let node = node_from(name_os, &stat);
            if self.exclude.by_pattern(&path, node.is_dir()) {
                continue;
            }
            let before = known.take(name_os);
            match node.kind {
                NodeKind::Dir => {
                    folder.expect();
                    let previous = before.filter(Node::is_dir);
                    subfolders.push(Subfolder { name, previous });
                }
                _ if self.is_elsewhere(&stat) => {}
                NodeKind::File => {
                    if let Some(node) = before.and_then(|before| self.take_over(&node, before)) {
                        self.counts.unchanged.fetch_add(1, Relaxed);
                        ready.push(self.file(node, &path));
                    } else {
                        folder.expect();
                        let (folder, fd) = (folder.clone(), fd.clone());
                        // The readers take jobs as long as this end is there.
                        let _ = jobs.send(Job { folder, fd, name });
                    }
                }
                NodeKind::Other(_) => {
                    self.unreadable.add(&path, "it is of an unknown kind");
                }
                _ => ready.extend(self.other_entry(node, &fd, &name, &path)),
            }
        }
        folder.add(ready);
        let subfolders = subfolders.into_iter();
        Ok(Ok(Level {
            folder,
            fd,
            subfolders,
        }))
    }

    /// A link, pipe, socket or device.
    fn other_entry(&self, mut node: Node, fd: &OwnedFd, name: &CStr, path: &Path) -> Option<Node> {
        if node.kind == NodeKind::Symlink {
            match rustix::fs::readlinkat(fd, name, Vec::new()) {
                Ok(target) => node.target = Some(OsStr::from_bytes(target.to_bytes()).into()),
                Err(errno) => {
                    self.pass_over(path, errno);
                    return None;
                }
            }
            self.counts.symlinks.fetch_add(1, Relaxed);
            self.keep_path(path);
        } else {
            self.counts.others.fetch_add(1, Relaxed);
        }
        node.attributes = read_attributes_at(fd, name).unwrap_or_default();
        self.owners.name(&mut node);
        Some(node)
    }

    /// The node of an unchanged file with the content that the previous backup has of it.
    fn take_over(&self, node: &Node, before: Node) -> Option<Node> {
        let unchanged = before.is_unchanged(node)
            && self.unchanged_before.is_some_and(|t| node.changed < t)
            && self.writer.holds(&before.content);
        unchanged.then(|| Node {
            content: before.content,
            attributes: before.attributes,
            ..node.clone()
        })
    }

    fn read_files(&self, jobs: &Receiver<Job>) {
        let mut files = self.writer.files();
        for job in jobs {
            if !self.failed.load(Relaxed)
                && let Err(e) = self.read_file(job, &mut files)
            {
                self.fail(e);
            }
        }
        if let Err(e) = files.finish() {
            self.fail(e.into());
        }
    }

    fn read_file(&self, job: Job, files: &mut FileWriter) -> Result<()> {
        let Job { folder, fd, name } = job;
        self.context.cancel.check()?;
        let path = folder.path.join(OsStr::from_bytes(name.to_bytes()));
        let node = match read_file(&fd, &name, files)? {
            Read::Stored(node) => Some(node),
            Read::Changing(node) => {
                let reason = "it changed while it was read, three times";
                self.changing.add(&path, reason);
                Some(node)
            }
            Read::Unreadable(reason) => {
                self.unreadable.add(&path, reason);
                None
            }
            Read::Gone => None,
        };
        let node = node.map(|node| {
            self.context.progress.bytes(node.size);
            self.file(node, &path)
        });
        self.complete(folder, node)
    }

    /// Counts a file that is stored.
    fn file(&self, mut node: Node, path: &Path) -> Node {
        self.counts.files.fetch_add(1, Relaxed);
        self.counts.bytes.fetch_add(node.size, Relaxed);
        self.owners.name(&mut node);
        self.keep_path(path);
        node
    }

    fn folder_node(&self, name: impl Into<OsString>, fd: &OwnedFd, stat: &Stat) -> Node {
        let mut node = node_from(name, stat);
        node.attributes = read_attributes(fd).unwrap_or_default();
        self.owners.name(&mut node);
        node
    }

    fn keep_path(&self, path: &Path) {
        if let Some(paths) = &self.paths {
            let mut paths = paths.lock().unwrap_or_else(PoisonError::into_inner);
            paths.push(path);
        }
    }

    fn is_elsewhere(&self, stat: &Stat) -> bool {
        self.one_file_system.is_some_and(|dev| dev != stat.st_dev)
    }

    /// Names what cannot be read. What went away, or became something else, between listing and opening is not there.
    fn pass_over(&self, path: &Path, errno: Errno) {
        if !matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::LOOP) {
            self.unreadable.add(path, words(errno.into()));
        }
    }

    fn previous_root(&self) -> Option<Node> {
        let previous = self.previous?;
        let found = previous.reader.node(&previous.manifest.path);
        found.unwrap_or_else(|e| {
            self.cannot_compare(&e);
            None
        })
    }

    /// What the previous backup holds in a folder. Damage there only means that more is read.
    fn previous_entries(&self, folder: Option<&Node>) -> Vec<Node> {
        let (Some(previous), Some(folder)) = (self.previous, folder) else {
            return Vec::new();
        };
        previous.reader.children(folder).unwrap_or_else(|e| {
            self.cannot_compare(&e);
            Vec::new()
        })
    }

    fn cannot_compare(&self, error: &pgkeep_repository::RepositoryError) {
        self.context.progress.warn(&format!(
            "files {}: a folder of the backup before cannot be read, so its files are read again: {error}",
            self.tree.name
        ));
    }

    fn complete(&self, folder: Arc<OpenFolder>, entry: Option<Node>) -> Result<()> {
        if let Some(root) = complete(self.writer, folder, entry)? {
            self.done().get_or_insert(Ok(root));
        }
        Ok(())
    }

    /// Keeps the first failure; everyone else stops soon after.
    fn fail(&self, error: Error) {
        if !self.failed.swap(true, Relaxed) {
            *self.done() = Some(Err(error));
        }
    }

    fn done(&self) -> MutexGuard<'_, Option<Result<(Node, EntryDigest)>>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(self, node: Node, digest: &EntryDigest, scanned_from: Timestamp) -> Scanned {
        let (unreadable_count, unreadable) = self.unreadable.finish();
        let (changing_count, changing) = self.changing.finish();
        let counts = self.counts;
        let manifest = FilesManifest {
            name: self.tree.name.clone(),
            path: folder_of(&self.tree.name),
            source: self.tree.path.clone(),
            files: counts.files.into_inner(),
            folders: counts.folders.into_inner(),
            symlinks: counts.symlinks.into_inner(),
            others: counts.others.into_inner(),
            bytes: counts.bytes.into_inner(),
            files_unchanged: counts.unchanged.into_inner(),
            digest: hex::encode(digest),
            scanned_from: Some(scanned_from),
            scanned_to: Some(self.context.clock.now()),
            skew_secs: None,
            unreadable,
            unreadable_count,
            changing,
            changing_count,
            references: None,
        };
        let paths = self.paths.map(Mutex::into_inner);
        Scanned {
            manifest,
            node,
            paths: paths
                .map(|p| p.unwrap_or_else(PoisonError::into_inner))
                .unwrap_or_default(),
        }
    }
}

/// Names in an opened folder, in order of their bytes.
fn list(folder: &OwnedFd) -> rustix::io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = entry?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Entries of the previous backup, taken by name while both lists are gone through in the same order.
struct Known(std::iter::Peekable<std::vec::IntoIter<Node>>);

impl Known {
    fn new(nodes: Vec<Node>) -> Self {
        Self(nodes.into_iter().peekable())
    }

    fn take(&mut self, name: &OsStr) -> Option<Node> {
        while self
            .0
            .next_if(|node| node.name.as_os_str() < name)
            .is_some()
        {}
        self.0.next_if(|node| node.name == name)
    }
}
