//! One entry of a file tree with everything that a file system says of it.
//!
//! On disk it is a node of a tree ([`crate::tree`]), written so that stock tools put back the same entry. Modes there are
//! Go's, here they are Unix's; names and targets are bytes in both.

use crate::{
    id::BlobId,
    tree::{self, Base64},
};
use jiff::Timestamp;
use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
};

const GO_DIR: u32 = 1 << 31;
const GO_SYMLINK: u32 = 1 << 27;
const GO_DEVICE: u32 = 1 << 26;
const GO_FIFO: u32 = 1 << 25;
const GO_SOCKET: u32 = 1 << 24;
const GO_CHAR_DEVICE: u32 = 1 << 21;
/// Go's bit and Unix's.
const SPECIAL_BITS: [(u32, u32); 3] = [(1 << 23, 0o4000), (1 << 22, 0o2000), (1 << 20, 0o1000)];

/// What kind of thing an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NodeKind {
    File,
    Dir,
    Symlink,
    Fifo,
    Socket,
    BlockDevice,
    CharDevice,
    /// A kind that this build does not know.
    Other(String),
}

impl NodeKind {
    /// The word that stands in trees.
    pub fn as_str(&self) -> &str {
        match self {
            Self::File => "file",
            Self::Dir => "dir",
            Self::Symlink => "symlink",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::BlockDevice => "dev",
            Self::CharDevice => "chardev",
            Self::Other(word) => word,
        }
    }

    fn from_word(word: &str) -> Self {
        match word {
            "file" => Self::File,
            "dir" => Self::Dir,
            "symlink" => Self::Symlink,
            "fifo" => Self::Fifo,
            "socket" => Self::Socket,
            "dev" => Self::BlockDevice,
            "chardev" => Self::CharDevice,
            other => Self::Other(other.into()),
        }
    }

    fn go_bits(&self) -> u32 {
        match self {
            Self::File | Self::Other(_) => 0,
            Self::Dir => GO_DIR,
            Self::Symlink => GO_SYMLINK,
            Self::Fifo => GO_FIFO,
            Self::Socket => GO_SOCKET,
            Self::BlockDevice => GO_DEVICE,
            Self::CharDevice => GO_DEVICE | GO_CHAR_DEVICE,
        }
    }
}

/// One entry of a file tree.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub name: OsString,
    pub kind: NodeKind,
    /// Permission bits with setuid, setgid and sticky, as `chmod` takes them.
    pub mode: u32,
    pub modified: Timestamp,
    pub accessed: Timestamp,
    /// When the inode was changed last.
    pub changed: Timestamp,
    pub uid: u32,
    pub gid: u32,
    /// Names of the owners where they were known.
    pub user: String,
    pub group: String,
    pub inode: u64,
    /// The file system; zero but for files with several links, which are one file where inode and device are the same.
    pub device_id: u64,
    pub links: u64,
    /// Bytes of a file.
    pub size: u64,
    /// Where a symbolic link points.
    pub target: Option<PathBuf>,
    /// Extended attributes, sorted by name.
    pub attributes: Vec<(String, Vec<u8>)>,
    /// Number of a device file.
    pub device: u64,
    /// Chunks of a file, in order.
    pub content: Vec<BlobId>,
    /// The tree of a folder.
    pub subtree: Option<BlobId>,
}

impl Node {
    /// An entry of which nothing is known but its name and kind.
    pub fn new(name: impl Into<OsString>, kind: NodeKind) -> Self {
        Self {
            name: name.into(),
            kind,
            mode: 0,
            modified: Timestamp::UNIX_EPOCH,
            accessed: Timestamp::UNIX_EPOCH,
            changed: Timestamp::UNIX_EPOCH,
            uid: 0,
            gid: 0,
            user: String::new(),
            group: String::new(),
            inode: 0,
            device_id: 0,
            links: 0,
            size: 0,
            target: None,
            attributes: Vec::new(),
            device: 0,
            content: Vec::new(),
            subtree: None,
        }
    }

    pub fn is_file(&self) -> bool {
        self.kind == NodeKind::File
    }

    pub fn is_dir(&self) -> bool {
        self.kind == NodeKind::Dir
    }

    /// What files with several names share; `None` for a file with one name.
    pub fn link_id(&self) -> Option<(u64, u64)> {
        (self.is_file() && self.links > 1).then_some((self.device_id, self.inode))
    }

