//! Moving blobs into new packs, still sealed as they are, after seeing that each is what its id says.

use crate::{
    check::{PackToRead, open_all},
    error::{RepositoryError, Result},
    index::IndexedPack,
    pack::{BlobKind, PackBuilder, PackedBlob},
    repository::Repository,
    storage::{FileKind, ObjectKey},
};

/// Packs below this size are worth merging when there are many.
pub(super) const SMALL_PACK: u64 = 4 << 20;
const DATA_PACK_SIZE: usize = 16 << 20;
const TREE_PACK_SIZE: usize = 4 << 20;
/// Keeps a pack's header small when blobs are.
const MAX_BLOBS_PER_PACK: usize = 8192;

/// What was written. The packs are durable only after a barrier.
#[derive(Debug, Default)]
pub(super) struct Repacked {
    pub(super) packs: Vec<IndexedPack>,
    pub(super) count: u64,
    pub(super) bytes: u64,
}

/// Fills new packs, data and trees apart.
#[derive(Debug)]
pub(super) struct Repacker<'a> {
    repository: &'a Repository,
    data: PackBuilder,
    trees: PackBuilder,
    done: Repacked,
}

/// What a pack's blobs are; data, where old tools mixed them.
pub(super) fn kind_of(blobs: &[PackedBlob]) -> BlobKind {
    if blobs.iter().all(|blob| blob.kind == BlobKind::Tree) {
        BlobKind::Tree
    } else {
        BlobKind::Data
    }
}

impl<'a> Repacker<'a> {
    pub(super) fn new(repository: &'a Repository) -> Self {
        Self {
            repository,
            data: PackBuilder::new(Vec::new()),
            trees: PackBuilder::new(Vec::new()),
            done: Repacked::default(),
        }
    }

    /// Copies the wanted blobs of a pack; fails at the first one that cannot be read.
    pub(super) fn take_over(&mut self, pack: &PackToRead) -> Result<()> {
        let mut first_error = None;
        self.copy(pack, &mut |_, error| {
            first_error.get_or_insert(error);
        })?;
        first_error.map_or(Ok(()), Err)
    }

    /// Copies those of the wanted blobs that can still be read, and returns how many could not.
    pub(super) fn salvage(&mut self, pack: &PackToRead) -> Result<u64> {
        let mut lost = 0;
        match self.copy(pack, &mut |_, _| lost += 1) {
            Ok(()) => Ok(lost),
            Err(error) if error.is_damage() => Ok(pack.blobs.len() as u64),
            Err(error) => Err(error),
        }
    }

    fn copy(
        &mut self,
        pack: &PackToRead,
        unreadable: &mut dyn FnMut(&PackedBlob, RepositoryError),
    ) -> Result<()> {
        let key = ObjectKey::new(FileKind::Pack, pack.id.to_string());
        let data = self.repository.storage().get(&key)?;
        let mut failure = None;
        let repository = self.repository;
        open_all(repository, pack, &data, &mut |blob, sealed| match sealed {
            Ok(sealed) if failure.is_none() => failure = self.add(blob, sealed).err(),
            Ok(_) => {}
            Err(error) => unreadable(blob, error),
        });
        failure.map_or(Ok(()), Err)
    }

    fn add(&mut self, blob: &PackedBlob, sealed: &[u8]) -> Result<()> {
        let (pack, limit) = match blob.kind {
            BlobKind::Data => (&mut self.data, DATA_PACK_SIZE),
            BlobKind::Tree => (&mut self.trees, TREE_PACK_SIZE),
        };
        pack.add_sealed(blob, sealed);
        if pack.len() >= limit || pack.blob_count() >= MAX_BLOBS_PER_PACK {
            let full = std::mem::replace(pack, PackBuilder::new(Vec::new()));
            self.store(full)?;
        }
        Ok(())
    }

    fn store(&mut self, pack: PackBuilder) -> Result<()> {
        if pack.is_empty() {
            return Ok(());
        }
        let pack = pack.finish(self.repository.master_key());
        let key = ObjectKey::new(FileKind::Pack, pack.id.to_string());
        self.repository.storage().put(&key, &pack.data)?;
        self.done.count += 1;
        self.done.bytes += pack.data.len() as u64;
        self.done.packs.push(IndexedPack::new(pack.id, &pack.blobs));
        Ok(())
    }

    /// Stores the packs that are begun.
    pub(super) fn finish(mut self) -> Result<Repacked> {
        let empty = || PackBuilder::new(Vec::new());
        let (data, trees) = (
            std::mem::replace(&mut self.data, empty()),
            std::mem::replace(&mut self.trees, empty()),
        );
        self.store(data)?;
        self.store(trees)?;
        Ok(self.done)
    }
}
