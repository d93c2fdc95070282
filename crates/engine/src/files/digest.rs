//! One figure for the content of a file tree, computed from its folders upwards.
//!
//! The digest of a folder is the SHA-256 over its entries in order of their names' bytes. Each entry gives: kind, name, mode,
//! owner and group; a file its size and the ids of its chunks (each the SHA-256 of the chunk's bytes); a link its target; a
//! device its number; a folder its own digest. Texts stand behind their length. Times and attributes are not part of it.
//!
//! Chunks of the same content are the same in one repository, so two backups of unchanged files share the digest; and a
//! restored file is compared by hashing the same stretches of it.

use pgkeep_repository::{BlobId, Node};
use sha2::{Digest, Sha256};
use std::os::unix::ffi::OsStrExt;

/// What one entry adds to its folder's digest.
pub type EntryDigest = [u8; 32];

/// The digest of a folder, fed with its entries in order of their names.
#[derive(Debug, Default, Clone)]
pub struct FolderDigest(Sha256);

impl FolderDigest {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next entry. `content` is what a file's chunks are named, `folder` the digest of a folder.
    pub fn add(&mut self, node: &Node, content: &[BlobId], folder: Option<&EntryDigest>) {
        self.text(node.kind.as_str().as_bytes());
        self.text(node.name.as_bytes());
        for number in [node.mode, node.uid, node.gid] {
            self.0.update(number.to_le_bytes());
        }
        self.0.update(node.size.to_le_bytes());
        self.0.update(node.device.to_le_bytes());
        let target = node.target.as_deref().map(|t| t.as_os_str().as_bytes());
        self.text(target.unwrap_or_default());
        self.0.update((content.len() as u64).to_le_bytes());
        for chunk in content {
            self.0.update(chunk.0);
        }
        self.0.update(folder.unwrap_or(&[0; 32]));
    }

    pub fn finish(self) -> EntryDigest {
        self.0.finalize().into()
    }

    fn text(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }
}
