//! What the file system says of an entry, as a node.

use pgkeep_repository::{Node, NodeKind};
use rustix::{
    fd::AsFd,
    fs::{FileType, Stat},
    io::Errno,
};
use std::{
    collections::HashMap,
    ffi::{CStr, OsString},
    path::Path,
};

/// Longest list of names, and longest value, that Linux lets an attribute have.
const ATTRIBUTE_LIMIT: usize = 64 << 10;

/// Names of accounts and groups of this machine, as its own files list them.
#[derive(Debug, Default)]
pub(super) struct Owners {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Owners {
    pub(super) fn of_this_machine() -> Self {
        Self {
            users: names_in("/etc/passwd"),
            groups: names_in("/etc/group"),
        }
    }

    pub(super) fn name(&self, node: &mut Node) {
        let name = |names: &HashMap<u32, String>, id| names.get(&id).cloned().unwrap_or_default();
        node.user = name(&self.users, node.uid);
        node.group = name(&self.groups, node.gid);
    }
}

/// Reads lines of `name:password:number:…`; a file that is not there names nobody.
fn names_in(file: &str) -> HashMap<u32, String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            Some((fields.nth(1)?.parse().ok()?, name.to_string()))
        })
        .collect()
}

/// A node with everything that `stat` tells; content, target and attributes are still to come.
///
/// The time of the last access is left as that of the last change of content: it would make every folder that was looked at
/// a new one.
pub fn node_from(name: impl Into<OsString>, stat: &Stat) -> Node {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => NodeKind::File,
        FileType::Directory => NodeKind::Dir,
        FileType::Symlink => NodeKind::Symlink,
        FileType::Fifo => NodeKind::Fifo,
        FileType::Socket => NodeKind::Socket,
        FileType::BlockDevice => NodeKind::BlockDevice,
        FileType::CharacterDevice => NodeKind::CharDevice,
        FileType::Unknown => NodeKind::Other("irregular".into()),
    };
    let modified = time(stat.st_mtime, stat.st_mtime_nsec);
    #[expect(clippy::useless_conversion, reason = "not as wide everywhere")]
    let links = stat.st_nlink.into();
    let mut node = Node::new(name, kind);
    node.mode = stat.st_mode & 0o7777;
    node.modified = modified;
    node.accessed = modified;
    node.changed = time(stat.st_ctime, stat.st_ctime_nsec);
    node.uid = stat.st_uid;
    node.gid = stat.st_gid;
    node.inode = stat.st_ino;
    match node.kind {
        NodeKind::File => {
            node.size = stat.st_size.max(0) as u64;
            node.links = links;
            if links > 1 {
                node.device_id = stat.st_dev;
            }
        }
        NodeKind::BlockDevice | NodeKind::CharDevice => {
            node.links = links;
            node.device = stat.st_rdev;
        }
        NodeKind::Dir => {}
        _ => node.links = links,
    }
    node
}

fn time(seconds: i64, nanoseconds: impl TryInto<i32>) -> jiff::Timestamp {
    let nanoseconds = nanoseconds.try_into().unwrap_or(0);
    // Times beyond the year 9999 exist only on broken file systems.
    jiff::Timestamp::new(seconds, nanoseconds).unwrap_or_default()
}

/// Extended attributes of an opened file or folder, sorted by name; none where the file system has none.
pub fn read_attributes(file: impl AsFd) -> rustix::io::Result<Vec<(String, Vec<u8>)>> {
    let file = file.as_fd();
    gather(
        |names| rustix::fs::flistxattr(file, names),
        |name, value| rustix::fs::fgetxattr(file, name, value),
    )
}

/// The same of something that cannot be opened without harm: a link, a pipe, a device.
pub(super) fn read_attributes_at(
    folder: impl AsFd,
    name: &CStr,
) -> rustix::io::Result<Vec<(String, Vec<u8>)>> {
    use std::os::{fd::AsRawFd, unix::ffi::OsStrExt};
    let name = std::ffi::OsStr::from_bytes(name.to_bytes());
    let path = Path::new("/proc/self/fd")
        .join(folder.as_fd().as_raw_fd().to_string())
        .join(name);
    gather(
        |names| rustix::fs::llistxattr(&path, names),
        |name, value| rustix::fs::lgetxattr(&path, name, value),
    )
}

fn gather(
    list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
    get: impl Fn(&CStr, &mut [u8]) -> rustix::io::Result<usize>,
) -> rustix::io::Result<Vec<(String, Vec<u8>)>> {
    // Most entries have none; a small buffer tells so without an allocation.
    let mut small = [0; 256];
    let listed = match list(&mut small) {
        Ok(0) => return Ok(Vec::new()),
        Ok(n) => small[..n].to_vec(),
        Err(Errno::RANGE) => {
            let mut large = vec![0; ATTRIBUTE_LIMIT];
            let n = list(&mut large)?;
            large.truncate(n);
            large
        }
        Err(Errno::NOTSUP | Errno::NOSYS | Errno::NOENT) => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut attributes = Vec::new();
    let mut value = vec![0; ATTRIBUTE_LIMIT];
    for name in listed.split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else {
            continue;
        };
        // Trees hold names of attributes as text; one that is none cannot be put back, whatever is stored.
        let Ok(text) = name.to_str() else { continue };
        match get(name, &mut value) {
            Ok(n) => attributes.push((text.to_string(), value[..n].to_vec())),
            // Gone since, or for other eyes.
            Err(Errno::NODATA | Errno::PERM | Errno::ACCESS | Errno::NOTSUP) => {}
            Err(e) => return Err(e),
        }
    }
    attributes.sort();
    Ok(attributes)
}
