//! Reading one file: what is stored is what lay there at one moment, or the file is named as changing.

use super::entry::{node_from, read_attributes};
use pgkeep_repository::{FileWriter, Node};
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{FileType, Mode, OFlags, Stat},
    io::Errno,
};
use std::{
    ffi::{CStr, OsStr},
    fs::File,
    os::unix::ffi::OsStrExt,
};

/// A file that changes while it is read is read this often.
const ATTEMPTS: u32 = 3;

/// What became of a file.
#[derive(Debug)]
pub(super) enum Read {
    Stored(Node),
    /// Stored as it was read last.
    Changing(Node),
    Unreadable(String),
    /// It went away before it was opened: at the moment of the backup it does not exist.
    Gone,
}

/// Reads a file of an opened folder into the repository; an error is the repository's.
pub(super) fn read_file(
    folder: impl AsFd,
    name: &CStr,
    files: &mut FileWriter,
) -> pgkeep_repository::Result<Read> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let file = match open(&folder, name) {
            Ok(file) => File::from(file),
            // Gone between two attempts: what was read is what is known of it.
            Err(Errno::NOENT) if last.is_some() => break,
            Err(Errno::NOENT) => return Ok(Read::Gone),
            Err(Errno::LOOP) => return Ok(Read::Unreadable("it became a symbolic link".into())),
            Err(e) => return Ok(Read::Unreadable(words(e.into()))),
        };
        let before = match rustix::fs::fstat(&file) {
            Ok(stat) => stat,
            Err(e) => return Ok(Read::Unreadable(words(e.into()))),
        };
        if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
            return Ok(Read::Unreadable(
                "it became something else than a file".into(),
            ));
        }
        let attributes = match read_attributes(&file) {
            Ok(attributes) => attributes,
            Err(e) => return Ok(Read::Unreadable(words(e.into()))),
        };
        let content = match files.store(&mut &file)? {
            Ok(content) => content,
            Err(e) => return Ok(Read::Unreadable(words(e))),
        };
        let after = match rustix::fs::fstat(&file) {
            Ok(stat) => stat,
            Err(e) => return Ok(Read::Unreadable(words(e.into()))),
        };
        let mut node = node_from(OsStr::from_bytes(name.to_bytes()), &after);
        let steady = is_same(&before, &after) && content.size == node.size;
        node.size = content.size;
        node.content = content.chunks;
        node.attributes = attributes;
        if steady {
            return Ok(Read::Stored(node));
        }
        last = Some(node);
    }
    Ok(Read::Changing(last.expect("it was read at least once")))
}

/// Opens for reading, never through a link, never waiting for the other end of a pipe, and without leaving a trace in the
/// time of the last access where that is allowed.
fn open(folder: &impl AsFd, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => rustix::fs::openat(folder, name, flags, Mode::empty()),
        other => other,
    }
}

fn is_same(before: &Stat, after: &Stat) -> bool {
    let times = |s: &Stat| (s.st_mtime, s.st_mtime_nsec, s.st_ctime, s.st_ctime_nsec);
    before.st_size == after.st_size && times(before) == times(after)
}

/// The system's words without Rust's `(os error 13)`.
pub(super) fn words(error: std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    text.to_lowercase()
}
