//! File trees of an app: read into the snapshot of a backup, compared with the backup before, checked when stored.
//!
//! ```text
//! walker (caller's thread): lists folders, looks at entries ─┬─ unchanged since the parent: its chunks are taken over
//!                                                            └─ files ─ readers: read, hash, store ─┐
//! folders: the last entry to be known completes its folder, which is stored and completes its parent ◀┘
//! ```
//! Invariants: nothing outside the tree is read, for every entry is opened relative to its folder and no symbolic link is
//! followed; what cannot be read is named and never stored as something shorter; memory holds the entries of the folders
//! that are being read, never a list of all files.

mod compare;
mod digest;
mod entry;
mod exclude;
mod folder;
mod odd;
mod read;
mod references;
pub mod restore;
mod scan;
mod verify;

pub use compare::{FilesDiff, StoredTree, compare_trees};
pub use digest::{EntryDigest, FolderDigest};
pub use entry::{node_from, read_attributes};
pub use references::{check_references, check_references_in};
pub use scan::{Previous, ScanOptions, Scanned, ScannedPaths, scan};
pub use verify::verify_files;

/// Folder of a snapshot in which file trees stand.
pub const FILES_FOLDER: &str = "files";

/// Where a tree of this name stands in a snapshot.
pub fn folder_of(name: &str) -> String {
    format!("{FILES_FOLDER}/{}", crate::backup::safe_name(name))
}
