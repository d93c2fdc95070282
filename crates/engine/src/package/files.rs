//! File trees in a package: ordinary entries of tar, with what plain headers cannot hold in extended ones.
//!
//! Times to the nanosecond and extended attributes stand where GNU tar and bsdtar look for them. A file with several names
//! says which file it is, so that its other names, links of tar, become the same file again.

use super::{
    tape::{TapeEntry, damaged},
    write::Tape,
};
use crate::{
    Context, Error, Result,
    files::{EntryDigest, FolderDigest},
};
use pgkeep_model::manifest::FilesManifest;
use pgkeep_repository::{FileWriter, Node, NodeKind, SnapshotReader, Writer};
use rustix::fs::{major, makedev, minor};
use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    io::{self, Read, Write},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

/// Device, inode and number of names of a file that has several.
const LINK: &str = "PGKEEP.link";
const ATTRIBUTE: &str = "SCHILY.xattr.";

/// Writes a whole tree. Returns how many sockets were left out: tar has none.
pub(super) fn write_tree<W: Write>(
    tape: &mut Tape<W>,
    reader: &SnapshotReader,
    tree: &FilesManifest,
    context: &Context,
) -> Result<()> {
    let root = reader
        .node(&tree.path)?
        .ok_or_else(|| damaged(format!("{} is missing from the snapshot", tree.path)))?;
    let mut links = HashMap::new();
    let place = Path::new(&tree.path);
    write_node(tape, reader, place, &root, &mut links, context)?;
    for entry in reader.walk(&tree.path)? {
        let (path, node) = entry?;
        context.cancel.check()?;
        write_node(tape, reader, &place.join(path), &node, &mut links, context)?;
    }
    Ok(())
}

fn write_node<W: Write>(
    tape: &mut Tape<W>,
    reader: &SnapshotReader,
    path: &Path,
    node: &Node,
    links: &mut HashMap<(u64, u64), PathBuf>,
    context: &Context,
) -> Result<()> {
    let mut extended: Vec<(String, Vec<u8>)> = Vec::new();
    if node.modified.subsec_nanosecond() != 0 {
        extended.push(("mtime".into(), decimal(node.modified).into_bytes()));
    }
    for (name, value) in &node.attributes {
        extended.push((format!("{ATTRIBUTE}{name}"), value.clone()));
    }
    let mut target = node.target.clone();
    let mut size = 0;
    let kind = match &node.kind {
        NodeKind::Dir => tar::EntryType::Directory,
        NodeKind::Symlink => tar::EntryType::Symlink,
        NodeKind::Fifo => tar::EntryType::Fifo,
        NodeKind::BlockDevice => tar::EntryType::Block,
        NodeKind::CharDevice => tar::EntryType::Char,
        NodeKind::Socket | NodeKind::Other(_) => return Ok(()),
        NodeKind::File => match node.link_id().and_then(|id| links.get(&id)) {
            Some(first) => {
                target = Some(first.clone());
                tar::EntryType::Link
            }
            None => {
                if let Some(id) = node.link_id() {
                    links.insert(id, tape.full_path(path));
                    let link = format!("{} {} {}", id.0, id.1, node.links);
                    extended.push((LINK.into(), link.into_bytes()));
                }
                size = node.size;
                tar::EntryType::Regular
            }
        },
    };
    let mut header = tape.header(kind, node.mode, size);
    header.set_mtime(node.modified.as_second().try_into().unwrap_or(0));
    header.set_uid(node.uid.into());
    header.set_gid(node.gid.into());
    // A name that does not fit is left out; the number says the same.
    let _ = header.set_username(&node.user);
    let _ = header.set_groupname(&node.group);
    if matches!(kind, tar::EntryType::Block | tar::EntryType::Char) {
        header.set_device_major(major(node.device))?;
        header.set_device_minor(minor(node.device))?;
    }
    if let Some(target) = &target {
        let bytes = target.as_os_str().as_bytes();
        if header.set_link_name_literal(bytes).is_err() {
            header.set_link_name_literal(&bytes[..100.min(bytes.len())])?;
            extended.push(("linkpath".into(), bytes.to_vec()));
        }
    }
    let extended = extended
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_slice()));
    match kind {
        tar::EntryType::Regular => tape.content(path, header, extended, size, |out| {
            io::copy(&mut Watched(reader.read_node(node), context), out)?;
            Ok(())
        }),
        _ => tape.bare(path, header, extended),
    }
}

