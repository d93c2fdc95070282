//! Making the best of damage: [`Repository::repair`].
//!
//! What can still be read of a damaged pack moves to a new one and the damaged pack leaves the index. From then on the
//! lost chunks count as not stored, so the next backup that meets them stores them again, and because chunks are named
//! by their content, older snapshots that need them are whole again too. Packs that no index names any more (a lost or
//! damaged index file) are indexed from their own headers. Nothing is deleted except index files that cannot be read.
//!
//! A lost or damaged config is made anew by [`Repository::rebuild_config`]: nothing that is stored depends on it.

use std::collections::{HashMap, HashSet};

use pgkeep_model::{CancelToken, Phase, Progress};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{Change, IndexFiles, repack::Repacker};
use crate::{
    check::{CheckReport, PackToRead, stored_packs},
    codec,
    config::Config,
    error::{RepositoryError, Result},
    id::{BlobId, PackId},
    index::{DoomedPack, Index, IndexedPack},
    keys,
    lock::LockMode,
    pack::{self, BlobKind, PackedBlob},
    repository::Repository,
    storage::{FileKind, ObjectKey, Storage, StorageErrorKind},
};

/// What a repair did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepairReport {
    /// Damaged or missing packs that were taken out of the index.
    pub packs_dropped: u64,
    /// Chunks of them that were saved into new packs.
    pub blobs_saved: u64,
    /// Chunks that are gone until a backup stores them again.
    pub blobs_lost: u64,
    /// Packs that no index named and that are indexed now.
    pub packs_indexed: u64,
    /// Index files that could not be read and were removed.
    pub indexes_removed: u64,
}

impl Repository {
    /// Takes the packs that `report` found damaged, and all that are missing or have the wrong size, out of the index.
    pub fn repair(
        &self,
        report: &CheckReport,
        progress: &dyn Progress,
        cancel: &CancelToken,
    ) -> Result<RepairReport> {
        let lock = self.lock(LockMode::Exclusive, "repair")?;
        progress.phase(Phase::Cleanup, None);
        let files = IndexFiles::load(self)?;
        let stored = stored_packs(self)?;
        let mut index = files.index();
        let mut damaged: HashSet<PackId> = index.quarantine(&stored).into_iter().collect();
        damaged.extend(
            report
                .damaged_packs
                .iter()
                .filter_map(|id| id.parse().ok())
                .filter(|id: &PackId| index.packs().any(|(indexed, _)| indexed == *id)),
        );

        let mut done = RepairReport {
            packs_dropped: damaged.len() as u64,
            indexes_removed: files.unreadable.len() as u64,
            ..RepairReport::default()
        };
        let mut change = Change::default();
        index_unnamed_packs(self, &files, &index, &stored, cancel, &mut change)?;
        done.packs_indexed = change.add.len() as u64;

        let elsewhere = blobs_outside(&index, &damaged, &change.add);
        let mut repacker = Repacker::new(self);
        for pack in damaged_packs(&index, &damaged, &elsewhere) {
            cancel.check()?;
            lock.check()?;
            let lost = repacker.salvage(&pack)?;
            done.blobs_lost += lost;
            done.blobs_saved += pack.blobs.len() as u64 - lost;
            progress.bytes(pack.size());
        }
        change.add.extend(repacker.finish()?.packs);
        change.doom.extend(
            damaged
                .iter()
                .filter(|id| stored.contains_key(*id))
                .map(|id| DoomedPack {
                    id: *id,
                    blobs: Vec::new(),
                    time: Some(self.clock().now()),
                }),
        );
        change.remove = damaged;

        cancel.check()?;
        lock.confirm()?;
        if !change.is_empty() || done.indexes_removed > 0 {
            self.storage().flush()?;
            files.apply(self, &change)?;
        }
        Ok(done)
    }
}

impl Repository {
    /// Writes a new config in place of one that is missing or damaged; one of the repository's keys must open it. The
    /// repository gets a new id, and with it other chunk boundaries: the next backup stores its data once more.
    pub fn rebuild_config(storage: &dyn Storage, password: &SecretString) -> Result<()> {
        let (master, _) = keys::open(storage, password)?;
        let key = ObjectKey::config();
        match storage.get(&key) {
            Ok(sealed) if codec::decode(&master, &key, sealed.clone()).is_ok() => {
                return Err(RepositoryError::invalid(
                    "the config is whole, so it stays as it is",
                ));
            }
            Ok(_) => {}
            Err(error) if error.kind == StorageErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let json = serde_json::to_vec(&Config::random()).expect("a config is plain data");
        let sealed = codec::encode(&master, FileKind::Config, &json);
        storage.delete(&key)?;
        storage.create_new(&key, &sealed)?;
        Ok(storage.flush()?)
    }
}

/// Indexes whole packs that no index names. Those that a prune marked stay marked.
fn index_unnamed_packs(
    repository: &Repository,
    files: &IndexFiles,
    index: &Index,
    stored: &HashMap<PackId, u64>,
    cancel: &CancelToken,
    change: &mut Change,
) -> Result<()> {
    let named: HashSet<PackId> = index
        .packs()
        .map(|(id, _)| id)
        .chain(files.doomed().map(|pack| pack.id))
        .collect();
    let mut unnamed: Vec<PackId> = stored
        .keys()
        .filter(|id| !named.contains(*id))
        .copied()
        .collect();
    unnamed.sort();
    for id in unnamed {
        cancel.check()?;
        let key = ObjectKey::new(FileKind::Pack, id.to_string());
        let data = repository.storage().get(&key)?;
        if PackId::of(&data) != id {
            continue;
        }
        match pack::read_header(id, &data, repository.master_key()) {
            Ok(blobs) => change.add.push(IndexedPack::new(id, &blobs)),
            // Another repository's, or made to look like a pack: it stays where it is, unindexed.
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Every blob that a pack outside the damaged ones holds.
fn blobs_outside(
    index: &Index,
    damaged: &HashSet<PackId>,
    added: &[IndexedPack],
) -> HashSet<(BlobId, BlobKind)> {
    let mut blobs: HashSet<(BlobId, BlobKind)> = index
        .iter()
        .filter(|located| !damaged.contains(&located.pack))
        .map(|located| (located.blob.id, located.blob.kind))
        .collect();
    for pack in added {
        blobs.extend(pack.blobs().map(|blob| (blob.id, blob.kind)));
    }
    blobs
}

/// The damaged packs with the blobs that are nowhere else; each blob once.
fn damaged_packs(
    index: &Index,
    damaged: &HashSet<PackId>,
    elsewhere: &HashSet<(BlobId, BlobKind)>,
) -> Vec<PackToRead> {
    let mut packs: HashMap<PackId, Vec<PackedBlob>> = HashMap::new();
    for located in index.iter() {
        let blob = located.blob;
        if damaged.contains(&located.pack) && !elsewhere.contains(&(blob.id, blob.kind)) {
            packs.entry(located.pack).or_default().push(blob);
        }
    }
    let sizes: HashMap<PackId, u64> = index.packs().collect();
    let mut packs: Vec<PackToRead> = packs
        .into_iter()
        .map(|(id, blobs)| PackToRead::new(id, sizes[&id], blobs))
        .collect();
    packs.sort_by_key(|pack| pack.id);
    packs
}
