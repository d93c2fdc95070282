//! A first look at a snapshot in which all is as it should be: whether every tree can be read, every chunk is stored, and
//! every file is as long as it says. It keeps no names and no lists of chunks, so that a million files take little memory;
//! where anything is wrong, the [`super::Forest`] has to be asked what.

use crate::{
    error::Result, id::BlobId, index::Index, pack::BlobKind, reader::TreeReader,
    repository::Repository,
};
use pgkeep_model::CancelToken;
use std::collections::HashSet;

/// What a sound snapshot needs.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) trees: u64,
    /// Different blobs, trees among them.
    pub(super) blobs: u64,
    pub(super) packs: u64,
}

/// Looks at everything below `root`; `None` when something is wrong.
pub(super) fn look(
    repository: &Repository,
    index: &Index,
    root: BlobId,
    cancel: &CancelToken,
) -> Result<Option<Seen>> {
    let mut seen = Seen::default();
    let mut packs = HashSet::new();
    // One bit for each entry of the index.
    let mut used = vec![0u64; index.len().div_ceil(64)];
    let mut need = |id: &BlobId, kind: BlobKind| {
        let (number, located, _) = index.find_numbered(id, kind)?;
        let bit = 1 << (number % 64);
        let first = used[number / 64] & bit == 0;
        used[number / 64] |= bit;
        if first {
            packs.insert(located.pack);
        }
        Some((first, located.blob.plain_len()))
    };
    let mut trees = TreeReader::new();
    let mut open = vec![root];
    while let Some(id) = open.pop() {
        cancel.check()?;
        match need(&id, BlobKind::Tree) {
            Some((true, _)) => seen.blobs += 1,
            Some((false, _)) => continue,
            None => return Ok(None),
        }
        seen.trees += 1;
        let tree = match trees.load(repository, index, &id) {
            Ok(tree) => tree,
            Err(e) if e.is_damage() => return Ok(None),
            Err(e) => return Err(e),
        };
        for node in tree.nodes {
            if node.is_dir() {
                let Some(subtree) = node.subtree else {
                    return Ok(None);
                };
                open.push(subtree);
            } else if node.is_file() {
                let mut size = 0;
                for chunk in node.content.iter().flatten() {
                    let Some((first, len)) = need(chunk, BlobKind::Data) else {
                        return Ok(None);
                    };
                    seen.blobs += u64::from(first);
                    size += len;
                }
                if size != node.size {
                    return Ok(None);
                }
            }
        }
    }
    seen.packs = packs.len() as u64;
    Ok(Some(seen))
}