struct Watched<'a, R>(R, &'a Context);

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1.cancel.check().map_err(io::Error::other)?;
        let n = self.0.read(buffer)?;
        self.1.progress.bytes(n as u64);
        Ok(n)
    }
}

/// Seconds with their fraction, as extended headers write times.
fn decimal(time: jiff::Timestamp) -> String {
    let nanoseconds = time.as_nanosecond();
    let (seconds, rest) = (
        nanoseconds.div_euclid(1_000_000_000),
        nanoseconds.rem_euclid(1_000_000_000),
    );
    format!("{seconds}.{rest:09}")
}

fn time_of(text: &[u8]) -> Option<jiff::Timestamp> {
    let text = std::str::from_utf8(text).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let nanoseconds: i128 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let seconds: i128 = seconds.parse().ok()?;
    jiff::Timestamp::from_nanosecond(
        seconds
            .checked_mul(1_000_000_000)?
            .checked_add(nanoseconds)?,
    )
    .ok()
}

/// Takes a tree in again, folder by folder: a folder is stored when the first entry outside it comes.
pub(super) struct TreeIntake<'a> {
    from_afar: bool,
    writer: &'a Writer,
    files: FileWriter,
    manifest: FilesManifest,
    open: Vec<OpenFolder>,
    links: HashMap<PathBuf, Node>,
    next_inode: u64,
    root: Option<(Node, EntryDigest)>,
    /// How many entries lost what gives rights to whoever runs or opens them, and the first of them.
    tamed: u64,
    first_tamed: Option<PathBuf>,
}

struct OpenFolder {
    /// Parts below the tree.
    path: Vec<Vec<u8>>,
    node: Node,
    children: Vec<(Node, Option<EntryDigest>)>,
}

impl<'a> TreeIntake<'a> {
    /// `expected` is what the package's manifest says of the tree.
    pub(super) fn new(writer: &'a Writer, expected: &FilesManifest, from_afar: bool) -> Self {
        Self {
            writer,
            from_afar,
            files: writer.files(),
            manifest: FilesManifest {
                files: 0,
                folders: 0,
                symlinks: 0,
                others: 0,
                bytes: 0,
                files_unchanged: 0,
                digest: String::new(),
                ..expected.clone()
            },
            open: Vec::new(),
            links: HashMap::new(),
            next_inode: 1,
            root: None,
            tamed: 0,
            first_tamed: None,
        }
    }

    /// The folder of the snapshot that the tree will be.
    pub(super) fn path(&self) -> &str {
        &self.manifest.path
    }

    /// Takes the next entry; `below` are the parts of its path below the tree, none for the tree's own folder.
    pub(super) fn entry(
        &mut self,
        entry: &TapeEntry,
        below: &[Vec<u8>],
        content: &mut impl Read,
    ) -> Result<()> {
        let full = PathBuf::from(OsString::from_vec(entry.path.join(&b'/')));
        let mut node = node_of(entry)?;
        if self.from_afar && tame(&mut node, &full)? {
            self.tamed += 1;
            self.first_tamed.get_or_insert_with(|| full.clone());
        }
        if entry.header.entry_type() == tar::EntryType::Link {
            let first = Path::new(OsStr::from_bytes(&entry.link));
            let first = self
                .links
                .get(first)
                .ok_or_else(|| damaged(format!("{} is a link to nothing", full.display())))?;
            node = Node {
                name: node.name,
                ..first.clone()
            };
            self.manifest.files += 1;
            self.manifest.bytes += node.size;
        } else {
            match node.kind {
                NodeKind::Dir => self.manifest.folders += u64::from(!below.is_empty()),
                NodeKind::Symlink => self.manifest.symlinks += 1,
                NodeKind::File => {
                    let stored = self.files.store(content)?.map_err(Error::from)?;
                    (node.size, node.content) = (stored.size, stored.chunks);
                    self.manifest.files += 1;
                    self.manifest.bytes += node.size;
                }
                _ => self.manifest.others += 1,
            }
            if node.inode == 0 {
                node.inode = self.next_inode;
                self.next_inode += 1;
            }
            if node.link_id().is_some() {
                self.links.insert(full.clone(), node.clone());
            }
        }
        if below.is_empty() {
            if !node.is_dir() || !self.open.is_empty() || self.root.is_some() {
                return Err(damaged(format!("{} is not one folder", self.manifest.path)));
            }
        } else {
            let parent = &below[..below.len() - 1];
            while self.open.last().is_some_and(|top| top.path != parent) {
                self.close()?;
            }
            if self.open.is_empty() {
                return Err(damaged(format!(
                    "{} comes before its folder, or after it",
                    full.display()
                )));
            }
        }
        match node.is_dir() {
            true => self.open.push(OpenFolder {
                path: below.to_vec(),
                node,
                children: Vec::new(),
            }),
            false => {
                let top = self.open.last_mut().expect("looked at above");
                top.children.push((node, None));
            }
        }
        Ok(())
    }

