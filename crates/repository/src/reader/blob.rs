//! Reading single blobs: trees, and chunks whose first place failed.
//!
//! A folder with many folders in it has a tree for each of them, and they lie side by side in few packs: from the second
//! that is asked of a pack, the pack is loaded as a whole and kept for a while.

use crate::{
    error::{RepositoryError, Result},
    id::{BlobId, PackId},
    index::{Index, Located},
    pack::{self, BlobKind},
    repository::Repository,
    storage::{FileKind, ObjectKey, StorageError, StorageErrorKind},
    tree::Tree,
};
use std::collections::VecDeque;
use zstd::bulk::Decompressor;

/// Packs that are kept whole, and the size up to which one is.
const KEPT: usize = 4;
const KEPT_BYTES: u64 = 8 << 20;
/// Packs that are remembered to have been asked for a tree.
const REMEMBERED: usize = 16;

/// Reads trees one after the other.
pub(crate) struct TreeReader {
    packs: VecDeque<(PackId, Vec<u8>)>,
    asked: VecDeque<PackId>,
    decompressor: Decompressor<'static>,
}

impl TreeReader {
    pub(crate) fn new() -> Self {
        Self {
            packs: VecDeque::new(),
            asked: VecDeque::new(),
            decompressor: Decompressor::new().expect("a decompressor takes nothing but memory"),
        }
    }

    pub(crate) fn load(
        &mut self,
        repository: &Repository,
        index: &Index,
        id: &BlobId,
    ) -> Result<Tree> {
        if let Some(json) = self.in_whole_pack(repository, index, id) {
            return Tree::parse(*id, &json);
        }
        Tree::parse(*id, &read_blob(repository, index, id, BlobKind::Tree)?)
    }

    /// The tree out of a pack that is loaded whole; `None` where that is not worth it, or does not succeed for any reason.
    fn in_whole_pack(
        &mut self,
        repository: &Repository,
        index: &Index,
        id: &BlobId,
    ) -> Option<Vec<u8>> {
        let (_, Located { pack, blob }, size) = index.find_numbered(id, BlobKind::Tree)?;
        if !self.packs.iter().any(|(kept, _)| *kept == pack) {
            if !self.asked.contains(&pack) {
                self.asked.push_back(pack);
                if self.asked.len() > REMEMBERED {
                    self.asked.pop_front();
                }
                return None;
            }
            if size > KEPT_BYTES {
                return None;
            }
            let key = ObjectKey::new(FileKind::Pack, pack.to_string());
            let bytes = repository.storage().get_range(&key, 0, size).ok()?;
            self.packs.push_back((pack, bytes));
            if self.packs.len() > KEPT {
                self.packs.pop_front();
            }
        }
        let (_, bytes) = self.packs.iter().find(|(kept, _)| *kept == pack)?;
        let end = blob.offset as usize + blob.length as usize;
        let mut sealed = bytes.get(blob.offset as usize..end)?.to_vec();
        let mut json = Vec::new();
        pack::open_blob(
            &blob,
            pack,
            &mut sealed,
            repository.master_key(),
            &mut self.decompressor,
            &mut json,
        )
        .ok()?;
        Some(json)
    }
}

impl std::fmt::Debug for TreeReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TreeReader")
            .field("packs", &self.packs.len())
            .finish_non_exhaustive()
    }
}

/// Reads a blob from any pack that has it whole.
fn read_blob(
    repository: &Repository,
    index: &Index,
    id: &BlobId,
    kind: BlobKind,
) -> Result<Vec<u8>> {
    let mut decompressor = Decompressor::new().expect("a decompressor takes nothing but memory");
    let mut out = Vec::new();
    let mut first_error = None;
    for located in index.candidates(id, kind) {
        match read_located(repository, &located, &mut decompressor, &mut out) {
            Ok(()) => return Ok(out),
            Err(e) if e.is_damage() => first_error = first_error.or(Some(e)),
            Err(e) => return Err(e),
        }
    }
    Err(first_error.unwrap_or(RepositoryError::MissingBlob { blob: *id }))
}

/// Reads a blob from one certain pack into `out`.
pub(super) fn read_located(
    repository: &Repository,
    located: &Located,
    decompressor: &mut Decompressor<'_>,
    out: &mut Vec<u8>,
) -> Result<()> {
    let Located { pack, blob } = located;
    let key = ObjectKey::new(FileKind::Pack, pack.to_string());
    let mut sealed = repository
        .storage()
        .get_range(&key, blob.offset.into(), blob.length.into())
        .map_err(|e| unreadable(located, e))?;
    pack::open_blob(
        blob,
        *pack,
        &mut sealed,
        repository.master_key(),
        decompressor,
        out,
    )
}

/// A pack that is gone or too short is damage of the blob; everything else is the storage's trouble.
pub(super) fn unreadable(located: &Located, error: StorageError) -> RepositoryError {
    match error.kind {
        StorageErrorKind::NotFound => RepositoryError::DamagedBlob {
            blob: located.blob.id,
            pack: located.pack,
            what: "the pack is missing".into(),
        },
        StorageErrorKind::Truncated => RepositoryError::DamagedBlob {
            blob: located.blob.id,
            pack: located.pack,
            what: format!("the pack is too short: {}", error.message),
        },
        _ => error.into(),
    }
}
