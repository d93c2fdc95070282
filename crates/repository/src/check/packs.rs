//! Reading packs back: decrypt, unpack and hash each blob, several packs at the same time.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use pgkeep_model::CancelToken;
use zstd::bulk::Decompressor;

use super::Wanted;
use crate::{
    error::{RepositoryError, Result},
    id::PackId,
    pack::{self, PackedBlob},
    repository::Repository,
    storage::{FileKind, ObjectKey, StorageErrorKind},
};

/// Packs that are in memory at the same time.
const MAX_READERS: usize = 4;

/// A pack with those of its blobs that matter.
#[derive(Debug, Clone)]
pub(crate) struct PackToRead {
    pub(crate) id: PackId,
    pub(crate) blobs: Vec<PackedBlob>,
    size: u64,
}

impl PackToRead {
    pub(crate) fn new(id: PackId, size: u64, mut blobs: Vec<PackedBlob>) -> Self {
        blobs.sort_by_key(|blob| blob.offset);
        Self { id, blobs, size }
    }

    /// Bytes of the whole file.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }
}

/// What is wrong with a pack.
#[derive(Debug, Clone)]
pub(crate) struct PackFault {
    pub(crate) pack: PackId,
    pub(crate) what: String,
    /// The wanted blobs that cannot be had from it.
    pub(crate) lost: Vec<Wanted>,
}

/// Reads packs whole and returns the faulty ones. `done` hears of each pack's bytes.
pub(crate) fn read_packs(
    repository: &Repository,
    packs: &[PackToRead],
    cancel: &CancelToken,
    done: &(dyn Fn(u64) + Sync),
) -> Result<Vec<PackFault>> {
    let faults = Mutex::new(Vec::new());
    let failure: Mutex<Option<RepositoryError>> = Mutex::new(None);
    let next = AtomicUsize::new(0);
    let readers = std::thread::available_parallelism().map_or(1, usize::from);
    let read_some = || {
        while let Some(pack) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if failure.lock().is_some() {
                return;
            }
            let read = cancel
                .check()
                .map_err(RepositoryError::from)
                .and_then(|()| read_pack(repository, pack));
            match read {
                Ok(fault) => {
                    faults.lock().extend(fault);
                    done(pack.size());
                }
                Err(error) => {
                    failure.lock().get_or_insert(error);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..readers.min(MAX_READERS).min(packs.len()) {
            scope.spawn(read_some);
        }
        read_some();
    });
    if let Some(error) = failure.into_inner() {
        return Err(error);
    }
    let mut faults = faults.into_inner();
    faults.sort_by_key(|fault| fault.pack);
    Ok(faults)
}

fn read_pack(repository: &Repository, pack: &PackToRead) -> Result<Option<PackFault>> {
    let key = ObjectKey::new(FileKind::Pack, pack.id.to_string());
    let data = match repository.storage().get(&key) {
        Ok(data) => data,
        Err(error)
            if matches!(
                error.kind,
                StorageErrorKind::NotFound | StorageErrorKind::Truncated
            ) =>
        {
            return Ok(Some(PackFault {
                pack: pack.id,
                what: "is missing".to_owned(),
                lost: pack.blobs.iter().map(|blob| (blob.id, blob.kind)).collect(),
            }));
        }
        Err(error) => return Err(error.into()),
    };
    let mut what = Vec::new();
    if PackId::of(&data) != pack.id {
        what.push("its content does not match its name".to_owned());
    }
    match pack::read_header(pack.id, &data, repository.master_key()) {
        Ok(header) => {
            let unknown = pack.blobs.iter().filter(|blob| !header.contains(blob));
            let unknown = unknown.count();
            if unknown > 0 {
                what.push(format!("its header does not name {unknown} of its blobs"));
            }
        }
        Err(RepositoryError::Damaged { what: reason, .. }) => what.push(reason),
        Err(error) => return Err(error),
    }
    let mut lost = Vec::new();
    open_all(repository, pack, &data, &mut |blob, opened| {
        if opened.is_err() {
            lost.push((blob.id, blob.kind));
        }
    });
    if !lost.is_empty() {
        what.push(format!(
            "{} of its {} blobs cannot be read",
            lost.len(),
            pack.blobs.len()
        ));
    }
    Ok((!what.is_empty()).then(|| PackFault {
        pack: pack.id,
        what: what.join("; "),
        lost,
    }))
}

/// Opens every wanted blob of a pack's bytes, and hands over its sealed bytes when it is what its id says.
pub(crate) fn open_all(
    repository: &Repository,
    pack: &PackToRead,
    data: &[u8],
    each: &mut dyn FnMut(&PackedBlob, Result<&[u8]>),
) {
    let mut decompressor = Decompressor::new().expect("a decompressor takes nothing but memory");
    let (mut scratch, mut plain) = (Vec::new(), Vec::new());
    for blob in &pack.blobs {
        let start = blob.offset as usize;
        let sealed = start
            .checked_add(blob.length as usize)
            .and_then(|end| data.get(start..end));
        let opened = match sealed {
            None => Err(RepositoryError::DamagedBlob {
                blob: blob.id,
                pack: pack.id,
                what: "the pack ends before it".to_owned(),
            }),
            Some(sealed) => {
                scratch.clear();
                scratch.extend_from_slice(sealed);
                let master = repository.master_key();
                pack::open_blob(
                    blob,
                    pack.id,
                    &mut scratch,
                    master,
                    &mut decompressor,
                    &mut plain,
                )
                .map(|()| sealed)
            }
        };
        each(blob, opened);
    }
}