    /// Stores the folder that was opened last, now that it is complete.
    fn close(&mut self) -> Result<()> {
        let OpenFolder {
            mut node,
            mut children,
            ..
        } = self.open.pop().expect("called with one open");
        children.sort_by(|(a, _), (b, _)| a.name.as_bytes().cmp(b.name.as_bytes()));
        if children
            .windows(2)
            .any(|pair| pair[0].0.name == pair[1].0.name)
        {
            return Err(damaged("a name comes twice in a folder of the package"));
        }
        let mut digest = FolderDigest::new();
        for (child, below) in &children {
            digest.add(child, &child.content, below.as_ref());
        }
        let nodes = children.into_iter().map(|(child, _)| child).collect();
        node.subtree = Some(self.writer.store_folder(nodes)?);
        let digest = digest.finish();
        match self.open.last_mut() {
            Some(parent) => parent.children.push((node, Some(digest))),
            None => self.root = Some((node, digest)),
        }
        Ok(())
    }

    /// Hangs the tree into the snapshot, if it holds as much as the package says.
    pub(super) fn finish(
        mut self,
        expected: &FilesManifest,
        context: &Context,
    ) -> Result<FilesManifest> {
        if let Some(first) = &self.first_tamed {
            context.progress.warn(&format!(
                "{} {} taken in without the setuid, setgid and sticky bits or the capabilities of the package: {}{}",
                self.tamed,
                if self.tamed == 1 { "entry was" } else { "entries were" },
                first.display(),
                if self.tamed == 1 { "" } else { ", ..." },
            ));
        }
        while !self.open.is_empty() {
            self.close()?;
        }
        let (node, digest) = self
            .root
            .take()
            .ok_or_else(|| damaged(format!("{} is missing from the package", expected.path)))?;
        self.files.finish()?;
        let counts = |m: &FilesManifest| (m.files, m.symlinks, m.bytes);
        if counts(&self.manifest) != counts(expected) {
            return Err(damaged(format!(
                "{} holds {} files with {} bytes, the manifest says {} with {}",
                expected.path,
                self.manifest.files,
                self.manifest.bytes,
                expected.files,
                expected.bytes
            )));
        }
        self.writer.graft(&self.manifest.path, node);
        Ok(FilesManifest {
            digest: hex::encode(digest),
            folders: expected.folders,
            ..self.manifest
        })
    }
}

/// Takes from an entry what would give somebody rights on the machine that it is restored to, where that is done as root.
/// Devices are refused. The sticky bit of a folder stays, as it only forbids. Whether something was taken.
fn tame(node: &mut Node, path: &Path) -> Result<bool> {
    if matches!(node.kind, NodeKind::BlockDevice | NodeKind::CharDevice) {
        return Err(Error::invalid(format!(
            "{} is a device: a package from another machine does not bring devices in",
            path.display()
        ))
        .hint("make the package without it, or import it on the server's own machine"));
    }
    let rights = if node.is_dir() { 0o6000 } else { 0o7000 };
    let mut capabilities = false;
    node.attributes.retain(|(name, _)| {
        capabilities |= name == "security.capability";
        !name.starts_with("security.") && !name.starts_with("trusted.")
    });
    let tamed = capabilities || node.mode & rights != 0;
    node.mode &= !rights;
    Ok(tamed)
}

