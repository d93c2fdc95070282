//! Reading single blobs: trees, and chunks whose first place failed.

use crate::{
    error::{RepositoryError, Result},
    id::BlobId,
    index::{Index, Located},
    pack::{self, BlobKind},
    repository::Repository,
    storage::{FileKind, ObjectKey, StorageError, StorageErrorKind},
    tree::Tree,
};
use zstd::bulk::Decompressor;

pub(crate) fn load_tree(repository: &Repository, index: &Index, id: &BlobId) -> Result<Tree> {
    Tree::parse(*id, &read_blob(repository, index, id, BlobKind::Tree)?)
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