    /// Whether a file system that shows `other` in the place of this node shows the same, unwritten file: size, times of
    /// content and inode, and the inode itself.
    pub fn is_unchanged(&self, other: &Node) -> bool {
        self.kind == other.kind
            && self.size == other.size
            && self.modified == other.modified
            && self.changed == other.changed
            && self.inode == other.inode
    }

    pub(crate) fn into_stored(self) -> tree::Node {
        let special: u32 = SPECIAL_BITS
            .iter()
            .filter(|(_, unix)| self.mode & unix != 0)
            .map(|(go, _)| go)
            .sum();
        let target = self.target.map(|t| t.into_os_string().into_vec());
        let raw = target
            .as_ref()
            .filter(|t| std::str::from_utf8(t).is_err())
            .cloned();
        tree::Node {
            mode: self.mode & 0o777 | special | self.kind.go_bits(),
            kind: self.kind.as_str().into(),
            name: self.name.into_vec(),
            mtime: Some(self.modified),
            atime: Some(self.accessed),
            ctime: Some(self.changed),
            uid: self.uid,
            gid: self.gid,
            user: self.user,
            group: self.group,
            inode: self.inode,
            device_id: self.device_id,
            size: self.size,
            links: self.links,
            linktarget: target
                .map(|t| String::from_utf8_lossy(&t).into_owned())
                .unwrap_or_default(),
            linktarget_raw: raw.map(Base64),
            extended_attributes: self
                .attributes
                .into_iter()
                .map(|(name, value)| tree::ExtendedAttribute {
                    name,
                    value: Some(Base64(value)),
                })
                .collect(),
            device: self.device,
            content: (self.kind == NodeKind::File).then_some(self.content),
            subtree: self.subtree,
        }
    }

    pub(crate) fn from_stored(stored: tree::Node) -> Self {
        let special: u32 = SPECIAL_BITS
            .iter()
            .filter(|(go, _)| stored.mode & go != 0)
            .map(|(_, unix)| unix)
            .sum();
        let kind = NodeKind::from_word(&stored.kind);
        let target = match stored.linktarget_raw {
            Some(Base64(raw)) => raw,
            None => stored.linktarget.into_bytes(),
        };
        Self {
            target: (kind == NodeKind::Symlink).then(|| OsStr::from_bytes(&target).into()),
            name: OsString::from_vec(stored.name),
            kind,
            mode: stored.mode & 0o777 | special,
            modified: stored.mtime.unwrap_or_default(),
            accessed: stored.atime.unwrap_or_default(),
            changed: stored.ctime.unwrap_or_default(),
            uid: stored.uid,
            gid: stored.gid,
            user: stored.user,
            group: stored.group,
            inode: stored.inode,
            device_id: stored.device_id,
            links: stored.links,
            size: stored.size,
            attributes: stored
                .extended_attributes
                .into_iter()
                .map(|a| (a.name, a.value.map(|Base64(v)| v).unwrap_or_default()))
                .collect(),
            device: stored.device,
            content: stored.content.unwrap_or_default(),
            subtree: stored.subtree,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_entry_is_read_back_as_it_was_written() {
        let kinds = [
            NodeKind::File,
            NodeKind::Dir,
            NodeKind::Symlink,
            NodeKind::Fifo,
            NodeKind::Socket,
            NodeKind::BlockDevice,
            NodeKind::CharDevice,
            NodeKind::Other("irregular".into()),
        ];
        let nodes: Vec<Node> = kinds
            .into_iter()
            .map(|kind| Node {
                mode: 0o7751,
                modified: "2026-01-02T03:04:05.000000006Z".parse().expect("a time"),
                uid: 1000,
                gid: 50,
                user: "app".into(),
                inode: u64::MAX,
                device_id: 7,
                links: 2,
                target: (kind == NodeKind::Symlink)
                    .then(|| OsStr::from_bytes(b"../\xff<&>\n").into()),
                attributes: vec![("user.note".into(), b"\0\xff".to_vec())],
                content: match kind {
                    NodeKind::File => vec![BlobId([7; 32])],
                    _ => vec![],
                },
                ..Node::new(OsStr::from_bytes(b"<\xff\n&\"\\"), kind)
            })
            .collect();
        let stored = nodes.iter().cloned().map(Node::into_stored).collect();
        let json = tree::Tree { nodes: stored }.to_json();
        assert!(!json.contains(&b'&'), "Go writes & as an escape");
        let read = tree::Tree::parse(BlobId::of(&json), &json).expect("our own tree");
        let read: Vec<Node> = read.nodes.into_iter().map(Node::from_stored).collect();
        assert_eq!(read, nodes);
    }
}