fn node_of(entry: &TapeEntry) -> Result<Node> {
    let header = &entry.header;
    let kind = match header.entry_type() {
        tar::EntryType::Directory => NodeKind::Dir,
        tar::EntryType::Symlink => NodeKind::Symlink,
        tar::EntryType::Fifo => NodeKind::Fifo,
        tar::EntryType::Block => NodeKind::BlockDevice,
        tar::EntryType::Char => NodeKind::CharDevice,
        tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::Link => {
            NodeKind::File
        }
        _ => return Err(damaged("the package holds an entry of an unknown kind")),
    };
    let wrong = |_: io::Error| damaged("a header of the package is damaged");
    let name = entry.path.last().expect("at least one part");
    let mut node = Node::new(OsString::from_vec(name.clone()), kind);
    node.mode = header.mode().map_err(wrong)? & 0o7777;
    node.uid = header.uid().map_err(wrong)?.try_into().unwrap_or(u32::MAX);
    node.gid = header.gid().map_err(wrong)?.try_into().unwrap_or(u32::MAX);
    let text =
        |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    node.user = text(header.username_bytes());
    node.group = text(header.groupname_bytes());
    let seconds = header.mtime().map_err(wrong)?;
    node.modified = match entry.extended.get("mtime") {
        Some(text) => time_of(text),
        None => i64::try_from(seconds)
            .ok()
            .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()),
    }
    .unwrap_or_default();
    (node.accessed, node.changed) = (node.modified, node.modified);
    match node.kind {
        NodeKind::Symlink => {
            node.target = Some(PathBuf::from(OsString::from_vec(entry.link.clone())));
        }
        NodeKind::BlockDevice | NodeKind::CharDevice => {
            let number =
                |n: io::Result<Option<u32>>| n.map_err(wrong).map(Option::unwrap_or_default);
            node.device = makedev(
                number(header.device_major())?,
                number(header.device_minor())?,
            );
        }
        _ => {}
    }
    for (key, value) in &entry.extended {
        if let Some(name) = key.strip_prefix(ATTRIBUTE) {
            node.attributes.push((name.to_owned(), value.clone()));
        }
    }
    if let Some(link) = entry.extended.get(LINK) {
        let text = String::from_utf8_lossy(link);
        let mut numbers = text.split(' ').map(|word| word.parse::<u64>().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        (node.device_id, node.inode, node.links) = (next(), next(), next());
    }
    Ok(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_brings_in_no_devices_and_no_rights() {
        let check =
            |kind: NodeKind, mode: u32, attributes: &[&str], expected: (u32, bool, &[&str])| {
                let mut node = Node::new("x", kind);
                node.mode = mode;
                node.attributes = attributes
                    .iter()
                    .map(|name| (name.to_string(), Vec::new()))
                    .collect();
                let tamed = tame(&mut node, Path::new("x")).expect("taken in");
                let left: Vec<&str> = node.attributes.iter().map(|(name, _)| &**name).collect();
                assert_eq!(
                    (node.mode, tamed, &left[..]),
                    expected,
                    "{mode:o} {attributes:?}"
                );
            };
        check(
            NodeKind::File,
            0o644,
            &["user.a"],
            (0o644, false, &["user.a"]),
        );
        check(NodeKind::File, 0o4755, &[], (0o755, true, &[]));
        check(NodeKind::File, 0o2755, &[], (0o755, true, &[]));
        check(NodeKind::File, 0o1644, &[], (0o644, true, &[]));
        check(NodeKind::Dir, 0o3777, &[], (0o1777, true, &[]));
        check(NodeKind::Dir, 0o1777, &[], (0o1777, false, &[]));
        let capable = ["user.a", "security.capability", "security.selinux"];
        check(NodeKind::File, 0o755, &capable, (0o755, true, &["user.a"]));
        for kind in [NodeKind::BlockDevice, NodeKind::CharDevice] {
            let mut node = Node::new("sda", kind);
            let refused = tame(&mut node, Path::new("files/sda")).expect_err("refused");
            assert_eq!(refused.code, crate::ErrorCode::InvalidRequest);
            assert!(refused.hint.is_some() && refused.message.contains("files/sda"));
        }
    }
}
